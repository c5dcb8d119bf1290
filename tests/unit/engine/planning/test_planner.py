"""Due instants are started, deferred, skipped as overlaps, missed, or jumped over by the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import ClockStepped, InstantsSkipped, JobRegistered, Streak, TriggerFailed
from tickglass.sched.job import declare
from tickglass.sched.triggers import LATEST_NS, InstantCount, Trigger, at, cron, every
from tickglass.sched.triggers.base import to_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.rig import Rig

    from tickglass.sched.run import Run


def nothing() -> None: ...


def test_an_occurrence_is_handed_over_before_it_is_due_and_starts_when_it_is(rig: Rig) -> None:
    rig.add(nothing, every("1s"))
    rig.advance(996 * MS)
    rig.lock_event("granted")
    assert not rig.moves("nothing", "started")
    rig.clock.advance(4 * MS)
    (end,) = rig.ended("nothing")
    assert end.outcome == "success"
    assert end.lateness is not None
    assert end.lateness.total_ns == 0


def test_a_late_start_is_attributed_to_the_timer(rig: Rig) -> None:
    rig.add(nothing, every("1s"))
    rig.advance(1_010 * MS)
    (end,) = rig.ended("nothing")
    assert end.lateness is not None
    assert (end.lateness.total_ns, end.lateness.timer_ns) == (10 * MS, 10 * MS)


def test_an_overlapping_occurrence_is_skipped_with_its_reason(rig: Rig) -> None:
    def long(run: Run) -> None:
        run.wait("1500ms")

    rig.add(long, every("1s"))
    rig.advance(SECOND)
    rig.started("long")
    rig.advance(998 * MS)  # within the lead: not due yet, so not yet an overlap
    assert len(rig.moves("long", "ended")) == 0
    rig.advance(2 * MS)
    (skipped,) = rig.sink.of(InstantsSkipped)
    assert (skipped.reason, skipped.count) == ("overlap", 1)
    rig.clock.advance(1_600 * MS)  # its thread may have begun to wait only now
    assert [end.outcome for end in rig.ended("long")] == ["success"]


def test_an_occurrence_that_is_deferred_is_decided_on_at_its_due_instant(rig: Rig) -> None:
    def long(run: Run) -> None:
        run.wait("1500ms")

    rig.add(long, every("1s"))
    rig.advance(SECOND)
    rig.started("long")
    occurrence = rig.planner._fell_due(rig.jobs["long"], rig.clock.wall_ns() + 500 * MS, None)
    offset_ns = rig.timeline.offset_ns(steady=True)
    rig.planner._act(rig.jobs["long"], occurrence, grace_ns=SECOND, next_due_ns=None, offset_ns=offset_ns)
    assert len(rig.moves("long", "ended")) == 0
    rig.advance(500 * MS)
    (skipped,) = rig.ended("long")
    assert (skipped.due_ns, skipped.outcome, skipped.reason) == (occurrence.due_ns, "skipped", "overlap")
    rig.clock.advance(2 * SECOND)  # its thread may have begun to wait only now
    rig.ended("long", 2)


def test_after_a_stall_the_latest_instant_runs_and_the_others_are_missed(rig: Rig) -> None:
    rig.add(nothing, every("100ms"), misfire_grace="1s")
    rig.advance(1_050 * MS)
    (end,) = rig.ended("nothing")
    missed = rig.missed("nothing")
    assert (end.outcome, missed.count, missed.exact) == ("success", 9, True)
    assert end.due_ns - missed.first_due_ns == 900 * MS


def test_past_its_grace_it_is_missed(rig: Rig) -> None:
    rig.add(nothing, cron("0 * * * *"), misfire_grace="5s")
    rig.advance(3_600 * SECOND + 6 * SECOND)
    (end,) = rig.ended("nothing")
    assert end.outcome == "missed"


def test_after_a_restart_what_passed_meanwhile_is_accounted_for(rig: Rig) -> None:
    rig.add(nothing, every("1s"), misfire_grace="1s")
    rig.advance(SECOND)
    rig.ended("nothing")
    rig.free("nothing")
    rig.clock.advance(10 * SECOND + 1)
    rig.start("a")
    rig.add(nothing, every("1s"), misfire_grace="1s")
    rig.timeline.tick()
    ends = rig.ended("nothing", 2)
    missed = rig.missed("nothing")
    assert (missed.count, ends[1].outcome, ends[1].due_ns - ends[0].due_ns) == (9, "success", 10 * SECOND)


def test_an_instant_that_was_announced_and_passed_while_no_instance_was_up_is_run_within_its_grace(rig: Rig) -> None:
    due = datetime.fromtimestamp(rig.clock.wall_ns() // SECOND, UTC) + timedelta(minutes=1)
    rig.add(nothing, at(due), misfire_grace="1h")
    rig.clock.advance(120 * SECOND)
    rig.start("a")
    rig.add(nothing, at(due), misfire_grace="1h")
    end = rig.ended_after_turning("nothing")
    assert (end.outcome, end.due_ns) == ("success", to_ns(due, what="due"))


def test_an_instant_that_was_announced_is_missed_after_its_grace_and_only_once_in_a_fleet(rig: Rig) -> None:
    rig.add(nothing, cron("0 * * * *"), misfire_grace="5s")
    rig.clock.advance(3_610 * SECOND)
    for owner in ("a", "b", "a"):
        rig.start(owner)
        rig.add(nothing, cron("0 * * * *"), misfire_grace="5s")
        rig.timeline.tick()
    (end,) = rig.ended("nothing")
    assert (end.outcome, end.owner) == ("missed", "a")


def test_of_several_instants_that_passed_since_the_first_was_announced_the_latest_runs(rig: Rig) -> None:
    rig.add(nothing, every("1s"), misfire_grace="1s")
    rig.clock.advance(10 * SECOND)
    rig.start("a")
    rig.add(nothing, every("1s"), misfire_grace="1s")
    end = rig.ended_after_turning("nothing")
    missed = rig.missed("nothing")
    assert (missed.count, end.outcome, end.due_ns - missed.first_due_ns) == (9, "success", 9 * SECOND)


def test_what_was_announced_by_a_clock_that_was_ahead_keeps_no_job_waiting(rig: Rig) -> None:
    rig.clock.step(86_400 * SECOND)
    rig.add(nothing, every("1s"))
    rig.clock.step(-86_400 * SECOND)
    rig.start("a")
    rig.add(nothing, every("1s"))
    rig.clock.advance(SECOND)
    assert rig.ended_after_turning("nothing").outcome == "success"


def test_a_fixed_rate_goes_on_when_the_wall_clock_is_set_back(rig: Rig) -> None:
    rig.add(nothing, every("1s"))
    rig.advance(SECOND)
    rig.ended("nothing")
    rig.free("nothing")
    rig.clock.step(-3_600 * SECOND)
    rig.advance(SECOND)
    first, second = rig.ended("nothing", 2)
    assert second.due_ns - first.due_ns == SECOND
    (step,) = rig.sink.of(ClockStepped)
    assert step.step_ns == -3_600 * SECOND


def test_cron_means_what_the_wall_says_after_a_step_and_never_runs_an_instant_twice(rig: Rig) -> None:
    rig.add(nothing, cron("*/10 * * * * *"))
    rig.advance(10 * SECOND)
    rig.ended("nothing")
    rig.free("nothing")
    rig.clock.step(-15 * SECOND)
    rig.advance(15 * SECOND)  # the wall shows :10 again
    assert len(rig.moves("nothing", "ended")) == 1
    rig.advance(10 * SECOND)
    first, second = rig.ended("nothing", 2)
    assert second.due_ns - first.due_ns == 10 * SECOND


def test_a_step_forward_misses_no_instant_silently(rig: Rig) -> None:
    rig.add(nothing, cron("* * * * * *"))
    rig.clock.step(10 * SECOND)
    rig.advance(SECOND)
    rig.ended("nothing")
    missed = rig.missed("nothing")
    assert missed.count == 10


class Moody(Trigger):
    """Raises when asked for what follows its third instant, until told not to."""

    fail = True

    def next_after_ns(self, after_ns: int) -> int | None:
        following = after_ns - after_ns % SECOND + SECOND
        if self.fail and following % (4 * SECOND) == 0:
            raise ZeroDivisionError("moody")
        return following


def test_a_trigger_that_raises_is_reported_and_asked_again_and_affects_no_other_job(rig: Rig) -> None:
    trigger = Moody()
    rig.add(nothing, every("1s"), name="other")
    rig.add(nothing, trigger)
    for count in range(1, 5):
        rig.advance(SECOND)
        rig.ended("other", count)
        rig.free("other")
        rig.free("nothing")
    assert {failure.job for failure in rig.sink.of(TriggerFailed)} == {"nothing"}
    assert len(rig.ended("nothing", 3)) == 3
    trigger.fail = False
    rig.advance(2 * SECOND)  # it is asked again after 1 and then 2 s
    rig.timeline.tick()
    assert rig.ended("nothing", 4)[-1].outcome == "success"
    assert rig.missed("nothing").count == 2


class Panic(BaseException):
    """What extension modules raise: no `Exception`."""


class Panics(Trigger):
    """A rate that panics in one method, once told to."""

    def __init__(self, method: str) -> None:
        self.method, self.asked = method, ""

    def next_after_ns(self, after_ns: int) -> int | None:
        self._panic("next_after_ns")
        return after_ns - after_ns % SECOND + SECOND

    def count_between(self, after_ns: int, until_ns: int, limit: int) -> InstantCount:
        self._panic("count_between")
        return super().count_between(after_ns, until_ns, limit)

    def _panic(self, method: str) -> None:
        if self.asked == method:
            raise Panic(method)


@pytest.mark.parametrize("method", ["next_after_ns", "count_between"])
def test_a_trigger_that_panics_is_a_failure_like_any_other(rig: Rig, method: str) -> None:
    trigger = Panics(method)
    rig.add(nothing, trigger)
    trigger.asked = method
    rig.advance(SECOND)
    rig.ended("nothing")
    rig.free("nothing")
    assert {failure.error for failure in rig.sink.of(TriggerFailed)} == {f"Panic: {method}"}
    trigger.asked = ""
    rig.advance(SECOND)
    rig.advance(SECOND)
    rig.ended("nothing", 2)


def test_a_trigger_that_panics_at_the_start_does_not_keep_the_others_from_it(rig: Rig) -> None:
    trigger = Panics("next_after_ns")
    trigger.asked = trigger.method
    rig.add(nothing, trigger)
    assert rig.sink.of(TriggerFailed)


def test_the_main_thread_can_be_interrupted_while_a_trigger_thinks(rig: Rig) -> None:
    class Thinks(Trigger):
        def next_after_ns(self, after_ns: int) -> int | None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.add(nothing, Thinks())
    assert not rig.sink.of(TriggerFailed)


class Backwards(Trigger):
    def next_after_ns(self, after_ns: int) -> int | None:
        return after_ns - 1


def test_a_trigger_that_steps_back_is_refused_not_followed(rig: Rig) -> None:
    rig.add(nothing, Backwards())
    rig.advance(SECOND)
    assert "went back" in rig.sink.of(TriggerFailed)[-1].error
    assert not rig.moves("nothing", "fell_due")


class Answers(Trigger):
    """A user's own trigger, without a type checker."""

    def __init__(self, answer: Callable[[int], Any], count: object = None) -> None:
        self.answer, self.count = answer, count

    def next_after_ns(self, after_ns: int) -> int | None:
        return self.answer(after_ns)  # type: ignore[no-any-return] # what is tried

    def count_between(self, after_ns: int, until_ns: int, limit: int) -> InstantCount:
        return self.count  # type: ignore[return-value] # what is tried


@pytest.mark.parametrize("answer", ["soon", datetime(2100, 1, 1, tzinfo=UTC), 4e18, object()])
def test_a_trigger_that_names_no_instant_is_refused_and_affects_no_other_job(rig: Rig, answer: object) -> None:
    rig.add(nothing, Answers(lambda _: answer), name="odd")
    rig.add(nothing, every("1s"))
    rig.advance(SECOND)
    assert rig.ended("nothing")[0].outcome == "success"
    failures = rig.sink.of(TriggerFailed)
    assert {failure.job for failure in failures} == {"odd"}
    assert "is whole nanoseconds or None" in failures[0].error
    assert not rig.moves("odd", "fell_due")


def test_an_instant_that_no_store_can_hold_does_not_come(rig: Rig) -> None:
    rig.add(nothing, Answers(lambda after_ns: LATEST_NS if after_ns < LATEST_NS else LATEST_NS + 1))
    (registered,) = rig.sink.of(JobRegistered)
    assert (registered.next_due_ns, registered.interval_ns) == (LATEST_NS, None)
    assert not rig.sink.of(TriggerFailed)


def test_a_trigger_that_counts_no_instants_is_asked_for_the_next_one_all_the_same(rig: Rig) -> None:
    rig.add(nothing, Answers(every("1s").next_after_ns, count=3))
    for count in (1, 2):
        rig.advance(SECOND)
        rig.ended("nothing", count)
        rig.free("nothing")
    assert "count_between returns an InstantCount, not 3" in rig.sink.of(TriggerFailed)[-1].error


def test_a_job_that_began_by_a_clock_that_was_ahead_is_not_silent_until_then(rig: Rig) -> None:
    """The store was away at the start, so no clock could be compared; when it answers, ours has been set right."""
    job = declare(lambda: None, every("1s"), service="svc", name="beat")
    ahead_ns = rig.clock.wall_ns() + 20 * SECOND
    rig.enrolment.begin(job, ahead_ns)
    rig.enrolment.make_up(job, rig.register(job), Streak(), ahead_ns)
    for count in range(1, 26):
        rig.advance(SECOND)
        assert rig.ended("beat", count)[-1].outcome == "success"
        rig.free("beat")
    dues = [end.due_ns for end in rig.ended("beat", 25)]
    assert dues == [dues[0] + number * SECOND for number in range(25)]
