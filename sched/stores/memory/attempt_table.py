"""Hold the attempts of a ledger in memory. Not safe for threads: the store has one lock around it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from tickglass.sched.ports import SCHEDULED, RunRecord
from tickglass.sched.stores.retention import LATEST_KEPT, shown_detail
from tickglass.sched.stores.run_times import run_times_ns
from tickglass.sched.triggers import LATEST_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import ClaimAsk, LeaseAsk, Settlement
    from tickglass.sched.stores.memory.lease_table import HeldLease

__all__ = ["Attempt", "AttemptTable"]

_due: Final = attrgetter("due_ns")
_age: Final = attrgetter("due_ns", "job_id", "attempt")


@dataclass(slots=True)
class Attempt:
    """One attempt at one occurrence, and the lease it was claimed with."""

    ask: LeaseAsk
    held: HeldLease
    job_id: JobId
    due_ns: int
    attempt: int
    previous_run_id: str
    claimed_wall_ns: int
    declaration: str
    kind: str
    started_wall_ns: int | None = None
    ended_wall_ns: int | None = None
    outcome: str | None = None
    detail: str = ""
    lateness_ns: int | None = None
    ran_ns: int | None = None

    @property
    def record(self) -> RunRecord:
        """The attempt as observers see it."""
        ask = self.ask
        who = (ask.owner, ask.service, ask.run_id, ask.resource, self.held.fence)
        when = (self.claimed_wall_ns, self.started_wall_ns, self.ended_wall_ns)
        how = (self.outcome, self.detail, self.lateness_ns)
        return RunRecord(
            ask.job,
            self.due_ns,
            self.attempt,
            *who,
            *when,
            *how,
            kind=self.kind,
            ran_ns=self.ran_ns,
            declaration=self.declaration,
        )


class AttemptTable:
    """Attempts of each job, by due instant and number."""

    def __init__(self) -> None:
        self._attempts: dict[JobId, list[Attempt]] = {}
        self._unsettled: dict[tuple[JobId, int, int], Attempt] = {}

    def latest(self, job: JobId, due_ns: int) -> Attempt | None:
        """Return the latest attempt at one occurrence."""
        rows = self._attempts.get(job, [])
        position = bisect_right(rows, due_ns, key=_due) - 1
        return rows[position] if position >= 0 and rows[position].due_ns == due_ns else None

    def last_due_ns(self, job: JobId, until_ns: int) -> int | None:
        """Return the latest scheduled occurrence that was claimed, up to an instant; None: there is none."""
        rows = self._attempts.get(job, [])
        until = bisect_right(rows, until_ns, key=_due)
        return next((rows[it].due_ns for it in range(until - 1, -1, -1) if rows[it].kind == SCHEDULED), None)

    def begin(self, ask: ClaimAsk, held: HeldLease, died: Attempt | None, wall_ns: int) -> Attempt:
        """Add the next attempt at an occurrence."""
        attempt = Attempt(
            ask=ask.lease,
            held=held,
            job_id=ask.job_id,
            due_ns=ask.due_ns,
            attempt=1 if died is None else died.attempt + 1,
            previous_run_id="" if died is None else died.ask.run_id,
            claimed_wall_ns=wall_ns,
            declaration=ask.declaration,
            kind=ask.kind,
        )
        insort(self._attempts.setdefault(ask.job_id, []), attempt, key=_age)
        self._unsettled[attempt.job_id, attempt.due_ns, attempt.attempt] = attempt
        return attempt

    def end(self, attempt: Attempt, outcome: str, wall_ns: int, detail: str = "") -> None:
        """Settle an open attempt."""
        attempt.outcome, attempt.detail, attempt.ended_wall_ns = outcome, shown_detail(detail), wall_ns
        del self._unsettled[attempt.job_id, attempt.due_ns, attempt.attempt]

    def settle(self, attempt: Attempt, settlement: Settlement, wall_ns: int) -> None:
        """Settle an open attempt as its run ended."""
        self.end(attempt, settlement.outcome, wall_ns, settlement.detail)
        attempt.started_wall_ns, attempt.ended_wall_ns = run_times_ns(settlement, attempt.claimed_wall_ns, wall_ns)
        attempt.lateness_ns, attempt.ran_ns = settlement.lateness_ns, settlement.ran_ns

    def open(self, is_wanted: Callable[[Attempt], bool]) -> Sequence[Attempt]:
        """Return the open attempts that are wanted, oldest first."""
        return sorted(filter(is_wanted, self._unsettled.values()), key=_age)

    def open_at(self, job: JobId, due_ns: int, attempt: int) -> Attempt | None:
        """Return an attempt if it is open."""
        return self._unsettled.get((job, due_ns, attempt))

    def newest(self, job: JobId | None, limit: int, before_ns: int | None) -> Sequence[Attempt]:
        """Return the latest attempts, newest first: see `StoreObserver.runs`."""
        of_jobs: Collection[list[Attempt]] = self._attempts.values() if job is None else [self._attempts.get(job, [])]
        if before_ns is not None:
            ends = [(rows, bisect_left(rows, before_ns, key=_due)) for rows in of_jobs]
            of_jobs = [rows[max(0, end - limit) : end] for rows, end in ends]
        return sorted((it for rows in of_jobs for it in rows[-limit:]), key=_age, reverse=True)[:limit]

    def forget(self, job: JobId) -> bool:
        """Delete all attempts of a job; return whether there were any."""
        rows = self._attempts.pop(job, None)
        for attempt in rows or ():
            self._unsettled.pop((job, attempt.due_ns, attempt.attempt), None)
        return rows is not None

    def drop_old(self, oldest_ns: int) -> None:
        """Drop the attempts that were due before, and had ended before.

        The latest ones of each job stay, and its latest scheduled occurrence.
        """
        for job, rows in self._attempts.items():
            if len(rows) > LATEST_KEPT:
                old, last_due_ns = min(oldest_ns, rows[-LATEST_KEPT].due_ns), self.last_due_ns(job, LATEST_NS)
                end = bisect_left(rows, old, key=_due)
                rows[:end] = [
                    it
                    for it in rows[:end]
                    if it.ended_wall_ns is None or it.ended_wall_ns >= oldest_ns or it.due_ns == last_due_ns
                ]
