"""Measure what single steps cost: a claim, an event in each sink, a scrape here and in a sidecar: `make costs`.

Machines are shared and noisy: read ratios between rows, not the numbers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cycles import store_rows, telemetry_rows
from rich.console import Console
from rich.table import Table
from sidecar import sidecar_rows


def cost_table(home: Path) -> Table:
    """What one step costs, and how often that is the cost of the memory store."""
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
        Console().print(cost_table(Path(folder)))
