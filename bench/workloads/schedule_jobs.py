"""The peer `schedule`: one thread that sleeps until the next job and runs it there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import schedule

from workloads.meter import Start, grid_window, pause, wall_ns, watch

if TYPE_CHECKING:
    from workloads.cell import Cell, Place, Result

__all__ = ["measure"]


def measure(cell: Cell, _place: Place) -> Result:
    """Run the jobs. It keeps no grid, so lateness is counted from each job's own `next_run`."""
    begun: list[Start] = []
    jobs: list[schedule.Job] = []

    def job(number: int) -> None:
        began_ns = wall_ns()
        due = jobs[number].next_run
        if due is not None:
            begun.append(Start(int(due.timestamp() * 1e6) * 1_000, began_ns))

    # Its types say whole seconds; its code takes any number.
    jobs.extend(schedule.every(cell.period_ms / 1e3).seconds.do(job, number) for number in range(cell.jobs))

    def loop() -> None:
        while True:
            schedule.run_pending()
            pause(schedule.idle_seconds() or 0.0)

    threading.Thread(target=loop, daemon=True).start()
    return watch(cell, grid_window(cell, 0.5), lambda: tuple(begun))
