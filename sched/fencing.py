"""Refuse the writes of a holder whose lease has passed to somebody else.

A lock can promise only that two do not *hold* it at once. A process that was
frozen in the middle of a statement wakes up and finishes it, minutes later, and
no lock can hold it back. What it writes to can: it remembers the newest fence
it has seen, and refuses older ones; and always 0, the fence of a run that went
ahead without a claim. These are such guards, for SQL (SQLite and PostgreSQL), for
Redis and for etcd.

A guard counts every refusal through whatever it was given, a run or a lease
taken by hand, and raises `StaleFence`:

    >>> import sqlite3
    >>> from types import SimpleNamespace
    >>> from tickglass.sched.fencing import SqlGuard
    >>> cursor = sqlite3.connect(":memory:").cursor()
    >>> guard = SqlGuard()
    >>> _ = cursor.execute(guard.create)
    >>> paused = SimpleNamespace(resource="stock", fence=6, report_stale_fence=id)  # stands in for a run
    >>> present = SimpleNamespace(resource="stock", fence=7, report_stale_fence=id)
    >>> guard.advance(cursor, present)
    >>> guard.advance(cursor, paused)
    Traceback (most recent call last):
    tickglass.sched.errors.StaleFence: stock: fence 6 is stale, 7 has been seen; nothing was written

No I/O of its own: cursors and clients are the caller's, and no driver is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from tickglass.sched.errors import ConfigError, StaleFence

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "REDIS_GUARD",
    "Cursor",
    "EtcdClient",
    "EtcdGuard",
    "Fenced",
    "RedisClient",
    "RedisGuard",
    "SqlGuard",
    "demand_fence",
    "refuse",
    "wrote",
]


class Fenced(Protocol):
    """Who writes under a fence: a `Run`, or a `HeldLease`."""

    @property
    def resource(self) -> str:
        """What the fence was granted on."""
        ...

    @property
    def fence(self) -> int:
        """The fencing token."""
        ...

    def report_stale_fence(self, newest: int) -> None:
        """Report that a write was refused, since `newest` had been seen; never raises."""
        ...


def refuse(writer: Fenced, newest: int) -> NoReturn:
    """Count a refusal and raise it: the last line of every guard, and of your own.

    Raises:
        StaleFence: always.
    """
    writer.report_stale_fence(newest)
    raise StaleFence(writer.resource, writer.fence, newest)


def demand_fence(writer: Fenced) -> None:
    """Refuse whoever was granted no fence: the first line of every guard, and of your own.

    Fences begin at 1. Where none has been seen yet, 0 would pass for the first one.

    Raises:
        StaleFence: the writer's is 0.
    """
    if writer.fence <= 0:
        refuse(writer, 0)


# --- SQL ----------------------------------------------------------------------


class Cursor(Protocol):
    """What is needed of a cursor as PEP 249 has it, of sqlite3 or psycopg, say."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement touched."""
        ...

    def execute(self, statement: Any, parameters: Any = ..., /) -> object:  # noqa: ANN401 - each driver's own types
        """Run one statement."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - each driver's own types
        """Return the next row, None if there is none."""
        ...


class SqlGuard:
    """A table with the newest fence seen of each resource, in the database that is written to.

    Call `advance` in the transaction of the writes it guards, before them. From
    then until the commit nobody with another fence gets past it, so a stale
    holder can neither slip in between nor overwrite afterwards.

    Args:
        placeholder: how the driver writes a parameter: "?" for SQLite, "%s" for psycopg.
        table: its name, taken as it is.

    Attributes:
        create: the statement that makes the table if it is not there.

    Raises:
        ConfigError: no such placeholder.
    """

    def __init__(self, placeholder: str = "?", table: str = "tickglass_fences") -> None:
        if placeholder not in ("?", "%s"):
            raise ConfigError("no such placeholder", given=repr(placeholder), instead=('"?"', '"%s"'))
        self.create = f"CREATE TABLE IF NOT EXISTS {table} (resource TEXT PRIMARY KEY, fence BIGINT NOT NULL)"
        self._advance = (
            f"INSERT INTO {table} (resource, fence) VALUES ({placeholder}, {placeholder}) "  # noqa: S608 - our names
            f"ON CONFLICT (resource) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= {table}.fence"
        )
        self._newest = f"SELECT fence FROM {table} WHERE resource = {placeholder}"  # noqa: S608 - our names

    def advance(self, cursor: Cursor, writer: Fenced) -> None:
        """Let the writer past if nobody with a newer fence was here, and nobody with an older one after him.

        Raises:
            StaleFence: somebody was, or the fence is 0; roll the transaction back.
        """
        demand_fence(writer)
        cursor.execute(self._advance, (writer.resource, writer.fence))
        if cursor.rowcount == 0:
            cursor.execute(self._newest, (writer.resource,))
            refuse(writer, int(cursor.fetchone()[0]))


def wrote(cursor: Cursor, writer: Fenced, newest: str, parameters: Sequence[object]) -> bool:
    """Tell what became of an UPDATE that was guarded by the row's own fence column.

    For rows that carry a fence themselves:

        UPDATE stock SET n = ?, fence = ? WHERE id = ? AND fence <= ?

    Args:
        cursor: it has just run that statement.
        newest: a query for the row's fence, "SELECT fence FROM stock WHERE id = ?".
        parameters: the query's.

    Returns:
        True if the row was written, False if there is none.

    Raises:
        StaleFence: the row was written under a newer fence, and stays as it is; or
            the writer's fence is 0: roll the transaction back.
    """
    demand_fence(writer)
    if cursor.rowcount > 0:
        return True
    cursor.execute(newest, parameters)
    row = cursor.fetchone()
    if row is None:
        return False
    refuse(writer, int(row[0]))


# --- Redis --------------------------------------------------------------------

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
    """What is needed of a client: `redis.Redis` has it."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:  # noqa: ANN401 - the client's own types
        """Run a script."""
        ...


class RedisGuard:
    """The newest fence seen of each resource, in the Redis that is written to.

    Args:
        client: the caller's.
        prefix: of the keys with the fences. In a cluster, a fence and the keys
            it guards must share a slot: "{stock}:fence:" with "{stock}:apple", say.
    """

    def __init__(self, client: RedisClient, prefix: str = "tickglass:fence:") -> None:
        self._client = client
        self._prefix = prefix

    def advance(self, writer: Fenced) -> None:
        """Let nobody with an older fence write from now on.

        Raises:
            StaleFence: somebody with a newer fence was here, or this one is 0.
        """
        self._call(writer, [])

    def execute(self, writer: Fenced, command: str, key: str | bytes, *arguments: object) -> Any:  # noqa: ANN401 - any reply
        """Run a command on one key, atomically with the check: `execute(run, "HSET", "stock", "apple", 5)`.

        Returns:
            The reply as Redis gives it.

        Raises:
            StaleFence: somebody with a newer fence was here, or this one is 0; nothing was done.
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


# --- etcd ---------------------------------------------------------------------


class EtcdClient(Protocol):
    """What is needed of a client: `aetcd.Client` has it."""

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
            digits, for etcd compares values as text.
    """

    def __init__(self, client: EtcdClient, prefix: str = "tickglass/fences/") -> None:
        self._client = client
        self._prefix = prefix

    async def execute(self, writer: Fenced, *operations: object) -> list[Any]:
        """Do operations of `client.transactions`, atomically with the check; none: only shut older ones out.

        Returns:
            The answers to the operations.

        Raises:
            StaleFence: somebody with a newer fence was here, or this one is 0; nothing was done.
        """
        demand_fence(writer)
        parts = self._client.transactions
        key = f"{self._prefix}{writer.resource}".encode()
        moved = [parts.put(key, b"%020d" % writer.fence), *operations]
        while True:  # a key that is not there compares with nothing, so it takes two questions
            for passes in (parts.value(key) < b"%020d" % (writer.fence + 1), parts.version(key) == 0):
                done, answers = await self._client.transaction([passes], success=moved, failure=[parts.get(key)])
                if done:
                    return list(answers[1:])
                found = answers[0]
                if found and int(found[0][0]) > writer.fence:
                    refuse(writer, int(found[0][0]))
