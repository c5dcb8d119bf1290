"""Decide the instants of a fixed rate: a grid of whole nanoseconds.

Pure. The grid starts from the Unix epoch or from an anchor, never from the start of a
process, so a restart neither shifts nor loses an instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from tickglass.sched.durations import MS, Duration, duration_ns, duration_text
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.base import InstantCount, Trigger, to_ns
from tickglass.sched.triggers.jitter import with_jitter

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Every", "every"]


@dataclass(frozen=True, slots=True, repr=False)
class Every(Trigger):
    """Every instant of the form phase + k * period, for all whole k.

    Attributes:
        period_ns: at least one millisecond.
        phase_ns: 0 <= phase_ns < period_ns.
    """

    period_ns: int
    phase_ns: int = 0

    @property
    def fixed_rate(self) -> bool:
        """See `Trigger`."""
        return True

    def next_after_ns(self, after_ns: int) -> int:
        """Return the next point of the grid."""
        period = self.period_ns
        return after_ns + period - (after_ns - self.phase_ns) % period

    def interval_ns(self, after_ns: int) -> int:  # noqa: ARG002 - the same everywhere
        """Return the period."""
        return self.period_ns

    def count_between(self, after_ns: int, until_ns: int, limit: int) -> InstantCount:  # noqa: ARG002 - never needed
        """Count by arithmetic: exact, and the same cost for an hour or a century."""
        last = (until_ns - self.phase_ns) // self.period_ns
        count = last - (after_ns - self.phase_ns) // self.period_ns
        if count <= 0:
            return InstantCount(0, None, exact=True)
        return InstantCount(count, last * self.period_ns + self.phase_ns, exact=True)

    def __str__(self) -> str:
        return _text(self.period_ns, self.phase_ns)


@lru_cache(maxsize=1_024)  # ten thousand jobs share few rates, and their stores and sinks keep the text
def _text(period_ns: int, phase_ns: int) -> str:
    offset = f', offset="{duration_text(phase_ns)}"' if phase_ns else ""
    return f'every("{duration_text(period_ns)}"{offset})'


def every(
    period: Duration,
    *,
    offset: Duration | None = None,
    anchor: datetime | None = None,
    jitter: Duration | None = None,
) -> Trigger:
    """Return a trigger at a fixed rate.

    Args:
        period: "100ms", "1h30m" or a timedelta; at least 1 ms.
        offset: moves the grid later; smaller than the period.
        anchor: an aware datetime that lies on the grid (before the offset);
            the Unix epoch if not given. The grid reaches to both sides of it.
            An anchor that its zone's clock jumps over is the first instant after the gap.
        jitter: each instant moves later by less than this, differently for each job.

    Raises:
        ConfigError: a period under 1 ms, an offset that does not fit, an anchor without a zone.
    """
    period_ns = duration_ns(period, what="every(period)", min_ns=MS)
    offset_ns = 0 if offset is None else duration_ns(offset, what="every(offset=)", min_ns=0)
    if offset_ns >= period_ns:
        raise ConfigError(
            f"every(offset=) must be smaller than the period, {duration_text(period_ns)}",
            given=str(offset),
            instead=(f'offset="{duration_text(offset_ns % period_ns)}"',),
        )
    anchor_ns = 0 if anchor is None else to_ns(anchor, what="every(anchor=)")
    return with_jitter(Every(period_ns, (anchor_ns + offset_ns) % period_ns), jitter)
