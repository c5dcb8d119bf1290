"""Instants that fall due while their job is in hand are counted, not visited, and no store is asked about them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.planning.overlaps import Overlaps
from tickglass.sched.engine.planning.plan import Plan
from tickglass.sched.events import InstantsMissed, InstantsSkipped, StoreCalled, TimelineTicked, TriggerFailed
from tickglass.sched.job import declare
from tickglass.sched.triggers import InstantCount, Trigger, every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.rig import Rig


class Gate:
    """A job that ends when a test says so."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self) -> None:
        assert self.opened.wait(10)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def in_hand(rig: Rig, gate: Gate, trigger: Trigger) -> int:
    """Have a job run at its first due instant, and return that."""
    rig.add(gate, trigger, name="job")
    rig.advance(trigger.interval_ns(0) or 0)
    rig.started("job")
    return rig.moves("job", "fell_due")[0].due_ns


def skipped(rig: Rig) -> list[InstantsSkipped]:
    return rig.sink.of(InstantsSkipped)


def metric(rig: Rig, name: str, **labels: str) -> float | None:
    return rig.metrics.registry.get_sample_value(name, {"job_name": "job", **labels})


def asked(rig: Rig) -> int:
    return len([call for call in rig.sink.of(StoreCalled) if call.operation == "runs"])


def visits(rig: Rig) -> int:
    return sum(tick.handed for tick in rig.sink.of(TimelineTicked))


def test_what_passes_is_told_once_a_second_without_a_visit_and_without_a_question(rig: Rig, gate: Gate) -> None:
    first_ns = in_hand(rig, gate, every("10ms"))
    asked_before, visits_before = asked(rig), visits(rig)
    for _ in range(100):
        rig.advance(100 * MS)
    told = skipped(rig)
    assert len(told) == 10
    assert sum(it.count for it in told) == 1_000
    assert (told[0].first_due_ns, told[-1].latest_due_ns) == (first_ns + 10 * MS, first_ns + 10 * SECOND)
    assert {(it.reason, it.exact) for it in told} == {("overlap", True)}
    assert asked(rig) == asked_before
    assert visits(rig) - visits_before == len(told), "of the timeline's visits, all are the count"
    assert len(rig.moves("job", "fell_due")) == 1


def test_what_is_left_is_told_when_the_run_ends_and_the_next_instant_runs(rig: Rig, gate: Gate) -> None:
    first_ns = in_hand(rig, gate, every("100ms"))
    rig.clock.advance(250 * MS)
    gate.opened.set()
    rig.free("job")
    rig.sink.wait_for(lambda event: isinstance(event, InstantsSkipped))
    (told,) = skipped(rig)
    assert (told.count, told.first_due_ns, told.next_due_ns) == (2, first_ns + 100 * MS, first_ns + 300 * MS)
    rig.advance(50 * MS)
    assert [(end.outcome, end.due_ns - first_ns) for end in rig.ended("job", 2)] == [
        ("success", 0),
        ("success", 300 * MS),
    ]


def test_a_run_that_ends_before_the_next_instant_skips_none(rig: Rig, gate: Gate) -> None:
    in_hand(rig, gate, every("100ms"))
    rig.advance(99 * MS)
    gate.opened.set()
    rig.free("job")
    rig.advance(MS)
    assert [end.outcome for end in rig.ended("job", 2)] == ["success", "success"]
    assert skipped(rig) == []


def test_each_instant_is_visited_once_however_long_the_lead_is(rig: Rig) -> None:
    rig.dispatcher.lead_time.note(40 * MS)  # longer than the period
    rig.add(nothing, every("20ms"))
    before = visits(rig)
    for count in range(1, 11):
        rig.advance(20 * MS)
        rig.ended("nothing", count)
        rig.free("nothing")
        rig.dispatcher.lead_time.now_ns = 50 * MS
    assert visits(rig) - before == 10


def test_the_account_agrees_and_a_job_that_is_always_busy_is_not_overdue(rig: Rig, gate: Gate) -> None:
    first_ns = in_hand(rig, gate, every("10ms"))
    for _ in range(25):
        rig.advance(100 * MS)
    assert metric(rig, "tickglass_job_due_total") == 201
    assert metric(rig, "tickglass_job_outcomes_total", outcome="skipped") == 200
    assert metric(rig, "tickglass_job_skips_total", reason="overlap") == 200
    assert metric(rig, "tickglass_job_pending") == 1
    assert metric(rig, "tickglass_job_overdue_seconds") == 0, "what passed since is told within a second"
    assert metric(rig, "tickglass_job_unsuccessful_since_timestamp_seconds") == (first_ns + 10 * MS) / 1e9
    rig.clock.advance(3 * SECOND)
    overdue_s = metric(rig, "tickglass_job_overdue_seconds")
    assert overdue_s is not None
    assert overdue_s > 3, "the timeline does not turn"


def test_after_a_stall_the_store_is_asked_who_ran_what_passed(rig: Rig, gate: Gate) -> None:
    in_hand(rig, gate, every("10ms"))
    before = asked(rig)
    rig.advance(60 * SECOND)
    missed = rig.missed("job")
    assert missed.count == 60 * 100 - 1
    assert asked(rig) == before + 1
    assert [end.reason for end in rig.ended("job")] == ["overlap"], "the latest one, which is due now"
    rig.advance(SECOND)
    assert [it.count for it in skipped(rig)] == [100], "from here on it counts again"


def test_after_a_stall_the_latest_instant_runs_if_the_run_has_ended(rig: Rig, gate: Gate) -> None:
    in_hand(rig, gate, every("1s"))
    rig.clock.advance(10 * SECOND)
    gate.opened.set()
    rig.free("job")
    rig.timeline.tick()
    assert [end.outcome for end in rig.ended("job", 2)] == ["success", "success"]
    assert rig.missed("job").count == 9
    assert skipped(rig) == []


def test_a_stop_tells_what_has_passed_and_what_passes_after_it_is_left_to_others(rig: Rig, gate: Gate) -> None:
    in_hand(rig, gate, every("10ms"))
    rig.clock.advance(55 * MS)
    rig.planner.stop()
    assert [it.count for it in skipped(rig)] == [5]
    rig.clock.advance(SECOND)
    gate.opened.set()
    rig.free("job")
    rig.planner.freed("job")
    assert len(skipped(rig)) == 1


class Odd(Trigger):
    """Every 10 ms; counts nothing, or answers nothing, when told to."""

    counts = answers = True

    @property
    def fixed_rate(self) -> bool:
        return True

    def next_after_ns(self, after_ns: int) -> int | None:
        if not self.answers:
            raise ZeroDivisionError("odd")
        return after_ns - after_ns % (10 * MS) + 10 * MS

    def count_between(self, after_ns: int, until_ns: int, limit: int) -> InstantCount:
        if not self.counts:
            raise ZeroDivisionError("odd")
        return super().count_between(after_ns, until_ns, limit)


def test_a_trigger_that_cannot_count_is_reported_and_its_instants_are_told_one_by_one(rig: Rig, gate: Gate) -> None:
    trigger = Odd()
    first_ns = in_hand(rig, gate, trigger)
    trigger.counts = False
    rig.advance(SECOND)
    assert [(it.count, it.latest_due_ns) for it in skipped(rig)] == [(1, first_ns + 10 * MS)]
    assert [failure.job for failure in rig.sink.of(TriggerFailed)] == ["job"]
    trigger.counts = True
    rig.advance(SECOND)
    assert [it.count for it in skipped(rig)] == [1, 199]


def test_a_trigger_that_raises_while_its_job_is_in_hand_is_asked_again(rig: Rig, gate: Gate) -> None:
    trigger = Odd()
    in_hand(rig, gate, trigger)
    trigger.answers = False
    rig.advance(SECOND)
    assert rig.sink.of(TriggerFailed)
    trigger.answers = True
    gate.opened.set()
    rig.free("job")
    rig.advance(2 * SECOND)
    rig.timeline.tick()
    assert rig.ended("job", 2)[-1].outcome == "success"


def test_a_run_that_ends_while_its_plan_is_put_aside_leaves_no_plan_behind(rig: Rig) -> None:
    answers = [True, False]  # in hand when it is asked, and not any more when the plan is held
    gone_on: list[Plan] = []
    overlaps = Overlaps(
        rig.context,
        rig.timeline,
        rig.planner.triggers,
        busy=lambda _: answers.pop(0),
        advance=lambda _: True,
        go_on=gone_on.append,
    )
    plan = Plan(declare(nothing, every("1s"), service="svc"), lambda _plan, _offset_ns: None, 0)
    assert not overlaps.hold(plan), "it stays with the caller"
    overlaps.freed("nothing")
    assert gone_on == []
    assert rig.sink.of(InstantsMissed) == []
