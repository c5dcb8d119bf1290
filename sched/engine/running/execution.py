"""Execution one occurrence from a worker's manual_locks to its one outcome: claim, wait, run, settle.

The execution is drawn in docs/architecture.md. Threads: a worker claims, waits out
the lead and runs a plain function; a coroutine, be it one that a plain function
returned, runs on the event loop and a worker settles it. `ask_to_stop` may come from any thread.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tickglass.sched.clock import Wake
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.membership.head_start import HeadStart
from tickglass.sched.engine.running.claim import ClaimAttempt, ClaimWon, RetryAt
from tickglass.sched.engine.running.run_lease import ClaimedRun, Preparation, RunResult, UnclaimedRun
from tickglass.sched.errors import ConfigError, failure_text
from tickglass.sched.lease import LockEvent, LockMachine, LockReason, LockState
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceState, Outcome, SkipReason, Timings
from tickglass.sched.ports import ClaimAsk, JobCall, LeaseAsk
from tickglass.sched.run import executing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.running.claim import NotClaimed
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.engine.running.run_lease import RunLease
    from tickglass.sched.engine.timing.timers import Timer
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import CallResult

__all__ = ["STOP_REASONS", "Execution"]

_log: Final = logging.getLogger("tickglass.jobs")
STOP_REASONS: Final = {
    "timeout": Outcome.TIMEOUT,
    "lost": Outcome.LOST,
    "shutdown": Outcome.CANCELLED,
    "late": Outcome.MISSED,  # its code has not started, and must not any more
}
_GIVE_UP_BEFORE_NS: Final = SECOND  # of a lease that is not renewed: the settlement must come before its end
_UNANSWERED: Final = (SkipReason.STORE_UNAVAILABLE, SkipReason.STORE_ERROR)
# How a execution that breaks off ends, by how far it came; one that broke off while it ran has failed.
_BROKEN_OFF: Final = {
    OccurrenceState.ADMITTED: (Outcome.SKIPPED, SkipReason.STORE_ERROR.value),
    OccurrenceState.CLAIMING: (Outcome.SKIPPED, SkipReason.STORE_ERROR.value),
    OccurrenceState.CLAIMED: (Outcome.LOST, "lost"),
    OccurrenceState.UNCLAIMED: (Outcome.CANCELLED, "shutdown"),
}


class Execution:
    """One occurrence in hand.

    Args:
        due_ns: monotonic nanoseconds of the due instant.
        until_ns: monotonic; until when it may wait for somebody else's lease, and the latest start of a first attempt.
        rerun: an earlier claimant died: it stays owed until an instance has run it, and its grace counts from now.
        next_due_ns: wall-clock nanoseconds of the job's next due instant.
        dispatcher: the pool, renewer, timers and event loop that work on it.
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
        context: EngineContext,
        dispatcher: Dispatcher,
        ended: Callable[[Execution], None],
    ) -> None:
        self.job = job
        self.occurrence = occurrence
        self._wake = Wake()
        self._context = context
        self._dispatcher = dispatcher
        self._ended = ended
        self._mutex = threading.Lock()  # one of stop asked, ended at a time
        self._stop_reason = ""
        self._cancel: Callable[[], None] | None = None
        self._timers: list[Timer] = []  # of its start, its timeout and the end of its lease
        self._run_lease: RunLease | None = None
        self._unstarted: RunLease | None = None  # while the executor has not started its code
        self._timings = Timings(due_ns, context.clock.monotonic_ns())
        self._rerun = rerun
        self._until_ns = until_ns
        self._began_wall_ns = 0
        self._started_wall_ns: int | None = None
        self._lock = _lock_for(job, occurrence, context)
        lease = LeaseAsk(
            job.resource,
            context.owner,
            context.service,
            str(uuid4()),
            job.ttl_ns,
            job=job.name,
            run_id=occurrence.run_id,
        )
        ask = ClaimAsk(lease, occurrence.due_ns, next_due_ns, job.rerun, dispatcher.max_ahead_ns)
        self._ask = ask
        held_until_ns = (
            until_ns if next_due_ns is None else min(until_ns, due_ns + (next_due_ns - occurrence.due_ns) // 2)
        )
        self._head_start = HeadStart(job.prefer, dispatcher.presence, until_ns=held_until_ns)
        self._attempt_at_claim = ClaimAttempt(
            ask,
            self._lock,
            due_ns=due_ns,
            until_ns=until_ns,
            head_start=self._head_start,
            in_doubt=dispatcher.in_doubt,
            context=context,
        )
        self._giving_up = False
        self._parked: Timer | None = None  # rings when to ask again
        self._unwatch: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """On a worker: claim, wait until due, and run or pass on to the event loop."""
        self._timings.taken_ns = self._context.clock.monotonic_ns()
        self._began_wall_ns = self._context.clock.wall_ns()
        self.occurrence.fire(OccurrenceEvent.TAKEN)
        if self._too_late():
            self._dispatcher.misfires.too_late(self.occurrence, reason="pool")
            self._ended(self)
        else:
            self._claim()

    def resume(self) -> None:
        """Ask for the claim again now, if it waits for that; from any thread."""
        with self._mutex:
            parked, self._parked = self._parked, None
            unwatch = self._unwatch
        if parked is None:
            return
        parked.cancel()
        unwatch()
        self._dispatcher.submit(self, self._claim)

    def stop_claiming(self) -> None:
        """Do not claim any more; a claim in hand goes on."""
        self._giving_up = True
        self.resume()

    def _claim(self) -> None:
        answer = self._attempt_at_claim.give_up() if self._giving_up else self._attempt_at_claim.ask()
        if isinstance(answer, RetryAt):
            self._park(answer)
            return
        preparation = Preparation(
            self.job, self.occurrence, self._lock, self._ask, self._began_wall_ns, self._context, self._dispatcher
        )
        if isinstance(answer, ClaimWon):
            self._proceed(ClaimedRun(preparation, answer, lambda: self.ask_to_stop("lost")))
        elif self.job.runs_unclaimed and answer.reason in _UNANSWERED:
            self._proceed(UnclaimedRun(preparation))
        else:
            if self._attempt_at_claim.in_doubt:
                self._note_doubt(preparation, answer)
            self.occurrence.fire(OccurrenceEvent.ENDED, outcome=answer.outcome, reason=answer.reason)
            self._ended(self)

    def _note_doubt(self, preparation: Preparation, answer: NotClaimed) -> None:
        """Have the claim taken back, should it be granted after all: as what it ended here, or to be run again."""
        if self._rerun or answer.outcome is not Outcome.SKIPPED:
            self._dispatcher.in_doubt.note_open(self._ask)
        else:
            ending = RunResult(answer.outcome, answer.reason, None, None)
            self._dispatcher.in_doubt.note(preparation.settlement(None, ending))

    def _park(self, later: RetryAt) -> None:
        """Give the worker back until it is time to ask again: somebody else's lease does not hold it up."""
        with self._mutex:
            self._parked = self._dispatcher.timers.at(later.at_ns, self.resume)
            if later.held_back:
                self._unwatch = self._head_start.watch(self.resume)
            else:
                self._unwatch = self._context.store.watch(self.job.resource, self._freed)
        if self._giving_up or (later.held_back and self._head_start.ends_ns() < later.at_ns):
            self.resume()  # what happened before it was parked did not wake it

    def _freed(self) -> None:
        self._attempt_at_claim.freed()
        self.resume()

    def _proceed(self, run_lease: RunLease) -> None:
        """Wait until due, and run on this thread or pass on to the event loop."""
        self._timings.claimed_ns = self._context.clock.monotonic_ns()
        with self._mutex:
            self._run_lease = run_lease
            if self._stop_reason:  # it came while the run_lease was made
                run_lease.stop.ask(self._stop_reason)
        if self._wait_until_due(run_lease) and run_lease.claimed and self._too_late():
            self.ask_to_stop("late")  # the store, or a lock that was held, took too long
        if self._stop_reason:
            self._end(run_lease, None)
        else:
            self._run(run_lease)

    def _too_late(self) -> bool:
        return not self._rerun and self._context.clock.monotonic_ns() > self._until_ns

    def _run(self, run_lease: RunLease) -> None:
        executor = self._dispatcher.executor_of(self.job)
        if not executor.immediate:
            self._give_up_if_late(run_lease)
        with self._mutex:
            self._unstarted = run_lease
            stopped = bool(self._stop_reason)
        if stopped:
            self._end_unstarted()
            return
        call = JobCall(lambda: self._start(run_lease), lambda: self._scope(run_lease), lambda: self._call(run_lease))
        cancel = executor.submit(
            call, lambda result: self._dispatcher.guarded(self, lambda: self._done(run_lease, result))
        )
        with self._mutex:
            self._cancel = cancel
            stopped = bool(self._stop_reason)
        if stopped:
            cancel()

    def _give_up_if_late(self, run_lease: RunLease) -> None:
        """Settle what an executor does not start in time: a blocked one must not keep the lease of such a run."""
        ready_ns = max(self._timings.due_ns, self._context.clock.monotonic_ns())
        by_ns = ready_ns + self._until_ns - max(self._timings.due_ns, self._timings.handed_ns)
        if run_lease.claimed and not self._rerun:
            by_ns = self._until_ns
        if self.job.timeout_ns is not None:
            by_ns = min(by_ns, ready_ns + self.job.timeout_ns)
        with self._mutex:
            self._timers.append(self._dispatcher.timers.at(by_ns, lambda: self.ask_to_stop("late")))

    def _end_unstarted(self) -> None:
        """End a run that was asked to stop before its code started, without waiting for the executor."""
        with self._mutex:
            run_lease, self._unstarted = self._unstarted, None
        if run_lease is not None:
            self._end(run_lease, None)

    def abort(self) -> None:
        """End after an error of our own: the lease runs out, and whoever finds the open claim runs it again."""
        if self._run_lease is not None:
            self._run_lease.let_run_out()
        if self._lock.state is LockState.WAITING:
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_ERROR)
        with self._mutex:
            if self.occurrence.state is not OccurrenceState.ENDED:
                outcome, reason = _BROKEN_OFF.get(self.occurrence.state, (Outcome.FAILURE, ""))
                self.occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, reason=reason, error="broke off")
        self._ended(self)

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop, once, for a key of `STOP_REASONS`; from any thread."""
        with self._mutex:
            if self._stop_reason or self.occurrence.state is OccurrenceState.ENDED:
                return
            if reason == "late" and self.occurrence.state is OccurrenceState.RUNNING:
                return  # it has just started
            self._stop_reason = reason
            if self._run_lease is not None:
                self._run_lease.stop.ask(reason)
            if self.occurrence.state is OccurrenceState.RUNNING:
                self.occurrence.fire(OccurrenceEvent.STOP_ASKED, reason=reason)
            if self._cancel is not None:
                self._cancel()
            unstarted = self._unstarted is not None
        self._wake.ring()
        if unstarted:
            self._dispatcher.aside(self, self._end_unstarted)

    def _wait_until_due(self, run_lease: RunLease) -> bool:
        """Wait out the lead; return whether to start: not under a lease that is over, though nobody has said so yet."""
        self._timings.woke_ns = self._timings.claimed_ns
        while not self._stop_reason and self._timings.woke_ns < self._timings.due_ns:
            self._context.clock.wait(self._timings.due_ns, self._wake)
            self._timings.woke_ns = self._context.clock.monotonic_ns()
        run_lease.check()
        return not self._stop_reason

    def _start(self, run_lease: RunLease) -> bool:
        """Report the start, the last thing before the job's own code; False: it was asked to stop before that."""
        with self._mutex:
            if self._stop_reason:
                return False
            self._unstarted = None
            self.occurrence.fire(OccurrenceEvent.STARTED)
        self._started_wall_ns = self._context.clock.wall_ns()
        if self.job.timeout_ns is not None:
            at_ns = self._context.clock.monotonic_ns() + self.job.timeout_ns
            self._set_timer(at_ns, lambda: self._time_out(run_lease, give_up=self.job.releases))
            if not self.job.renew and run_lease.claimed:
                self._set_timer(run_lease.ends_ns - _GIVE_UP_BEFORE_NS, lambda: self._time_out(run_lease, give_up=True))
        return True

    def _set_timer(self, at_ns: int, call: Callable[[], None]) -> None:
        with self._mutex:
            self._timers.append(self._dispatcher.timers.at(at_ns, call))

    def _time_out(self, run_lease: RunLease, *, give_up: bool) -> None:
        """Ask the run to stop; its lease is kept until its code returns, unless it is to be given up."""
        self.ask_to_stop("timeout")
        if give_up and run_lease.claimed:
            self._dispatcher.renewer.submit(lambda: self._give_up(run_lease))

    def _give_up(self, run_lease: RunLease) -> None:
        """Write the outcome and release the lock while the code still runs; the job stays in hand until it returns."""
        with self._mutex:
            if self.occurrence.state is OccurrenceState.ENDED:
                return
            outcome = self._outcome(None)
        ran_ns = self._context.clock.monotonic_ns() - self._timings.started_ns
        if run_lease.end(self._ending(outcome, "", ran_ns)):
            _log.warning(
                "job %s goes on past its timeout: its lock on %s was given up, and another run may start beside it",
                self.job.name,
                self.job.resource,
                extra=self._told(),
            )

    @contextmanager
    def _scope(self, run_lease: RunLease) -> Iterator[None]:
        run = run_lease.run
        with executing(run, run_lease.stop), self._context.tracer.activate(run.run_id):
            yield

    def _call(self, run_lease: RunLease) -> Any:  # noqa: ANN401 - whatever a job's function returns
        self._timings.started_ns = self._context.clock.monotonic_ns()
        return self.job.call(run_lease.run)

    def _done(self, run_lease: RunLease, result: CallResult) -> None:
        failure = result.failure
        if failure is None:
            try:
                self.job.check_result(result.returned)
            except ConfigError as error:
                failure = error
        self._end(run_lease, failure, result.ended_ns - self._timings.started_ns)

    def _end(self, run_lease: RunLease, failure: BaseException | None, ran_ns: int | None = None) -> None:
        """Decide the outcome, report it, have it written, and let go."""
        run_lease.stop.end()
        with self._mutex:
            timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()
        run_lease.check()
        detail = "" if failure is None else failure_text(failure)
        lateness = self._timings.lateness() if self._timings.started_ns else None
        with self._mutex:
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
        run_lease.end(self._ending(outcome, detail, ran_ns))
        self._ended(self)

    def _ending(self, outcome: Outcome, detail: str, ran_ns: int | None) -> RunResult:
        if not self._timings.started_ns:
            return RunResult(outcome, detail, None, None)
        lateness_ns, after_ns = self._timings.lateness().total_ns, self._timings.started_ns - self._timings.claimed_ns
        return RunResult(outcome, detail, self._started_wall_ns, lateness_ns, after_ns, ran_ns)

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
        claimed_at_once = self._timings.claimed_ns > 0 and self._attempt_at_claim.at_once
        return self._timings.claimed_ns - self._timings.handed_ns if claimed_at_once else None


def _lock_for(job: Job, occurrence: OccurrenceMachine, context: EngineContext) -> LockMachine:
    return LockMachine(
        job.resource,
        owner=context.owner,
        service=context.service,
        job=job.name,
        run_id=occurrence.run_id,
        ttl_ns=job.ttl_ns,
        blocking=True,
        renewing=job.renew,
        clock=context.clock,
        sink=context.sink,
    )
