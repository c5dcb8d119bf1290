"""The peer APScheduler 3: jobs on its threads, and what a job costs that waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from workloads.cell import Cell, Place, Result
from workloads.memory import rss_bytes
from workloads.meter import Meter, Start, grid_window, pause, wall_ns, watch

__all__ = ["measure"]

WARM_UP_S: Final = 0.5


def measure(cell: Cell, _place: Place) -> Result:
    """Fire jobs, or add many that wait, as the cell says."""
    return fire(cell) if cell.workload == "fire" else scale(cell)


def fire(cell: Cell) -> Result:
    """Run the jobs on its ten threads.

    A job is not told when it was due, so that is the latest instant of its grid before the start. A start
    later than one period therefore counts as less late than it was.
    """
    begun: list[int] = []
    work_s = cell.work_ms / 1e3

    def job() -> None:
        begun.append(wall_ns())
        if work_s:
            pause(work_s)

    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start()
    window = grid_window(cell, WARM_UP_S + cell.jobs * 0.002)
    first_ns = window.begin_ns + cell.period_ns // 2 - 2 * cell.period_ns  # two periods of warm-up
    begin = datetime.fromtimestamp(first_ns / 1e9, UTC)
    begin = begin.replace(microsecond=first_ns // 1_000 % 1_000_000)  # exactly: a float is not
    for _ in range(cell.jobs):
        trigger = IntervalTrigger(seconds=cell.period_ms / 1e3, start_date=begin, timezone=UTC)
        scheduler.add_job(job, trigger)
    return watch(cell, window, lambda: [Start(ns - ns % cell.period_ns, ns) for ns in tuple(begun)])


def scale(cell: Cell) -> Result:
    """Add jobs that wait for a day."""
    scheduler = BackgroundScheduler(timezone=UTC)
    meter = Meter()
    for _ in range(cell.jobs):
        scheduler.add_job(print, IntervalTrigger(hours=24, timezone=UTC))
    scheduler.start()
    cpu_s, _ = meter.read()
    pause(0.5)
    return Result({"start_cpu_s": cpu_s, "cpu_us_per_job": cpu_s * 1e6 / cell.jobs, "rss_bytes": rss_bytes()})
