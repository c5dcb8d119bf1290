"""Show a job what it runs under: the occurrence, the lease, and whether to stop.

No I/O. A run is made by the engine and handed to the job's code.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake, instant_of
from tickglass.sched.durations import Duration, duration_ns
from tickglass.sched.lease import LockState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tickglass.sched.clock import Clock
    from tickglass.sched.lease import LockMachine

__all__ = ["Run", "current_run"]

_NEVER_NS: Final = 2**63 - 1
_PAST_NS: Final = -(2**63)
_current: ContextVar[Run | None] = ContextVar("tickglass_run", default=None)


class Run:
    """An occurrence that was claimed and is executing, here.

    Attributes:
        job: the job's name.
        run_id: 32 hexadecimal digits; also the trace id.
        attempt: 1, or more when an earlier claimant died.
        resource: what its lease protects.
        fence: the fencing token; pass it with every guarded write. 0 for a run
            that went ahead without a claim: nothing guarded accepts it.
    """

    __slots__ = (
        "_clock",
        "_due_ns",
        "_lock",
        "_over",
        "_stop",
        "_stop_reason",
        "_stopped_with_it",
        "attempt",
        "fence",
        "job",
        "resource",
        "run_id",
    )

    def __init__(self, lock: LockMachine, *, due_ns: int, attempt: int, clock: Clock) -> None:
        self.job = lock.job
        self.run_id = lock.run_id
        self.resource = lock.resource
        self.fence = lock.fence
        self.attempt = attempt
        self._due_ns = due_ns
        self._lock = lock
        self._clock = clock
        self._over = False  # the code has returned; what it left behind may still ask
        self._stop = Wake()
        self._stop_reason = ""
        self._stopped_with_it: set[Callable[[], None]] = set()

    @property
    def due_at(self) -> datetime:
        """The due instant, aware, in UTC."""
        return instant_of(self._due_ns)

    @property
    def _trusted_until_ns(self) -> int:
        """The end of trust; a run that went ahead without a claim has no lease to lose."""
        if self._over:
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

        True once a stop was asked for, and also when the lease has run out and
        nobody could tell us yet: a process that was frozen sees it on waking.
        True as well after the run has ended, for threads and tasks that outlive it.
        """
        return bool(self._stop_reason) or self._clock.monotonic_ns() >= self._trusted_until_ns

    @property
    def cancel_reason(self) -> str:
        """Why: "timeout", "lost", "shutdown", "ended" after the run, or "" while not cancelled."""
        if self._stop_reason:
            return self._stop_reason
        if self._over:
            return "ended"
        return "lost" if self.cancelled else ""

    def wait(self, duration: Duration) -> bool:
        """Sleep, but not past a stop; return whether the run is cancelled.

        Raises:
            ConfigError: the duration is none.
        """
        until_ns = self._clock.monotonic_ns() + duration_ns(duration, what="wait")
        while not self.cancelled and self._clock.monotonic_ns() < until_ns:
            self._clock.wait(min(until_ns, self._trusted_until_ns), self._stop)  # a renewal prolongs trust meanwhile
        return self.cancelled

    def report_stale_fence(self, newest: int) -> None:
        """Count a guarded write that was refused; called by the guards of fencing.py, and by your own."""
        self._lock.report_stale_fence(newest)

    def _ask_to_stop(self, reason: str) -> None:
        """Set the reason, once; the engine's side of `cancelled`."""
        self._stop_reason = self._stop_reason or reason
        self._stop_all()

    def _end(self) -> None:
        """Note that the code has returned: nothing that it left behind may act under this run any more."""
        self._over = True
        self._stop_all()

    def _stop_all(self) -> None:
        self._stop.ring()
        for stop in tuple(self._stopped_with_it):
            stop()

    @contextmanager
    def _stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` as well when the run is asked to stop meanwhile, or has been."""
        self._stopped_with_it.add(stop)
        if self._stop_reason or self._over:
            stop()
        try:
            yield
        finally:
            self._stopped_with_it.discard(stop)

    @contextmanager
    def _current(self) -> Iterator[None]:
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def __repr__(self) -> str:
        return f"<Run {self.job} due {self.due_at.isoformat()} attempt {self.attempt} fence {self.fence}>"


def current_run() -> Run | None:
    """Return the run whose code is executing in this thread or task, if any."""
    return _current.get()
