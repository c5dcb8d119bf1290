"""How long a run is expected to take."""

from __future__ import annotations

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.running.run_queue import AHEAD_NS
from tickglass.sched.engine.running.run_times import RunTimes
from tickglass.sched.job import Job, declare
from tickglass.sched.triggers import every


def nothing() -> None: ...


async def coroutine() -> None: ...


@pytest.fixture
def job() -> Job:
    return declare(nothing, every("1s"), service="s")


def test_a_job_that_has_not_run_here_counts_as_long(job: Job) -> None:
    assert RunTimes().expected_ns(job) == AHEAD_NS


def test_a_coroutine_holds_no_worker() -> None:
    assert RunTimes().expected_ns(declare(coroutine, every("1s"), service="s")) == 0


def test_a_long_run_is_remembered_at_once_and_forgotten_slowly(job: Job) -> None:
    times = RunTimes()
    times.note("nothing", 0)
    assert times.expected_ns(job) == 0
    times.note("nothing", 8 * MS)
    assert times.expected_ns(job) == 8 * MS
    times.note("nothing", 0)
    assert times.expected_ns(job) == 7 * MS
    times.note("nothing", 3_600 * SECOND)
    assert times.expected_ns(job) == AHEAD_NS
