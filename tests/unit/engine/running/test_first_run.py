"""The first run on time is reported once, counted from the start of the process if the machine says when that was."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kit.rig import Rig
from kit.stand import Stand

from tickglass.sched import clock as clock_module
from tickglass.sched.clock import SystemClock, began_of
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.running.first_run import FirstRun
from tickglass.sched.events import FirstRunOnTime
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import ON_TIME_NS
from tickglass.sched.triggers import every
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAT = "4242 (odd) name (3) S 1 4242 4242 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 1 0 {ticks} 1000 200 1844 1 1 0"


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_a_late_run_does_not_count_and_of_those_on_time_only_the_first(rig: Rig) -> None:
    first = FirstRun(rig.context, since_ns=1_000)
    due_ns = 5 * SECOND
    first.note("unstarted", due_ns, 0)
    first.note("late", due_ns, due_ns + ON_TIME_NS + 1)
    assert rig.sink.of(FirstRunOnTime) == []
    first.note("on time", due_ns, due_ns + ON_TIME_NS)
    first.note("later", 2 * due_ns, 2 * due_ns)
    expected = FirstRunOnTime(job="on time", after_ns=due_ns + ON_TIME_NS - 1_000, wall_ns=rig.clock.wall_ns())
    assert rig.sink.of(FirstRunOnTime) == [expected]


def test_the_dispatcher_tells_of_each_run(rig: Rig) -> None:
    def job() -> None: ...

    rig.add(job, every("10s"))
    rig.advance(10 * SECOND)
    rig.free("job")
    (told,) = rig.sink.of(FirstRunOnTime)
    assert told.job == "job"
    assert 0 < told.after_ns <= 10 * SECOND
    rig.advance(10 * SECOND)
    rig.free("job")
    assert len(rig.sink.of(FirstRunOnTime)) == 1


@pytest.mark.parametrize(
    ("begins", "process_ns", "before_ns"),
    [
        (SchedulerState.NEW, 70 * SECOND, 70 * SECOND),
        (SchedulerState.NEW, None, 0),
        (SchedulerState.STOPPED, 70 * SECOND, 0),
    ],
)
def test_it_counts_from_the_start_of_the_process_or_else_of_the_scheduler(
    begins: SchedulerState, process_ns: int | None, before_ns: int
) -> None:
    clock = FakeClock()
    if process_ns is not None:
        clock.began_ns = clock.monotonic_ns() - process_ns
    stand = Stand(clock=clock, begins=begins)
    made_ns = clock.monotonic_ns()
    stand.add(lambda: None, every("20ms"), name="job")
    stand.engine.start()
    try:
        stand.advance_until(lambda: bool(stand.sink.of(FirstRunOnTime)), by_ns=MS)
    finally:
        stand.engine.stop(SECOND)
    (told,) = stand.sink.of(FirstRunOnTime)
    assert before_ns < told.after_ns <= clock.monotonic_ns() - made_ns + before_ns


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when a process began")
def test_a_process_knows_when_it_began() -> None:
    clock = SystemClock()
    before_ns = clock.monotonic_ns()
    asked = "from tickglass.sched.clock import SystemClock; print(SystemClock().process_began_ns())"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    tick_ns = SECOND // os.sysconf("SC_CLK_TCK")
    assert before_ns - tick_ns <= int(told) <= clock.monotonic_ns()


def test_the_name_of_the_program_may_hold_anything() -> None:
    assert began_of(STAT.format(ticks=12_345), 100) == 123_450 * MS


def test_where_nothing_says_it_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock_module, "_PROCESS_STATS", tmp_path / "stat")
    assert SystemClock().process_began_ns() is None
