"""Have workers report the ends of calls: several in one step, and not while others are about to start.

A worker that reports ends beside a loop that starts calls makes these late, because threads that compute side by side
wait for each other.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock

__all__ = ["HELD_NS", "STEP_MAX", "CallEnds"]

HELD_NS: Final = 2 * MS  # no end waits longer for calls that are about to start: one of them may block the loop
STEP_MAX: Final = 64  # ends that a worker reports before it looks whether a run is due


class CallEnds:
    """Ends that no worker has reported yet; from any thread.

    Args:
        work: has a worker call something.
        at: sets a timer: calls at a monotonic instant.
    """

    def __init__(
        self,
        *,
        work: Callable[[Callable[[], None]], None],
        at: Callable[[int, Callable[[], None]], object],
        clock: Clock,
    ) -> None:
        self._work = work
        self._at = at
        self._clock = clock
        self._reports: deque[Callable[[], None]] = deque()
        self._asked = False  # a worker will come
        self._held = False  # a timer will ask for one

    def add(self, report: Callable[[], None]) -> None:
        """Have a worker call this."""
        self._reports.append(report)
        self.hand_over()

    def hold(self, report: Callable[[], None]) -> None:
        """Have a worker call this after the next `hand_over`, but within `HELD_NS`."""
        self._reports.append(report)
        if not self._asked and not self._held:
            self._held = True
            self._at(self._clock.monotonic_ns() + HELD_NS, self._stop_holding)

    def hand_over(self) -> None:
        """Have a worker come for what there is."""
        if self._reports and not self._asked:
            self._asked = True
            self._work(self._report)

    def _stop_holding(self) -> None:
        """On the timers' thread."""
        self._held = False
        self.hand_over()

    def _report(self) -> None:
        """On a worker. An end that comes meanwhile asks for another one, because this one may be blocked."""
        self._asked = False
        try:
            for _ in range(STEP_MAX):
                try:
                    report = self._reports.popleft()
                except IndexError:  # all are reported, by this worker and by others
                    return
                report()
        finally:
            self.hand_over()
