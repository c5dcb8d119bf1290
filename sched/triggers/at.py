"""Decide the one instant of a job that runs once.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND, US
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.base import LATEST_NS, Trigger, from_ns, to_ns
from tickglass.sched.triggers.iso import read_iso
from tickglass.sched.triggers.jitter import with_jitter

if TYPE_CHECKING:
    from tickglass.sched.durations import Duration

__all__ = ["At", "at"]

_CHARS_MAX: Final = 100  # characters; an instant to the nanosecond, with its offset, has 35
_EXAMPLES: Final = ('at("2027-01-31T02:30:00+01:00")', 'at("2027-01-31T02:30:00Z")')


@dataclass(frozen=True, slots=True, repr=False)
class At(Trigger):
    """One instant, in nanoseconds since the Unix epoch."""

    instant_ns: int

    def next_after_ns(self, after_ns: int) -> int | None:
        """Return the instant, if it is still to come."""
        return self.instant_ns if after_ns < self.instant_ns else None

    def __str__(self) -> str:
        whole_us, rest_ns = divmod(self.instant_ns, US)
        instant = from_ns(whole_us * US, UTC)
        if instant is None:
            return f'at("{self.instant_ns}")'
        if rest_ns:
            moment, offset = instant.isoformat(timespec="microseconds").split("+")
            return f'at("{moment}{rest_ns:03}+{offset}")'
        return f'at("{instant.isoformat()}")'


def at(instant: datetime | str, *, jitter: Duration | None = None) -> Trigger:
    """Return a trigger that is due once.

    Args:
        instant: an aware datetime, or ISO-8601 text with an offset such as
            "2027-01-31T02:30:00+01:00", to the nanosecond. A local time that does not
            exist, because the clock jumps over it, is the first instant after the gap.
        jitter: moves the instant later by less than this, differently for each job.

    Raises:
        ConfigError: not an instant, one without a zone, or one after `LATEST_NS`, in the year 2262.
    """
    moment, finer_ns = _read(instant) if isinstance(instant, str) else (instant, 0)
    instant_ns = to_ns(moment, what="at(instant)") + finer_ns
    if instant_ns > LATEST_NS:
        raise ConfigError(
            f"at(instant) is later than any store can hold, which is {from_ns(LATEST_NS // SECOND * SECOND, UTC)}",
            given=str(instant),
        )
    return with_jitter(At(instant_ns), jitter)


def _read(text: str) -> tuple[datetime, int]:
    if len(text) > _CHARS_MAX:
        raise ConfigError(f"at(instant) is at most {_CHARS_MAX} characters long", given=f"{text[:40]}...")
    try:
        moment, finer_ns = read_iso(text)
    except ValueError as error:
        raise ConfigError(
            "at(instant) is not an ISO-8601 date and time with an offset, at most to the nanosecond",
            given=text or '""',
            examples=_EXAMPLES,
        ) from error
    if moment.utcoffset() is None:
        raise ConfigError(
            "at(instant) has no offset, so it names no instant",
            given=text,
            span=(len(text), len(text) + 1),
            examples=_EXAMPLES,
        )
    return moment, finer_ns
