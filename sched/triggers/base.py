"""Define what every trigger answers, and derive all answers from its next instant.

Pure. Instants are whole nanoseconds since the Unix epoch, or aware datetimes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from tickglass.sched.durations import SECOND, US
from tickglass.sched.errors import ConfigError

__all__ = ["EPOCH", "LATEST_NS", "InstantCount", "Trigger", "from_ns", "to_ns"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_NS: Final = 2**63 - 1  # 2262-04-11T23:47:16Z: what stores, which count in 64 bits, can hold
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class InstantCount:
    """How many instants lie in a span of time, and which is the latest.

    Attributes:
        count: the number of instants; where not exact, a lower bound.
        latest_ns: the latest instant in the span, always exact; None if there is none.
        exact: False where counting stopped at the limit.
    """

    count: int
    latest_ns: int | None
    exact: bool


class Trigger(ABC):
    """A pure rule that yields due instants, strictly ascending.

    A subclass writes `next_after_ns`; everything else is derived from it. Two calls
    with the same argument give the same answer, in every process and thread.
    """

    __slots__ = ()

    @abstractmethod
    def next_after_ns(self, after_ns: int) -> int | None:
        """Return the first instant strictly after `after_ns`, or None if no more come.

        Both are nanoseconds since the Unix epoch. Never decreases as `after_ns` grows.
        A scheduler takes an instant after `LATEST_NS` for None.
        """

    @property
    def fixed_rate(self) -> bool:
        """Whether it is a rate, which goes on when the wall clock is set back, or a time of day."""
        return False

    @property
    def zone(self) -> tzinfo:
        """The zone in which `next_after` answers."""
        return UTC

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first instant strictly after an aware datetime, in the trigger's zone.

        An instant finer than a microsecond is rounded up, because a datetime holds
        no more. None where no more instants come, or none that a datetime can hold.

        Raises:
            ConfigError: the datetime has no zone.
        """
        found = self.next_after_ns(to_ns(instant, what="next_after(instant)"))
        return None if found is None else from_ns(found, self.zone)

    def bind(self, job_name: str) -> Trigger:  # noqa: ARG002 - for triggers that differ by job
        """Return the trigger for the job of that name; only jitter differs by job."""
        return self

    def interval_ns(self, after_ns: int) -> int | None:
        """Return the distance between the next two instants, or None where fewer than two come."""
        first = self.next_after_ns(after_ns)
        second = None if first is None else self.next_after_ns(first)
        return None if first is None or second is None else second - first

    def count_between(self, after_ns: int, until_ns: int, limit: int) -> InstantCount:
        """Count the instants in (after_ns, until_ns], of which at most `limit` are visited."""
        count, latest = 0, None
        following = self.next_after_ns(after_ns)
        while following is not None and following <= until_ns:
            if count >= limit:
                return InstantCount(count, self._latest_ns(following, until_ns), exact=False)
            count, latest = count + 1, following
            following = self.next_after_ns(following)
        return InstantCount(count, latest, exact=True)

    def _latest_ns(self, known_ns: int, until_ns: int) -> int:
        """Return the latest instant <= until_ns, given an earlier one.

        Windows that double in size reach back from `until_ns` to an instant; bisection then
        finds the latest. It takes some 60 calls at most, for any span.
        """
        low, high, reach = known_ns, until_ns, 1_000_000
        while (probe := until_ns - reach) > low:
            found = self.next_after_ns(probe)
            if found is not None and found <= until_ns:
                low = found
                break
            high, reach = probe, reach * 2
        # From here on: low is an instant, and none lies in (high, until_ns].
        while (following := self.next_after_ns(low)) is not None and following <= until_ns:
            low = following
            middle = (low + high) // 2
            found = self.next_after_ns(middle)
            if found is not None and found <= until_ns:
                low = found
            else:
                high = middle
        return low

    def __str__(self) -> str:
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        return str(self)


def to_ns(instant: datetime, *, what: str) -> int:
    """Return an aware datetime as nanoseconds since the Unix epoch.

    A time that its zone's clock jumps over is the first instant after the gap, as with cron.

    Raises:
        ConfigError: not a datetime, or one without a zone.
    """
    if not isinstance(instant, datetime):
        raise ConfigError(f"{what} must be an aware datetime, not {type(instant).__name__}", given=repr(instant))
    if instant.utcoffset() is None:
        raise ConfigError(
            f"{what} has no zone, so it names no instant",
            given=str(instant),
            examples=("datetime(..., tzinfo=UTC)", 'datetime(..., tzinfo=ZoneInfo("Europe/Berlin"))'),
        )
    since = _behind_gap(instant) - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * US


def _behind_gap(instant: datetime) -> datetime:
    """Return an aware datetime, or the first instant after the gap of the clock that it lies in."""
    before, after = instant.replace(fold=0).utcoffset(), instant.replace(fold=1).utcoffset()
    zone, shown = instant.tzinfo, instant.replace(tzinfo=None)
    if zone is None or before is None or after is None or before >= after:
        return instant  # only in a gap is the offset of the second fold the larger one (PEP 495)
    low, high = shown - after, shown - before  # UTC: the clock jumps between the two
    while high - low > _MICROSECOND:
        middle = low + (high - low) // 2
        if zone.fromutc(middle.replace(tzinfo=zone)).replace(tzinfo=None) < shown:
            low = middle
        else:
            high = middle
    return high.replace(tzinfo=UTC)


def from_ns(instant_ns: int, zone: tzinfo) -> datetime | None:
    """Return nanoseconds since the Unix epoch as a datetime, rounded up to a microsecond; None if out of its range."""
    try:
        return (EPOCH + -(-instant_ns // US) * _MICROSECOND).astimezone(zone)
    except OverflowError:
        return None
