"""One occurrence in hand: a claim that is pending, then an execution.

Both stages take steps on workers, one step at a time. The stage may change while
another thread asks for a stop: what is asked for before the execution begins is
in the stop signal that the execution gets.
"""

from __future__ import annotations

import logging
import secrets
import threading
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from tickglass.sched.engine.membership.head_start import HeadStart
from tickglass.sched.engine.running.claim import ClaimAttempt, ClaimWon, NotClaimed
from tickglass.sched.engine.running.execution import Execution, end_aborted
from tickglass.sched.engine.running.pending_claim import PendingClaim
from tickglass.sched.engine.running.run_lease import ClaimedRun, Preparation, RunResult, UnclaimedRun
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import LockEvent, LockMachine, LockReason, LockState
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason, Timings
from tickglass.sched.ports import ClaimAsk, LeaseAsk
from tickglass.sched.stop_signal import StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Reading
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.in_doubt import InDoubt
    from tickglass.sched.engine.leasing.renewer import LeaseRenewer
    from tickglass.sched.engine.membership.presence import Presence
    from tickglass.sched.engine.running.admitted import Admitted
    from tickglass.sched.engine.running.run_lease import RunLease
    from tickglass.sched.engine.running.settlement import SettlementGroup
    from tickglass.sched.engine.timing.timers import Timers
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import ClaimAnswer, Executor

__all__ = ["Assignment"]

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)
_NEVER_NS: Final = 2**63 - 1
_UNANSWERED: Final = (SkipReason.STORE_UNAVAILABLE, SkipReason.STORE_ERROR)


class Assignment:
    """An admitted occurrence, from its admission to its end.

    Args:
        max_ahead_ns: how far ahead of the store's clock its claim may be; None: any distance.
        executor: where the job's code runs.
        presence: tells which preferred instances are there.
        renewer: keeps the lease of its claim, and has threads for what must not wait for a worker.
        in_doubt: claims of this instance whose outcome is unknown.
        settlements: writes its outcome.
        claim: has a worker claim it again, after it was put off.
        missed: accounts for an occurrence that waited for a worker until it was too late.
        ended: called once, last of all; again for one that was aborted after its end.
    """

    def __init__(
        self,
        admitted: Admitted,
        *,
        context: EngineContext,
        max_ahead_ns: int | None,
        executor: Executor,
        timers: Timers,
        presence: Presence,
        renewer: LeaseRenewer,
        in_doubt: InDoubt,
        settlements: SettlementGroup,
        claim: Callable[[Assignment], None],
        missed: Callable[[OccurrenceMachine], None],
        ended: Callable[[Assignment], None],
    ) -> None:
        job = admitted.job
        self.job_name = job.name
        self.expected_ns = admitted.expected_ns
        self.start_by_ns = _NEVER_NS if admitted.rerun else admitted.until_ns
        self.ran_ns: int | None = None  # how long its code took, once it has ended
        self._admitted = admitted
        self._occurrence = admitted.occurrence
        self._context = context
        self._executor = executor
        self._timers = timers
        self._renewer = renewer
        self._in_doubt = in_doubt
        self._settlements = settlements
        self._claim = claim
        self._missed = missed
        self._ended = ended
        self._timings = Timings(
            admitted.due_ns, context.clock.monotonic_ns(), admitted.visited_ns, admitted.found_ns or 0
        )
        self._began_wall_ns = 0
        self._stop = StopSignal()
        self._lock = _lock_for(admitted, context)
        self._ask = _ask_for(admitted, context, max_ahead_ns)
        head_start = None
        if job.prefer is not None:
            head_start = HeadStart(job.prefer, presence, until_ns=admitted.hold_back_until_ns)
        self._attempt = ClaimAttempt(
            self._ask,
            self._lock,
            due_ns=admitted.due_ns,
            until_ns=admitted.until_ns,
            head_start=head_start,
            in_doubt=in_doubt,
            context=context,
        )
        self._pending = PendingClaim(
            self._attempt,
            head_start,
            job.resource,
            store=context.store,
            timers=timers,
        )
        self._mutex = threading.Lock()  # one of stop asked, execution begun at a time
        self._execution: Execution | None = None

    @property
    def run_id(self) -> str:
        """The id of its run, should it run here."""
        return self._occurrence.run_id

    @property
    def handed_ns(self) -> int:
        """When the timeline handed it over (monotonic)."""
        return self._timings.handed_ns

    @property
    def claimed_undelayed(self) -> bool:
        """Whether it was claimed without delay, at the first request."""
        return self._timings.claimed_ns > 0 and self._attempt.undelayed

    def begin(self, now: Reading) -> ClaimAsk | None:
        """On a worker: return what to ask the store; None: it has ended, or waits until it is claimed again.

        Args:
            now: when the worker took it.
        """
        return self._guarded(partial(self._begin, now))

    def answered(self, answer: ClaimAnswer | Exception, asked_ns: int) -> Execution | None:
        """On a worker: take the store's answer; None: it has ended, or waits until it is claimed again.

        Args:
            answer: an error other than `StoreUnavailable` ends it.
            asked_ns: monotonic, read before the request.
        """
        return self._guarded(partial(self._answered, answer, asked_ns))

    def stop_claiming(self) -> None:
        """Give the claim up, unless it is made or being asked for; from any thread."""
        self._pending.stop_claiming()

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop, for a key of `STOP_REASONS`; from any thread. A pending claim goes on."""
        with self._mutex:
            execution = self._execution
            if execution is None and not self._stop.over:
                self._stop.ask(reason)
        if execution is not None:
            execution.ask_to_stop(reason)

    def _begin(self, now: Reading) -> ClaimAsk | None:
        if not self._timings.taken_ns:
            self._timings.taken_ns, self._began_wall_ns = now.monotonic_ns, now.wall_ns
            self._occurrence.fire(OccurrenceEvent.TAKEN)
            if self._admitted.too_late(now.monotonic_ns):
                self._missed(self._occurrence)
                self._ended(self)
                return None
        ask = self._pending.begin(self._claim_again)
        if isinstance(ask, NotClaimed):
            self._end(ask)
            return None
        return ask

    def _answered(self, answer: ClaimAnswer | Exception, asked_ns: int) -> Execution | None:
        if isinstance(answer, Exception) and not isinstance(answer, StoreUnavailable):
            raise answer
        decided = self._pending.answered(answer, asked_ns, self._claim_again)
        if decided is None:
            return None  # parked
        if isinstance(decided, ClaimWon):
            return self._execution_under(ClaimedRun(self._preparation(), decided, lambda: self.ask_to_stop("lost")))
        if self._admitted.job.runs_unclaimed and decided.reason in _UNANSWERED:
            return self._execution_under(UnclaimedRun(self._preparation()))
        self._end(decided)
        return None

    @property
    def due_and_started_ns(self) -> tuple[int, int]:
        """When it was due, and when its code started (monotonic); 0 if that was not reached."""
        return self._timings.due_ns, self._timings.started_ns

    def _preparation(self) -> Preparation:
        return Preparation(
            self._admitted.job,
            self._occurrence,
            self._lock,
            self._ask,
            self._stop,
            self._began_wall_ns,
            self._context,
            renewer=self._renewer,
            in_doubt=self._in_doubt,
            settlements=self._settlements,
        )

    def _end(self, answer: NotClaimed) -> None:
        if self._attempt.in_doubt:
            self._note_doubt(answer)
        self._occurrence.fire(OccurrenceEvent.ENDED, outcome=answer.outcome, reason=answer.reason)
        self._ended(self)

    def _execution_under(self, run_lease: RunLease) -> Execution | None:
        self._timings.claimed_ns = self._context.clock.monotonic_ns()
        execution = Execution(
            self._admitted,
            run_lease,
            self._executor,
            timings=self._timings,
            clock=self._context.clock,
            tracer=self._context.tracer,
            timers=self._timers,
            submit_aside=self._submit_aside,
            guarded=self._guarded,
            ended=self._run_ended,
        )
        with self._mutex:
            self._execution = execution
        if self._stop.reason:  # it was asked for while there was no execution
            execution.begin()
            return None
        return execution

    def _submit_aside(self, step: Callable[[], None]) -> None:
        """Have a step taken on a thread that is no worker, and the outcome that it may leave written."""

        def take() -> None:
            step()
            self._settlements.flush()

        self._renewer.submit(take)

    def _claim_again(self) -> None:
        self._claim(self)

    def _run_ended(self, ran_ns: int | None) -> None:
        self.ran_ns = ran_ns
        with self._mutex:
            self._execution = None  # they refer to each other: otherwise each run waits for the collector of garbage
        self._ended(self)

    def _note_doubt(self, answer: NotClaimed) -> None:
        """Have the claim reclaimed, should it be granted after all: as what it ended here, or to be run again."""
        if self._admitted.rerun or answer.outcome is not Outcome.SKIPPED:
            self._in_doubt.note_open(self._ask)
        else:
            result = RunResult(answer.outcome, answer.reason, None, None)
            self._in_doubt.note(self._preparation().settlement(None, result))

    def _guarded(self, step: Callable[[], T]) -> T | None:
        """Take a step; an error of the engine in it ends this occurrence, so that the job goes on with the next."""
        try:
            return step()
        except BaseException:  # noqa: BLE001 - reported; the job goes on
            _log.exception("an error of the engine ended the execution of %s", self.job_name)
            self._abort()
            return None

    def _abort(self) -> None:
        with self._mutex:
            execution = self._execution
        if execution is not None:
            execution.abort()
            return
        if self._lock.state is LockState.WAITING:
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_ERROR)
        end_aborted(self._occurrence)
        self._ended(self)


def _ask_for(admitted: Admitted, context: EngineContext, max_ahead_ns: int | None) -> ClaimAsk:
    job, occurrence = admitted.job, admitted.occurrence
    lease = LeaseAsk(
        job.resource,
        context.owner,
        context.service,
        secrets.token_hex(16),
        job.ttl_ns,
        job=job.name,
        run_id=occurrence.run_id,
    )
    return ClaimAsk(
        lease, occurrence.due_ns, admitted.next_due_ns, job.rerun, max_ahead_ns, job.declaration, occurrence.kind
    )


def _lock_for(admitted: Admitted, context: EngineContext) -> LockMachine:
    job = admitted.job
    return LockMachine(
        job.resource,
        owner=context.owner,
        service=context.service,
        job=job.name,
        run_id=admitted.occurrence.run_id,
        ttl_ns=job.ttl_ns,
        blocking=True,
        renewing=job.renew,
        clock=context.clock,
        sink=context.sink,
    )
