from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import InstantCount, Trigger, at, cron, every

SECOND = 10**9
START = 1_780_000_000 * SECOND
PROVE = settings(derandomize=True, deadline=None, max_examples=60)


class Squares(Trigger):
    """A user's own trigger: due at each square number of seconds."""

    def next_after_ns(self, after_ns: int) -> int | None:
        root = 0
        while root * root * SECOND <= after_ns:
            root += 1
        return root * root * SECOND if root <= 40 else None


TRIGGERS = [
    every("250ms"),
    every("7s", offset="3s"),
    every("10s", jitter="9s").bind("nightly"),
    cron("*/20 * * * * *"),
    cron("0 2 * * *", tz="Europe/Berlin"),
    cron("0/100ms * * * * * ?", jitter="40ms"),
    at(datetime.fromtimestamp(1_780_000_100, UTC)),
    Squares(),
]


def enumerated(trigger: Trigger, after_ns: int, until_ns: int) -> list[int]:
    found = []
    while (following := trigger.next_after_ns(after_ns)) is not None and following <= until_ns:
        found.append(following)
        after_ns = following
    return found


@PROVE
@given(
    st.sampled_from(TRIGGERS),
    st.integers(-5, 1600 * SECOND),
    st.integers(-SECOND, 200 * SECOND),
    st.sampled_from([0, 1, 2, 7, 100, 10_000]),
)
def test_count_between_is_what_enumeration_counts(trigger: Trigger, shift: int, span: int, limit: int) -> None:
    after = shift if isinstance(trigger, Squares) else START + shift
    instants = enumerated(trigger, after, after + span)
    counted = trigger.count_between(after, after + span, limit)
    assert counted.latest_ns == (instants[-1] if instants else None)
    if counted.exact:
        assert counted.count == len(instants)
    else:
        assert counted.count == limit < len(instants)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=str)
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_the_latest_instant_is_exact_past_the_limit_too(trigger: Trigger, limit: int) -> None:
    after = 0 if isinstance(trigger, Squares) else START
    until = after + (5 * 86_400 if "0 2 *" in str(trigger) else 900) * SECOND
    instants = enumerated(trigger, after, until)
    counted = trigger.count_between(after, until, limit)
    assert counted == InstantCount(
        min(limit, len(instants)) if not counted.exact else len(instants),
        instants[-1],
        len(instants) <= limit or counted.exact,
    )


def test_counting_a_year_of_seconds_visits_few_of_them() -> None:
    asked = 0

    class Watched(Trigger):
        def next_after_ns(self, after_ns: int) -> int:
            nonlocal asked
            asked += 1
            return (after_ns // SECOND + 1) * SECOND

    year = 365 * 86_400 * SECOND
    assert Watched().count_between(START, START + year + 5, limit=10) == InstantCount(10, START + year, exact=False)
    assert asked < 150


def test_next_after_answers_aware_and_in_the_zone_of_the_trigger() -> None:
    asked = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    answer = cron("0 12 * * *", tz="Asia/Tokyo").next_after(asked)
    assert str(answer) == "2026-01-01 12:00:00+09:00"
    assert str(every("1d").next_after(asked)) == "2026-01-01 00:00:00+00:00"


def test_next_after_is_strictly_after_even_where_a_datetime_is_too_coarse() -> None:
    trigger, at_instant = every(timedelta(milliseconds=1)), datetime(2026, 1, 1, tzinfo=UTC)
    odd = every("1000001ns")
    for _ in range(100):
        for each in (trigger, odd):
            following = each.next_after(at_instant)
            assert following is not None
            assert at_instant < following < at_instant + timedelta(milliseconds=3)
        at_instant += timedelta(microseconds=1237)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no zone"):
        every("1s").next_after(datetime(2026, 1, 1))  # noqa: DTZ001


def test_what_is_no_datetime_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be an aware datetime, not str"):
        every("1s").next_after("2026-01-01")  # type: ignore[arg-type]


def test_an_instant_past_the_calendar_is_none() -> None:
    assert every("1d").next_after(datetime.max.replace(tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("trigger", "interval"),
    [
        (every("250ms"), SECOND // 4),
        (every("10s", jitter="9s"), 10 * SECOND),
        (cron("*/20 * * * * *"), 20 * SECOND),
        (at("2100-01-01T00:00Z"), None),
        (at("2100-01-01T00:00Z", jitter="1s"), None),
        (at("2000-01-01T00:00Z"), None),
    ],
    ids=str,
)
def test_the_interval_is_the_distance_of_the_next_two(trigger: Trigger, interval: int | None) -> None:
    assert trigger.interval_ns(START) == interval


def test_a_trigger_without_jitter_is_the_same_for_each_job() -> None:
    for trigger in (every("1s"), cron("@daily"), at("2100-01-01T00:00Z"), Squares()):
        assert trigger.bind("nightly") is trigger


def test_a_users_trigger_is_spelled_by_its_name() -> None:
    assert str(Squares()) == repr(Squares()) == "Squares()"
