"""The engine's side of a run: one reason, and everything that waits is woken."""

from __future__ import annotations

import pytest

from tickglass.sched.stop_signal import StopSignal
from tickglass.testing import FakeClock


def test_a_later_reason_to_stop_does_not_replace_the_first() -> None:
    stop = StopSignal()
    assert stop.reason == ""
    stop.ask("timeout")
    stop.ask("shutdown")
    assert (stop.reason, stop.over) == ("timeout", False)


@pytest.mark.parametrize("tell", [lambda stop: stop.ask("lost"), StopSignal.end])
def test_whatever_waits_for_the_run_is_woken_by_a_stop_and_by_the_end(tell: object) -> None:
    assert callable(tell)
    stop, clock, called = StopSignal(), FakeClock(), []
    with stop.calling(lambda: called.append("inside")):
        tell(stop)
    assert clock.wait(clock.monotonic_ns() + 1, stop.wake), "it rang"
    assert called == ["inside"]


def test_a_call_that_comes_after_the_stop_is_made_at_once() -> None:
    stop, called = StopSignal(), []
    stop.ask("shutdown")
    with stop.calling(lambda: called.append("late")):
        assert called == ["late"]


def test_a_call_is_not_made_any_more_after_its_block() -> None:
    stop, called = StopSignal(), []
    with stop.calling(lambda: called.append("never")):
        pass
    stop.ask("shutdown")
    assert called == []
