"""A machine that is suspended while threads wait: its clock goes on, and their time-outs stand still.

No test suspends the machine that it runs on. This stands for it: `SystemClock.wait` waits as it does anywhere, on a
condition whose time-out knows nothing of the time that is added here.
"""

from __future__ import annotations

import threading

from tickglass.sched.clock import SystemClock, Wake

__all__ = ["SuspendableClock", "TellingWake"]


class SuspendableClock(SystemClock):
    """The machine's clocks, and the time that it has been suspended for."""

    def __init__(self) -> None:
        self._suspended_ns = 0

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return super().monotonic_ns() + self._suspended_ns

    def wall_ns(self) -> int:
        """See `Clock`."""
        return super().wall_ns() + self._suspended_ns

    def suspend(self, for_ns: int) -> None:
        """Be suspended, and wake."""
        self._suspended_ns += for_ns


class TellingWake(Wake):
    """A doorbell that tells when somebody waits for it, and has looked at the clock for how long."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()
        self.condition = _Telling(self.waiting)


class _Telling(threading.Condition):
    def __init__(self, waiting: threading.Event) -> None:
        super().__init__(threading.Lock())
        self._waiting = waiting

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            self._waiting.set()
        return super().wait(timeout)
