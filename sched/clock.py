"""Tell the time and wait for it: the only module that asks the operating system for either.

Two clocks, never mixed: the monotonic one for waiting and for trust in a lease,
the wall clock for due instants and for people. A `Reading` joins them at one
instant, and only the timeline converts between the two.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

__all__ = ["Clock", "Reading", "SystemClock", "Wake", "instant_of", "ns_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLOSE_ENOUGH_NS: Final = 20_000  # a pair of readings further apart than this was interrupted
_TRIES: Final = 8
# It counts suspend where the platform can, because a lease goes on expiring while the machine sleeps.
_MONOTONIC: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# A condition's time-out does not count suspend, so a wait reads the clock this often.
_RECHECK_NS: Final = 1_000_000_000


class Reading(NamedTuple):
    """Both clocks at one instant, in nanoseconds."""

    monotonic_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> int:
        """Wall minus monotonic: constant until the wall clock is set."""
        return self.wall_ns - self.monotonic_ns


class Wake:
    """A wake-up: one thread waits for it on a `Clock`, any thread rings it.

    A ring is remembered until a wait consumes it, so a ring just before the
    wait is never lost.
    """

    __slots__ = ("condition", "rung")

    def __init__(self) -> None:
        self.condition = threading.Condition(threading.Lock())
        self.rung = False

    def ring(self) -> None:
        """Make the present or the next wait return at once."""
        with self.condition:
            self.rung = True
            self.condition.notify_all()

    def wait(self) -> None:
        """Block until it rings, however long that takes; the ring is consumed."""
        with self.condition:
            while not self.rung:
                self.condition.wait()
            self.rung = False


class Clock(Protocol):
    """Where time comes from. Tests and simulations use `tickglass.testing.FakeClock`."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back; only differences mean anything."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch; may jump either way."""
        ...

    def reading(self) -> Reading:
        """Return both clocks, taken at one instant."""
        ...

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        """Block until a monotonic instant or a ring, whichever comes first.

        Returns:
            True when rung (the ring is consumed), False when the time came;
            then monotonic_ns() >= until_ns. If it came while the machine was
            suspended, the wait returns within a second of waking.
        """
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return time.clock_gettime_ns(_MONOTONIC)

    def wall_ns(self) -> int:
        """See `Clock`."""
        return time.time_ns()  # noqa: TID251 - the one place

    def reading(self) -> Reading:
        """Read wall between two monotonic readings; retry if a thread switch fell in between."""
        best, closest = Reading(0, 0), -1
        for _ in range(_TRIES):
            before = self.monotonic_ns()
            wall = self.wall_ns()
            gap = self.monotonic_ns() - before
            if closest < 0 or gap < closest:
                best, closest = Reading(before + gap // 2, wall), gap
            if gap <= _CLOSE_ENOUGH_NS:
                break
        return best

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        """See `Clock`."""
        with wake.condition:
            while not wake.rung:
                if until_ns is None:
                    wake.condition.wait()
                    continue
                left_ns = until_ns - self.monotonic_ns()
                if left_ns <= 0:
                    return False
                wake.condition.wait(min(left_ns, _RECHECK_NS) / 1e9)
            wake.rung = False
            return True


def instant_of(wall_ns: int) -> datetime:
    """Return an aware UTC datetime; nanoseconds below a microsecond are cut off."""
    return _EPOCH + timedelta(microseconds=wall_ns // 1_000)


def ns_of(instant: datetime) -> int:
    """Return nanoseconds since the Unix epoch of an aware datetime, exactly."""
    since = instant - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
