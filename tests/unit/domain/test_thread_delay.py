"""Why a thread goes on late: what the kernel counts, and a thread that keeps the interpreter."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from tickglass.sched import clock as clock_module
from tickglass.sched.clock import SystemClock, run_delay_of
from tickglass.sched.durations import MS

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells them apart")


def test_the_second_number_of_the_kernels_is_the_wait_for_a_core() -> None:
    assert run_delay_of("1200 37643 4\n") == 37_643


def test_a_kernel_that_does_not_count_says_nothing() -> None:
    assert run_delay_of("0 0 0\n") is None


def test_where_there_is_no_such_file_no_time_is_spent_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sleepless(SystemClock):
        def wait(self, *_: object) -> bool:
            raise AssertionError("it slept")

    monkeypatch.setattr(clock_module, "_DELAY_STATS", Path("/nowhere/schedstat"))
    assert Sleepless().thread_delay() is None


@ONLY_LINUX
def test_a_thread_that_keeps_the_interpreter_is_told_from_a_busy_machine() -> None:
    done, interval_s = threading.Event(), sys.getswitchinterval()

    def compute() -> None:
        while not done.is_set():
            sum(range(1_000))

    other, clock, delay = threading.Thread(target=compute), SystemClock(), None
    sys.setswitchinterval(0.05)  # the other thread gives the lock up after that, not before
    other.start()
    try:
        for _ in range(100):  # on a full machine, the other thread may have no core either while this one sleeps
            delay = clock.thread_delay()
            assert delay is not None
            if delay.interpreter_ns >= 20 * MS:
                break
    finally:
        sys.setswitchinterval(interval_s)
        done.set()
        other.join()
    assert delay is not None
    assert delay.interpreter_ns >= 20 * MS
    assert delay.core_ns >= 0
