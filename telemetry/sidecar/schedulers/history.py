"""Keep one scheduler's live state and its last occurrences.

Folded from its events, in bounded memory. No I/O; the clock is read for events that carry no time, and for a snapshot.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.events import (
    ClaimOrphaned,
    FencingRejected,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    JobContested,
    JobRegistered,
    LockMoved,
    OccurrenceMoved,
    PoolMoved,
    ReadinessMoved,
    SchedulerMoved,
    SkewMeasured,
    StoreCalled,
    TimelineTicked,
)
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import OccurrenceEvent
from tickglass.telemetry.sidecar.schedulers.job_history import ERROR_MAX, JobHistory, StoreFailure
from tickglass.telemetry.sidecar.schedulers.lock_history import LockHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.telemetry.sidecar.schedulers.job_history import JobSnapshot
    from tickglass.telemetry.sidecar.schedulers.lock_history import Hold
    from tickglass.telemetry.sidecar.view import LockMark, OccurrenceView

__all__ = ["GONE", "JOBS_MAX", "RUNS_MAX", "History", "SchedulerSnapshot"]

JOBS_MAX: Final = 1_000
POOLS_MAX: Final = 1_000
RUNS_MAX: Final = 2_000  # of the last minutes, all jobs together
GONE: Final = "gone"


@dataclass(frozen=True, slots=True)
class SchedulerSnapshot:
    """One scheduler at one instant.

    Args:
        state: a value of `SchedulerState`, `GONE`, or "" before its first event.
        unready: why it reported that it is not ready, a sentence each.
        ticked_ns: monotonic, of the last tick of its timeline; None if there was none.
        pools: slots and slots in use, by name.
        jobs: the jobs that it has, or had.
        ends: when the hold of a (resource, fence) ended, monotonic; the latest ones only.
        limits: the longest that jobs may hold a resource; None without a limit.
        waiters: how many waiters a resource has.
        runs: of the last minutes, in the order in which they ended.
        left_out: occurrences of jobs beyond `JOBS_MAX`, which are not kept.
    """

    state: str
    gone_wall_ns: int | None
    unready: tuple[str, ...]
    ticked_ns: int | None
    skew_ns: int | None
    pools: dict[str, tuple[int, int]]
    jobs: list[JobSnapshot]
    holds: list[Hold]
    ends: dict[tuple[str, int], int]
    limits: dict[str, int | None]
    waiters: dict[str, int]
    runs: list[OccurrenceView]
    marks: list[LockMark]
    left_out: int


@dataclass(slots=True)
class _Live:
    """What is true only while the scheduler is connected."""

    state: str = ""
    drained: bool = False
    unready: tuple[str, ...] = ()
    ticked_ns: int | None = None
    pools: dict[str, tuple[int, int]] = field(default_factory=dict)


class History:
    """An event sink for one scheduler's events, and the state that follows from them.

    Args:
        clock: of the machine that both run on.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._live = _Live()
        self._gone_wall_ns: int | None = None
        self._skew_ns: int | None = None
        self._jobs: dict[str, JobHistory] = {}
        self._locks = LockHistory()
        self._runs: deque[OccurrenceView] = deque(maxlen=RUNS_MAX)
        self._store_failure = StoreFailure()
        self._left_out = 0
        self._restoring = False
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            OccurrenceMoved: self._occurrence_moved,
            LockMoved: self._lock_moved,
            InstantsMissed: self._instants_missed,
            InstantsElsewhere: self._instants_elsewhere,
            InstantsSkipped: self._instants_skipped,
            JobRegistered: self._registered,
            JobContested: self._job_contested,
            ClaimOrphaned: self._orphan_found,
            FencingRejected: self._locks.rejected,
            SchedulerMoved: self._scheduler_moved,
            ReadinessMoved: self._readiness_moved,
            PoolMoved: self._pool_moved,
            TimelineTicked: self._ticked,
            StoreCalled: self._store_called,
            SkewMeasured: self._skew_measured,
        }

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`."""
        handle = self._handlers.get(type(event))
        if handle is not None:
            with self._mutex:
                handle(event)

    def restored(self, live_events: Iterable[Event]) -> None:
        """Replace the live state by that of an introduction; the past stays.

        The next due instant of a job comes from its JobRegistered, because open occurrences were due before it.
        """
        with self._mutex:
            self._forget_live()
            self._gone_wall_ns = None
            self._locks.undeclare()
            for job in self._jobs.values():
                job.undeclare()
            self._restoring = True
            try:
                for event in live_events:
                    handle = self._handlers.get(type(event))
                    if handle is not None:
                        handle(event)
            finally:
                self._restoring = False
            found = {run_id for job in self._jobs.values() for run_id in job.resumed_runs()}
            if found:
                kept = [run for run in self._runs if run.outcome or run.run_id not in found]
                self._runs = deque(kept, maxlen=RUNS_MAX)

    def lacks(self, job: str) -> bool:
        """Return whether the scheduler runs and does not have that job."""
        with self._mutex:
            known = self._jobs.get(job)
            has = len(self._jobs) >= JOBS_MAX if known is None else known.is_declared
            return self._live.state == SchedulerState.RUNNING and not has

    @property
    def drained(self) -> bool:
        """Whether it stopped after a request, so that it is not missed; false if it failed to start."""
        with self._mutex:
            return self._live.drained

    def gone(self) -> None:
        """Note the end of the connection: the live state is unknown, and open occurrences are marked as left."""
        with self._mutex:
            wall_ns = self._clock.wall_ns()
            state, drained = self._live.state, self._live.drained
            for job in self._jobs.values():
                self._runs.extend(job.mark_left(wall_ns))
            self._forget_live()
            self._live.state, self._live.drained = state if state == SchedulerState.STOPPED else GONE, drained
            self._gone_wall_ns = wall_ns

    def snapshot(self) -> SchedulerSnapshot:
        """Return an immutable copy of the present state."""
        with self._mutex:
            live, now_wall_ns = self._live, self._clock.wall_ns()
            return SchedulerSnapshot(
                state=live.state,
                gone_wall_ns=self._gone_wall_ns,
                unready=live.unready,
                ticked_ns=live.ticked_ns,
                skew_ns=self._skew_ns,
                pools=dict(live.pools),
                jobs=[job.snapshot(self._locks, now_wall_ns) for job in self._jobs.values()],
                holds=self._locks.present(),
                ends=dict(self._locks.ends),
                limits=self._locks.limits(),
                waiters=dict(self._locks.waiters),
                runs=list(self._runs),
                marks=list(self._locks.marks),
                left_out=self._left_out,
            )

    # --- under the mutex

    def _forget_live(self) -> None:
        self._live = _Live()
        self._locks.forget()
        for job in self._jobs.values():
            job.open_occurrences.clear()

    def _job(self, name: str) -> JobHistory | None:
        job = self._jobs.get(name)
        if job is None and len(self._jobs) < JOBS_MAX:
            job = self._jobs[name] = JobHistory(name)
        if job is None:
            self._left_out += 1
        return job

    def _occurrence_moved(self, event: OccurrenceMoved) -> None:
        job = self._job(event.job)
        if job is None:
            return
        if event.event == OccurrenceEvent.FELL_DUE and not self._restoring:
            job.next_due_ns = event.next_due_ns
        if event.event == OccurrenceEvent.ENDED:
            self._runs.append(job.ended(event, self._store_failure, self._skew_ns))
        else:
            job.moved(event)

    def _lock_moved(self, event: LockMoved) -> None:
        other = self._locks.holder_of(event.resource)  # before the move
        self._locks.moved(event)
        job = self._jobs.get(event.job)
        if job is not None and event.run_id:
            job.lock_moved(event, other)

    def _instants_missed(self, event: InstantsMissed) -> None:
        job = self._job(event.job)
        if job is not None:
            job.passed(event.before_ns)
            self._runs.append(job.missed(event))

    def _instants_elsewhere(self, event: InstantsElsewhere) -> None:
        job = self._job(event.job)
        if job is not None:
            job.passed(event.before_ns)  # the instance that ran them reports them

    def _instants_skipped(self, event: InstantsSkipped) -> None:
        job = self._job(event.job)
        if job is not None:
            job.next_due_ns = event.next_due_ns
            self._runs.append(job.skipped(event, self._store_failure))

    def _registered(self, event: JobRegistered) -> None:
        job = self._job(event.job)
        if job is not None:
            job.declare(event)
            self._locks.declared(event)

    def _job_contested(self, event: JobContested) -> None:
        job = self._job(event.job)
        if job is not None:
            job.contested = None if event.since_wall_ns is None else event

    def _orphan_found(self, event: ClaimOrphaned) -> None:
        job = self._job(event.job)
        if job is not None:
            job.orphan_found(event)

    def _scheduler_moved(self, event: SchedulerMoved) -> None:
        self._live.state = event.after
        self._live.drained = (event.before, event.after) == (SchedulerState.DRAINING, SchedulerState.STOPPED)

    def _readiness_moved(self, event: ReadinessMoved) -> None:
        self._live.unready = tuple(event.error[:ERROR_MAX].splitlines())

    def _pool_moved(self, event: PoolMoved) -> None:
        pools = self._live.pools
        if event.pool in pools or len(pools) < POOLS_MAX:
            pools[event.pool] = event.slots, event.in_use

    def _ticked(self, _: TimelineTicked) -> None:
        self._live.ticked_ns = self._clock.monotonic_ns()

    def _store_called(self, event: StoreCalled) -> None:
        if event.error:
            words = f"{event.store}, {event.operation}: {event.error[:ERROR_MAX]}"
            self._store_failure = StoreFailure(words, event.wall_ns)

    def _skew_measured(self, event: SkewMeasured) -> None:
        self._skew_ns = event.skew_ns
