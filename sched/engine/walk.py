"""Walk one occurrence from a worker's hands to its one outcome: claim, wait, run, settle.

The walk is drawn in docs/architecture.md. Threads: a worker claims, waits out
the lead and runs a plain function; a coroutine runs on the event loop and a
worker settles it. `ask_to_stop` may come from any thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tickglass.sched.clock import Wake
from tickglass.sched.engine.claiming import Claiming, Later, NotClaimed, Won
from tickglass.sched.engine.settling import settle
from tickglass.sched.events import ClaimOrphaned
from tickglass.sched.lease import Lease, LockEvent, LockMachine, trusted_until_ns
from tickglass.sched.occurrence import Marks, OccurrenceEvent, OccurrenceState, Outcome
from tickglass.sched.ports import ClaimAsk, LeaseAsk, Settlement, TracedRun
from tickglass.sched.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.alarms import Alarm
    from tickglass.sched.engine.crew import Crew
    from tickglass.sched.engine.gear import Gear
    from tickglass.sched.engine.keeper import Hold
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine

__all__ = ["STOP_REASONS", "Walk"]

_log: Final = logging.getLogger("tickglass.jobs")
STOP_REASONS: Final = {"timeout": Outcome.TIMEOUT, "lost": Outcome.LOST, "shutdown": Outcome.CANCELLED}
# What a job's own code may raise and still be a mere outcome: a worker must survive it.
_FROM_JOBS: Final = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)


class Walk:
    """One occurrence in hand.

    Args:
        due_ns: monotonic nanoseconds of the due instant.
        until_ns: monotonic; until when it may wait for somebody else's lease.
        next_due_ns: wall-clock nanoseconds of the job's next due instant.
        crew: the pool, keeper, alarms and event loop that work on it.
        ended: called once, last of all.
    """

    def __init__(
        self,
        job: Job,
        occurrence: OccurrenceMachine,
        *,
        due_ns: int,
        until_ns: int,
        next_due_ns: int | None,
        gear: Gear,
        crew: Crew,
        ended: Callable[[Walk], None],
    ) -> None:
        self.job = job
        self.occurrence = occurrence
        self._wake = Wake()
        self._gear = gear
        self._crew = crew
        self._ended = ended
        self._door = threading.Lock()  # one of stop asked, ended at a time
        self._stop_reason = ""
        self._cancel_task: Callable[[], None] | None = None
        self._timeout: Alarm | None = None
        self._hold: Hold | None = None
        self._run: Run | None = None
        self._marks = Marks(due_ns, gear.clock.monotonic_ns())
        self._began_wall_ns = 0
        self._started_wall_ns: int | None = None
        self._lock = LockMachine(
            job.resource,
            owner=gear.owner,
            service=gear.service,
            job=job.name,
            run_id=occurrence.run_id,
            ttl_ns=job.ttl_ns,
            blocking=True,
            clock=gear.clock,
            sink=gear.sink,
        )
        lease = LeaseAsk(
            job.resource, gear.owner, gear.service, str(uuid4()), job.ttl_ns, job=job.name, run_id=occurrence.run_id
        )
        ask = ClaimAsk(lease, occurrence.due_ns, next_due_ns=next_due_ns, rerun=job.rerun)
        self._ask = ask
        self._claiming = Claiming(ask, self._lock, due_ns=due_ns, until_ns=until_ns, gear=gear)
        self._giving_up = False
        self._parked: Alarm | None = None  # rings when to ask again
        self._unwatch: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """On a worker: claim, wait until due, and run or pass on to the event loop."""
        self._marks.taken_ns = self._gear.clock.monotonic_ns()
        self._began_wall_ns = self._gear.clock.wall_ns()
        self.occurrence.fire(OccurrenceEvent.TAKEN)
        self._claim()

    def resume(self) -> None:
        """Ask for the claim again now, if it waits for that; from any thread."""
        with self._door:
            if self._parked is None:
                return
            self._parked.cancel()
            self._parked = None
            self._unwatch()
        self._crew.hand(self, self._claim)

    def stop_claiming(self) -> None:
        """Do not claim any more; a claim in hand goes on."""
        self._giving_up = True
        self.resume()

    def _claim(self) -> None:
        answer = self._claiming.give_up() if self._giving_up else self._claiming.ask()
        if isinstance(answer, Later):
            with self._door:  # a worker is not held up by somebody else's lease
                self._parked = self._crew.alarms.at(answer.at_ns, self.resume)
                self._unwatch = self._gear.store.watch(self.job.resource, self.resume)
            if self._giving_up:
                self.resume()
            return
        if isinstance(answer, NotClaimed):
            self.occurrence.fire(OccurrenceEvent.ENDED, outcome=answer.outcome, reason=answer.reason)
            self._ended(self)
            return
        self._take_up(answer)
        if not self._wait_until_due():
            self._end(None)
        elif self.job.coroutine:
            self._crew.loop.spawn(self._run_coroutine(), self._adopt_cancel)
        else:
            self._end(self._run_function())

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop, once, for a key of `STOP_REASONS`; from any thread."""
        with self._door:
            if self._stop_reason or self.occurrence.state is OccurrenceState.ENDED:
                return
            self._stop_reason = reason
            if self._run is not None:
                self._run._ask_to_stop(reason)  # noqa: SLF001 - the engine's side of a run
            if self.occurrence.state is OccurrenceState.RUNNING:
                self.occurrence.fire(OccurrenceEvent.STOP_ASKED, reason=reason)
            if self._cancel_task is not None:
                self._cancel_task()
        self._wake.ring()

    def _take_up(self, won: Won) -> None:
        """Report the claim, and have the lease kept from here on."""
        job, claimed, lock = self.job, won.claimed, self._lock
        self._marks.claimed_ns = self._gear.clock.monotonic_ns()
        trusted_ns = trusted_until_ns(won.asked_ns, job.ttl_ns, self._gear.store.allowance_ns(job.ttl_ns))
        lease = Lease(job.resource, self._gear.owner, self._ask.lease.token, claimed.fence, job.ttl_ns, trusted_ns)
        self.occurrence.attempt, self.occurrence.fence = claimed.attempt, claimed.fence
        traced = TracedRun(
            run_id=lock.run_id,
            job=job.name,
            trigger=str(job.trigger),
            resource=job.resource,
            due_ns=self.occurrence.due_ns,
            attempt=claimed.attempt,
            fence=claimed.fence,
            owner=self._gear.owner,
            service=self._gear.service,
            began_wall_ns=self._began_wall_ns,
            previous_run_id=claimed.previous_run_id,
        )
        lock.sampled = self.occurrence.sampled = self._gear.tracer.begin(traced)
        if claimed.previous_run_id:
            self._report_orphan(claimed.attempt - 1, claimed.previous_run_id, claimed.expired_owner)
        lock.fire(
            LockEvent.GRANTED, fence=claimed.fence, trusted_until_ns=trusted_ns, other_owner=claimed.expired_owner
        )
        self.occurrence.fire(OccurrenceEvent.CLAIMED)
        self._run = Run(lock, due_ns=self.occurrence.due_ns, attempt=claimed.attempt, clock=self._gear.clock)
        self._hold = self._crew.keeper.keep(
            lock, lease, won.asked_ns, lambda: self.ask_to_stop("lost"), renew=job.renew
        )

    def _report_orphan(self, attempt: int, run_id: str, claimant: str) -> None:
        self._gear.sink.record(
            ClaimOrphaned(
                job=self.job.name,
                due_ns=self.occurrence.due_ns,
                attempt=attempt,
                run_id=run_id,
                claimant=claimant,
                wall_ns=self._gear.clock.wall_ns(),
            )
        )

    def _wait_until_due(self) -> bool:
        """Wait out the lead; return whether to start."""
        self._marks.woke_ns = self._marks.claimed_ns
        while not self._stop_reason and self._marks.woke_ns < self._marks.due_ns:
            self._gear.clock.wait(self._marks.due_ns, self._wake)
            self._marks.woke_ns = self._gear.clock.monotonic_ns()
        return not self._stop_reason

    def _start(self) -> Run:
        """Report the start; the last thing before the job's own code."""
        assert self._run is not None  # noqa: S101 - set by _take_up
        with self._door:
            self.occurrence.fire(OccurrenceEvent.STARTED)
            if self._stop_reason:  # it came since the wait
                self.occurrence.fire(OccurrenceEvent.STOP_ASKED, reason=self._stop_reason)
        self._started_wall_ns = self._gear.clock.wall_ns()
        if self.job.timeout_ns is not None:
            at_ns = self._gear.clock.monotonic_ns() + self.job.timeout_ns
            self._timeout = self._crew.alarms.at(at_ns, self._time_out)
        return self._run

    def _time_out(self) -> None:
        self.ask_to_stop("timeout")
        if self._hold is not None:
            self._crew.keeper.stop_renewing(self._hold)

    def _run_function(self) -> BaseException | None:
        run = self._start()
        with run._current(), self._gear.tracer.activate(run.run_id):  # noqa: SLF001 - the engine's side of a run
            self._marks.started_ns = self._gear.clock.monotonic_ns()
            try:
                self.job.function(*((run,) if self.job.wants_run else ()))
            except _FROM_JOBS as error:
                return error
        return None

    async def _run_coroutine(self) -> None:
        run = self._start()
        failure: BaseException | None = None
        with run._current(), self._gear.tracer.activate(run.run_id):  # noqa: SLF001 - the engine's side of a run
            self._marks.started_ns = self._gear.clock.monotonic_ns()
            try:
                await self.job.function(*((run,) if self.job.wants_run else ()))
            except _FROM_JOBS as error:
                failure = error
        ran_ns = self._gear.clock.monotonic_ns() - self._marks.started_ns
        self._crew.hand(self, lambda: self._end(failure, ran_ns))

    def _adopt_cancel(self, cancel: Callable[[], None]) -> None:
        with self._door:
            self._cancel_task = cancel
            if self._stop_reason:
                cancel()

    def _end(self, failure: BaseException | None, ran_ns: int | None = None) -> None:
        """Decide the outcome, report it, settle it, and let go."""
        assert self._hold is not None  # noqa: S101 - set by _take_up
        started = self._marks.started_ns > 0
        if started and ran_ns is None:
            ran_ns = self._gear.clock.monotonic_ns() - self._marks.started_ns
        if self._timeout is not None:
            self._timeout.cancel()
        self._crew.keeper.check(self._hold)  # a frozen process finds out here, before it settles
        detail = "" if failure is None else f"{type(failure).__name__}: {failure}"
        with self._door:
            outcome = self._outcome(failure)
            self.occurrence.fire(
                OccurrenceEvent.ENDED,
                outcome=outcome,
                reason=self._stop_reason,
                error=detail,
                ran_ns=ran_ns,
                lateness=self._marks.lateness() if started else None,
            )
        if outcome is Outcome.FAILURE:
            told = {"run_id": self._lock.run_id, "resource": self.job.resource, "fence": self._lock.fence}
            _log.error("job %s failed", self.job.name, exc_info=failure, extra=told)
        self._crew.keeper.drop(self._hold)
        if outcome is Outcome.LOST and self.job.rerun:
            self._lock.fire(LockEvent.RELEASED)  # the claim stays open, for whoever runs it again
            self._ended(self)
            return
        settle(
            Settlement(
                lease=self._hold.lease,
                job=self.job.name,
                due_ns=self.occurrence.due_ns,
                run_id=self._lock.run_id,
                outcome=outcome,
                detail=detail,
                started_wall_ns=self._started_wall_ns,
                lateness_ns=self._marks.started_ns - self._marks.due_ns if started else None,
            ),
            self._lock,
            self._gear,
        )
        self._ended(self)

    def _outcome(self, failure: BaseException | None) -> Outcome:
        if self._stop_reason:
            return STOP_REASONS[self._stop_reason]
        return Outcome.SUCCESS if failure is None else Outcome.FAILURE

    @property
    def prepared_ns(self) -> int | None:
        """How long it took from the hand-over to the claim; None if it was not granted when first asked for."""
        claimed_at_once = self._marks.claimed_ns > 0 and self._claiming.asked == 1
        return self._marks.claimed_ns - self._marks.handed_ns if claimed_at_once else None
