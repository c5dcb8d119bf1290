"""Find the stretches of real time in which a zone's offset does not change.

Pure. Everything is whole milliseconds since the Unix epoch; "local" means what
the wall clock shows, counted as if it were UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from tickglass.sched.triggers.base import EPOCH

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["DAY_MS", "FIRST_MS", "LAST_MS", "Dst", "Stretch", "stretch_at"]

Dst = Literal["once", "skip", "both"]

DAY_MS: Final = 86_400_000
_SECOND: Final = timedelta(seconds=1)
_NAIVE_EPOCH: Final = EPOCH.replace(tzinfo=None)

# No two changes of any zone lie closer together than 95 hours (Africa/Freetown,
# September 1939), so a probe every 48 hours misses none. A test checks it
# against the tz database that is installed.
_PROBE_EVERY_S: Final = 2 * 86_400


def _year_ms(year: int) -> int:
    return (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // _SECOND * 1000


FIRST_MS: Final = _year_ms(2)  # a year's distance from both ends of datetime
LAST_MS: Final = _year_ms(9998)


class Stretch(NamedTuple):
    """A span of real time, [start, end), in which the zone's offset stays the same.

    `floor` is the furthest the wall clock had ever come before `start`. Where it is
    ahead of start + offset the clock went back, and shows times up to `floor` again;
    where it is behind, the clock jumped, and never showed [floor, start + offset).
    """

    start: int
    end: int
    offset: int
    floor: int


def stretch_at(zone: ZoneInfo, instant: int) -> Stretch:
    """Return the stretch that holds an instant, cut at the ends of the UTC year."""
    year = (_NAIVE_EPOCH + timedelta(milliseconds=instant)).year
    return next(stretch for stretch in _stretches(zone, year) if instant < stretch.end)


@lru_cache(maxsize=2048)  # many jobs share few zones and years
def _stretches(zone: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    begin, end = _year_ms(year), _year_ms(year + 1)
    start = begin // 1000 - _PROBE_EVERY_S  # far enough back to see where the clock came from
    changes = _changes(zone, start, end // 1000)
    starts = [start * 1000, *(change * 1000 for change in changes)]
    ends = [*starts[1:], end]
    stretches, high = [], starts[0] + _offset_s(zone, start) * 1000
    for each_start, each_end in zip(starts, ends, strict=True):
        offset = _offset_s(zone, each_start // 1000) * 1000
        if each_end > begin:
            cut = max(each_start, begin)
            floor = high if cut == each_start else max(high, cut + offset)
            stretches.append(Stretch(cut, each_end, offset, floor))
        high = max(high, each_end + offset)
    return tuple(stretches)


def _changes(zone: ZoneInfo, start: int, end: int) -> list[int]:
    """Return the seconds in (start, end) at which the offset changes, ascending."""
    changes = []
    before, offset = start, _offset_s(zone, start)
    while before < end:
        after = min(before + _PROBE_EVERY_S, end)
        offset_after = _offset_s(zone, after)
        if offset_after != offset:
            changes.append(_change(zone, before, after, offset))
        before, offset = after, offset_after
    return [change for change in changes if change < end]


def _change(zone: ZoneInfo, before: int, after: int, offset: int) -> int:
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_s(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset_s(zone: ZoneInfo, instant_s: int) -> int:
    # The difference of the two clocks, not utcoffset(): that one looks the
    # offset up by local time, which may be ambiguous; the instant is not.
    instant = _NAIVE_EPOCH + timedelta(seconds=instant_s)
    return (zone.fromutc(instant.replace(tzinfo=zone)).replace(tzinfo=None) - instant) // _SECOND
