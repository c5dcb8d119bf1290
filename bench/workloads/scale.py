"""What a job costs that waits: CPU time until the scheduler has started, and memory."""

from __future__ import annotations

from tickglass import every
from workloads.cell import Cell, Place, Result
from workloads.firing import new_scheduler
from workloads.memory import rss_bytes
from workloads.meter import Meter, monotonic_ns, pause

__all__ = ["measure"]

SETTLE_S = 1.0


def nothing() -> None:
    """Be a job that is never due while it is measured."""


def measure(cell: Cell, place: Place) -> Result:
    """Add the jobs, start the scheduler, and let it come to rest."""
    scheduler = new_scheduler(cell, place)
    add = Meter()
    for number in range(cell.jobs):
        scheduler.add(nothing, every("24h"), name=f"job-{number:06d}")
    add_cpu_s, _ = add.read()
    start, begin_ns = Meter(), monotonic_ns()
    scheduler.start()
    wall_s = (monotonic_ns() - begin_ns) / 1e9
    pause(SETTLE_S)
    start_cpu_s, _ = start.read()
    idle = Meter()
    pause(SETTLE_S)
    idle_cpu_s, wake_ups = idle.read()
    figures = {
        "start_cpu_s": start_cpu_s,
        "start_wall_s": wall_s,
        "add_cpu_us_per_job": add_cpu_s * 1e6 / cell.jobs,
        "cpu_us_per_job": start_cpu_s * 1e6 / cell.jobs,
        "idle_wake_ups_per_s": wake_ups / SETTLE_S,
        "idle_cpu_share": idle_cpu_s / SETTLE_S,
        "rss_bytes": rss_bytes(),
    }
    return Result(figures)
