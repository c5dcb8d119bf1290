"""The timeline wakes exactly when something is due, once a second otherwise, and follows the wall clock's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.timing.timeline import LASTING_NS, Timeline
from tickglass.sched.events import ClockStepped, TimelineTicked
from tickglass.sched.threads.loop import Loop
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600 * SECOND


class Line:
    """A timeline, and what it called back."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), ListSink()
        self.timeline = Timeline(clock=self.clock, sink=self.sink)
        self.visited: list[tuple[str, int]] = []  # name, monotonic

    def at(self, after_ns: int, name: str = "it", *, steady: bool = False) -> None:
        """Have a visit when the wall clock shows so much more than now."""

        def visit(_offset_ns: int) -> None:
            self.visited.append((name, self.clock.monotonic_ns()))

        self.timeline.at(self.clock.wall_ns() + after_ns, visit, steady=steady)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.visited]


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.timeline.stop()


def test_an_idle_timeline_wakes_once_a_second(line: Line) -> None:
    line.timeline.start()
    for second in range(10):
        line.sink.wait_for(lambda event: isinstance(event, TimelineTicked), count=1 + second)
        for _ in range(10):
            line.clock.advance(100 * MS)
    line.sink.wait_for(lambda event: isinstance(event, TimelineTicked), count=11)
    assert len(line.sink.of(TimelineTicked)) == 11


def test_an_entry_is_visited_at_its_instant_and_not_before(line: Line) -> None:
    line.at(250 * MS)
    began_ns = line.clock.monotonic_ns()
    assert line.timeline.tick() == began_ns + 250 * MS
    line.clock.advance(250 * MS - 1)
    line.timeline.tick()
    assert line.visited == []
    line.clock.advance(1)
    assert line.timeline.tick() == began_ns + 1_250 * MS
    assert line.visited == [("it", began_ns + 250 * MS)]


def test_however_many_entries_come_before_the_next_tick_the_thread_is_woken_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[Loop] = []
    monkeypatch.setattr(Loop, "wake", lambda loop: woken.append(loop))  # noqa: PLW0108 - a method has to be a function
    line.timeline.tick()
    for _ in range(50):
        line.at(10 * MS)
    assert len(woken) == 1
    line.timeline.tick()
    line.at(20 * MS)
    assert len(woken) == 1, "it wakes before that by itself"
    line.at(5 * MS)
    assert len(woken) == 2
    line.clock.advance(20 * MS)
    line.timeline.tick()
    assert len(line.visited) == 52


def test_the_thread_visits_at_the_exact_instant(line: Line) -> None:
    began_ns = line.clock.monotonic_ns()
    line.at(250 * MS)
    line.timeline.start()
    line.clock.wait_for_sleepers(1)
    line.clock.advance(250 * MS)
    line.sink.wait_for(lambda event: isinstance(event, TimelineTicked) and event.handed == 1)
    assert line.visited == [("it", began_ns + 250 * MS)]


def test_an_entry_that_comes_sooner_wakes_it(line: Line) -> None:
    line.at(900 * MS, "later")
    line.timeline.start()
    line.clock.wait_for_sleepers(1)
    line.at(0, "sooner")
    line.sink.wait_for(lambda event: isinstance(event, TimelineTicked) and event.handed == 1)
    assert line.names == ["sooner"]


def test_a_wait_is_never_longer_than_a_second(line: Line) -> None:
    line.at(HOUR)
    assert line.timeline.tick() == line.clock.monotonic_ns() + SECOND


def test_entries_are_visited_in_the_order_of_their_instants_then_of_their_entry(line: Line) -> None:
    for after_ms, name in ((2, "c"), (1, "a"), (2, "d"), (1, "b")):
        line.at(after_ms * MS, name)
    line.clock.advance(SECOND)
    line.timeline.tick()
    assert line.names == ["a", "b", "c", "d"]


def test_a_step_forward_brings_what_it_jumped_over(line: Line) -> None:
    line.at(HOUR)
    line.clock.step(HOUR)
    line.timeline.tick()
    assert line.names == ["it"]
    (step,) = line.sink.of(ClockStepped)
    assert step.step_ns == HOUR


def test_a_rate_follows_a_step_forward_without_a_judge_once_it_has_lasted(line: Line) -> None:
    line.at(HOUR, steady=True)
    line.clock.step(HOUR)
    line.timeline.tick()
    line.clock.advance(LASTING_NS - 1)
    line.timeline.tick()
    assert line.names == []
    line.clock.advance(1)
    line.timeline.tick()
    assert line.names == ["it"]


def test_a_rate_ignores_a_step_forward_that_is_taken_back_and_waits_again_at_the_next_one(line: Line) -> None:
    line.at(HOUR, steady=True)
    for _ in range(3):
        line.clock.step(HOUR)
        line.timeline.tick()
        line.clock.advance(LASTING_NS - 1)
        line.clock.step(-HOUR)
        line.timeline.tick()
    assert line.names == []


def test_after_a_step_back_a_rate_goes_on_and_a_time_of_day_waits(line: Line) -> None:
    line.at(SECOND, "rate", steady=True)
    line.at(SECOND, "time of day", steady=False)
    line.clock.step(-HOUR)
    line.clock.advance(SECOND)
    line.timeline.tick()
    assert line.names == ["rate"]
    assert line.sink.of(ClockStepped)[0].step_ns == -HOUR
    assert line.timeline.offset_ns(steady=True) - line.timeline.offset_ns(steady=False) == HOUR
    line.clock.advance(HOUR)
    line.timeline.tick()
    assert line.names == ["rate", "time of day"]


def test_a_step_back_and_forth_repeats_nothing_and_ends_where_it_began(line: Line) -> None:
    before = line.timeline.offset_ns(steady=True)
    line.clock.step(-HOUR)
    line.timeline.tick()
    line.clock.step(HOUR)
    line.timeline.tick()
    assert line.timeline.offset_ns(steady=True) == line.timeline.offset_ns(steady=False) == before


def test_the_difference_of_two_readings_is_no_step(line: Line) -> None:
    for _ in range(10):
        line.clock.step(4 * MS)  # slewed, say: followed all the same
        line.timeline.tick()
    assert line.sink.of(ClockStepped) == []
    assert line.timeline.offset_ns(steady=False) == line.clock.reading().offset_ns


def test_a_visit_gets_the_offset_that_converts_its_instants_into_monotonic_ones(line: Line) -> None:
    got: list[int] = []
    due_ns = line.clock.wall_ns() + SECOND
    line.timeline.at(due_ns, got.append, steady=True)
    line.clock.advance(SECOND)
    line.timeline.tick()
    assert due_ns - got[0] == line.clock.monotonic_ns()


def test_how_late_it_woke_is_reported(line: Line) -> None:
    line.timeline.tick()
    line.clock.advance(SECOND + 7 * MS)
    line.timeline.tick()
    first, second = line.sink.of(TimelineTicked)
    assert (first.lag_ns, second.lag_ns, second.handed) == (0, 7 * MS, 0)


class Panic(BaseException):
    """What extension modules raise: no `Exception`."""


@pytest.mark.parametrize("error", [ValueError("no"), Panic("no")])
def test_a_visit_that_raises_is_logged_and_the_others_are_made(
    line: Line, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(_offset_ns: int) -> None:
        raise error

    line.timeline.at(line.clock.wall_ns(), raises, steady=False)
    line.at(0, "other")
    line.timeline.tick()
    assert line.names == ["other"]
    assert "an entry of the timeline raised" in caplog.text


def test_after_the_stop_nothing_is_visited(line: Line) -> None:
    line.timeline.start()
    line.clock.wait_for_sleepers(1)
    line.timeline.stop()
    line.at(0)
    line.clock.advance(SECOND)
    assert line.visited == []
