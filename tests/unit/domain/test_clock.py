"""The machine's clocks, and the fake one that tests move."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from kit.suspended import SuspendableClock, TellingWake

from tickglass.sched.clock import SystemClock, Wake, instant_of, ns_of
from tickglass.sched.durations import MS, SECOND
from tickglass.testing import FakeClock


def test_a_wait_ends_at_its_instant_and_never_before() -> None:
    clock = SystemClock()
    for wait_ns in (0, 50_000, MS, 3 * MS):
        until_ns = clock.monotonic_ns() + wait_ns
        assert clock.wait(until_ns, Wake()) is False
        assert clock.monotonic_ns() >= until_ns


def test_a_wait_notices_soon_that_its_instant_came_while_the_machine_was_suspended() -> None:
    clock, wake = SuspendableClock(), TellingWake()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(clock.wait, clock.monotonic_ns() + 3_600 * SECOND, wake)
        assert wake.waiting.wait(10.0)
        clock.suspend(7_200 * SECOND)
        try:
            assert ended.result(10.0) is False
        finally:
            wake.ring()


def test_a_ring_before_the_wait_is_not_lost_and_is_consumed_once() -> None:
    clock, wake = SystemClock(), Wake()
    wake.ring()
    assert clock.wait(None, wake) is True
    assert clock.wait(clock.monotonic_ns() + MS, wake) is False


def test_a_ring_ends_a_wait_from_another_thread() -> None:
    clock, wake = SystemClock(), Wake()
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(clock.wait(None, wake)))
    waiter.start()
    wake.ring()
    waiter.join(10)
    assert answers == [True]


def test_a_reading_takes_both_clocks_at_one_instant() -> None:
    clock = SystemClock()
    first, second = clock.reading(), clock.reading()
    assert abs(first.offset_ns - second.offset_ns) < 5 * MS
    assert second.monotonic_ns >= first.monotonic_ns


@given(st.integers(-(10**18), 4 * 10**18))
def test_instants_and_nanoseconds_convert_exactly(wall_ns: int) -> None:
    assert ns_of(instant_of(wall_ns)) == wall_ns // 1_000 * 1_000


def test_the_epoch_is_zero() -> None:
    assert ns_of(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_the_fake_clock_wakes_who_waited_for_it() -> None:
    clock, answers = FakeClock(), list[bool]()
    until_ns = clock.monotonic_ns() + 1_000
    waiter = threading.Thread(target=lambda: answers.append(clock.wait(until_ns, Wake())))
    waiter.start()
    clock.wait_for_sleepers(1)
    clock.advance(999)
    clock.wait_for_sleepers(1)
    assert answers == []
    clock.advance(1)
    waiter.join(10)
    assert answers == [False]
