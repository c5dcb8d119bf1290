"""Cache the latest attempts of each job, and read little of the store's ledger at a time.

Most new attempts are among the latest attempts of all jobs, which are one query. Jobs that this query does not
cover are queried singly, at most 100 in a probe; the rest follow in the next probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.ports import SCHEDULED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import JobRecord, RunRecord, StoreObserver

__all__ = ["ATTEMPTS_MAX", "LedgerCache", "attempts_at"]

ATTEMPTS_MAX: Final = 40  # of one job
_LATEST: Final = 500  # of all jobs together
_ASKED_MAX: Final = 100  # jobs that are queried singly in one probe
_FURTHER: Final = 8  # if a page does not reach the oldest attempt, the next page is this many times as long

_Key = tuple[int, int]  # due instant, attempt


class LedgerCache:
    """The latest attempts by job, as far as they have been read."""

    def __init__(self) -> None:
        self._of: dict[JobId, dict[_Key, RunRecord]] = {}
        self._read: dict[JobId, int] = {}  # the round in which a job was last queried singly
        self._round = 0

    def read(self, store: StoreObserver, jobs: Sequence[JobRecord]) -> None:
        """Catch up with the ledger.

        Raises:
            StoreUnavailable: from the store; the cache keeps what it has.
        """
        self._round += 1
        known = {job.job_id for job in jobs}
        for gone in self._of.keys() - known:
            del self._of[gone]
        all_latest = store.runs(limit=_LATEST)
        latest = [run for run in all_latest if run.job_id in known]
        behind = self._behind(jobs, latest, whole=len(all_latest) < _LATEST)
        for run in latest:
            self._of.setdefault(run.job_id, {})[run.due_ns, run.attempt] = run
        for job in sorted(behind, key=lambda job: self._read.get(job, 0))[:_ASKED_MAX]:
            rows = store.runs(job, ATTEMPTS_MAX)
            self._of[job] = {(run.due_ns, run.attempt): run for run in rows}
            self._read[job] = self._round
        for job, rows_of in self._of.items():
            if len(rows_of) > ATTEMPTS_MAX:
                self._of[job] = {key: rows_of[key] for key in sorted(rows_of)[-ATTEMPTS_MAX:]}

    def by_job(self) -> dict[JobId, list[RunRecord]]:
        """Return them, oldest first."""
        return {job: [rows[key] for key in sorted(rows)] for job, rows in self._of.items()}

    def _behind(self, jobs: Sequence[JobRecord], latest: Sequence[RunRecord], *, whole: bool) -> list[JobId]:
        """Return the jobs that the query for the latest attempts of all jobs does not cover."""
        if whole:
            return []
        seen: dict[JobId, dict[_Key, RunRecord]] = {}
        for run in latest:
            seen.setdefault(run.job_id, {})[run.due_ns, run.attempt] = run
        claimed = [job for job in jobs if job.last_due_ns is not None]
        return [job.job_id for job in claimed if self._is_behind(job, seen.get(job.job_id, {}))]

    def _is_behind(self, job: JobRecord, seen: Mapping[_Key, RunRecord]) -> bool:
        """Return whether attempts lie between the cached and the seen ones, or may have changed since."""
        if len(seen) >= ATTEMPTS_MAX:
            return False
        remembered = self._of.get(job.job_id)
        if not remembered or job.job_id not in self._read:
            return True
        scheduled = [run.due_ns for run in (*remembered.values(), *seen.values()) if run.kind == SCHEDULED]
        if max(scheduled, default=None) != job.last_due_ns:
            return True
        oldest_seen = min(seen, default=None)
        joined = oldest_seen is None or oldest_seen <= max(remembered)
        changing = any(run.outcome is None and key not in seen for key, run in remembered.items())
        return changing or not joined


def attempts_at(store: StoreObserver, job: JobId, due_ns: int) -> list[RunRecord]:
    """Return the attempts at a job's latest occurrence due by then; if there is none, the oldest attempt there is.

    Raises:
        StoreUnavailable: from the store.
    """
    found = store.runs(job, ATTEMPTS_MAX, before_ns=due_ns + 1)
    if found:
        return [run for run in found if run.due_ns == found[0].due_ns]
    limit = ATTEMPTS_MAX
    while len(found := store.runs(job, limit)) == limit:
        limit *= _FURTHER
    return list(found[-1:])
