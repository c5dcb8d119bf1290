"""Call back at wall-clock instants, and follow the wall clock when it is set.

Each time base has a heap of wall-clock instants. One thread sleeps on the monotonic
clock exactly until the earliest of them. It also wakes once a second, to see whether
the wall clock was set and to show that it is alive.
"""

from __future__ import annotations

import heapq
import logging
import threading
from itertools import count
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.events import ClockStepped, TimelineTicked
from tickglass.sched.threads.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock, Reading
    from tickglass.sched.ports import EventSink

__all__ = ["LASTING_NS", "LONGEST_WAIT_NS", "Timeline"]

_log: Final = logging.getLogger(__name__)

LONGEST_WAIT_NS: Final = SECOND  # a step of the wall clock is noticed within this
STEP_MIN_NS: Final = 5 * MS  # less than this is the uncertainty of reading two clocks
LASTING_NS: Final = 10 * SECOND  # rates follow a step that no store can judge once it has lasted this long


class _Base:
    """A wall clock as seen from the monotonic one, and the entries that go by it."""

    def __init__(self, offset_ns: int) -> None:
        self.offset_ns = offset_ns
        self.heap: list[tuple[int, int, Callable[[int], None]]] = []

    def next_ns(self) -> int | None:
        """Return the monotonic instant of the earliest entry."""
        return self.heap[0][0] - self.offset_ns if self.heap else None


class Timeline:
    """Calls back at wall-clock instants.

    There are two time bases. *True* follows every step of the wall clock, because cron means what the wall clock
    shows. While the wall clock is further ahead of the store's clock than is allowed, it follows the store's clock,
    because a later due instant cannot be claimed yet. *Steady* goes on when the clock is set back, so no instant
    is repeated. It follows the store's clock while ours is too far from it; where the store has no clock of its
    own, it ignores steps back and follows a step forward once that has lasted.

    Args:
        skew: judges our wall clock.
        stepped: called on the timeline's thread when the wall clock was set; returns at once.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        sink: EventSink,
        skew: SkewGuard | None = None,
        stepped: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._skew = SkewGuard() if skew is None else skew
        self._stepped = stepped
        self._visited: Callable[[], None] = lambda: None
        self._wall_offset_ns = offset_ns = clock.reading().offset_ns
        self._true = _Base(offset_ns)
        self._steady = _Base(offset_ns)
        self._unjudged_since_ns: int | None = None  # since when our clock is ahead without a judge
        self._order = count()
        self._mutex = threading.Lock()
        self._planned_ns = 0  # the instant of the next tick, as the last one returned it; 0: there was none
        self._waiting_until_ns = 0  # the same while the thread waits and nobody has woken it; otherwise 0
        self.ticked_ns = clock.monotonic_ns()  # when the loop last stepped
        self._loop = Loop("timeline", clock, self.tick)

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread; when this returns, no entry is visited any more."""
        self._loop.stop()

    def at(self, wall_ns: int, visit: Callable[[int], None], *, steady: bool) -> None:
        """Call `visit(offset_ns)` on the timeline's thread when the wall clock shows `wall_ns`.

        The offset converts the entry's wall-clock instants: monotonic = wall - offset.
        """
        base = self._steady if steady else self._true
        with self._mutex:
            heapq.heappush(base.heap, (wall_ns, next(self._order), visit))
            sooner = wall_ns - base.offset_ns < self._waiting_until_ns
            if sooner:
                self._waiting_until_ns = 0  # once is enough, however many entries follow
        if sooner:
            self._loop.wake()

    def after_visits(self, call: Callable[[], None]) -> None:
        """Call this on the timeline's thread after the visits of each tick that made any; it returns at once."""
        self._visited = call

    def offset_ns(self, *, steady: bool) -> int:
        """Return wall minus monotonic, as the entries of that base see it."""
        return (self._steady if steady else self._true).offset_ns

    def follow(self) -> None:
        """Follow the clock once, before the thread does: the engine plans by it before the start."""
        self._follow(self._clock.reading())

    def tick(self) -> int:
        """Follow the clock, visit every entry that is due, and return the instant of the next tick."""
        with self._mutex:
            self._waiting_until_ns = 0  # what is added meanwhile is seen at the end
        began = self._clock.reading()
        self.ticked_ns = began.monotonic_ns
        self._follow(began)
        visited = 0
        for base in (self._true, self._steady):
            for visit in self._due(base, began.monotonic_ns):
                try:
                    visit(base.offset_ns)
                except BaseException:  # noqa: BLE001 - reported; the other entries must be visited
                    _log.exception("an entry of the timeline raised")
                visited += 1
        if visited:
            self._visited()
        ended_ns = self._clock.monotonic_ns()
        lag_ns = max(0, began.monotonic_ns - self._planned_ns) if self._planned_ns else 0
        self._sink.record(TimelineTicked(lag_ns=lag_ns, duration_ns=ended_ns - began.monotonic_ns, handed=visited))
        with self._mutex:
            nexts = (self._true.next_ns(), self._steady.next_ns(), ended_ns + LONGEST_WAIT_NS)
            self._planned_ns = self._waiting_until_ns = min(at for at in nexts if at is not None)
        return self._planned_ns

    def _due(self, base: _Base, now_ns: int) -> list[Callable[[int], None]]:
        due = []
        with self._mutex:
            while base.heap and base.heap[0][0] - base.offset_ns <= now_ns:
                due.append(heapq.heappop(base.heap)[2])
        return due

    def _follow(self, now: Reading) -> None:
        step_ns = now.offset_ns - self._wall_offset_ns
        self._wall_offset_ns = now.offset_ns
        judged_ns = self._skew.offset_ns(now)
        self._true.offset_ns = min(now.offset_ns, judged_ns)
        self._steady.offset_ns = self._steady_ns(now, judged_ns)
        if abs(step_ns) >= STEP_MIN_NS:
            self._sink.record(ClockStepped(step_ns=step_ns, wall_ns=now.wall_ns))
            self._stepped()

    def _steady_ns(self, now: Reading, judged_ns: int) -> int:
        """Return the offset by which rates go from now on."""
        steady_ns, store_ns = self._steady.offset_ns, self._skew.store_offset_ns
        if store_ns is not None:
            # A move has a price: back, instants are not visited again; forward, instants are missed. So it is made
            # where the base is too far from the store's clock, or where our clock was slow and was corrected.
            if abs(store_ns - steady_ns) > self._skew.max_ns:
                return store_ns
            return max(steady_ns, min(now.offset_ns, store_ns)) if judged_ns == now.offset_ns else steady_ns
        gap_ns = judged_ns - steady_ns
        if gap_ns < STEP_MIN_NS:
            self._unjudged_since_ns = None
            return max(steady_ns, judged_ns)
        if self._unjudged_since_ns is None:
            self._unjudged_since_ns = now.monotonic_ns
        return judged_ns if now.monotonic_ns - self._unjudged_since_ns >= LASTING_NS else steady_ns
