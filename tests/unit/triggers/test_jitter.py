from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickglass.sched.triggers import LATEST_NS, Trigger, at, cron, every
from tickglass.sched.triggers.at import At
from tickglass.sched.triggers.jitter import with_jitter

SECOND = 10**9
START = 1_780_000_000 * SECOND
PROVE = settings(derandomize=True, deadline=None, max_examples=100)

BASES = {
    'every("10s"': every("10s"),
    'every("7ms", offset="3ms"': every("7ms", offset="3ms"),
    'cron("0 2 * * *", tz="Europe/Berlin"': cron("0 2 * * *", tz="Europe/Berlin"),
    'cron("0,1,30 * * * * *"': cron("0,1,30 * * * * *"),
}
JITTERS = ["1ms", "900ms", "5s", "3h", "40d"]


def jittered(base: str, jitter: str) -> Trigger:
    made = eval(f'{base}, jitter="{jitter}")', {"every": every, "cron": cron})
    assert isinstance(made, Trigger)
    return made


def jitter_ns(text: str) -> int:
    interval = every(text).interval_ns(0)
    assert interval is not None
    return interval


def steps(trigger: Trigger, after: int, count: int) -> list[int]:
    found = []
    for _ in range(count):
        following = trigger.next_after_ns(after)
        assert following is not None
        found.append(following)
        after = following
    return found


@PROVE
@given(st.sampled_from(sorted(BASES)), st.sampled_from(JITTERS), st.text(max_size=20), st.integers(0, 86_400 * SECOND))
def test_each_instant_moves_by_less_than_the_jitter_and_stays_before_the_next(
    base: str, jitter: str, job: str, shift: int
) -> None:
    trigger = jittered(base, jitter).bind(job)
    plain = steps(BASES[base], START + shift, 12)
    moved = steps(trigger, plain[0] - 1, 11)
    for instant, following, after_move in zip(plain, plain[1:], moved, strict=False):
        assert instant <= after_move < min(following, instant + jitter_ns(jitter))
        assert (after_move - instant) % 1000 == 0


@PROVE
@given(st.sampled_from(sorted(BASES)), st.sampled_from(JITTERS), st.data())
def test_the_next_instant_is_the_same_from_anywhere(base: str, jitter: str, data: st.DataObject) -> None:
    trigger = jittered(base, jitter).bind("nightly")
    moved = steps(trigger, START, 10)
    for _ in range(5):
        index = data.draw(st.integers(1, 9))
        after = data.draw(st.integers(moved[index - 1], moved[index] - 1))
        assert trigger.next_after_ns(after) == moved[index]
        assert jittered(base, jitter).bind("nightly").next_after_ns(after) == moved[index]


def test_moves_are_the_same_in_each_process_and_on_each_platform() -> None:
    trigger = every("1m", jitter="30s").bind("nightly")
    assert steps(trigger, START, 3) == [1780000038914948000, 1780000096521332000, 1780000160536962000]


def test_jobs_are_spread() -> None:
    trigger = every("1m", jitter="30s")
    moves = {trigger.bind(f"job-{n}").next_after_ns(START) for n in range(300)}
    assert len(moves) == 300
    by_third = [sum(1 for m in moves if m is not None and (m - START) // (10 * SECOND) == third) for third in range(9)]
    assert max(by_third) < 150
    assert sum(1 for count in by_third if count > 70) == 3


def test_an_unbound_trigger_moves_as_for_an_empty_name() -> None:
    trigger = every("1m", jitter="30s")
    assert steps(trigger, START, 5) == steps(trigger.bind(""), START, 5)
    assert trigger == trigger.bind("")
    assert trigger.bind("a") != trigger.bind("b")
    assert hash(trigger.bind("a")) == hash(every("60s", jitter="30s").bind("a"))


def test_a_single_instant_moves_too() -> None:
    base, trigger = at("2027-01-31T01:30Z"), at("2027-01-31T01:30Z", jitter="5s").bind("nightly")
    instant, moved = base.next_after_ns(0), trigger.next_after_ns(0)
    assert instant is not None
    assert moved is not None
    assert instant < moved < instant + 5 * SECOND
    assert trigger.next_after_ns(moved - 1) == moved
    assert trigger.next_after_ns(moved) is None


@pytest.mark.parametrize("before_the_end_ns", [0, 1, 999, 1_000, SECOND, 3600 * SECOND])
def test_no_instant_moves_past_the_last_that_a_store_can_hold(before_the_end_ns: int) -> None:
    base = At(LATEST_NS - before_the_end_ns)
    for number in range(50):
        moved = with_jitter(base, "36500d").bind(f"job-{number}").next_after_ns(0)
        assert moved is not None
        assert base.instant_ns <= moved <= LATEST_NS


def test_the_last_instants_of_a_rate_stay_in_order_up_to_the_end() -> None:
    trigger, after, found = every("10m", jitter="9m").bind("nightly"), LATEST_NS - 3600 * SECOND, []
    while (following := trigger.next_after_ns(after)) is not None and following <= LATEST_NS:
        found.append(following)
        after = following
    assert len(found) >= 6
    assert found == sorted(set(found))
    last_plain = LATEST_NS // (600 * SECOND) * 600 * SECOND
    assert found[-1] >= last_plain


@pytest.mark.parametrize("trigger", [every("1s", jitter="5ms"), cron("@daily", tz="Asia/Tokyo", jitter="1m")], ids=str)
def test_a_trigger_travels_to_another_process(trigger: Trigger) -> None:
    trigger.next_after_ns(START)
    copy = pickle.loads(pickle.dumps(trigger))
    assert copy == trigger
    assert str(copy) == str(trigger)
    assert copy.next_after_ns(START) == trigger.next_after_ns(START)


def test_the_zone_is_that_of_the_base() -> None:
    assert str(cron("@daily", tz="Asia/Tokyo", jitter="1m").zone) == "Asia/Tokyo"
