"""Execute an occurrence whose claim is made: have its code run when it is due, and settle it.

Threads: a worker that has waited until it was due submits the code to the executor; a worker
settles the run. `ask_to_stop` may come from any thread.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.running.run_lease import RunResult
from tickglass.sched.errors import ConfigError, failure_text
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceState, Outcome
from tickglass.sched.ports import JobCall
from tickglass.sched.run import executing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.running.admitted import Admitted
    from tickglass.sched.engine.running.run_lease import RunLease
    from tickglass.sched.engine.timing.timers import Timer, Timers
    from tickglass.sched.occurrence import OccurrenceMachine, Timings
    from tickglass.sched.ports import CallResult, Executor, PreparedCall, RunTracer

__all__ = ["STOP_REASONS", "Execution", "end_aborted"]

_log: Final = logging.getLogger("tickglass.jobs")
STOP_REASONS: Final = {
    "timeout": Outcome.TIMEOUT,
    "lost": Outcome.LOST,
    "shutdown": Outcome.CANCELLED,
    "cancelled": Outcome.CANCELLED,  # an operator asked for it
    "late": Outcome.MISSED,  # its code has not started, and must not any more
}
_GIVE_UP_BEFORE_NS: Final = SECOND  # of a lease that is not renewed: the settlement must come before its end
# How an occurrence ends after an error of the engine, by how far it came; one that was running has failed.
_ABORTED: Final = {
    OccurrenceState.ADMITTED: (Outcome.SKIPPED, "store_error"),
    OccurrenceState.CLAIMING: (Outcome.SKIPPED, "store_error"),
    OccurrenceState.CLAIMED: (Outcome.LOST, "lost"),
    OccurrenceState.UNCLAIMED: (Outcome.CANCELLED, "shutdown"),
}


def end_aborted(occurrence: OccurrenceMachine) -> None:
    """End an occurrence because of an error of the engine, unless it has ended."""
    if occurrence.state is not OccurrenceState.ENDED:
        outcome, reason = _ABORTED.get(occurrence.state, (Outcome.FAILURE, ""))
        occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, reason=reason, error="aborted")


class _Scope:
    """What surrounds the code of a run: it is the current run of its thread or task, and its trace the current one."""

    __slots__ = ("_active", "_executing")

    def __init__(self, executing: AbstractContextManager[None], active: AbstractContextManager[object]) -> None:
        self._executing = executing
        self._active = active

    def __enter__(self) -> None:
        self._executing.__enter__()
        self._active.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._active.__exit__(kind, error, trace)
        finally:
            self._executing.__exit__(kind, error, trace)


class Execution:
    """One run, from its claim (or the decision to run without one) to its one outcome.

    Args:
        run_lease: what it runs under.
        executor: where its code runs.
        timings: taken up to the claim.
        timers: for its start, its timeout and the end of its lease.
        submit_aside: has something done on a thread that is no worker, because all workers may be busy.
        guarded: takes a step on this thread; an error of the engine in it aborts this execution alone.
        ended: called last of all, with how long the code took; None if it did not start.
    """

    def __init__(
        self,
        admitted: Admitted,
        run_lease: RunLease,
        executor: Executor,
        *,
        timings: Timings,
        clock: Clock,
        tracer: RunTracer,
        timers: Timers,
        submit_aside: Callable[[Callable[[], None]], None],
        guarded: Callable[[Callable[[], None]], None],
        ended: Callable[[int | None], None],
    ) -> None:
        self.due_ns = admitted.due_ns
        self.expected_ns = admitted.expected_ns
        self.keeps_worker = executor.immediate  # the one that begins it, until its code returns
        self._admitted = admitted
        self._job = admitted.job
        self._occurrence = admitted.occurrence
        self._run_lease = run_lease
        self._stop = run_lease.stop
        self._timings = timings
        self._clock = clock
        self._tracer = tracer
        self._timers = timers
        self._submit_aside = submit_aside
        self._guarded = guarded
        self._ended = ended
        self._mutex = threading.Lock()  # one of stop asked, started, ended at a time
        self._unstarted = True
        call = JobCall(self._start, self._scope, self._call, partial(self.ask_to_stop, "late"))
        prepared = executor.prepare(call, lambda result: guarded(partial(self._done, result)))
        self._code: PreparedCall | None = prepared  # until it is submitted: the two would keep each other alive
        self._cancel: Callable[[], None] | None = None  # cancels the code, once the executor has it
        self._own_timers: list[Timer] = []
        self._started_wall_ns: int | None = None

    # --- before the code starts

    def begin(self) -> None:
        """On a worker, when it is due: submit the code, unless it is too late or was asked to stop."""
        self._guarded(self._begin)

    def begin_waited(self) -> None:
        """As `begin`, on a worker that has waited for this instant alone."""
        self._timings.woke_ns = self._clock.monotonic_ns()
        self._guarded(self._begin)

    def _begin(self) -> None:
        timings = self._timings
        timings.begun_ns = self._clock.monotonic_ns()
        timings.woke_ns = timings.woke_ns or timings.claimed_ns
        self._run_lease.check()  # a lease may be over though nothing could say so yet
        if not self._stop.reason and self._run_lease.claimed and self._admitted.too_late(timings.begun_ns):
            self._asked_to_stop("late")  # the store, a lock that was held, or the pool took too long
        if not self._stop.reason and timings.begun_ns < timings.due_ns:
            self._asked_to_stop("shutdown")  # only a pool that closes begins it before it is due
        if self._stop.reason:
            self._end_unstarted()
        else:
            self._submit()

    def _submit(self) -> None:
        code, self._code = self._code, None
        if code is None:
            return
        code.submit(self._start_by_ns())
        with self._mutex:
            if self._occurrence.state is OccurrenceState.ENDED:
                return
            self._cancel = code.cancel
            stopped = bool(self._stop.reason)
        if stopped:
            code.cancel()

    def _start_by_ns(self) -> int:
        """Return the instant by which an executor must have started the code: a blocked one must not keep the lease."""
        timings, admitted, timeout_ns = self._timings, self._admitted, self._job.timeout_ns
        in_grace = self._run_lease.claimed and not admitted.rerun
        if in_grace and timeout_ns is None:
            return admitted.until_ns
        ready_ns = max(timings.due_ns, self._clock.monotonic_ns())
        by_ns = ready_ns + admitted.until_ns - max(timings.due_ns, timings.handed_ns)
        if in_grace:
            by_ns = admitted.until_ns
        return by_ns if timeout_ns is None else min(by_ns, ready_ns + timeout_ns)

    def _end_unstarted(self) -> None:
        """End a run that was asked to stop before its code started, without waiting for the executor."""
        with self._mutex:
            unstarted, self._unstarted = self._unstarted, False
        if unstarted:
            self._end(None)

    # --- what the executor calls

    def _start(self) -> bool:
        """Report the start, the last thing before the job's own code; False: it was asked to stop before that."""
        with self._mutex:
            if self._stop.reason:
                return False
            self._unstarted = False
            self._occurrence.fire(OccurrenceEvent.STARTED)
        self._started_wall_ns = self._clock.wall_ns()
        if self._job.timeout_ns is not None:
            at_ns = self._clock.monotonic_ns() + self._job.timeout_ns
            self._set_timer(at_ns, lambda: self._time_out(release=self._job.releases))
            if not self._job.renew and self._run_lease.claimed:
                self._set_timer(self._run_lease.ends_ns - _GIVE_UP_BEFORE_NS, lambda: self._time_out(release=True))
        return True

    def _scope(self) -> _Scope:
        run = self._run_lease.run
        return _Scope(executing(run, self._stop), self._tracer.activate(run.run_id))

    def _call(self) -> Any:  # noqa: ANN401 - whatever a job's function returns
        self._timings.started_ns = self._clock.monotonic_ns()
        return self._job.call(self._run_lease.run)

    def _done(self, result: CallResult) -> None:
        failure = result.failure
        if failure is None:
            try:
                self._job.check_result(result.returned)
            except ConfigError as error:
                failure = error
        self._end(failure, result.ended_ns - self._timings.started_ns)

    # --- being stopped

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop, once, for a key of `STOP_REASONS`; from any thread."""
        if self._asked_to_stop(reason):
            self._submit_aside(lambda: self._guarded(self._end_unstarted))

    def _asked_to_stop(self, reason: str) -> bool:
        """Ask the run to stop; return whether its code has not started, and it is therefore to be ended."""
        with self._mutex:
            state = self._occurrence.state
            if self._stop.reason or state is OccurrenceState.ENDED:
                return False
            if reason == "late" and state is OccurrenceState.RUNNING:
                return False  # it has just started
            self._stop.ask(reason)
            if state is OccurrenceState.RUNNING:
                self._occurrence.fire(OccurrenceEvent.STOP_ASKED, reason=reason)
            if self._cancel is not None:
                self._cancel()
            return self._unstarted

    def abort(self) -> None:
        """End after an error of the engine: the lease runs out, and an instance that finds the open claim reruns it."""
        self._run_lease.stop_renewing()
        with self._mutex:
            end_aborted(self._occurrence)
        self._ended(None)

    def _set_timer(self, at_ns: int, call: Callable[[], None]) -> None:
        with self._mutex:
            self._own_timers.append(self._timers.at(at_ns, call))

    def _time_out(self, *, release: bool) -> None:
        """Ask the run to stop; its lease is kept until its code returns, unless it is to be released."""
        self.ask_to_stop("timeout")
        if release and self._run_lease.claimed:
            self._submit_aside(self._release_while_running)

    def _release_while_running(self) -> None:
        """Write the outcome and release the lock while the code still runs; the job stays busy until it returns."""
        with self._mutex:
            if self._occurrence.state is OccurrenceState.ENDED:
                return
            outcome = self._outcome(None)
        ran_ns = self._clock.monotonic_ns() - self._timings.started_ns
        if self._run_lease.end_now(self._result(outcome, "", ran_ns)):
            _log.warning(
                "job %s goes on past its timeout: its lock on %s was given up, and another run may start beside it",
                self._job.name,
                self._job.resource,
                extra=self._log_fields(),
            )

    # --- the end

    def _end(self, failure: BaseException | None, ran_ns: int | None = None) -> None:
        """Decide the outcome, report it, have it written, and let go."""
        self._stop.end()
        with self._mutex:
            timers, self._own_timers = self._own_timers, []
            self._code = self._cancel = None
        for timer in timers:
            timer.cancel()
        self._run_lease.check()
        detail = "" if failure is None else failure_text(failure)
        with self._mutex:
            outcome = self._outcome(failure)
            self._occurrence.fire(
                OccurrenceEvent.ENDED,
                outcome=outcome,
                reason=self._stop.reason,
                error=detail,
                ran_ns=ran_ns,
                lateness=self._timings.lateness() if self._timings.started_ns else None,
            )
        if outcome is Outcome.FAILURE:
            _log.error("job %s failed", self._job.name, exc_info=failure, extra=self._log_fields())
        self._run_lease.end(self._result(outcome, detail, ran_ns), self._guarded, lambda: self._ended(ran_ns))

    def _outcome(self, failure: BaseException | None) -> Outcome:
        if self._stop.reason:
            return STOP_REASONS[self._stop.reason]
        return Outcome.SUCCESS if failure is None else Outcome.FAILURE

    def _result(self, outcome: Outcome, detail: str, ran_ns: int | None) -> RunResult:
        timings = self._timings
        if not timings.started_ns:
            return RunResult(outcome, detail, None, None)
        after_ns, late_ns = timings.started_ns - timings.claimed_ns, timings.started_ns - timings.due_ns
        return RunResult(outcome, detail, self._started_wall_ns, late_ns, after_ns, ran_ns)

    def _log_fields(self) -> dict[str, object]:
        run = self._run_lease.run
        return {"run_id": run.run_id, "job": run.job, "resource": run.resource, "fence": run.fence}
