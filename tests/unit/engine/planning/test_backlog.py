"""In overload due instants wait where they cost little, and each has its outcome in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.planning.backlog import LOOKED_EVERY_NS
from tickglass.sched.engine.running.pool import Pool
from tickglass.sched.events import InstantsMissed, OccurrenceMoved
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.rig import Rig


class Room:
    """Whether the pool has room, as a test says."""

    def __init__(self) -> None:
        self.saturated = False


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()
    monkeypatch.setattr(Pool, "saturated", property(lambda _: room.saturated))
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
    rig.advance(LOOKED_EVERY_NS)
    (end,) = rig.ended("job")
    assert end.outcome == "success"
    assert rig.missed("job").count == 2
    assert end.due_ns == rig.missed("job").before_ns


def test_the_oldest_goes_first(rig: Rig, room: Room) -> None:
    order: list[str] = []
    for name in ("a", "b", "c"):
        rig.add(lambda: None, every("10s", offset=f"{1 + len(order)}s"), name=name)
        order.append(name)
    room.saturated = True
    for _ in range(15):
        rig.advance(SECOND)
    room.saturated = False
    rig.advance(LOOKED_EVERY_NS)
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
