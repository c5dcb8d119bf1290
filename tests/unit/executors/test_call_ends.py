"""Ends of calls come to workers together, none is forgotten, and none waits for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.executors.call_ends import HELD_NS, STEP_MAX, CallEnds
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Stage:
    """Ends, and a pool and timers that do something when a test says so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.steps: list[Callable[[], None]] = []
        self.timers: list[tuple[int, Callable[[], None]]] = []
        self.reported: list[int] = []
        self.ends = CallEnds(
            work=self.steps.append, at=lambda at_ns, call: self.timers.append((at_ns, call)), clock=self.clock
        )

    def end(self, number: int, *, held: bool = False) -> None:
        def report() -> None:
            self.reported.append(number)

        (self.ends.hold if held else self.ends.add)(report)

    def work(self) -> int:
        """Take one step and return how many are left."""
        self.steps.pop(0)()
        return len(self.steps)


def test_what_ends_until_a_worker_comes_is_one_step() -> None:
    stage = Stage()
    for number in range(50):
        stage.end(number)
    assert len(stage.steps) == 1
    assert stage.work() == 0
    assert stage.reported == list(range(50))
    stage.end(50)
    assert (len(stage.steps), stage.timers) == (1, [])


def test_a_worker_looks_for_other_work_after_its_share() -> None:
    stage = Stage()
    for number in range(2 * STEP_MAX + 1):
        stage.end(number)
    assert stage.work() == 1
    assert stage.reported == list(range(STEP_MAX))
    assert (stage.work(), stage.work()) == (1, 0)
    assert stage.reported == list(range(2 * STEP_MAX + 1))


def test_another_worker_reports_what_ends_behind_one_that_is_blocked() -> None:
    stage = Stage()

    def block() -> None:
        stage.end(1)
        assert stage.work() == 0, "the other worker"
        stage.reported.append(0)

    stage.ends.add(block)
    stage.work()
    assert (stage.reported, stage.steps) == ([1, 0], [])


def test_an_error_in_one_report_keeps_no_other_from_being_made() -> None:
    stage = Stage()

    def fail() -> None:
        raise ZeroDivisionError

    stage.ends.add(fail)
    stage.end(1)
    with pytest.raises(ZeroDivisionError):
        stage.work()
    assert stage.work() == 0
    assert stage.reported == [1]


def test_held_ends_wait_for_the_hand_over_with_one_timer_and_no_step() -> None:
    stage = Stage()
    for number in range(100):
        stage.end(number, held=True)
    assert (stage.steps, len(stage.timers)) == ([], 1)
    stage.ends.hand_over()
    stage.ends.hand_over()
    assert len(stage.steps) == 1
    while stage.steps:
        stage.work()
    assert stage.reported == list(range(100))
    stage.timers[0][1]()
    assert stage.steps == [], "nothing is left for the timer"


def test_held_ends_wait_no_longer_than_their_time() -> None:
    """What starts next may block the loop, and then nobody hands them over."""
    stage = Stage()
    stage.end(1, held=True)
    ((at_ns, call),) = stage.timers
    assert at_ns == stage.clock.monotonic_ns() + HELD_NS
    call()
    assert stage.work() == 0
    stage.end(2, held=True)
    assert len(stage.timers) == 2, "the next one is held, too"
