"""Show a job what it runs under: the occurrence, the lease, and whether to stop.

No I/O. The engine makes a `Run` and passes it to the job's code; the engine asks
the run to stop through its `StopSignal` (stop_signal.py), which the job never sees.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import Duration, duration_ns
from tickglass.sched.lease import LockState

if TYPE_CHECKING:
    from datetime import datetime

    from tickglass.sched.clock import Clock
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.stop_signal import StopSignal

__all__ = ["Run", "current_run", "current_stop", "executing"]

_NEVER_NS: Final = 2**63 - 1
_PAST_NS: Final = -(2**63)


class _Current(NamedTuple):
    run: Run
    stop: StopSignal


_current: ContextVar[_Current | None] = ContextVar("tickglass_run", default=None)


class Run:
    """An occurrence that was claimed and is executing, here.

    Attributes:
        job: the job's name.
        run_id: 32 hexadecimal digits; also the trace id.
        attempt: 1, or more when an earlier claimant died.
        resource: what its lease protects.
        fence: the fencing token; pass it with every guarded write. 0 for a run
            that started without a claim: nothing guarded accepts it.
    """

    __slots__ = (
        "_clock",
        "_due_ns",
        "_lock",
        "_stop",
        "attempt",
        "fence",
        "job",
        "resource",
        "run_id",
    )

    def __init__(self, lock: LockMachine, stop: StopSignal, *, due_ns: int, attempt: int, clock: Clock) -> None:
        self.job = lock.job
        self.run_id = lock.run_id
        self.resource = lock.resource
        self.fence = lock.fence
        self.attempt = attempt
        self._due_ns = due_ns
        self._lock = lock
        self._stop = stop
        self._clock = clock

    @property
    def due_at(self) -> datetime:
        """The due instant, aware, in UTC."""
        return instant_of(self._due_ns)

    @property
    def sampled(self) -> bool:
        """Whether the trace of this run is sampled; what is done on its behalf, such as taking a lock, follows it."""
        return self._lock.sampled

    @property
    def _trusted_until_ns(self) -> int:
        """The end of trust; a run that started without a claim has no lease to lose."""
        if self._stop.over:
            return _PAST_NS
        if not self.fence:
            return _NEVER_NS
        return self._lock.trusted_until_ns if self._lock.state is LockState.HELD else _PAST_NS

    def remaining(self) -> float:
        """Return the seconds for which the lease can be trusted if no renewal succeeds.

        0.0 when it cannot: it was lost, given up at the timeout, or the run has ended.
        """
        return max(0, self._trusted_until_ns - self._clock.monotonic_ns()) / 1e9

    @property
    def cancelled(self) -> bool:
        """Whether to stop now.

        True once a stop was asked for, and also when the lease has run out before
        the engine could say so: a process that was frozen sees it on waking.
        True as well after the run has ended, for threads and tasks that outlive it.
        """
        return bool(self._stop.reason) or self._clock.monotonic_ns() >= self._trusted_until_ns

    @property
    def cancel_reason(self) -> str:
        """Why: "timeout", "lost", "shutdown", "ended" after the run, or "" while not cancelled."""
        if self._stop.reason:
            return self._stop.reason
        if self._stop.over:
            return "ended"
        return "lost" if self.cancelled else ""

    def wait(self, duration: Duration) -> bool:
        """Sleep, but not past a stop; return whether the run is cancelled.

        Raises:
            ConfigError: the duration is none.
        """
        until_ns = self._clock.monotonic_ns() + duration_ns(duration, what="wait")
        while not self.cancelled and self._clock.monotonic_ns() < until_ns:
            self._clock.wait(min(until_ns, self._trusted_until_ns), self._stop.wake)  # a renewal prolongs trust
        return self.cancelled

    def report_stale_fence(self, newest: int) -> None:
        """Count a guarded write that was refused; called by the guards of fencing.py, and by your own."""
        self._lock.report_stale_fence(newest)

    def __repr__(self) -> str:
        return f"<Run {self.job} due {self.due_at.isoformat()} attempt {self.attempt} fence {self.fence}>"


class executing:  # noqa: N801 - a context manager; a class, because a generator costs more than all else in it
    """Make a run the current one of this thread or task while its code is executed."""

    __slots__ = ("_current", "_token")

    def __init__(self, run: Run, stop: StopSignal) -> None:
        self._current = _Current(run, stop)

    def __enter__(self) -> None:
        self._token = _current.set(self._current)

    def __exit__(self, *_: object) -> None:
        try:  # not `suppress`, which costs twice as much as all else here
            _current.reset(self._token)
        except ValueError:  # the garbage collector ends a coroutine of a closed loop, in another context
            return


def current_run() -> Run | None:
    """Return the run whose code is executing in this thread or task, if any."""
    current = _current.get()
    return None if current is None else current.run


def current_stop() -> StopSignal | None:
    """Return the stop signal of the current run, if any: for what the engine does on behalf of that run."""
    current = _current.get()
    return None if current is None else current.stop
