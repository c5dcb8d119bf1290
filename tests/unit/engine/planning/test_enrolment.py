"""A job is planned by what its trigger named when it was registered: a trigger may be slow, so it is asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.planning.upcoming import Upcoming
from tickglass.sched.events import JobRegistered, Streak
from tickglass.sched.job import declare
from tickglass.sched.triggers import Trigger, at
from tickglass.sched.triggers.base import EPOCH

if TYPE_CHECKING:
    from kit.rig import Rig


class Counted(Trigger):
    """Once a second; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def next_after_ns(self, after_ns: int) -> int | None:
        self.asked += 1
        return after_ns - after_ns % SECOND + SECOND


def test_a_trigger_is_asked_for_its_next_two_instants_and_no_more(rig: Rig) -> None:
    trigger = Counted()
    rig.add(nothing, trigger)
    assert trigger.asked == 2
    rig.advance(SECOND)
    assert rig.ended("nothing")[0].outcome == "success"


def test_it_is_asked_again_if_the_instant_passed_while_the_store_took_its_time(rig: Rig) -> None:
    job = declare(nothing, Counted(), service="svc")
    upcoming = rig.enrolment.upcoming(job)
    registered = rig.register(job)
    rig.clock.advance(2 * SECOND)
    rig.enrolment.add(job, registered, Streak(), upcoming)
    (told,) = rig.sink.of(JobRegistered)
    assert told.next_due_ns is not None
    assert told.next_due_ns > rig.clock.wall_ns()
    rig.advance(SECOND)
    assert rig.ended("nothing")[0].due_ns == told.next_due_ns


def test_a_job_without_another_instant_is_not_planned(rig: Rig) -> None:
    rig.add(nothing, at(EPOCH))
    (told,) = rig.sink.of(JobRegistered)
    assert (told.next_due_ns, told.interval_ns) == (None, None)


@pytest.mark.parametrize(("after_ns", "named"), [(9, False), (10, True), (19, True), (20, False), (21, False)])
def test_an_instant_is_the_next_one_from_the_question_on_until_it_comes(after_ns: int, *, named: bool) -> None:
    assert Upcoming(10, 20, 30).names_next_after(after_ns) is named


def test_where_no_instant_is_known_none_is_the_next_one() -> None:
    assert not Upcoming(10, None, None).names_next_after(10)
    assert (Upcoming(10, 20, None).interval_ns, Upcoming(10, 20, 35).interval_ns) == (None, 15)
