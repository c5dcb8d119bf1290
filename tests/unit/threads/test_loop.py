"""A loop starts once, steps when it is due or woken, and stops from wherever it is stopped."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.threads.loop import RETRY_NS, Loop
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 10.0


class Steps:
    """Counts the steps of a loop and the threads that take them."""

    def __init__(self, clock: FakeClock, *, every_ns: int | None = None) -> None:
        self.clock = clock
        self.every_ns = every_ns
        self.count = 0
        self.lasts = 0
        self.threads: set[str] = set()
        self.fails = False
        self._stepped = threading.Condition()

    def step(self) -> int | None:
        with self._stepped:
            self.count += 1
            self.threads.add(threading.current_thread().name)
            self._stepped.notify_all()
        if self.fails:
            raise ZeroDivisionError
        return None if self.every_ns is None else self.clock.monotonic_ns() + self.every_ns

    def last(self) -> None:
        self.lasts += 1

    def wait_for(self, count: int) -> None:
        with self._stepped:
            assert self._stepped.wait_for(lambda: self.count >= count, PATIENCE_S), self.count


def loop_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "tickglass-tested"]


def test_it_steps_at_once_and_then_at_the_instants_that_its_step_returns() -> None:
    clock = FakeClock()
    steps = Steps(clock, every_ns=SECOND)
    loop = Loop("tested", clock, steps.step)
    loop.start()
    for count in (1, 2, 3):
        steps.wait_for(count)
        clock.wait_for_sleepers(1)
        assert steps.count == count
        clock.advance(SECOND)
    loop.stop()
    assert steps.threads == {"tickglass-tested"}


def test_a_wake_calls_the_step_before_its_instant() -> None:
    clock = FakeClock()
    steps = Steps(clock)
    loop = Loop("tested", clock, steps.step)
    loop.start()
    steps.wait_for(1)
    clock.wait_for_sleepers(1)
    loop.wake()
    steps.wait_for(2)
    loop.stop()


def test_a_lazy_loop_has_no_thread_before_it_is_both_started_and_woken() -> None:
    clock = FakeClock()
    started, woken = Steps(clock), Steps(clock)
    started_first, woken_first = (Loop("tested", clock, steps.step, lazy=True) for steps in (started, woken))
    started_first.start()
    woken_first.wake()
    assert loop_threads() == []
    started_first.wake()
    woken_first.start()
    started.wait_for(1)
    woken.wait_for(1)
    started_first.stop()
    woken_first.stop()


def test_a_step_that_raises_is_reported_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    steps = Steps(clock, every_ns=SECOND)
    steps.fails = True
    loop = Loop("tested", clock, steps.step)
    loop.start()
    steps.wait_for(1)
    clock.wait_for_sleepers(1)
    assert "a step of the tested loop raised" in caplog.text
    steps.fails = False
    clock.advance(RETRY_NS)
    steps.wait_for(2)
    loop.stop()


def test_its_end_is_on_its_own_thread_once_and_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[str] = []

    def last() -> None:
        ends.append(threading.current_thread().name)
        raise ZeroDivisionError

    loop = Loop("tested", FakeClock(), lambda: None, last=last)
    loop.start()
    loop.stop()
    loop.stop()
    assert ends == ["tickglass-tested"]
    assert "the end of the tested loop raised" in caplog.text


def test_a_step_may_stop_its_own_loop() -> None:
    def stop_it() -> None:
        loop.stop()

    loop = Loop("tested", FakeClock(), stop_it)
    loop.start()
    loop.stop()
    assert loop.stopping
    assert loop_threads() == []


def test_a_step_that_hangs_is_waited_for_no_longer_than_asked() -> None:
    hanging, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        let_go.wait(PATIENCE_S)

    loop = Loop("tested", FakeClock(), hang)
    loop.start()
    assert hanging.wait(PATIENCE_S)
    loop.stop(timeout_s=0.01)
    assert loop_threads() == ["tickglass-tested"]
    let_go.set()
    loop.stop()
    assert loop_threads() == []


@pytest.mark.parametrize("lazy", [False, True])
def test_stopped_before_the_start_it_never_starts(*, lazy: bool) -> None:
    clock = FakeClock()
    steps = Steps(clock)
    loop = Loop("tested", clock, steps.step, last=steps.last, lazy=lazy)
    loop.stop()
    loop.start()
    loop.wake()
    assert (steps.count, steps.lasts, loop_threads()) == (0, 0, [])


@pytest.mark.parametrize("lazy", [False, True])
def test_started_woken_and_stopped_by_several_threads_it_has_one_thread_and_ends(*, lazy: bool) -> None:
    clock = SystemClock()
    for seed in range(500):
        rng, steps = random.Random(seed), Steps(FakeClock())
        loop = Loop("tested", clock, steps.step, last=steps.last, lazy=lazy)
        calls = [loop.start, loop.start, loop.wake, loop.wake, loop.stop]
        rng.shuffle(calls)
        callers = [threading.Thread(target=call) for call in calls]
        _all(threading.Thread.start, callers)
        _all(threading.Thread.join, callers)
        loop.stop()
        assert loop_threads() == [], seed
        assert bool(steps.count) <= steps.lasts <= 1, seed


def _all(do: Callable[[threading.Thread], None], threads: list[threading.Thread]) -> None:
    for thread in threads:
        do(thread)
