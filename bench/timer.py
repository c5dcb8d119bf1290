"""How late a wait ends: idle, with saturated cores, beside a computing thread, during garbage collection.

And whether errors add up over 100,000 ticks. A tick is what starts a job: a trigger names the next due instant from
the last one, and a thread waits for it on the clock. `python bench/timer.py [TICKS]`; others call `main()`.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.triggers.every import Every

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

TICKS: Final = 100_000
SOME_TICKS: Final = 5_000  # beside a disturbance
PERIOD_NS: Final = 1 * MS
PERIOD: Final = Every(PERIOD_NS)
PROBES: Final = 200
SWITCH_INTERVAL_S: Final = 1e-4  # what a scheduler sets while it runs
LIVE_OBJECTS: Final = 1_000_000  # what a full collection looks at
clock = SystemClock()


@dataclass
class Ticks:
    """What was measured of one row; errors in nanoseconds, in the order of the ticks."""

    errors_ns: list[int] = field(default_factory=list)
    behind_ns: int = 0  # when the last tick came, after the instant that a grid from the first on has for it
    core_ns: float | None = None
    interpreter_ns: float | None = None

    def at(self, part: float) -> float:
        """Return a quantile, in microseconds."""
        return sorted(self.errors_ns)[int((len(self.errors_ns) - 1) * part)] / 1e3


def follow_grid(ticks: int) -> Ticks:
    """Wait for the instants of a trigger, one after the other, as the scheduler does."""
    found, wake = Ticks(), Wake()
    start = clock.reading()
    due_ns = first_ns = PERIOD.next_after_ns(start.wall_ns)
    ended_ns = start.monotonic_ns
    for _ in range(ticks):
        until_ns = due_ns - start.offset_ns
        clock.wait(until_ns, wake)
        ended_ns = clock.monotonic_ns()
        found.errors_ns.append(ended_ns - until_ns)
        due_ns = PERIOD.next_after_ns(due_ns)
    found.behind_ns = ended_ns - (first_ns - start.offset_ns + (ticks - 1) * PERIOD_NS)
    return found


def follow_sleeps(ticks: int) -> Ticks:
    """Sleep for the period again and again: how a loop loses time. The error is that of each sleep."""
    found, never = Ticks(), threading.Event()
    started_ns = before_ns = clock.monotonic_ns()
    for _ in range(ticks):
        never.wait(PERIOD_NS / SECOND)
        now_ns = clock.monotonic_ns()
        found.errors_ns.append(now_ns - before_ns - PERIOD_NS)
        before_ns = now_ns
    found.behind_ns = before_ns - started_ns - ticks * PERIOD_NS
    return found


@contextmanager
def saturated_cores() -> Iterator[None]:
    """Keep every core computing, in processes of its own."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def thread_that(step: Callable[[], object]) -> Iterator[None]:
    """Have another thread of this interpreter do something again and again."""
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            step()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def collections() -> Iterator[None]:
    """Have the garbage collector look at a million live objects, again and again."""
    alive = [[number] for number in range(LIVE_OBJECTS)]
    with thread_that(gc.collect):
        yield
    alive.clear()


@contextmanager
def nothing() -> Iterator[None]:
    """Disturb nothing."""
    yield


@contextmanager
def switch_interval(interval_s: float) -> Iterator[None]:
    """Let a computing thread keep the interpreter for so long."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def measured(beside: AbstractContextManager[None], ticks: int, follow: Callable[[int], Ticks] = follow_grid) -> Ticks:
    """Measure beside a disturbance, and what the two metrics of waiting threads say of it."""
    with ExitStack() as stack:
        stack.enter_context(switch_interval(SWITCH_INTERVAL_S))
        stack.enter_context(beside)
        found = follow(ticks)
        delays = [delay for delay in (clock.thread_delay() for _ in range(PROBES)) if delay is not None]
    if delays:
        found.core_ns = mean(delay.core_ns for delay in delays)
        found.interpreter_ns = mean(delay.interpreter_ns for delay in delays)
    return found


def disturbed_table() -> Table:
    """The error of the timer, by what goes on beside it."""
    table = Table(title=f"Error of the timer, {SOME_TICKS:,} ticks each millisecond, microseconds")
    for heading in ("beside it", "p50", "p90", "p99", "max", "mean wait for a core", "for the interpreter lock"):
        table.add_column(heading, justify="left" if heading == "beside it" else "right")
    compute = lambda: sum(range(1_000))  # noqa: E731 - a step
    rows: dict[str, AbstractContextManager[None]] = {
        "nothing": nothing(),
        f"{os.cpu_count()} busy processes on {os.cpu_count()} cores": saturated_cores(),
        "a computing thread": thread_that(compute),
        f"full collections of {LIVE_OBJECTS:,} objects": collections(),
    }
    for name, beside in rows.items():
        found = measured(beside, SOME_TICKS)
        waits = ("-" if ns is None else f"{ns / 1e3:,.0f}" for ns in (found.core_ns, found.interpreter_ns))
        table.add_row(name, *(f"{found.at(part):,.0f}" for part in (0.5, 0.9, 0.99, 1)), *waits)
    return table


def drift_table(ticks: int) -> Table:
    """Whether errors add up: of the scheduler's way, and of a loop that sleeps."""
    table = Table(title=f"{ticks:,} ticks each millisecond, microseconds")
    for heading in ("how", "p50 of the first tenth", "p50 of the last tenth", "behind its grid at the end"):
        table.add_column(heading, justify="left" if heading == "how" else "right")
    rows = {"due instants from a trigger": follow_grid, "a loop that sleeps": follow_sleeps}
    for name, follow in rows.items():
        found = measured(nothing(), ticks, follow)
        tenth = ticks // 10
        first, last = Ticks(found.errors_ns[:tenth]), Ticks(found.errors_ns[-tenth:])
        table.add_row(name, f"{first.at(0.5):,.0f}", f"{last.at(0.5):,.0f}", f"{found.behind_ns / 1e3:,.0f}")
    return table


def main(ticks: int = TICKS) -> None:
    """Print both tables, and the load of the machine, because it decides."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    Console().print(f"load before: {load}; {os.cpu_count()} cores", disturbed_table(), drift_table(ticks))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TICKS)
