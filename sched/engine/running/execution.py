"""Walk one occurrence from a worker's hands to its one outcome: claim, wait, run, settle.

The walk is drawn in docs/architecture.md. Threads: a worker claims, waits out
the lead and runs a plain function; a coroutine, be it one that a plain function
returned, runs on the event loop and a worker settles it. `ask_to_stop` may come from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tickglass.sched.clock import Wake
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.running.claim import Claiming, Later, Won
from tickglass.sched.engine.membership.head_start import HeadStart
from tickglass.sched.engine.running.run_lease import Ending, Leased, Prepared, Unclaimed
from tickglass.sched.errors import failure_text
from tickglass.sched.lease import LockEvent, LockMachine, LockReason, LockState
from tickglass.sched.occurrence import Marks, OccurrenceEvent, OccurrenceState, Outcome, SkipReason
from tickglass.sched.ports import ClaimAsk, LeaseAsk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.timing.timers import Alarm
    from tickglass.sched.engine.running.claim import NotClaimed
    from tickglass.sched.engine.running.dispatcher import Crew
    from tickglass.sched.engine.context import Gear
    from tickglass.sched.engine.running.run_lease import Permit
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.run import Run

__all__ = ["STOP_REASONS", "Walk"]

_log: Final = logging.getLogger("tickglass.jobs")
STOP_REASONS: Final = {
    "timeout": Outcome.TIMEOUT,
    "lost": Outcome.LOST,
    "shutdown": Outcome.CANCELLED,
    "late": Outcome.MISSED,  # its code has not started, and must not any more
}
_GIVE_UP_BEFORE_NS: Final = SECOND  # of a lease that is not renewed: the settlement must come before its end
_UNANSWERED: Final = (SkipReason.STORE_UNAVAILABLE, SkipReason.STORE_ERROR)
# How a walk that breaks off ends, by how far it came; one that broke off while it ran has failed.
_BROKEN_OFF: Final = {
    OccurrenceState.ADMITTED: (Outcome.SKIPPED, SkipReason.STORE_ERROR.value),
    OccurrenceState.CLAIMING: (Outcome.SKIPPED, SkipReason.STORE_ERROR.value),
    OccurrenceState.CLAIMED: (Outcome.LOST, "lost"),
    OccurrenceState.UNCLAIMED: (Outcome.CANCELLED, "shutdown"),
}


class Walk:
    """One occurrence in hand.

    Args:
        due_ns: monotonic nanoseconds of the due instant.
        until_ns: monotonic; until when it may wait for somebody else's lease, and the latest start of a first attempt.
        rerun: an earlier claimant died: it stays owed until an instance has run it, and its grace counts from now.
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
        rerun: bool,
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
        self._alarms: list[Alarm] = []  # of its start, its timeout and the end of its lease
        self._permit: Permit | None = None
        self._unstarted: Permit | None = None  # of a coroutine whose first step the event loop has not taken
        self._marks = Marks(due_ns, gear.clock.monotonic_ns())
        self._rerun = rerun
        self._until_ns = until_ns
        self._began_wall_ns = 0
        self._started_wall_ns: int | None = None
        self._lock = _lock_for(job, occurrence, gear)
        lease = LeaseAsk(
            job.resource, gear.owner, gear.service, str(uuid4()), job.ttl_ns, job=job.name, run_id=occurrence.run_id
        )
        ask = ClaimAsk(lease, occurrence.due_ns, next_due_ns, job.rerun, crew.max_ahead_ns)
        self._ask = ask
        held_until_ns = (
            until_ns if next_due_ns is None else min(until_ns, due_ns + (next_due_ns - occurrence.due_ns) // 2)
        )
        self._head_start = HeadStart(job.prefer, crew.presence, until_ns=held_until_ns)
        self._claiming = Claiming(
            ask,
            self._lock,
            due_ns=due_ns,
            until_ns=until_ns,
            head_start=self._head_start,
            doubts=crew.doubts,
            gear=gear,
        )
        self._giving_up = False
        self._parked: Alarm | None = None  # rings when to ask again
        self._unwatch: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """On a worker: claim, wait until due, and run or pass on to the event loop."""
        self._marks.taken_ns = self._gear.clock.monotonic_ns()
        self._began_wall_ns = self._gear.clock.wall_ns()
        self.occurrence.fire(OccurrenceEvent.TAKEN)
        if self._too_late():
            self._crew.hindsight.past_grace(self.occurrence, reason="pool")
            self._ended(self)
        else:
            self._claim()

    def resume(self) -> None:
        """Ask for the claim again now, if it waits for that; from any thread."""
        with self._door:
            parked, self._parked = self._parked, None
            unwatch = self._unwatch
        if parked is None:
            return
        parked.cancel()
        unwatch()
        self._crew.hand(self, self._claim)

    def stop_claiming(self) -> None:
        """Do not claim any more; a claim in hand goes on."""
        self._giving_up = True
        self.resume()

    def _claim(self) -> None:
        answer = self._claiming.give_up() if self._giving_up else self._claiming.ask()
        if isinstance(answer, Later):
            self._park(answer)
            return
        prepared = Prepared(
            self.job, self.occurrence, self._lock, self._ask, self._began_wall_ns, self._gear, self._crew
        )
        if isinstance(answer, Won):
            self._go(Leased(prepared, answer, lambda: self.ask_to_stop("lost")))
        elif self.job.goes_ahead and answer.reason in _UNANSWERED:
            self._go(Unclaimed(prepared))
        else:
            if self._claiming.in_doubt:
                self._note_doubt(prepared, answer)
            self.occurrence.fire(OccurrenceEvent.ENDED, outcome=answer.outcome, reason=answer.reason)
            self._ended(self)

    def _note_doubt(self, prepared: Prepared, answer: NotClaimed) -> None:
        """Have the claim taken back, should it be granted after all: as what it ended here, or to be run again."""
        if self._rerun or answer.outcome is not Outcome.SKIPPED:
            self._crew.doubts.note_open(self._ask)
        else:
            ending = Ending(answer.outcome, answer.reason, None, None)
            self._crew.doubts.note(prepared.settlement(None, ending))

    def _park(self, later: Later) -> None:
        """Give the worker back until it is time to ask again: somebody else's lease does not hold it up."""
        with self._door:
            self._parked = self._crew.alarms.at(later.at_ns, self.resume)
            if later.held_back:
                self._unwatch = self._head_start.watch(self.resume)
            else:
                self._unwatch = self._gear.store.watch(self.job.resource, self._freed)
        if self._giving_up or (later.held_back and self._head_start.over_ns() < later.at_ns):
            self.resume()  # what happened before it was parked did not wake it

    def _freed(self) -> None:
        self._claiming.freed()
        self.resume()

    def _go(self, permit: Permit) -> None:
        """Wait until due, and run on this thread or pass on to the event loop."""
        self._marks.claimed_ns = self._gear.clock.monotonic_ns()
        with self._door:
            self._permit = permit
            if self._stop_reason:  # it came while the permit was made
                permit.run._ask_to_stop(self._stop_reason)  # noqa: SLF001 - the engine's side of a run
        if self._wait_until_due(permit) and permit.claimed and self._too_late():
            self.ask_to_stop("late")  # the store, or a lock that was held, took too long
        if self._stop_reason:
            self._end(permit, None)
        elif self.job.coroutine:
            self._hand_to_loop(permit)
        else:
            self._run_function(permit)

    def _too_late(self) -> bool:
        return not self._rerun and self._gear.clock.monotonic_ns() > self._until_ns

    def _hand_to_loop(self, permit: Permit) -> None:
        """Have the event loop start it; one that is blocked must not keep the lease of what it does not start."""
        ready_ns = max(self._marks.due_ns, self._gear.clock.monotonic_ns())
        by_ns = ready_ns + self._until_ns - max(self._marks.due_ns, self._marks.handed_ns)
        if permit.claimed and not self._rerun:
            by_ns = self._until_ns
        if self.job.timeout_ns is not None:
            by_ns = min(by_ns, ready_ns + self.job.timeout_ns)
        with self._door:
            self._unstarted = permit
            self._alarms.append(self._crew.alarms.at(by_ns, lambda: self.ask_to_stop("late")))
            stopped = bool(self._stop_reason)
        if stopped:
            self._end_unstarted()
        else:
            self._crew.loop.spawn(self._run_coroutine(permit), self._adopt_cancel)

    def _end_unstarted(self) -> None:
        """End a coroutine that was asked to stop before its first step, without waiting for the event loop."""
        with self._door:
            permit, self._unstarted = self._unstarted, None
        if permit is not None:
            self._end(permit, None)

    def break_off(self) -> None:
        """End after an error of our own: the lease runs out, and whoever finds the open claim runs it again."""
        if self._permit is not None:
            self._permit.let_run_out()
        if self._lock.state is LockState.WAITING:
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_ERROR)
        with self._door:
            if self.occurrence.state is not OccurrenceState.ENDED:
                outcome, reason = _BROKEN_OFF.get(self.occurrence.state, (Outcome.FAILURE, ""))
                self.occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, reason=reason, error="broke off")
        self._ended(self)

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop, once, for a key of `STOP_REASONS`; from any thread."""
        with self._door:
            if self._stop_reason or self.occurrence.state is OccurrenceState.ENDED:
                return
            if reason == "late" and self.occurrence.state is OccurrenceState.RUNNING:
                return  # it has just started
            self._stop_reason = reason
            if self._permit is not None:
                self._permit.run._ask_to_stop(reason)  # noqa: SLF001 - the engine's side of a run
            if self.occurrence.state is OccurrenceState.RUNNING:
                self.occurrence.fire(OccurrenceEvent.STOP_ASKED, reason=reason)
            if self._cancel_task is not None:
                self._cancel_task()
            unstarted = self._unstarted is not None
        self._wake.ring()
        if unstarted:
            self._crew.aside(self, self._end_unstarted)

    def _wait_until_due(self, permit: Permit) -> bool:
        """Wait out the lead; return whether to start: not under a lease that is over, though nobody has said so yet."""
        self._marks.woke_ns = self._marks.claimed_ns
        while not self._stop_reason and self._marks.woke_ns < self._marks.due_ns:
            self._gear.clock.wait(self._marks.due_ns, self._wake)
            self._marks.woke_ns = self._gear.clock.monotonic_ns()
        permit.check()
        return not self._stop_reason

    def _start(self, permit: Permit) -> bool:
        """Report the start, the last thing before the job's own code; False: it was asked to stop before that."""
        with self._door:
            if self._stop_reason:
                return False
            self._unstarted = None
            self.occurrence.fire(OccurrenceEvent.STARTED)
        self._started_wall_ns = self._gear.clock.wall_ns()
        if self.job.timeout_ns is not None:
            at_ns = self._gear.clock.monotonic_ns() + self.job.timeout_ns
            self._ring_at(at_ns, lambda: self._time_out(permit, give_up=self.job.releases))
            if not self.job.renew and permit.claimed:
                self._ring_at(permit.ends_ns - _GIVE_UP_BEFORE_NS, lambda: self._time_out(permit, give_up=True))
        return True

    def _ring_at(self, at_ns: int, call: Callable[[], None]) -> None:
        with self._door:
            self._alarms.append(self._crew.alarms.at(at_ns, call))

    def _time_out(self, permit: Permit, *, give_up: bool) -> None:
        """Ask the run to stop; its lease is kept until its code returns, unless it is to be given up."""
        self.ask_to_stop("timeout")
        if give_up and permit.claimed:
            self._crew.keeper.hand(lambda: self._give_up(permit))

    def _give_up(self, permit: Permit) -> None:
        """Write the outcome and release the lock while the code still runs; the job stays in hand until it returns."""
        with self._door:
            if self.occurrence.state is OccurrenceState.ENDED:
                return
            outcome = self._outcome(None)
        ran_ns = self._gear.clock.monotonic_ns() - self._marks.started_ns
        if permit.end(self._ending(outcome, "", ran_ns)):
            _log.warning(
                "job %s goes on past its timeout: its lock on %s was given up, and another run may start beside it",
                self.job.name,
                self.job.resource,
                extra=self._told(),
            )

    def _run_function(self, permit: Permit) -> None:
        """Run it on this worker; a coroutine that it returned goes on on the event loop."""
        run = permit.run
        returned, failure = None, None
        if not self._start(permit):
            self._end(permit, None)
            return
        with run._current(), self._gear.tracer.activate(run.run_id):  # noqa: SLF001 - the engine's side of a run
            try:
                returned = self._call(run)
                self.job.check_ended(returned)
            except BaseException as error:  # noqa: BLE001 - an outcome, whatever it is: the worker goes on
                failure = error
        if isinstance(returned, Coroutine):
            self._crew.loop.spawn(self._run_to_end(permit, lambda: returned), self._adopt_cancel)
        else:
            self._end(permit, failure)

    async def _run_coroutine(self, permit: Permit) -> None:
        if self._start(permit):  # else `ask_to_stop` has it ended
            await self._run_to_end(permit, lambda: self._call(permit.run))

    async def _run_to_end(self, permit: Permit, begin: Callable[[], Any]) -> None:
        run = permit.run
        failure: BaseException | None = None
        with run._current(), self._gear.tracer.activate(run.run_id):  # noqa: SLF001 - the engine's side of a run
            try:
                returned = await begin()
                while isinstance(returned, Coroutine):  # of a wrapper that forgot to await it
                    returned = await returned
                self.job.check_ended(returned)
            except BaseException as error:  # noqa: BLE001 - likewise
                failure = error
        ran_ns = self._gear.clock.monotonic_ns() - self._marks.started_ns
        self._crew.hand(self, lambda: self._end(permit, failure, ran_ns))

    def _call(self, run: Run) -> Any:  # noqa: ANN401 - whatever a job's function returns
        self._marks.started_ns = self._gear.clock.monotonic_ns()
        return self.job.call(run)

    def _adopt_cancel(self, cancel: Callable[[], None]) -> None:
        with self._door:
            self._cancel_task = cancel
            if self._stop_reason:
                cancel()

    def _end(self, permit: Permit, failure: BaseException | None, ran_ns: int | None = None) -> None:
        """Decide the outcome, report it, have it written, and let go."""
        started = self._marks.started_ns > 0
        if started and ran_ns is None:
            ran_ns = self._gear.clock.monotonic_ns() - self._marks.started_ns
        permit.run._end()  # noqa: SLF001 - the engine's side of a run
        with self._door:
            alarms, self._alarms = self._alarms, []
        for alarm in alarms:
            alarm.cancel()
        permit.check()
        detail = "" if failure is None else failure_text(failure)
        lateness = self._marks.lateness() if started else None
        with self._door:
            outcome = self._outcome(failure)
            self.occurrence.fire(
                OccurrenceEvent.ENDED,
                outcome=outcome,
                reason=self._stop_reason,
                error=detail,
                ran_ns=ran_ns,
                lateness=lateness,
            )
        if outcome is Outcome.FAILURE:
            _log.error("job %s failed", self.job.name, exc_info=failure, extra=self._told())
        permit.end(self._ending(outcome, detail, ran_ns))
        self._ended(self)

    def _ending(self, outcome: Outcome, detail: str, ran_ns: int | None) -> Ending:
        if not self._marks.started_ns:
            return Ending(outcome, detail, None, None)
        lateness_ns, after_ns = self._marks.lateness().total_ns, self._marks.started_ns - self._marks.claimed_ns
        return Ending(outcome, detail, self._started_wall_ns, lateness_ns, after_ns, ran_ns)

    def _told(self) -> dict[str, object]:
        return {
            "run_id": self._lock.run_id,
            "job": self.job.name,
            "resource": self.job.resource,
            "fence": self._lock.fence,
        }

    def _outcome(self, failure: BaseException | None) -> Outcome:
        if self._stop_reason:
            return STOP_REASONS[self._stop_reason]
        return Outcome.SUCCESS if failure is None else Outcome.FAILURE

    @property
    def prepared_ns(self) -> int | None:
        """How long it took from the hand-over to the claim; None if that was put off, or not granted at once."""
        claimed_at_once = self._marks.claimed_ns > 0 and self._claiming.at_once
        return self._marks.claimed_ns - self._marks.handed_ns if claimed_at_once else None


def _lock_for(job: Job, occurrence: OccurrenceMachine, gear: Gear) -> LockMachine:
    return LockMachine(
        job.resource,
        owner=gear.owner,
        service=gear.service,
        job=job.name,
        run_id=occurrence.run_id,
        ttl_ns=job.ttl_ns,
        blocking=True,
        renewing=job.renew,
        clock=gear.clock,
        sink=gear.sink,
    )
