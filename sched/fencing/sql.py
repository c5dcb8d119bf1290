"""Guard the rows of a SQL database: SQLite, PostgreSQL and others with PEP 249 cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tickglass.sched.errors import ConfigError
from tickglass.sched.fencing.writer import demand_fence, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.fencing.writer import Fenced

__all__ = [
    "Cursor",
    "SqlGuard",
    "wrote",
]


class Cursor(Protocol):
    """The part of a PEP 249 cursor that is used, for example of sqlite3 or psycopg."""

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

    Call `advance` in the transaction of the writes that it guards, before them. From
    then until the commit, writers with other fences wait; so a stale holder can
    neither write in between nor overwrite afterwards.

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
        """Record the writer's fence; refuse it if a newer fence was recorded. Older ones are refused from now on.

        Raises:
            StaleFence: a newer fence was recorded, or this one is 0; roll the transaction back.
        """
        demand_fence(writer)
        cursor.execute(self._advance, (writer.resource, writer.fence))
        if cursor.rowcount == 0:
            cursor.execute(self._newest, (writer.resource,))
            refuse(writer, int(cursor.fetchone()[0]))


def wrote(cursor: Cursor, writer: Fenced, newest: str, parameters: Sequence[object]) -> bool:
    """Return what became of an UPDATE that was guarded by the row's own fence column.

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
    if row is not None:
        refuse(writer, int(row[0]))
    return False
