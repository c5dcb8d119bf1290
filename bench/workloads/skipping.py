"""What a skipped instant costs: jobs that run for the whole window, due again and again meanwhile."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from tickglass import every
from workloads.cell import Cell, Place, Result
from workloads.firing import new_scheduler
from workloads.meter import Meter, grid_window, pause, wall_ns

__all__ = ["measure"]

START_S_MAX: Final = 10.0


def measure(cell: Cell, place: Place) -> Result:
    """Let every job block, and see what the instants cost that are due meanwhile: they overlap, so all are skipped."""
    entered, end = threading.Semaphore(0), threading.Event()
    begun: list[int] = []

    def job() -> None:
        begun.append(wall_ns())
        entered.release()
        end.wait()

    scheduler = new_scheduler(cell, place)
    for number in range(cell.jobs):
        scheduler.add(partial(job), every(f"{cell.period_ms}ms"), name=f"job-{number}")
    scheduler.start()
    for _ in range(cell.jobs):
        if not entered.acquire(timeout=START_S_MAX):
            raise RuntimeError(f"{len(begun)} of {cell.jobs} jobs started")
    window = grid_window(cell, 0.5)
    pause((window.begin_ns - wall_ns()) / 1e9)
    meter = Meter()
    pause((window.end_ns - wall_ns()) / 1e9)
    cpu_s, switches = meter.read()
    if len(begun) != cell.jobs:
        raise RuntimeError(f"{len(begun)} runs of {cell.jobs} jobs that never ended")
    skips = cell.jobs * cell.window_ns / cell.period_ns
    end.set()
    return Result(
        {
            "skips": skips,
            "cpu_us_per_skip": cpu_s * 1e6 / skips,
            "cpu_share": cpu_s / window.seconds,
            "switches": switches,
        }
    )
