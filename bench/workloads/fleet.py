"""Several processes with the same jobs on one store: every instant once, and how late."""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import ns_of
from workloads.cell import Cell, Place, Result, thinned
from workloads.firing import add_jobs, new_scheduler
from workloads.meter import Meter, Window, grid_window, pause, wall_ns

if TYPE_CHECKING:
    from datetime import datetime
    from multiprocessing.connection import Connection

__all__ = ["measure"]

WARM_UP_S: Final = 2.0  # after the last of them has started: they get to know each other
TAIL_S: Final = 0.5


def member(cell: Cell, place: Place, number: int, line: Connection) -> None:
    """Run one scheduler; say when it has started, then what it ran and used in the window that it is told."""
    logging.disable(logging.CRITICAL)
    begun: list[tuple[str, datetime, int]] = []
    scheduler = new_scheduler(cell, place, owner=f"bench-{number}")
    add_jobs(cell, scheduler, lambda job, due_at, at_ns: begun.append((job, due_at, at_ns)))
    scheduler.start()
    line.send("started")
    window: Window = line.recv()
    pause((window.begin_ns - wall_ns()) / 1e9)
    meter = Meter()
    pause((window.end_ns - wall_ns()) / 1e9)
    cpu_s, _ = meter.read()
    pause(TAIL_S)
    runs = [(job, ns_of(due_at), at_ns) for job, due_at, at_ns in tuple(begun)]
    line.send(([run for run in runs if window.holds(run[1])], cpu_s))
    line.recv()  # until all have told: one that ends early would hand its jobs over


def measure(cell: Cell, place: Place) -> Result:
    """Start the members, let them run one window together, and compare what they ran with what was due."""
    spawn = multiprocessing.get_context("spawn")
    lines: list[Connection] = []
    members = []
    for number in range(cell.processes):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=member, args=(cell, place, number, theirs))
        process.start()
        lines.append(ours)
        members.append(process)
    for line in lines:
        line.recv()
    window = grid_window(cell, WARM_UP_S)
    for line in lines:
        line.send(window)
    answers = [line.recv() for line in lines]
    for process in members:
        process.kill()
        process.join()
    return fleet_result(cell, [run for runs, _ in answers for run in runs], sum(cpu_s for _, cpu_s in answers))


def fleet_result(cell: Cell, runs: list[tuple[str, int, int]], cpu_s: float) -> Result:
    """Return lateness, and how many instants ran twice or not at all."""
    times = Counter((job, due_ns) for job, due_ns, _ in runs)
    due = cell.jobs * cell.window_ns // cell.period_ns
    figures = {
        "runs": float(len(runs)),
        "due": float(due),
        "started": float(len(runs)),
        "repeated": float(sum(count - 1 for count in times.values())),
        "missing": float(due - len(times)),
        "cpu_us_per_run": cpu_s * 1e6 / max(1, len(runs)),
    }
    return Result(figures, thinned([at_ns - due_ns for _, due_ns, at_ns in runs]))
