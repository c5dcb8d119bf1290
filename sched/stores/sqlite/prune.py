"""Delete what need not be kept, without making a claim wait.

What may be deleted is looked up by the observers' connection; it is then deleted in
small write transactions, so a claim in between waits for one of them at most.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.stores.retention import LATEST_KEPT, PRUNE_EVERY_NS, ended_keep_ns
from tickglass.sched.stores.sqlite.fairness import clear_waiting

if TYPE_CHECKING:
    import sqlite3

    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.sqlite.file import SqliteFile

__all__ = ["Pruner"]

_BATCH: Final = 200  # rows: about a millisecond
_AT_MAX_NS: Final = 500 * MS  # the rest next time: the caller waits for this

# Skips from job to job along an index: 10,000 jobs with millions of rows cost 10,000 look-ups.
_SPANS: Final = """
    WITH RECURSIVE ids (service, job) AS (
        SELECT * FROM (SELECT service, job FROM attempts ORDER BY service, job LIMIT 1)
        UNION ALL SELECT
            (SELECT service FROM attempts WHERE (service, job) > (ids.service, ids.job) ORDER BY service, job LIMIT 1),
            (SELECT job FROM attempts WHERE (service, job) > (ids.service, ids.job) ORDER BY service, job LIMIT 1)
        FROM ids WHERE ids.job IS NOT NULL
    )
    SELECT service, job,
        (SELECT min(due_ns) FROM attempts WHERE service = ids.service AND job = ids.job),
        (SELECT due_ns FROM attempts WHERE service = ids.service AND job = ids.job
            ORDER BY due_ns DESC LIMIT 1 OFFSET ?),
        (SELECT due_ns FROM attempts WHERE service = ids.service AND job = ids.job AND kind = 'scheduled'
            ORDER BY due_ns DESC LIMIT 1)
    FROM ids WHERE job IS NOT NULL"""
_PRUNABLE: Final = """
    SELECT due_ns, service, job, attempt FROM attempts
    WHERE service = ? AND job = ? AND due_ns < ? AND due_ns IS NOT ? AND outcome IS NOT NULL AND ended_wall_ns < ?
    ORDER BY due_ns LIMIT ?"""
_PRUNE: Final = "DELETE FROM attempts WHERE due_ns = ? AND service = ? AND job = ? AND attempt = ?"
# A lease from an earlier boot ended before this one began.
_ENDED: Final = "SELECT resource FROM leases WHERE iif(renewed_ns <= ?, expires_ns, 0) < ? LIMIT ?"
_FORGET: Final = "DELETE FROM leases WHERE resource = ? AND iif(renewed_ns <= ?, expires_ns, 0) < ?"


class Pruner:
    """Applies the rules of retention.py to one file.

    Args:
        keep_ns: how long after its end an attempt is kept.
    """

    def __init__(self, file: SqliteFile, clock: Clock, keep_ns: int) -> None:
        self._file = file
        self._clock = clock
        self._keep_ns = keep_ns
        self._real = SystemClock()
        self._busy = threading.Lock()
        self._pruned_ns = clock.monotonic_ns()

    def prune_now_and_then(self) -> None:
        """Prune if the last time was a minute ago; call it every few seconds."""
        if self._clock.monotonic_ns() - self._pruned_ns >= PRUNE_EVERY_NS:
            self.prune()

    def prune(self) -> None:
        """Delete what may be deleted, for half a second at most.

        Raises:
            StoreUnavailable: see `SqliteFile.write`.
        """
        if not self._busy.acquire(blocking=False):
            return  # another thread is pruning
        try:
            self._pruned_ns = self._clock.monotonic_ns()
            stop_ns = self._real.monotonic_ns() + _AT_MAX_NS
            self._prune_leases(stop_ns)
            self._prune_runs(self._clock.wall_ns() - self._keep_ns, stop_ns)
        finally:
            self._busy.release()

    def _prune_leases(self, stop_ns: int) -> None:
        def ended() -> tuple[int, int]:
            now_ns = self._clock.monotonic_ns()
            return now_ns, now_ns - ended_keep_ns(self._keep_ns)

        def read_ended(connection: sqlite3.Connection) -> list[tuple[str]]:
            return connection.execute(_ENDED, (*ended(), _BATCH)).fetchall()

        def forget(connection: sqlite3.Connection) -> None:  # with the write lock held, nothing lies in the future
            at = ended()
            connection.executemany(_FORGET, [(resource, *at) for (resource,) in found])

        self._file.write("prune", lambda connection: clear_waiting(connection, self._clock.monotonic_ns()))
        more = True
        while more and self._real.monotonic_ns() < stop_ns:
            found = self._file.read("prune", read_ended)
            if found:
                self._file.write("prune", forget)
            more = len(found) == _BATCH

    def _prune_runs(self, oldest_ns: int, stop_ns: int) -> None:
        spans = self._file.read("prune", lambda connection: connection.execute(_SPANS, (LATEST_KEPT - 1,)).fetchall())
        for service, job, first_ns, keep_from_ns, last_due_ns in spans:
            before_ns = first_ns if keep_from_ns is None else min(keep_from_ns, oldest_ns)
            more = first_ns < before_ns
            asked = (service, job, before_ns, last_due_ns, oldest_ns, _BATCH)
            while more:
                if self._real.monotonic_ns() >= stop_ns:
                    return
                more = self._file.write("prune", partial(_delete, asked))


def _delete(asked: tuple[str, str, int, int | None, int, int], connection: sqlite3.Connection) -> bool:
    """Delete one batch; return whether there may be more."""
    rows = connection.execute(_PRUNABLE, asked).fetchall()
    connection.executemany(_PRUNE, rows)
    return len(rows) == _BATCH
