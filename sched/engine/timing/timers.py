"""Call at monotonic instants: timeouts of runs, renewals, ends of trust, the next try of a claim.

One thread for all of them. A call must return at once; a call that waits for a store
belongs on another thread.
"""

from __future__ import annotations

import heapq
import logging
import threading
from itertools import count
from typing import TYPE_CHECKING, Final

from tickglass.sched.threads.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock

__all__ = ["Timer", "Timers"]

_log: Final = logging.getLogger(__name__)
_TIDY_ABOVE: Final = 1_000  # cancelled timers stay in the heap until they are this many, and more than half of it


class Timer:
    """One call in the future, unless it is cancelled."""

    __slots__ = ("_timers", "call")

    def __init__(self, call: Callable[[], None], timers: Timers) -> None:
        self.call: Callable[[], None] | None = call
        self._timers = timers

    def cancel(self) -> None:
        """Forget the call, unless it is being made."""
        if self.call is not None:
            self.call = None
            self._timers.note_cancelled()


class Timers:
    """A heap of future calls, and the thread that makes them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._cancelled = 0
        self._waiting_until_ns: int | None = None
        self._loop = Loop("timers", clock, self._fire)

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread; timers that have not fired never will."""
        self._loop.stop()

    def at(self, instant_ns: int, call: Callable[[], None]) -> Timer:
        """Call at a monotonic instant, or at once when it has passed."""
        timer = Timer(call, self)
        with self._mutex:
            heapq.heappush(self._heap, (instant_ns, next(self._order), timer))
            sooner = self._waiting_until_ns is None or instant_ns < self._waiting_until_ns
        if sooner:
            self._loop.wake()
        return timer

    def note_cancelled(self) -> None:
        """Count a cancelled timer, and drop the cancelled ones when they are more than half."""
        with self._mutex:
            self._cancelled += 1
            if self._cancelled > _TIDY_ABOVE and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].call is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def _fire(self) -> int | None:
        for timer in self._due():
            call, timer.call = timer.call, None
            if call is None:
                continue
            try:
                call()
            except Exception:  # noqa: BLE001 - reported; the other timers must fire
                _log.exception("a timer's call raised")
        return self._waiting_until_ns

    def _due(self) -> list[Timer]:
        now_ns = self._clock.monotonic_ns()
        due = []
        with self._mutex:
            while self._heap and self._heap[0][0] <= now_ns:
                due.append(heapq.heappop(self._heap)[2])
            self._waiting_until_ns = self._heap[0][0] if self._heap else None
        return due
