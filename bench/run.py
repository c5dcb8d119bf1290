"""Measure what Tickglass claims, in one run, so that rows can be compared: `make bench`.

Machines are shared and noisy: read ratios between rows, not the numbers.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cycles import store_rows, telemetry_rows
from lateness import asyncio_ticker, scheduler_ticker, sidecar_ticker
from rich.console import Console
from rich.table import Table
from sidecar import sidecar_rows

if TYPE_CHECKING:
    from collections.abc import Callable

TICKS_S = 4


def lateness_table(home: Path) -> Table:
    """Start minus due of a job every 10 ms, against a bare asyncio timer in the same run."""
    table = Table(title=f"Lateness of a tick every 10 ms over {TICKS_S} s, microseconds")
    for heading in ("what", "ticks", "p50", "p90", "p99", "max"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    sqlite = f"sqlite:///{home / 'ticks.db'}"
    rows: dict[str, Callable[[int], list[int]]] = {
        "asyncio.call_at, no locks, no telemetry": partial(asyncio_ticker, TICKS_S),
        "tickglass, memory": partial(scheduler_ticker, "memory://", TICKS_S),
        "tickglass, sqlite": partial(scheduler_ticker, sqlite, TICKS_S),
        "the same, told to a sidecar": partial(sidecar_ticker, sqlite, home / "s.sock", TICKS_S, killed=False),
        "the same, from when the sidecar is killed": partial(
            sidecar_ticker, sqlite, home / "s.sock", TICKS_S, killed=True
        ),
    }
    for busy in (0, 1):
        for name, measure in rows.items():
            late = sorted(measure(busy))
            at = [late[int((len(late) - 1) * part)] / 1e3 for part in (0.5, 0.9, 0.99, 1)]
            beside = f" + {busy} busy thread" if busy else ""
            table.add_row(name + beside, str(len(late)), *(f"{value:,.0f}" for value in at))
    return table


def cost_table(home: Path) -> Table:
    """What one cycle costs, and how often that is the cost of the memory store."""
    table = Table(title="Costs, microseconds each (best of five)")
    for heading in ("what", "us", "x"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rows = [*store_rows(home), *telemetry_rows(), *sidecar_rows(home)]
    first = rows[0][1]
    for name, us in rows:
        table.add_row(name, f"{us:,.1f}", f"{us / first:,.1f}")
    return table


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Console().print(lateness_table(Path(folder)), cost_table(Path(folder)))
