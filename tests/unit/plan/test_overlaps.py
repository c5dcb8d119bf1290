"""Which jobs of one resource fall due together, against all instants counted one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from tickglass import Trigger, at, cron, every
from tickglass.plan.instants import instants_of
from tickglass.plan.overlaps import Contender, arising
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.triggers.base import to_ns

MONDAY = to_ns(datetime(2026, 3, 2, tzinfo=UTC), what="a test")
WEEK = MONDAY + 7 * 86_400 * SECOND
ONE, OTHER = JobId("billing", "one"), JobId("shop", "other")

TRIGGERS = (
    every("1h"),
    every("90m"),
    every("1h", offset="10m"),
    cron("0 3 * * *"),
    cron("0 3 * * MON-FRI"),
    cron("0/10 * * * *"),
    at("2026-03-04T03:00:00Z"),
    at("2020-01-01T00:00:00Z"),
)


def on(job: JobId, trigger: Trigger | None, resource: str = "warehouse") -> Contender:
    return Contender(job, resource, trigger)


@pytest.mark.parametrize(("one", "other"), list(product(TRIGGERS, TRIGGERS)))
def test_a_new_job_meets_another_at_the_instants_that_both_have(one: Trigger, other: Trigger) -> None:
    common = set(instants_of(one, MONDAY, WEEK)) & set(instants_of(other, MONDAY, WEEK))
    found = arising([(None, on(ONE, one)), (on(OTHER, other), on(OTHER, other))], MONDAY, WEEK, 100_000)
    assert sum(overlap.count for overlap in found) == len(common)
    for overlap in found:
        assert (overlap.resource, overlap.jobs, overlap.exact) == ("warehouse", (ONE, OTHER), True)
        assert list(overlap.first) == sorted(common)[:3]


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (on(ONE, cron("0 3 * * *")), on(ONE, cron("0 3 * * *")), 0),  # nothing changed
        (on(ONE, cron("30 2 * * *")), on(ONE, cron("0 3 * * *")), 7),
        (on(ONE, cron("0 3 * * MON-FRI")), on(ONE, cron("0 3 * * *")), 2),  # the others were there before
        (on(ONE, cron("0 3 * * *"), "elsewhere"), on(ONE, cron("0 3 * * *")), 7),
        (on(ONE, cron("0 3 * * *")), on(ONE, cron("0 3 * * *"), "elsewhere"), 0),
        (on(ONE, None), on(ONE, cron("0 3 * * *")), 7),
        (None, on(ONE, None), 0),
    ],
)
def test_only_what_was_not_there_before_arises(before: Contender | None, after: Contender, count: int) -> None:
    other = on(OTHER, every("1h"))
    found = arising([(before, after), (other, other)], MONDAY, WEEK, 100_000)
    assert [overlap.count for overlap in found] == ([count] if count else [])


def test_a_count_that_is_not_exact_says_so_and_a_dense_trigger_is_no_trouble() -> None:
    other = on(OTHER, every("100ms"))
    (found,) = arising([(None, on(ONE, every("1m"))), (other, other)], MONDAY, WEEK, 200)
    assert (found.count, found.exact) == (200, False)
    (found,) = arising([(None, on(ONE, cron("0 3 * * *"))), (other, other)], MONDAY, WEEK, 200)
    assert (found.count, found.exact) == (7, True)
