"""Decide which times of the wall clock match a cron expression.

Pure, and without zones: times are whole milliseconds that the wall clock
shows, counted from 1970-01-01 00:00 as if no zone ever changed.

croniter parses the fields, but does not compute instants: it needs 30 to 55 us for a
step, has no milliseconds, and does not see both passes of a repeated hour.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date
from typing import TYPE_CHECKING, Final

from tickglass.sched.triggers.dst import DAY_MS

if TYPE_CHECKING:
    from tickglass.sched.triggers.days import DayRule

__all__ = ["Wall"]

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LAST_YEAR: Final = 9998
_UNITS_MS: Final = (3_600_000, 60_000, 1_000, 1)

Values = tuple[int, ...]


class Wall:
    """The times of day and the days on which a wall clock matches.

    Args:
        times: hours, minutes, seconds and milliseconds, each ascending and not empty.
        days: which days are due; at least one must ever come.
    """

    __slots__ = ("_days", "_first", "_levels", "_near", "_times")

    def __init__(self, times: tuple[Values, Values, Values, Values], days: DayRule) -> None:
        self._times = times
        self._days = days
        # From hours down to milliseconds: the values, their unit, and the earliest time of all below.
        first, levels = 0, []
        for values, unit in zip(reversed(times), reversed(_UNITS_MS), strict=True):
            levels.append((values, unit, first))
            first += values[0] * unit
        self._levels = tuple(reversed(levels))
        self._first = first
        # No day in [near[0], near[1]) is due, near[1] is. Replaced whole, so safe between threads.
        self._near = (1, 0)

    @property
    def meaning(self) -> tuple[tuple[Values, Values, Values, Values], DayRule]:
        """Equal for expressions that match the same times."""
        return self._times, self._days

    @property
    def every_hour(self) -> bool:
        """Whether all hours of the day match."""
        return len(self._times[0]) == 24

    def first_from(self, local: int) -> int | None:
        """Return the first matching time >= local, or None if the calendar ends before it."""
        today, rest = divmod(local, DAY_MS)
        day = self._day_from(today)
        if day == today:
            time = self._time_from(rest)
            if time is not None:
                return today * DAY_MS + time
            day = self._day_from(today + 1)
        return None if day is None else day * DAY_MS + self._first

    def _time_from(self, rest: int) -> int | None:
        """Return the first matching time of day >= rest."""
        fixed = 0  # the part of the answer that is settled
        later: int | None = None  # the answer if nothing below the settled part comes any more
        for values, unit, first_below in self._levels:
            value, rest = divmod(rest, unit)
            index = bisect_left(values, value)
            if index == len(values):
                return later
            found = values[index]
            if found != value:
                return fixed + found * unit + first_below
            if found != values[-1]:
                later = fixed + values[index + 1] * unit + first_below
            fixed += found * unit
        return fixed

    def _day_from(self, day: int) -> int | None:
        near = self._near
        if near[0] <= day <= near[1]:
            return near[1]
        found = self._search(day)
        if found is not None:
            self._near = (day, found)
        return found

    def _search(self, day: int) -> int | None:
        start = date.fromordinal(day + _EPOCH_DAY)
        year, month, least = start.year, start.month, start.day
        while year <= _LAST_YEAR:
            days = self._days.days_of(year, month)
            index = bisect_left(days, least)
            if index < len(days):
                return date(year, month, days[index]).toordinal() - _EPOCH_DAY
            year, month, least = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)
        return None
