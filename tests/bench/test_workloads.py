from __future__ import annotations

import pytest
from workloads.cell import Cell
from workloads.fleet import fleet_result
from workloads.meter import Start, Window, summed_up

CELL = Cell(name="a", workload="fire", subject="tickglass", jobs=2, period_ms=100, window_s=1.0)
MS = 1_000_000


def test_a_window_counts_runs_by_their_start_and_lateness_by_their_due_instant() -> None:
    window = Window(1_000 * MS, 2_000 * MS)
    starts = [
        Start(900 * MS, 1_100 * MS),  # due before it, run in it
        Start(1_200 * MS, 1_201 * MS),
        Start(1_900 * MS, 2_005 * MS),  # due in it, run after it
        Start(2_000 * MS, 2_001 * MS),  # neither
    ]
    result = summed_up(CELL, window, starts, cpu_s=0.001, switches=4)
    assert result.late_us == [1_000.0, 105_000.0]
    assert result.figures == {
        "runs": 2.0,
        "due": 20.0,
        "started": 2.0,
        "runs_per_s": 2.0,
        "cpu_us_per_run": pytest.approx(500.0),
        "cpu_share": pytest.approx(0.001),
        "switches_per_run": 2.0,
    }


def test_a_window_in_which_nothing_ran_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="nothing ran"):
        summed_up(CELL, Window(0, 1_000 * MS), [], cpu_s=0.0, switches=0)


def test_a_window_is_of_whole_periods() -> None:
    assert Cell(name="a", workload="fire", subject="x", period_ms=500, window_s=1.2).window_ns == 1_000 * MS
    assert Cell(name="a", workload="fire", subject="x", period_ms=1_000, window_s=0.1).window_ns == 1_000 * MS


def test_a_fleet_counts_what_ran_twice_and_what_never_ran() -> None:
    runs = [("a", 100 * MS, 101 * MS), ("a", 100 * MS, 102 * MS), ("b", 100 * MS, 101 * MS)]
    figures = fleet_result(CELL, runs, cpu_s=0.003).figures
    assert (figures["repeated"], figures["missing"], figures["due"]) == (1.0, 18.0, 20.0)
    assert figures["cpu_us_per_run"] == pytest.approx(1_000.0)
