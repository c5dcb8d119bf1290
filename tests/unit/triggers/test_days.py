from __future__ import annotations

import pytest

from tickglass.sched.triggers.days import DayRule, DaysBeforeLast, LastWeekday, NthWeekday, Special, WorkdayNear

ALL_MONTHS = frozenset(range(1, 13))


@pytest.mark.parametrize(
    ("rule", "year", "month", "day"),
    [
        (DaysBeforeLast(0), 2026, 2, 28),
        (DaysBeforeLast(0), 2028, 2, 29),
        (DaysBeforeLast(3), 2026, 4, 27),
        (DaysBeforeLast(28), 2026, 2, None),
        (WorkdayNear(15), 2026, 7, 15),  # a Wednesday
        (WorkdayNear(15), 2026, 8, 14),  # a Saturday: the Friday before
        (WorkdayNear(15), 2026, 11, 16),  # a Sunday: the Monday after
        (WorkdayNear(1), 2026, 8, 3),  # a Saturday, the first: not into July
        (WorkdayNear(1), 2026, 11, 2),  # a Sunday
        (WorkdayNear(31), 2026, 5, 29),  # a Sunday, the last: not into June
        (WorkdayNear(31), 2026, 10, 30),  # a Saturday
        (WorkdayNear(31), 2026, 2, 27),  # February has no 31st: near its last, a Saturday
        (WorkdayNear(None), 2026, 2, 27),  # LW: the last is a Saturday
        (WorkdayNear(None), 2026, 3, 31),
        (NthWeekday(5, 3), 2026, 1, 16),
        (NthWeekday(0, 1), 2026, 2, 1),
        (NthWeekday(6, 5), 2026, 2, None),
        (NthWeekday(6, 5), 2026, 1, 31),
        (LastWeekday(5), 2026, 1, 30),
        (LastWeekday(0), 2026, 5, 31),
        (LastWeekday(6), 2026, 2, 28),
    ],
)
def test_a_rule_finds_its_day(rule: Special, year: int, month: int, day: int | None) -> None:
    assert DayRule(ALL_MONTHS, frozenset({rule}), None).days_of(year, month) == (() if day is None else (day,))


def test_where_both_fields_have_a_say_one_is_enough() -> None:
    rule = DayRule(ALL_MONTHS, frozenset({13}), frozenset({5}))
    assert rule.days_of(2026, 1) == (2, 9, 13, 16, 23, 30)


def test_days_that_no_month_has_never_come() -> None:
    assert not DayRule(frozenset({2}), frozenset({30}), None).ever()
    assert not DayRule(frozenset({4, 6}), frozenset({31}), None).ever()
    assert not DayRule(frozenset({2}), frozenset({DaysBeforeLast(29)}), None).ever()
    assert DayRule(frozenset({2}), frozenset({29}), None).ever()
    assert DayRule(frozenset({2}), None, frozenset({NthWeekday(1, 5)})).ever()
