"""The floor that users know: bare timers of asyncio, without claims, locks, telemetry or threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from workloads.disturbances import disturbed
from workloads.meter import Start, Window, grid_window, monotonic_ns, wall_ns, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from workloads.cell import Cell, Place, Result

__all__ = ["measure"]

WARM_UP_S: Final = 0.5
SWITCH_INTERVAL_S: Final = 100e-6  # what a Tickglass scheduler sets, so that threads that compute disturb both alike


def call_at_timer(cell: Cell, offset_ns: int, end_ns: int, began: Callable[[int, int], None], due_ns: int) -> None:
    """Note a start and set the next timer of the grid."""
    began(due_ns, wall_ns())
    next_ns = due_ns + cell.period_ns
    if next_ns < end_ns:
        timer = partial(call_at_timer, cell, offset_ns, end_ns, began, next_ns)
        asyncio.get_running_loop().call_at((next_ns - offset_ns) / 1e9, timer)


async def sleeping_job(cell: Cell, offset_ns: int, end_ns: int, began: Callable[[int, int], None], due_ns: int) -> None:
    """Sleep until each instant of the grid, as a coroutine job would without a scheduler."""
    loop = asyncio.get_running_loop()
    while due_ns < end_ns:
        await asyncio.sleep((due_ns - offset_ns) / 1e9 - loop.time())
        began(due_ns, wall_ns())
        due_ns += cell.period_ns


async def run_timers(cell: Cell, window: Window, begun: list[tuple[int, int]]) -> None:
    """Fire all jobs of the cell until the end of the window."""
    offset_ns = wall_ns() - monotonic_ns()
    first_due_ns = window.begin_ns + cell.period_ns // 2

    def began(due_ns: int, at_ns: int) -> None:
        begun.append((due_ns, at_ns))

    if cell.coroutine:
        jobs = [sleeping_job(cell, offset_ns, window.end_ns, began, first_due_ns) for _ in range(cell.jobs)]
        await asyncio.gather(*jobs)
        return
    loop = asyncio.get_running_loop()
    for _ in range(cell.jobs):
        timer = partial(call_at_timer, cell, offset_ns, window.end_ns, began, first_due_ns)
        loop.call_at((first_due_ns - offset_ns) / 1e9, timer)
    await asyncio.sleep((window.end_ns - wall_ns()) / 1e9 + 0.1)


def measure(cell: Cell, _place: Place) -> Result:
    """Run the timers on a loop of a thread of its own, and watch them as a scheduler's jobs are watched."""
    begun: list[tuple[int, int]] = []
    if cell.busy_threads:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
    window = grid_window(cell, WARM_UP_S)
    thread = threading.Thread(target=lambda: asyncio.run(run_timers(cell, window, begun)))
    thread.start()
    with disturbed(cell):
        result = watch(cell, window, lambda: [Start(*pair) for pair in tuple(begun)])
    thread.join()
    return result
