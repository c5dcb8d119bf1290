"""In overload due instants wait where they cost little, and each has its outcome in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.rig import wait_until

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.planning.backlog import LOOKED_AT_LEAST_NS, LOOKED_EVERY_NS, SOON_NS, TOLD_EVERY_NS
from tickglass.sched.engine.running.pool import Pool
from tickglass.sched.events import InstantsMissed, OccurrenceMoved, TriggerFailed
from tickglass.sched.triggers import Trigger, every

if TYPE_CHECKING:
    from kit.rig import Rig


class Room:
    """For how long what is dispatched now would wait in the pool, as a test says."""

    def __init__(self) -> None:
        self.wait_ns = 0
        self.each_ns = 0  # what each dispatched occurrence adds to that

    @property
    def saturated(self) -> bool:
        return self.wait_ns > 0

    @saturated.setter
    def saturated(self, saturated: bool) -> None:
        self.wait_ns = 3_600 * SECOND if saturated else 0


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()
    monkeypatch.setattr(Pool, "wait_ns", lambda _, dispatched: room.wait_ns + room.each_ns * dispatched)
    return room


def test_while_the_pool_has_no_room_nothing_is_dispatched_and_then_the_latest_instant_is(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="job")
    room.saturated = True
    rig.advance(10 * SECOND)
    rig.advance(10 * SECOND)
    rig.advance(10 * SECOND)
    assert not rig.moves("job", "fell_due")
    assert not rig.dispatcher.assignments()
    room.saturated = False
    rig.advance(LOOKED_AT_LEAST_NS)
    (end,) = rig.ended("job")
    assert end.outcome == "success"
    wait_until(lambda: sum(event.count for event in rig.sink.of(InstantsMissed)) == 2)
    missed = rig.sink.of(InstantsMissed)  # one of two, or two of one: as they were found
    assert [event.first_due_ns for event in missed[1:]] == [event.before_ns for event in missed[:-1]]
    assert missed[-1].before_ns == end.due_ns


def test_while_the_pool_is_full_what_passes_is_accounted_for_once_a_second(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("100ms"), name="job")
    room.saturated = True
    rig.advance(100 * MS)
    for seconds in range(1, 4):
        rig.advance(TOLD_EVERY_NS)
        rig.sink.wait_for(lambda event: isinstance(event, InstantsMissed), count=seconds)
    told = rig.sink.of(InstantsMissed)
    assert [(event.count, event.reason) for event in told] == [(10, "pool")] * 3
    assert [event.first_due_ns for event in told[1:]] == [event.before_ns for event in told[:-1]]
    assert not rig.moves("job", "fell_due"), "the latest may still run"


@pytest.mark.parametrize("wait_ns", [SOON_NS + 1, 2 * MS])  # it is kept back, or it rests until its next instant
def test_an_instant_past_its_grace_is_missed_while_the_pool_is_still_full(rig: Rig, room: Room, wait_ns: int) -> None:
    rig.add(lambda: None, every("1h"), name="job", misfire_grace="1ms")
    room.wait_ns = wait_ns
    rig.advance(3_600 * SECOND)
    rig.advance(TOLD_EVERY_NS)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("missed", "pool")
    assert rig.moves("job", "fell_due")[0].next_due_ns == end.due_ns + 3_600 * SECOND
    room.wait_ns = 0
    rig.advance(LOOKED_AT_LEAST_NS)
    assert len(rig.moves("job", "fell_due")) == 1, "the next one is not due for an hour"
    rig.advance(3_600 * SECOND - TOLD_EVERY_NS - LOOKED_AT_LEAST_NS)
    assert rig.ended("job", 2)[1].outcome == "success"


class Faulty(Trigger):
    """Every 10 s; raises when told to."""

    broken = False

    @property
    def fixed_rate(self) -> bool:
        return True

    def next_after_ns(self, after_ns: int) -> int | None:
        if self.broken:
            raise ZeroDivisionError("faulty")
        return after_ns - after_ns % (10 * SECOND) + 10 * SECOND


def test_a_trigger_that_raises_while_the_pool_is_full_keeps_its_plan(rig: Rig, room: Room) -> None:
    trigger = Faulty()
    rig.add(lambda: None, trigger, name="job")
    room.saturated = True
    rig.advance(10 * SECOND)
    trigger.broken = True
    rig.advance(10 * SECOND)
    assert rig.sink.of(TriggerFailed)
    trigger.broken = False
    room.saturated = False
    rig.advance(LOOKED_AT_LEAST_NS)
    assert rig.ended("job")[0].outcome == "success"


def test_the_oldest_goes_first(rig: Rig, room: Room) -> None:
    order: list[str] = []
    for name in ("a", "b", "c"):
        rig.add(lambda: None, every("10s", offset=f"{1 + len(order)}s"), name=name)
        order.append(name)
    room.saturated = True
    for _ in range(15):
        rig.advance(SECOND)
    room.saturated = False
    rig.advance(LOOKED_AT_LEAST_NS)
    for name in order:
        rig.ended(name)
    assert [move.job for move in rig.sink.of(OccurrenceMoved) if move.event == "fell_due"] == order


def test_with_room_nobody_looks_whether_there_is_room(rig: Rig, room: Room) -> None:
    room.saturated = False
    rig.add(lambda: None, every("10s"), name="job")
    rig.advance(10 * SECOND)
    rig.ended("job")
    rig.free("job")
    assert rig.timeline.tick() - rig.clock.monotonic_ns() > LOOKED_EVERY_NS


def test_what_still_waits_at_the_stop_is_accounted_for(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="job")
    room.saturated = True
    rig.advance(10 * SECOND)
    rig.advance(10 * SECOND)
    rig.planner.stop()
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("skipped", "stopping")
    assert rig.missed("job").count == 1
    assert sum(event.count for event in rig.sink.of(InstantsMissed)) == 1


def test_a_plan_with_an_end_accounts_for_nothing_after_it_at_the_stop(rig: Rig, room: Room) -> None:
    """What is after it belongs to the plan that goes on from there."""
    rig.add(lambda: None, every("10s"), name="job")
    room.saturated = True
    now_ns = rig.clock.wall_ns()
    rig.planner.plan(rig.jobs["job"], now_ns - 30 * SECOND, now_ns)
    rig.advance(0)
    rig.advance(10 * SECOND)
    rig.planner.stop()
    ends = sorted(rig.ended("job", 2), key=lambda end: end.due_ns)
    assert [end.due_ns - now_ns for end in ends] == [0, 10 * SECOND]
    assert rig.missed("job").count == 2


def test_it_begins_to_admit_when_little_waits_and_then_admits_until_the_pool_has_enough_to_do(
    rig: Rig, room: Room
) -> None:
    for name in "abcd":
        rig.add(lambda: None, every("10s"), name=name, misfire_grace="20ms")
    room.saturated = True
    rig.advance(10 * SECOND)
    room.wait_ns, room.each_ns = SOON_NS - 1, SOON_NS // 2
    rig.advance(LOOKED_AT_LEAST_NS)
    assert not rig.sink.of(OccurrenceMoved), "the workers still have something to do"
    room.wait_ns = 0
    rig.advance(LOOKED_EVERY_NS)
    for name in "abc":
        rig.ended(name)
    assert [move.job for move in rig.sink.of(OccurrenceMoved) if move.event == "fell_due"] == ["a", "b", "c"]


def test_what_falls_due_while_others_are_kept_back_comes_after_them(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="first")
    room.saturated = True
    rig.advance(10 * SECOND)
    room.wait_ns = SOON_NS  # there is room, but not yet for those that are kept back
    rig.add(lambda: None, every("10s"), name="second")
    rig.advance(10 * SECOND)
    assert not rig.sink.of(OccurrenceMoved)
    room.wait_ns = 0
    rig.advance(LOOKED_AT_LEAST_NS)
    for name in ("first", "second"):
        rig.ended(name)
    assert [move.job for move in rig.sink.of(OccurrenceMoved) if move.event == "fell_due"] == ["first", "second"]


def test_an_instant_that_cannot_be_started_in_time_any_more_is_left_out_and_counted(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="late", misfire_grace="1ms")
    room.wait_ns = 2 * MS
    rig.advance(10 * SECOND)
    assert not rig.moves("late", "fell_due"), "it would wait for a worker until it is too late"
    room.wait_ns = 0
    rig.advance(10 * SECOND)
    (end,) = rig.ended("late")
    assert end.outcome == "success"
    assert rig.missed("late").count == 1
    assert end.due_ns == rig.missed("late").before_ns


def test_what_cannot_be_started_in_time_keeps_back_nothing_else(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("1h"), name="late", misfire_grace="1ms")
    rig.add(lambda: None, every("1h", offset="1s"), name="other")
    room.wait_ns = 2 * MS
    rig.advance(3_600 * SECOND)
    assert not rig.moves("late", "fell_due")
    room.saturated = True
    rig.advance(SECOND)
    room.wait_ns = 0
    rig.advance(LOOKED_AT_LEAST_NS)
    assert rig.ended("other")[0].outcome == "success"


def test_what_waits_for_its_turn_for_long_is_accounted_for_meanwhile(rig: Rig, room: Room) -> None:
    names = [f"job-{number}" for number in range(40)]
    for name in names:
        rig.add(lambda: None, every("100ms"), name=name, misfire_grace="1ms")
    room.each_ns = 2 * MS  # so that one can be started in time at each instant
    for _ in range(15):
        rig.advance(100 * MS)
    (waiting, *_) = [name for name in names if not rig.moves(name, "fell_due")]
    assert rig.missed(waiting).count >= 10


def test_what_comes_before_it_is_due_is_not_kept_back_by_what_is_started_until_then(rig: Rig, room: Room) -> None:
    lead_ns = rig.dispatcher.lead_time.now_ns
    rig.advance(20 * SECOND - rig.clock.wall_ns() % (10 * SECOND) - 2 * lead_ns)
    for name in ("early", "kept back"):
        rig.add(lambda: None, every("10s"), name=name, misfire_grace="20ms")
    room.wait_ns, room.each_ns = SOON_NS + lead_ns, 1
    rig.advance(lead_ns)
    assert [assignment.job_name for assignment in rig.dispatcher.assignments()] == ["early"]


def test_the_time_for_which_it_was_kept_back_is_the_pools_part_of_its_lateness(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="job")
    room.saturated = True
    rig.advance(10 * SECOND + MS)
    rig.advance(2 * SECOND)
    room.saturated = False
    rig.advance(LOOKED_AT_LEAST_NS)
    late = rig.ended("job")[0].lateness
    assert late is not None
    assert (late.timer_ns, late.pool_ns) == (MS, 2 * SECOND + LOOKED_AT_LEAST_NS)


def test_the_longer_nothing_moves_in_the_pool_the_rarer_somebody_looks(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="job")
    room.saturated = True
    rig.advance(10 * SECOND)
    pauses = []
    for _ in range(8):
        began_ns = rig.clock.monotonic_ns()
        pauses.append(rig.timeline.tick() - began_ns)
        rig.advance(pauses[-1])
    assert pauses[0] == LOOKED_EVERY_NS
    assert pauses[-1] == LOOKED_AT_LEAST_NS
    room.wait_ns += 1
    rig.advance(rig.timeline.tick() - rig.clock.monotonic_ns())
    assert rig.timeline.tick() - rig.clock.monotonic_ns() == LOOKED_EVERY_NS


def test_what_has_a_long_grace_waits_in_the_pool_for_a_fourth_of_it(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("10s"), name="patient", misfire_grace="4s")
    rig.add(lambda: None, every("10s"), name="kept back", misfire_grace="2s")
    room.wait_ns = SECOND
    rig.advance(10 * SECOND)
    assert rig.ended("patient")[0].outcome == "success"
    assert not rig.moves("kept back", "fell_due")


def test_what_was_accounted_for_meanwhile_still_has_its_own_interval_to_wait_in_the_pool(rig: Rig, room: Room) -> None:
    rig.add(lambda: None, every("1s"), name="first")
    rig.add(lambda: None, every("1s"), name="second")
    room.saturated = True
    rig.advance(SECOND)
    rig.advance(3 * SECOND + 50 * MS)
    rig.sink.wait_for(lambda event: isinstance(event, InstantsMissed), count=2)
    room.wait_ns, room.each_ns = 0, 240 * MS
    rig.advance(LOOKED_AT_LEAST_NS)
    assert rig.ended("second")[0].outcome == "success", "it waits for less than a fourth of its interval"
