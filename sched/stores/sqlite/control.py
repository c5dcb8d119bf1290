"""Keep what operators have asked for in a store's database file, and take a lease from its holder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.ports import AUDIT_KEPT, AuditRow, ControlRecord
from tickglass.sched.stores.retention import shown_detail
from tickglass.sched.stores.sqlite import statements as sql
from tickglass.sched.stores.sqlite.schema import CONTROL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.sqlite.file import SqliteFile

__all__ = ["Control"]

_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE name IN ('control', 'acts')"
_READ: Final = "SELECT version, iif(version = ?, '', text) FROM control"  # one row, or none
_VERSION: Final = "SELECT version FROM control"
_FORGET: Final = "DELETE FROM control"
_WRITE: Final = "INSERT INTO control VALUES (?, ?)"
_ENTRY: Final = "SELECT text FROM acts WHERE version = ?"
_LOG: Final = "INSERT INTO acts VALUES (?, ?, ?)"
# Too old, or of acts that made a record which a person has deleted since.
_DROP: Final = "DELETE FROM acts WHERE version <= ? OR version >= ?"
_LATEST: Final = "SELECT version, wall_ns, text FROM acts WHERE version < ? ORDER BY version DESC LIMIT ?"
_LAST: Final = 2**63 - 1
_CLAIMED_WITH: Final = """
    UPDATE attempts SET outcome = 'orphaned', detail = ?, ended_wall_ns = ?
    WHERE resource = ? AND fence = ? AND outcome IS NULL"""


class Control:
    """See `ControlStore`; a file in which nobody has written it has no tables for it."""

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._has_tables = False  # once they are there, they stay

    def read(self, known_version: int) -> ControlRecord | None:
        """See `ControlStore.control`: one row, without the write lock."""

        def work(connection: sqlite3.Connection) -> ControlRecord | None:
            row = connection.execute(_READ, (known_version,)).fetchone() if self._look(connection) else None
            record = ControlRecord() if row is None else ControlRecord(*row)
            return None if record.version == known_version else record

        return self._file.read("control", work)

    def write(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore.write_control`."""

        def work(connection: sqlite3.Connection) -> bool:
            for statement in CONTROL:
                connection.execute(statement)
            (version,) = connection.execute(_VERSION).fetchone() or (0,)
            if version == record.version:
                return bool(connection.execute(_ENTRY, (version,)).fetchone() == (entry,))
            if version != record.version - 1:
                return False
            connection.execute(_FORGET)
            connection.execute(_WRITE, (record.version, record.text))
            connection.execute(_DROP, (record.version - AUDIT_KEPT, record.version))
            connection.execute(_LOG, (record.version, self._clock.wall_ns(), entry))
            return True

        return self._file.write("write_control", work)

    def audit(self, limit: int, before: int | None) -> Sequence[AuditRow]:
        """See `ControlStore`."""

        def work(connection: sqlite3.Connection) -> list[AuditRow]:
            if not self._look(connection):
                return []
            asked = (_LAST if before is None else before, max(0, limit))
            return [AuditRow(*row) for row in connection.execute(_LATEST, asked)]

        return self._file.read("audit", work)

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`; the caller tells the waiters."""

        def work(connection: sqlite3.Connection) -> bool:
            now = self._clock.reading()
            held = sql.held_of(connection, resource)
            if held is None or held.fence != fence or not held.live_at(now.monotonic_ns):
                return False
            connection.execute(_CLAIMED_WITH, (shown_detail(detail), now.wall_ns, resource, fence))
            sql.delete_lease(connection, resource)
            return True

        return self._file.write("unlock", work)

    def _look(self, connection: sqlite3.Connection) -> bool:
        """Whether there are tables; another process may make them at any time."""
        self._has_tables = self._has_tables or connection.execute(_TABLES).fetchone()[0] == len(CONTROL)
        return self._has_tables
