"""Guard the keys of a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from tickglass.sched.fencing.writer import demand_fence, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.fencing.writer import Fenced

__all__ = [
    "REDIS_GUARD",
    "RedisClient",
    "RedisGuard",
]

REDIS_GUARD: Final = """\
-- Run one command unless a newer fence was seen on the resource.
-- KEYS[1]: the newest fence seen, a number. KEYS[2]: the command's key; none: only move the fence.
-- ARGV[1]: the writer's fence. ARGV[2]: the command. ARGV[3...]: its arguments after the key.
-- Returns {1, the command's reply}, or {0, the newest fence} when nothing was done.
local newest = redis.call('GET', KEYS[1])
if newest and tonumber(newest) > tonumber(ARGV[1]) then
  return {0, newest}
end
redis.call('SET', KEYS[1], ARGV[1])
if not KEYS[2] then
  return {1}
end
return {1, redis.call(ARGV[2], KEYS[2], unpack(ARGV, 3))}
"""


class RedisClient(Protocol):
    """The part of a client that is used: `redis.Redis` has it."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:  # noqa: ANN401 - the client's own types
        """Run a script."""
        ...


class RedisGuard:
    """The newest fence seen of each resource, in the Redis that is written to.

    Args:
        client: the caller's.
        prefix: of the keys with the fences. In a cluster, a fence and the keys
            it guards must share a slot: for example "{stock}:fence:" and "{stock}:apple".
    """

    def __init__(self, client: RedisClient, prefix: str = "tickglass:fence:") -> None:
        self._client = client
        self._prefix = prefix

    def advance(self, writer: Fenced) -> None:
        """Record the writer's fence, so that older ones are refused from now on.

        Raises:
            StaleFence: a newer fence was recorded, or this one is 0.
        """
        self._call(writer, [])

    def execute(self, writer: Fenced, command: str, key: str | bytes, *arguments: object) -> Any:  # noqa: ANN401 - any reply
        """Run a command on one key, atomically with the check: `execute(run, "HSET", "stock", "apple", 5)`.

        Returns:
            The reply as Redis gives it.

        Raises:
            StaleFence: a newer fence was recorded, or this one is 0; nothing was done.
        """
        answer = self._call(writer, [key], command, *arguments)
        return answer[1] if len(answer) > 1 else None

    def _call(self, writer: Fenced, keys: Sequence[str | bytes], *command: object) -> list[Any]:
        demand_fence(writer)
        keys = [f"{self._prefix}{writer.resource}", *keys]
        answer: list[Any] = self._client.eval(REDIS_GUARD, len(keys), *keys, writer.fence, *command)
        if answer[0] == 0:
            refuse(writer, int(answer[1]))
        return answer
