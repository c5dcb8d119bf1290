"""A job with another trigger than before owes no instants that were never due, and loses none that was announced."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.rig import Rig

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import InstantsElsewhere, InstantsMissed, OccurrenceMoved
from tickglass.sched.triggers import cron, every

if TYPE_CHECKING:
    from tickglass.sched.triggers import Trigger

T0 = 1_767_225_600 * SECOND  # a full hour
MINUTE = 60 * SECOND
HOUR = 3_600 * SECOND
HOURLY = cron("0 * * * *")
SECONDLY = every("1s")
DOWN = StoreUnavailable("memory", "register", "gone fishing")


def job() -> None: ...


def deploy(rig: Rig, trigger: Trigger, owner: str = "a", **policies: Any) -> None:  # noqa: ANN401 - see `declare`
    """Start an instance with a trigger in place of the present one, and have it look at what it finds."""
    rig.stop()
    rig.start(owner)
    rig.add(job, trigger, **policies)
    rig.timeline.tick()
    rig.free("job")


def at_full_hour(rig: Rig) -> None:
    rig.clock.step(T0 - rig.clock.wall_ns())


def told(rig: Rig) -> list[tuple[str, float]]:
    """Stop, and return how each due instant has ended, one that passed unattended by its span, in seconds."""
    rig.stop()
    found: list[tuple[str, float]] = []
    for event in rig.sink.events:
        if isinstance(event, OccurrenceMoved) and event.event == "ended":
            found.append((str(event.outcome), (event.due_ns - T0) / SECOND))
        elif isinstance(event, InstantsMissed | InstantsElsewhere):
            found.append((f"{event.count} {type(event).__name__}", (event.first_due_ns - T0) / SECOND))
    rig.sink.events.clear()
    rig.start("next")
    return found


def run_once(rig: Rig, after_ns: int) -> None:
    """Let the next instant run."""
    rig.advance(after_ns)
    rig.ended("job")
    rig.free("job")


@pytest.mark.parametrize("others", [0, 1, 3])
def test_a_faster_trigger_owes_nothing_of_before_it_was_there_on_any_instance(rig: Rig, others: int) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY)
    run_once(rig, HOUR)
    told(rig)
    rig.clock.advance(602 * SECOND)
    deploy(rig, SECONDLY)
    for number in range(others):  # which find the new trigger registered, and no claim of it
        rig.clock.advance(100 * MS)
        deploy(rig, SECONDLY, f"other {number}")
    assert told(rig) == []
    deploy(rig, SECONDLY)
    rig.advance(SECOND)
    assert rig.ended("job")[0].outcome == "success"
    rig.free("job")
    assert told(rig) == [("success", 3_600 + 603)]


def test_a_slower_trigger_owes_the_one_instant_that_the_old_one_had_announced(rig: Rig) -> None:
    at_full_hour(rig)
    rig.add(job, SECONDLY)
    run_once(rig, SECOND)
    told(rig)
    rig.clock.advance(3 * HOUR)
    deploy(rig, HOURLY)
    deploy(rig, HOURLY, "b")
    assert told(rig) == [("missed", 2)]


@pytest.mark.parametrize("late_s", [20, 40])
def test_what_the_old_trigger_announced_is_run_within_the_grace_that_it_had(rig: Rig, late_s: int) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY, misfire_grace="30s")
    run_once(rig, HOUR)
    told(rig)
    rig.clock.advance(HOUR + late_s * SECOND)
    deploy(rig, cron("30 * * * *"), misfire_grace="10s")
    assert told(rig) == [("success" if late_s == 20 else "missed", 7_200)]
    (record,) = rig.store.jobs()
    assert record.next_due_ns == T0 + 2 * HOUR + 30 * MINUTE, "as the new trigger has it"


def test_what_an_instance_with_the_old_trigger_has_run_is_nobodys_debt(rig: Rig) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY)
    run_once(rig, HOUR)
    told(rig)
    rig.clock.advance(10 * SECOND)
    deploy(rig, SECONDLY)
    assert told(rig) == []


def test_an_old_and_a_new_version_that_register_in_turn_invent_no_instants(rig: Rig) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY)
    run_once(rig, HOUR)
    told(rig)
    for _ in range(5):
        rig.clock.advance(300 * MS)
        deploy(rig, SECONDLY, "new")
        rig.clock.advance(300 * MS)
        deploy(rig, HOURLY, "old")
    # What the new version announced, and did not live to see, is run by the old one.
    assert told(rig) == [("success", 3_601), ("success", 3_603)]
    rig.clock.advance(2 * HOUR + MINUTE)
    deploy(rig, SECONDLY, "new")
    assert told(rig) == [("missed", 7_200)]


def test_with_the_same_trigger_all_since_the_latest_claim_is_owed(rig: Rig) -> None:
    at_full_hour(rig)
    rig.add(job, SECONDLY)
    run_once(rig, SECOND)
    told(rig)
    rig.clock.advance(10_500 * MS)
    deploy(rig, every("1s"), resource="another", ttl="20s", timeout="5s")
    assert told(rig) == [("9 InstantsMissed", 2), ("success", 11)]


@pytest.mark.parametrize(
    "changed",
    [cron("0 * * * *", tz="Europe/Berlin"), cron("0 * * * *", jitter="1m"), cron("0 * * * *", dst="both"), every("1h")],
    ids=str,
)
def test_a_zone_a_jitter_or_a_rule_for_the_clock_change_is_part_of_the_trigger(rig: Rig, changed: Trigger) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY)
    run_once(rig, HOUR)
    told(rig)
    rig.clock.advance(5 * HOUR + 30 * MINUTE)
    deploy(rig, changed)
    assert told(rig) == [("missed", 7_200)]


# --- what is about to run late is known to the next instance too


@pytest.mark.parametrize("answers", [True, False])
def test_what_an_instance_did_not_get_to_run_is_run_by_the_next_within_its_grace(rig: Rig, *, answers: bool) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY, misfire_grace="10m")
    run_once(rig, HOUR)
    told(rig)
    rig.clock.advance(HOUR + 5 * MINUTE)
    register, calls = rig.store.register, []

    def once(records: Any) -> Any:  # noqa: ANN401 - as the store has it
        calls.append(records)
        if len(calls) > 1 and not answers:
            raise DOWN
        return register(records)

    rig.store.register = once  # type: ignore[assignment,method-assign]
    rig.start("dies at once")
    rig.add(job, HOURLY, misfire_grace="10m")
    rig.store.register = register  # type: ignore[method-assign]
    rig.clock.advance(MINUTE)
    deploy(rig, HOURLY, "b", misfire_grace="10m")
    assert told(rig) == ([("success", 7_200)] if answers else [])


def test_what_is_past_its_grace_is_told_once_by_the_first_that_starts(rig: Rig) -> None:
    at_full_hour(rig)
    rig.add(job, HOURLY, misfire_grace="5s")
    run_once(rig, HOUR)
    told(rig)
    rig.clock.advance(HOUR + 10 * SECOND)
    for owner in ("a", "b", "a"):
        deploy(rig, HOURLY, owner, misfire_grace="5s")
    assert told(rig) == [("missed", 7_200)]


# --- whatever follows on whatever

TRIGGERS: list[Trigger] = [every("2s"), every("3s", offset="500ms"), cron("*/10 * * * * *")]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 30), st.just(0)),
        st.tuples(st.just("deploy"), st.integers(0, 400), st.integers(0, len(TRIGGERS) - 1)),
    ),
    max_size=12,
)


class Model:
    """What is to be told: all instants under one trigger, and the one that it had announced when it was replaced."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.announced_ns = trigger.next_after_ns(T0)
        self.told_ns: list[int] = []

    def pass_until(self, now_ns: int) -> None:
        while self.announced_ns is not None and self.announced_ns <= now_ns:
            self.told_ns.append(self.announced_ns)
            self.announced_ns = self.trigger.next_after_ns(self.announced_ns)

    def deploy(self, trigger: Trigger, now_ns: int) -> None:
        if trigger is not self.trigger:
            if self.announced_ns is not None and self.announced_ns <= now_ns:
                self.told_ns.append(self.announced_ns)
            self.trigger, self.announced_ns = trigger, trigger.next_after_ns(now_ns)
        self.pass_until(now_ns)


def instants_of(event: object, trigger: Trigger) -> list[int]:
    """Return the instants that an event accounts for."""
    if isinstance(event, OccurrenceMoved) and event.event == "ended":
        return [event.due_ns]
    if not isinstance(event, InstantsMissed | InstantsElsewhere):
        return []
    found = [event.first_due_ns]
    while (following := trigger.next_after_ns(found[-1])) is not None and following < event.before_ns:
        found.append(following)
    assert len(found) == event.count
    return found


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_each_instant_is_told_once_and_none_that_no_trigger_had_announced(steps: list[tuple[str, int, int]]) -> None:
    rig = Rig()
    at_full_hour(rig)
    rig.timeline.tick()
    model, told_ns = Model(TRIGGERS[0]), []
    rig.add(job, model.trigger)
    for step, number, which in [*steps, ("deploy", 0, 0)]:
        if step == "run":
            for _ in range(number):
                rig.advance(500 * MS)
                rig.free("job")
            model.pass_until(rig.clock.wall_ns())
            continue
        rig.stop()
        told_ns += [due_ns for event in rig.sink.events for due_ns in instants_of(event, model.trigger)]
        rig.sink.events.clear()
        rig.clock.advance(number * 100 * MS)  # never into the lead of an instant
        model.deploy(TRIGGERS[which], rig.clock.wall_ns())
        rig.start("next")
        rig.add(job, model.trigger)
        rig.timeline.tick()
        rig.free("job")
    rig.stop()
    told_ns += [due_ns for event in rig.sink.events for due_ns in instants_of(event, model.trigger)]
    rig.start()
    rig.close()
    assert sorted(told_ns) == model.told_ns
    assert all(first < second for first, second in pairwise(model.told_ns))
