"""Look which occurrences other processes have claimed, in one query without the write lock.

SQLite tells no one of a write, but it counts the commits of other connections: while that count stands still, nothing
is read. The query begins at the earliest due instant that is about to be claimed, so it reads little: the end of the
table.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.stores.sqlite import statements as sql
from tickglass.sched.stores.sqlite.schema import check_current

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.sqlite.file import SqliteFile

__all__ = ["ROWS_MAX", "ClaimLook"]

ROWS_MAX: Final = 512  # half a millisecond; of more that are due at one instant the rest is asked for, as ever


class ClaimLook:
    """The looks of one listener.

    Args:
        clock: the one by which leases expire.
        owner: its own claims are not reported.
        on_claim: called with the job, the due instant and the claimant.
    """

    def __init__(
        self, file: SqliteFile, clock: Clock, service: str, owner: str, on_claim: Callable[[str, int, str], None]
    ) -> None:
        self._file = file
        self._clock = clock
        self._service = service
        self._owner = owner
        self._on_claim = on_claim
        self._mutex = threading.Lock()
        self._ended = False
        self._version = 0  # of the last query; what it covers is
        self._from_ns = self._upto_ns = 0  # from this due instant to before that one

    def look(self, first_due_ns: int, last_due_ns: int) -> bool:
        """See `ClaimWatch`; a claim that another look of this listener is about to report is not waited for."""
        if self._ended or not self._mutex.acquire(blocking=False):
            return False
        try:
            rows = self._file.glance(lambda connection: self._read(connection, first_due_ns, last_due_ns))
            found = self._standing(rows or ())
        finally:
            self._mutex.release()
        for (job, due_ns), owner in found.items():
            self._on_claim(job, due_ns, owner)
        return bool(found)

    def end(self) -> None:
        """Report nothing more."""
        self._ended = True

    def _read(self, connection: sqlite3.Connection, first_due_ns: int, last_due_ns: int) -> list[tuple[Any, ...]]:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version and self._from_ns <= first_due_ns and last_due_ns < self._upto_ns:
            return []
        check_current(connection)  # a migration is a commit, too
        rows = connection.execute(sql.CLAIMS_FROM, (first_due_ns, self._service, ROWS_MAX)).fetchall()
        # The count was read before the rows: what was committed in between is read again next time.
        self._version, self._from_ns, self._upto_ns = version, first_due_ns, sys.maxsize
        if len(rows) == ROWS_MAX:  # the last occurrence may have more attempts than were read
            self._upto_ns = rows[-1][1]
            rows = [row for row in rows if row[:2] != rows[-1][:2]]
        return rows

    def _standing(self, rows: list[tuple[Any, ...]] | tuple[()]) -> dict[tuple[str, int], str]:
        """Return the claimants; not of an attempt whose claimant died, because another instance may claim that again.

        Of several attempts at an occurrence the last one counts.
        """
        now_ns = self._clock.monotonic_ns()
        latest = {(job, due_ns): rest for job, due_ns, *rest in rows}
        return {
            occurrence: owner
            for occurrence, (owner, outcome, renewed_ns, expires_ns) in latest.items()
            if owner != self._owner and (outcome is not None or sql.is_live(renewed_ns, expires_ns, now_ns))
        }
