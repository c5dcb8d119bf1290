"""Guard the keys of an etcd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tickglass.sched.fencing.writer import demand_fence, refuse

if TYPE_CHECKING:
    from tickglass.sched.fencing.writer import Fenced

__all__ = [
    "EtcdClient",
    "EtcdGuard",
]


class EtcdClient(Protocol):
    """The part of a client that is used: `aetcd.Client` has it."""

    @property
    def transactions(self) -> Any:  # noqa: ANN401 - the client's own types
        """What comparisons and operations are made of."""
        ...

    async def transaction(self, compare: Any, success: Any = ..., failure: Any = ...) -> Any:  # noqa: ANN401 - likewise
        """Do one or the other; return which, and the answers."""
        ...


class EtcdGuard:
    """The newest fence seen of each resource, in the etcd that is written to.

    Args:
        client: the caller's.
        prefix: of the keys with the fences; their values are numbers of 20
            digits, because etcd compares values as text.
    """

    def __init__(self, client: EtcdClient, prefix: str = "tickglass/fences/") -> None:
        self._client = client
        self._prefix = prefix

    async def execute(self, writer: Fenced, *operations: object) -> list[Any]:
        """Do operations of `client.transactions`, atomically with the check; none: only record the fence.

        Returns:
            The answers to the operations.

        Raises:
            StaleFence: a newer fence was recorded, or this one is 0; nothing was done.
        """
        demand_fence(writer)
        parts = self._client.transactions
        key = f"{self._prefix}{writer.resource}".encode()
        moved = [parts.put(key, b"%020d" % writer.fence), *operations]
        while True:  # a missing key has no value to compare, so it takes two questions
            for passes in (parts.value(key) < b"%020d" % (writer.fence + 1), parts.version(key) == 0):
                done, answers = await self._client.transaction([passes], success=moved, failure=[parts.get(key)])
                if done:
                    return list(answers[1:])
                found = answers[0]
                if found and int(found[0][0]) > writer.fence:
                    refuse(writer, int(found[0][0]))
