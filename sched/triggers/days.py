"""Decide on which days of a month a cron expression is due.

Pure. A month is given by the weekday of its first day (0 = Monday) and its length.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass

__all__ = ["DayRule", "DaysBeforeLast", "LastWeekday", "NthWeekday", "Special", "WorkdayNear"]


@dataclass(frozen=True, slots=True)
class DaysBeforeLast:
    """`L`, `L-3`: this many days before the last of the month."""

    days: int

    def day(self, first_weekday: int, length: int) -> int | None:  # noqa: ARG002 - one shape for all
        """Return the day of the month, if this month has it."""
        day = length - self.days
        return day if day >= 1 else None


@dataclass(frozen=True, slots=True)
class WorkdayNear:
    """`15W`: the day from Monday to Friday nearest to a day, in the same month.

    A month without that day counts from its last one, as croniter does. `LW`, where
    `near` is None, counts from the last in each month.
    """

    near: int | None

    def day(self, first_weekday: int, length: int) -> int | None:
        """Return the day of the month."""
        day = length if self.near is None else min(self.near, length)
        weekday = (first_weekday + day - 1) % 7
        if weekday == 5:
            return day - 1 if day > 1 else day + 2
        if weekday == 6:
            return day + 1 if day < length else day - 2
        return day


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`FRI#2`: the second Friday. Weekdays as cron counts them, 0 = Sunday."""

    weekday: int
    nth: int

    def day(self, first_weekday: int, length: int) -> int | None:
        """Return the day of the month, if this month has it."""
        day = 1 + (self.weekday - 1 - first_weekday) % 7 + 7 * (self.nth - 1)
        return day if day <= length else None


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """`L5`: the last Friday. Weekdays as cron counts them, 0 = Sunday."""

    weekday: int

    def day(self, first_weekday: int, length: int) -> int | None:
        """Return the day of the month."""
        return length - (first_weekday + length - self.weekday) % 7


Special = DaysBeforeLast | WorkdayNear | NthWeekday | LastWeekday


@dataclass(frozen=True, slots=True)
class DayRule:
    """The day fields of an expression. None is a field that allows every day.

    Attributes:
        months: 1 to 12.
        month_days: days of the month, by number or by rule.
        weekdays: weekdays by number (0 = Sunday), or by rule.
    """

    months: frozenset[int]
    month_days: frozenset[int | Special] | None
    weekdays: frozenset[int | Special] | None

    def days_of(self, year: int, month: int) -> tuple[int, ...]:
        """Return the due days of a month, ascending.

        Where both fields restrict the day, it needs to satisfy only one, as in every cron.
        """
        if month not in self.months:
            return ()
        first_weekday, length = monthrange(year, month)
        if self.month_days is None and self.weekdays is None:
            return tuple(range(1, length + 1))
        due: set[int | None] = set()
        for rule in self.month_days or ():
            due.add(rule if isinstance(rule, int) else rule.day(first_weekday, length))
        for rule in self.weekdays or ():
            if isinstance(rule, int):
                due.update(range(1 + (rule - 1 - first_weekday) % 7, length + 1, 7))
            else:
                due.add(rule.day(first_weekday, length))
        return tuple(sorted(day for day in due if day is not None and day <= length))

    def ever(self) -> bool:
        """Whether any day is ever due: the calendar repeats after 400 years."""
        return any(self.days_of(year, month) for year in range(2000, 2400) for month in self.months)
