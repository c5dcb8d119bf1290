from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickglass.sched.triggers import every

MS = 10**6
PROVE = settings(derandomize=True, deadline=None, max_examples=150)


def test_a_million_steps_accumulate_no_error() -> None:
    trigger, start = every("333333333ns"), 1_780_000_000 * 10**9
    first = at = trigger.next_after_ns(start)
    assert first is not None
    for _ in range(1_000_000):
        at = trigger.next_after_ns(at)  # type: ignore[arg-type]
    assert at == first + 1_000_000 * 333_333_333


@PROVE
@given(st.integers(MS, 10**18), st.integers(0, 10**18), st.integers(-(10**19), 10**19))
def test_each_instant_is_the_first_of_the_grid(period: int, offset: int, after: int) -> None:
    offset %= period
    trigger = every(f"{period}ns", offset=f"{offset}ns")
    following = trigger.next_after_ns(after)
    assert following is not None
    assert after < following <= after + period
    assert (following - offset) % period == 0


@PROVE
@given(st.integers(MS, 10**12), st.integers(-(10**15), 10**15), st.integers(-(10**9), 10**15))
def test_counting_is_arithmetic_and_always_exact(period: int, after: int, span: int) -> None:
    trigger = every(f"{period}ns")
    counted = trigger.count_between(after, after + span, limit=0)
    assert counted.exact
    assert counted.count == max(0, (after + span) // period - after // period)
    if counted.count:
        assert counted.latest_ns is not None
        assert after < counted.latest_ns <= after + span < counted.latest_ns + period
    else:
        assert counted.latest_ns is None


def test_the_grid_hangs_on_the_epoch_and_not_on_the_start_of_anything() -> None:
    assert every("1h").next_after_ns(1) == 3600 * 10**9
    assert every("1h", offset="5m").next_after_ns(3600 * 10**9) == 3900 * 10**9
    assert every("1h").next_after_ns(-1) == 0


def test_an_anchor_lies_on_the_grid_which_reaches_to_both_sides() -> None:
    anchor = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)
    trigger = every("10s", anchor=anchor)
    assert trigger.next_after(anchor - timedelta(seconds=11)) == anchor - timedelta(seconds=10)
    assert trigger.next_after(anchor) == anchor + timedelta(seconds=10)
    assert every("10s", anchor=anchor, offset="2s").next_after(anchor) == anchor + timedelta(seconds=2)


def test_a_day_is_24_hours_whatever_the_clocks_do() -> None:
    assert every("1d").interval_ns(0) == every(timedelta(hours=24)).interval_ns(0) == 86_400 * 10**9


def test_every_is_equal_by_meaning() -> None:
    assert every("60s") == every("1m") == every(timedelta(minutes=1))
    assert hash(every("60s")) == hash(every("1m"))
    assert every("60s") != every("60s", offset="1s")
    assert every("10s", offset="7s") == every("10s", anchor=datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC))


@pytest.mark.parametrize(
    ("trigger", "spelled"),
    [
        (every("100ms"), 'every("100ms")'),
        (every(timedelta(minutes=90)), 'every("1h30m")'),
        (every("1h", offset="5m"), 'every("1h", offset="5m")'),
        (every("1h", jitter="5s"), 'every("1h", jitter="5s")'),
    ],
)
def test_every_is_spelled_as_one_would_write_it(trigger: object, spelled: str) -> None:
    assert str(trigger) == repr(trigger) == spelled
