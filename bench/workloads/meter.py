"""Measure what a process uses between two instants, and say what a window of runs showed.

Standard library alone: the processes of peers import this.
"""

from __future__ import annotations

import resource
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from workloads.cell import Cell, Result, thinned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Meter", "Start", "Window", "grid_window", "monotonic_ns", "pause", "wall_ns", "watch"]


def wall_ns() -> int:
    """Return nanoseconds since the Unix epoch."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def monotonic_ns() -> int:
    """Return nanoseconds of the clock that asyncio's loop goes by."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def pause(seconds: float) -> None:
    """Do nothing for so long."""
    threading.Event().wait(max(0.0, seconds))


class Start(NamedTuple):
    """One run: when it was due and when its code began, in nanoseconds since the Unix epoch."""

    due_ns: int
    began_ns: int


class Window(NamedTuple):
    """What is measured: from one instant to another, in nanoseconds since the Unix epoch."""

    begin_ns: int
    end_ns: int

    def holds(self, at_ns: int) -> bool:
        """Whether an instant lies in it."""
        return self.begin_ns <= at_ns < self.end_ns

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_ns - self.begin_ns) / 1e9


def grid_window(cell: Cell, warm_up_s: float) -> Window:
    """Return the window after a warm-up; it begins and ends half a period before an instant of the grid."""
    period_ns = cell.period_ns
    first_due_ns = -(-(wall_ns() + int(warm_up_s * 1e9)) // period_ns) * period_ns + period_ns
    begin_ns = first_due_ns - period_ns // 2
    return Window(begin_ns, begin_ns + cell.window_ns)


class Meter:
    """CPU time and voluntary switches of this process since it was made."""

    def __init__(self) -> None:
        self._begin = resource.getrusage(resource.RUSAGE_SELF)

    def read(self) -> tuple[float, int]:
        """Return seconds of CPU time and how often a thread waited of its own accord."""
        now, begin = resource.getrusage(resource.RUSAGE_SELF), self._begin
        cpu_s = now.ru_utime + now.ru_stime - begin.ru_utime - begin.ru_stime
        return cpu_s, now.ru_nvcsw - begin.ru_nvcsw


def watch(cell: Cell, window: Window, starts: Callable[[], Sequence[Start]], tail_s: float = 0.2) -> Result:
    """Wait for the window, and say what the starts show that jobs noted meanwhile.

    Args:
        starts: asked once, at the end.
        tail_s: how long starts of the window's last instants are waited for.
    """
    pause((window.begin_ns - wall_ns()) / 1e9)
    meter = Meter()
    pause((window.end_ns - wall_ns()) / 1e9)
    cpu_s, switches = meter.read()
    pause(tail_s)
    return summed_up(cell, window, starts(), cpu_s, switches)


def summed_up(cell: Cell, window: Window, starts: Sequence[Start], cpu_s: float, switches: int) -> Result:
    """Return the figures of a window: runs by when they began, lateness by when they were due."""
    runs = sum(window.holds(start.began_ns) for start in starts)
    late_ns = [start.began_ns - start.due_ns for start in starts if window.holds(start.due_ns)]
    if not runs:
        raise RuntimeError(f"{cell.name}: nothing ran in {window.seconds} s")
    figures = {
        "runs": float(runs),
        "due": float(cell.jobs * cell.window_ns // cell.period_ns),
        "started": float(len(late_ns)),
        "runs_per_s": runs / window.seconds,
        "cpu_us_per_run": cpu_s * 1e6 / runs,
        "cpu_share": cpu_s / window.seconds,
        "switches_per_run": switches / runs,
    }
    return Result(figures, thinned(late_ns))
