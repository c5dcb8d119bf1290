"""What is said of APScheduler's triggers is due when APScheduler says, which is asked here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from hypothesis import given
from hypothesis import strategies as st

from tickglass.importing.apscheduler_triggers import from_crontab, said
from tickglass.importing.literals import CannotSay
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass import Trigger

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
INSTANTS = 40


def ours(kind: str, given: dict[str, Any]) -> list[datetime]:
    trigger = trigger_of(said(kind, given, "UTC").text, "job")
    assert trigger is not None
    return list(following(trigger))


def following(trigger: Trigger) -> Iterator[datetime]:
    instant = START
    for _ in range(INSTANTS):
        found = trigger.next_after(instant)
        assert found is not None
        instant = found
        yield instant


def theirs(trigger: Any) -> list[datetime]:  # noqa: ANN401 - has no types
    found: list[datetime] = []
    previous, now = None, START + timedelta(microseconds=1)
    for _ in range(INSTANTS):
        previous = trigger.get_next_fire_time(previous, now)
        found.append(previous)
        now = previous
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hour": 3},
        {"hour": "*/7"},
        {"hour": "8-18/3", "minute": "0,30"},
        {"minute": "*/15"},
        {"minute": "7/20"},
        {"second": "*/10"},
        {"second": 5, "hour": 4},
        {"day": 1},
        {"day": 31, "hour": 12},
        {"day": "last"},
        {"day": "10-20/5, last"},
        {"day": "1st mon"},
        {"day": "2nd fri, last sun", "hour": 6},
        {"day": "5th wed"},
        {"month": 5},
        {"month": "jan-mar,10", "day": 15},
        {"month": "*/4", "hour": 1},
        {"day_of_week": "mon-fri", "hour": 9, "minute": 30},
        {"day_of_week": 0},
        {"day_of_week": "0-4", "minute": 15},
        {"day_of_week": "*/2", "hour": 1},
        {"day_of_week": "5/1", "hour": 1},
        {"day_of_week": "SAT,sun", "hour": 1},
        {"day_of_week": "mon-sun", "hour": 1},
        {"year": "*", "month": "*", "day": "*", "week": "*", "day_of_week": "*", "hour": "*", "minute": "*"},
    ],
)
def test_a_cron_trigger_is_due_when_apscheduler_says(fields: dict[str, Any]) -> None:
    assert ours("cron", fields) == theirs(CronTrigger(**fields, timezone="UTC"))


@pytest.mark.parametrize("expression", ["0 0 * * 0", "*/5 8-17 * * 0-4", "30 2 1 * *", "0 0 * * sun", "15 3 * 1-6 *"])
def test_an_expression_is_due_when_apscheduler_says(expression: str) -> None:
    assert ours("cron", from_crontab(expression)) == theirs(CronTrigger.from_crontab(expression, timezone="UTC"))


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "month": st.sampled_from(["*", "1-6", "feb,nov", 7]),
        "day": st.sampled_from(["*", "15", "last", "3rd tue", "1-10/4"]),
        "day_of_week": st.sampled_from(["*", "mon", "0-2", "*/3", "fri-sun"]),
        "hour": st.sampled_from(["*", 0, "*/6", "22-23"]),
        "minute": st.sampled_from(["*", 30, "*/25", "1,2,3"]),
        "second": st.sampled_from(["*", 0, 59]),
    },
)


@given(FIELDS)
def test_any_fields_are_due_when_apscheduler_says_or_are_refused(fields: dict[str, Any]) -> None:
    if fields.get("day", "*") != "*" and fields.get("day_of_week", "*") != "*":
        with pytest.raises(CannotSay, match="a day must match both"):
            said("cron", fields, "UTC")
    else:
        assert ours("cron", fields) == theirs(CronTrigger(**fields, timezone="UTC"))


@pytest.mark.parametrize(
    "parts",
    [
        {"hours": 6, "start_date": datetime(2025, 12, 31, 1, 30, tzinfo=UTC)},
        {"seconds": 90, "start_date": "2025-12-31 23:00:10"},
        {"weeks": 1, "start_date": "2025-12-01"},
    ],
)
def test_an_interval_keeps_its_grid(parts: dict[str, Any]) -> None:
    assert ours("interval", parts) == theirs(IntervalTrigger(**parts, timezone="UTC"))
