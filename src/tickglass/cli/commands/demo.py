"""`tickglass demo`: some jobs on an embedded store, and a table of their outcomes."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.live import Live

from tickglass.cli.demo_table import DemoTable, EventLines
from tickglass.cli.lazy_group import EXIT_LEFT
from tickglass.cli.numbers import FloatRange, IntRange
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import DURATION_MAX_NS, SECOND
from tickglass.sched.triggers import cron, every
from tickglass.scheduler import Scheduler
from tickglass.telemetry.endpoint.address import DEFAULT_LISTEN
from tickglass.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from tickglass.sched.run import Run

__all__ = ["demo", "demo_jobs"]


@click.command
@click.option("--seconds", type=FloatRange(min=0.1, max=DURATION_MAX_NS / SECOND), help="Stop after this many seconds.")
@click.option(
    "--metrics-port",
    metavar="PORT",
    type=IntRange(0, 65_535),
    help="Where /metrics is served; 0: any free port. By default the first free port from 9464 on.",
)
def demo(seconds: float | None, metrics_port: int | None) -> None:
    """Watch a handful of jobs run, fail, overrun and contend; Ctrl-C drains.

    They run on a SQLite file in a temporary folder, which is removed at the
    end. Meanwhile /metrics is served on the loopback address. Without a terminal
    there is a line per event instead of the table.
    """
    console = Console()
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="tickglass-demo-") as folder:
        url = f"sqlite:///{Path(folder) / 'jobs.db'}"
        table = DemoTable(clock) if console.is_terminal else EventLines(console)
        listen = DEFAULT_LISTEN if metrics_port is None else f"127.0.0.1:{metrics_port}"
        scheduler = Scheduler(url, service="demo", metrics=listen, drain="5s", sinks={"board": table})
        demo_jobs(scheduler)
        port = metrics_port or 0

        def title() -> str:
            nonlocal port
            port = scheduler.metrics_port or port  # the last table is drawn after the end
            return f"tickglass demo · {url} · http://127.0.0.1:{port}/metrics"

        table.title = title
        longest = None if seconds is None else f"{seconds:f}s"
        configure_logging("console", "critical")  # the table shows what the log would say
        if isinstance(table, DemoTable):
            with Live(get_renderable=lambda: table.table(console.width), console=console, refresh_per_second=8):
                left = scheduler.run(longest)
        else:
            left = scheduler.run(longest)
    console.print("Drained: every run ended, every lease was released." if not left else f"Left running: {left}")
    if left:
        raise SystemExit(EXIT_LEFT)


def demo_jobs(scheduler: Scheduler) -> None:
    """Register the demo's jobs: each shows one thing that a scheduler must report."""
    dice = random.Random(7)  # noqa: S311 - which runs fail is no secret

    @scheduler.job(every("100ms"))
    def tick() -> None:
        """Run ten times a second and end at once."""

    @scheduler.job(cron("*/2 * * * * ?"))
    async def report(run: Run) -> None:
        """Run at even seconds, on the event loop."""

    @scheduler.job(every("700ms"))
    def flaky() -> None:
        """Fail now and then: an outcome, not a dead scheduler."""
        if dice.random() < 0.25:
            raise ConnectionError("the upstream hung up")

    @scheduler.job(every("3s"), timeout="500ms")
    def overruns(run: Run) -> None:
        """Work until told to stop, which its timeout does."""
        while not run.cancelled:
            run.wait("50ms")

    def use_the_printer(run: Run) -> None:
        run.wait("350ms")

    scheduler.add(use_the_printer, every("1s"), name="invoices", resource="printer")
    scheduler.add(use_the_printer, every("1s"), name="labels", resource="printer")
