"""Timers ring at their instants, in order, whatever became of the others."""

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


class Ringing:
    """Timers on a clock that stands still, and what they rang."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.timers = Timers(self.clock)
        self.rung: list[str] = []
        self._heard = threading.Condition()

    def call(self, name: str) -> Callable[[], None]:
        def ring() -> None:
            with self._heard:
                self.rung.append(name)
                self._heard.notify_all()

        return ring

    def in_s(self, seconds: float) -> int:
        return self.clock.monotonic_ns() + int(seconds * SECOND)

    def hear(self, *names: str) -> None:
        """Wait until exactly these have rung, in this order."""
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.rung) >= len(names), PATIENCE_S), self.rung
            assert self.rung == list(names)


@pytest.fixture
def ringing() -> Iterator[Ringing]:
    ringing = Ringing()
    ringing.timers.start()
    ringing.clock.wait_for_sleepers(1)
    yield ringing
    ringing.timers.stop()


def test_an_alarm_rings_at_its_instant_and_not_before(ringing: Ringing) -> None:
    ringing.timers.at(ringing.in_s(2), ringing.call("second"))
    ringing.timers.at(ringing.in_s(1), ringing.call("first"))
    ringing.clock.wait_for_sleepers(1)
    ringing.clock.advance(SECOND - 1)
    ringing.clock.wait_for_sleepers(1)
    assert ringing.rung == []
    ringing.clock.advance(1)
    ringing.hear("first")
    ringing.clock.advance(SECOND)
    ringing.hear("first", "second")


def test_an_alarm_of_a_machine_that_was_suspended_rings_soon_after_it_wakes() -> None:
    clock = SuspendableClock()
    timers, rung = Timers(clock), threading.Event()
    timers._loop._wake = wake = TellingWake()
    timers.at(clock.monotonic_ns() + 3_600 * SECOND, rung.set)
    timers.start()
    assert wake.waiting.wait(PATIENCE_S)
    clock.suspend(7_200 * SECOND)
    assert rung.wait(PATIENCE_S)
    timers.stop()


def test_an_instant_that_has_passed_rings_at_once(ringing: Ringing) -> None:
    ringing.timers.at(ringing.in_s(-1), ringing.call("late"))
    ringing.hear("late")


def test_a_cancelled_alarm_never_rings_also_when_it_is_cancelled_twice(ringing: Ringing) -> None:
    timer = ringing.timers.at(ringing.in_s(1), ringing.call("cancelled"))
    ringing.timers.at(ringing.in_s(1), ringing.call("kept"))
    timer.cancel()
    timer.cancel()
    ringing.clock.advance(SECOND)
    ringing.hear("kept")


def test_a_call_that_raises_is_reported_and_the_others_ring(ringing: Ringing, caplog: pytest.LogCaptureFixture) -> None:
    def boom() -> None:
        raise RuntimeError("no")

    ringing.timers.at(ringing.in_s(1), boom)
    ringing.timers.at(ringing.in_s(1), ringing.call("next"))
    ringing.clock.advance(SECOND)
    ringing.hear("next")
    assert "a timer's call raised" in caplog.text


def test_a_call_may_set_the_next_alarm(ringing: Ringing) -> None:
    ringing.timers.at(ringing.in_s(0), lambda: _again(ringing))
    ringing.hear("again")


def _again(ringing: Ringing) -> None:
    ringing.timers.at(ringing.in_s(0), ringing.call("again"))


def test_cancelled_alarms_do_not_pile_up(ringing: Ringing) -> None:
    kept = [ringing.timers.at(ringing.in_s(3_600), ringing.call("kept")) for _ in range(100)]
    for _ in range(5_000):
        ringing.timers.at(ringing.in_s(3_600), ringing.call("cancelled")).cancel()
    assert len(kept) <= len(ringing.timers._heap) <= 1_100 + len(kept)
    ringing.clock.advance(3_600 * SECOND)
    ringing.hear(*["kept"] * 100)


def test_after_the_stop_nothing_rings(ringing: Ringing) -> None:
    ringing.timers.at(ringing.in_s(1), ringing.call("never"))
    ringing.timers.stop()
    ringing.clock.advance(SECOND)
    assert ringing.rung == []
