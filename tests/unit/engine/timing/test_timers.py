"""Timers fire at their instants, in order, whatever other calls do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from kit.suspended import SuspendableClock, TellingWake

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.timing.timers import Timers
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 10.0


class Firing:
    """Timers on a clock that stands still, and the names of those that fired."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.timers = Timers(self.clock)
        self.fired: list[str] = []
        self._fired = threading.Condition()

    def call(self, name: str) -> Callable[[], None]:
        def fire() -> None:
            with self._fired:
                self.fired.append(name)
                self._fired.notify_all()

        return fire

    def in_s(self, seconds: float) -> int:
        return self.clock.monotonic_ns() + int(seconds * SECOND)

    def wait_for(self, *names: str) -> None:
        """Wait until exactly these have fired, in this order."""
        with self._fired:
            assert self._fired.wait_for(lambda: len(self.fired) >= len(names), PATIENCE_S), self.fired
            assert self.fired == list(names)


@pytest.fixture
def firing() -> Iterator[Firing]:
    firing = Firing()
    firing.timers.start()
    firing.clock.wait_for_sleepers(1)
    yield firing
    firing.timers.stop()


def test_a_timer_fires_at_its_instant_and_not_before(firing: Firing) -> None:
    firing.timers.at(firing.in_s(2), firing.call("second"))
    firing.timers.at(firing.in_s(1), firing.call("first"))
    firing.clock.wait_for_sleepers(1)
    firing.clock.advance(SECOND - 1)
    firing.clock.wait_for_sleepers(1)
    assert firing.fired == []
    firing.clock.advance(1)
    firing.wait_for("first")
    firing.clock.advance(SECOND)
    firing.wait_for("first", "second")


def test_a_timer_of_a_machine_that_was_suspended_fires_soon_after_it_wakes() -> None:
    clock = SuspendableClock()
    timers, rung = Timers(clock), threading.Event()
    timers._loop._wake = wake = TellingWake()
    timers.at(clock.monotonic_ns() + 3_600 * SECOND, rung.set)
    timers.start()
    assert wake.waiting.wait(PATIENCE_S)
    clock.suspend(7_200 * SECOND)
    assert rung.wait(PATIENCE_S)
    timers.stop()


def test_a_timer_for_an_instant_that_has_passed_fires_at_once(firing: Firing) -> None:
    firing.timers.at(firing.in_s(-1), firing.call("late"))
    firing.wait_for("late")


def test_a_cancelled_timer_never_fires_also_when_it_is_cancelled_twice(firing: Firing) -> None:
    timer = firing.timers.at(firing.in_s(1), firing.call("cancelled"))
    firing.timers.at(firing.in_s(1), firing.call("kept"))
    timer.cancel()
    timer.cancel()
    firing.clock.advance(SECOND)
    firing.wait_for("kept")


def test_a_call_that_raises_is_reported_and_the_other_timers_fire(
    firing: Firing, caplog: pytest.LogCaptureFixture
) -> None:
    def boom() -> None:
        raise RuntimeError("no")

    firing.timers.at(firing.in_s(1), boom)
    firing.timers.at(firing.in_s(1), firing.call("next"))
    firing.clock.advance(SECOND)
    firing.wait_for("next")
    assert "a timer's call raised" in caplog.text


def test_a_call_may_set_the_next_timer(firing: Firing) -> None:
    firing.timers.at(firing.in_s(0), lambda: _again(firing))
    firing.wait_for("again")


def _again(firing: Firing) -> None:
    firing.timers.at(firing.in_s(0), firing.call("again"))


def test_cancelled_timers_do_not_pile_up(firing: Firing) -> None:
    kept = [firing.timers.at(firing.in_s(3_600), firing.call("kept")) for _ in range(100)]
    for _ in range(5_000):
        firing.timers.at(firing.in_s(3_600), firing.call("cancelled")).cancel()
    assert len(kept) <= len(firing.timers._heap) <= 1_100 + len(kept)
    firing.clock.advance(3_600 * SECOND)
    firing.wait_for(*["kept"] * 100)


def test_after_the_stop_no_timer_fires(firing: Firing) -> None:
    firing.timers.at(firing.in_s(1), firing.call("never"))
    firing.timers.stop()
    firing.clock.advance(SECOND)
    assert firing.fired == []
