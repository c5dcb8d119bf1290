"""Of what happens all the time, one a minute is told, and how many were not."""

from __future__ import annotations

from tickglass.sched.durations import SECOND
from tickglass.telemetry.log_pace import PACE_NS, Pace


def test_the_first_is_told_and_then_one_in_each_period_with_the_number_between() -> None:
    pace = Pace(10 * SECOND)
    told = {second: pace.passed_over("job", second * SECOND) for second in range(25)}
    assert {second: passed for second, passed in told.items() if passed is not None} == {0: 0, 10: 9, 20: 9}


def test_each_kind_is_told_by_itself() -> None:
    pace = Pace()
    assert [pace.passed_over(kind, 0) for kind in ("a", "b", "a", "b")] == [0, 0, None, None]


def test_a_job_that_runs_each_minute_is_told_each_time_also_if_it_is_a_little_early() -> None:
    pace = Pace()
    assert [pace.passed_over("job", minute * 60 * SECOND - minute % 2 * SECOND) for minute in range(5)] == [0] * 5
    assert PACE_NS < 59 * SECOND
