"""Which due instants come, go and move, against all of them counted one by one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import product

import pytest

from tickglass import Trigger, at, cron, every
from tickglass.plan.instants import difference, instants_of, only
from tickglass.sched.durations import SECOND
from tickglass.sched.triggers.base import to_ns

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
MONDAY = to_ns(datetime(2026, 3, 2, tzinfo=UTC), what="a test")
WEEK = MONDAY + 7 * DAY

TRIGGERS = (
    every("1h"),
    every("90m"),
    every("1h", offset="10m"),
    every("1h", jitter="20m"),
    cron("30 2 * * *"),
    cron("0 3 * * *"),
    cron("0 3 * * MON-FRI"),
    cron("0 */8 * * *"),
    cron("0 3 * * *", tz="Europe/Warsaw"),
    at("2026-03-04T03:00:00Z"),
    at("2030-01-01T00:00:00Z"),
)


@pytest.mark.parametrize(("before", "after"), list(product(TRIGGERS, TRIGGERS)))
def test_every_instant_is_kept_moved_added_or_removed(before: Trigger, after: Trigger) -> None:
    old, new = set(instants_of(before, MONDAY, WEEK)), set(instants_of(after, MONDAY, WEEK))
    found = difference(before, after, MONDAY, WEEK, 10_000)
    assert found.removed.count + found.moved.count == len(old - new)
    assert found.added.count + found.moved.count == len(new - old)
    assert found.added.exact
    assert found.removed.exact
    assert set(found.removed.first) <= old - new
    assert set(found.added.first) <= new - old
    for was, is_now in found.moved.first:
        assert was in old - new
        assert is_now in new - old


@pytest.mark.parametrize(
    ("before", "after", "removed", "added", "moved", "by"),
    [
        (cron("30 2 * * *"), cron("30 2 * * ?"), 0, 0, 0, None),
        (cron("30 2 * * *"), cron("0 3 * * *"), 0, 0, 7, 30 * MINUTE),
        (cron("0 3 * * *"), cron("30 2 * * *"), 0, 0, 7, -30 * MINUTE),
        (cron("0 23 * * *"), cron("0 1 * * *"), 1, 1, 6, 2 * HOUR),  # to the next day, which is nearer
        (every("5m"), every("10m"), 1_008, 0, 0, None),
        (every("10m"), every("5m"), 0, 1_008, 0, None),
        (every("1h"), every("1h", offset="1m"), 1, 1, 167, MINUTE),  # two partners lie beyond the ends
        (cron("0 3 * * *"), cron("0 3 * * MON-FRI"), 2, 0, 0, None),
        (at("2026-03-04T03:00:00Z"), at("2026-03-05T03:00:00Z"), 0, 0, 1, DAY),
        (at("2026-03-01T03:00:00Z"), at("2026-03-05T03:00:00Z"), 0, 1, 0, None),  # the first is over
    ],
)
def test_a_move_is_to_the_nearest_instant(
    before: Trigger, after: Trigger, removed: int, added: int, moved: int, by: int | None
) -> None:
    found = difference(before, after, MONDAY, WEEK, 10_000)
    assert (found.removed.count, found.added.count, found.moved.count) == (removed, added, moved)
    assert {is_now - was for was, is_now in found.moved.first} == (set() if by is None else {by})


def test_what_is_shown_are_the_first_ones_and_the_last() -> None:
    found = difference(every("1h"), cron("0 3 * * *"), MONDAY, WEEK, 10_000)
    assert found.removed.first == (MONDAY + HOUR, MONDAY + 2 * HOUR, MONDAY + 4 * HOUR)
    assert found.removed.last == WEEK
    moved = difference(every("1h"), every("1h", offset="1m"), MONDAY, WEEK, 10_000).moved
    assert moved.last == (WEEK - HOUR, WEEK - HOUR + MINUTE)


def test_a_count_that_is_not_exact_says_so() -> None:
    found = difference(every("1s"), every("2s"), MONDAY, WEEK, 100)
    assert (found.removed.count, found.removed.exact, found.moved.exact) == (50, False, False)
    assert not only(cron("* * * * *"), MONDAY, WEEK, 100).exact
    whole = only(every("100ms"), MONDAY, WEEK, 100)
    assert (whole.count, whole.exact, whole.last) == (7 * 864_000, True, WEEK)


@pytest.mark.parametrize("seed", range(30))
def test_no_instant_is_counted_twice(seed: int) -> None:
    rng = random.Random(seed)
    before, after = (every(f"{rng.randrange(1, 90)}m", offset=f"{rng.randrange(60)}s") for _ in range(2))
    old, new = set(instants_of(before, MONDAY, WEEK)), set(instants_of(after, MONDAY, WEEK))
    found = difference(before, after, MONDAY, WEEK, 100_000)
    assert found.removed.count + found.moved.count == len(old - new)
    assert found.added.count + found.moved.count == len(new - old)
