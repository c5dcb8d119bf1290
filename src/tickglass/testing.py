"""Test kit: a clock that tests control, and a sink that tests can wait on.

For the project's own tests and for tests of users' jobs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from tickglass.sched.clock import Reading, SystemClock, Wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickglass.sched.clock import ClockDiscipline, ThreadDelay
    from tickglass.sched.events import Event

__all__ = ["FakeClock", "ListSink"]

T = TypeVar("T")

_START_WALL_NS: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_PATIENCE_NS: Final = 10_000_000_000


class FakeClock:
    """A clock that stands still until a test moves it.

    Args:
        wall_ns: where the wall clock starts.
    """

    def __init__(self, wall_ns: int = _START_WALL_NS) -> None:
        self._moved = threading.Condition()
        self._monotonic_ns = 1_000_000_000_000
        self._offset_ns = wall_ns - self._monotonic_ns
        self._sleepers: dict[int, tuple[int | None, Wake]] = {}
        self.disciplined: ClockDiscipline | None = None  # what `discipline` returns
        self.delayed: ThreadDelay | None = None  # what `thread_delay` returns
        self.began_ns: int | None = None  # what `process_began_ns` returns

    def monotonic_ns(self) -> int:
        """See `tickglass.sched.clock.Clock`."""
        return self._monotonic_ns

    def wall_ns(self) -> int:
        """See `tickglass.sched.clock.Clock`."""
        return self._monotonic_ns + self._offset_ns

    def reading(self) -> Reading:
        """See `tickglass.sched.clock.Clock`."""
        with self._moved:
            return Reading(self._monotonic_ns, self._monotonic_ns + self._offset_ns)

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        """See `tickglass.sched.clock.Clock`; only `advance` ends the wait by time."""
        me = threading.get_ident()
        with self._moved:
            self._sleepers[me] = (until_ns, wake)
            self._moved.notify_all()
        try:
            with wake.condition:
                while not wake.rung:
                    if until_ns is not None and self._monotonic_ns >= until_ns:
                        return False
                    wake.condition.wait()
                wake.rung = False
                return True
        finally:
            with self._moved:
                self._sleepers.pop(me, None)

    def discipline(self) -> ClockDiscipline | None:
        """See `tickglass.sched.clock.Clock`; None unless a test has set `disciplined`."""
        return self.disciplined

    def thread_delay(self) -> ThreadDelay | None:
        """See `tickglass.sched.clock.Clock`; None unless a test has set `delayed`."""
        return self.delayed

    def process_began_ns(self) -> int | None:
        """See `tickglass.sched.clock.Clock`; None unless a test has set `began_ns`."""
        return self.began_ns

    def advance(self, by_ns: int) -> None:
        """Move both clocks forward and wake the threads that waited for it."""
        with self._moved:
            self._monotonic_ns += by_ns
            sleepers = list(self._sleepers.values())
        for _, wake in sleepers:
            with wake.condition:
                wake.condition.notify_all()

    def step(self, by_ns: int) -> None:
        """Set the wall clock forward or back; the monotonic clock does not change."""
        with self._moved:
            self._offset_ns += by_ns

    def wait_for_sleepers(self, count: int) -> None:
        """Block until this many threads wait on this clock; threads that were rung or are due do not count.

        Raises:
            TimeoutError: not within 10 s of real time.
        """
        with self._moved:
            if not self._moved.wait_for(lambda: self._asleep() >= count, _PATIENCE_NS / 1e9):
                raise TimeoutError(f"{self._asleep()} of {count} threads wait on the clock")

    def _asleep(self) -> int:
        now_ns = self._monotonic_ns
        return sum(
            not wake.rung and (until_ns is None or until_ns > now_ns) for until_ns, wake in self._sleepers.values()
        )


class ListSink:
    """Keeps every event, and lets a test wait for one."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`."""
        with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    def of(self, kind: type[T]) -> list[T]:
        """Return the events of one type, in order."""
        with self._arrived:
            return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, wanted: Callable[[Event], bool], *, count: int = 1, patience_s: float = 10.0) -> Event:
        """Block until this many events match; return the last of them.

        Raises:
            TimeoutError: they did not arrive in time; the message shows the latest events.
        """
        clock = SystemClock()
        deadline_ns = clock.monotonic_ns() + int(patience_s * 1e9)
        with self._arrived:
            while True:
                fitting = _first(count, filter(wanted, self.events))
                if len(fitting) == count:
                    return fitting[-1]
                left_s = (deadline_ns - clock.monotonic_ns()) / 1e9
                if left_s <= 0 or not self._arrived.wait(left_s):
                    latest = "\n".join(map(repr, self.events[-5:]))
                    raise TimeoutError(f"{len(fitting)} of {count} events; the latest were\n{latest}")


def _first(count: int, events: Iterable[Event]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        found.append(event)
        if len(found) == count:
            break
    return found
