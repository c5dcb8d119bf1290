"""Decide the one instant of a job that runs once.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.base import LATEST_NS, Trigger, from_ns, to_ns
from tickglass.sched.triggers.jitter import with_jitter

if TYPE_CHECKING:
    from tickglass.sched.durations import Duration

__all__ = ["At", "at"]


@dataclass(frozen=True, slots=True, repr=False)
class At(Trigger):
    """One instant, in nanoseconds since the Unix epoch."""

    instant_ns: int

    def next_after_ns(self, after_ns: int) -> int | None:
        """Return the instant, if it is still to come."""
        return self.instant_ns if after_ns < self.instant_ns else None

    def __str__(self) -> str:
        instant = from_ns(self.instant_ns, UTC)
        return f'at("{instant.isoformat() if instant else self.instant_ns}")'


def at(instant: datetime | str, *, jitter: Duration | None = None) -> Trigger:
    """Return a trigger that is due once.

    Args:
        instant: an aware datetime, or ISO-8601 text with an offset such as "2027-01-31T02:30:00+01:00".
        jitter: the instant moves later by less than this, differently for each job.

    Raises:
        ConfigError: not an instant, one without a zone, or one after `LATEST_NS`, in the year 2262.
    """
    moment = _read(instant) if isinstance(instant, str) else instant
    instant_ns = to_ns(moment, what="at(instant)")
    if instant_ns > LATEST_NS:
        raise ConfigError(
            "at(instant) is later than any store can hold",
            given=str(instant),
            instead=(str(At(LATEST_NS // SECOND * SECOND)),),
        )
    return with_jitter(At(instant_ns), jitter)


def _read(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            "at(instant) is not an ISO-8601 date and time with an offset",
            given=text or '""',
            instead=('at("2027-01-31T02:30:00+01:00")', 'at("2027-01-31T02:30:00Z")'),
        ) from error
    if moment.utcoffset() is None:
        shown = moment.isoformat()
        raise ConfigError(
            "at(instant) has no offset, so it names no instant",
            given=text,
            span=(len(text), len(text) + 1),
            instead=(f'at("{shown}Z")', f'at("{shown}+01:00")'),
        )
    return moment
