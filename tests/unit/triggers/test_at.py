from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tickglass.sched.triggers import Counted, at

INSTANT = datetime(2027, 1, 31, 1, 30, tzinfo=UTC)
NS = 1_801_359_000 * 10**9


@pytest.mark.parametrize(
    "trigger",
    [
        at(INSTANT),
        at("2027-01-31T02:30:00+01:00"),
        at("2027-01-31T01:30Z"),
        at("20270131T013000Z"),
        at(datetime(2027, 1, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))),
    ],
)
def test_at_is_due_once(trigger: object) -> None:
    assert trigger == at(INSTANT)
    assert at(INSTANT).next_after_ns(NS - 1) == NS
    assert at(INSTANT).next_after_ns(NS) is None
    assert at(INSTANT).count_between(NS - 1, NS, 5) == Counted(1, NS, exact=True)
    assert at(INSTANT).count_between(NS, NS + 1, 5) == Counted(0, None, exact=True)


def test_both_passes_of_an_hour_shown_twice_can_be_meant() -> None:
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert str(at(twice)) == 'at("2026-10-25T00:30:00+00:00")'
    assert str(at(twice.replace(fold=1))) == 'at("2026-10-25T01:30:00+00:00")'
