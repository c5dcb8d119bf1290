"""Draw the README's picture: a real demo, seen after some seconds. `python tools/demo_picture.py docs/demo.svg`."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tickglass import Scheduler
from tickglass.cli.commands.demo import demo_jobs
from tickglass.cli.demo_table import DemoTable
from tickglass.sched.clock import SystemClock, Wake


def main(where: str) -> None:
    """Run the demo's jobs for a while and save the table as SVG."""
    clock = SystemClock()
    table = DemoTable(clock)
    with tempfile.TemporaryDirectory() as folder:
        scheduler = Scheduler(f"sqlite:///{Path(folder) / 'jobs.db'}", service="demo", sinks={"board": table})
        demo_jobs(scheduler)
        with scheduler:
            clock.wait(clock.monotonic_ns() + 15_200_000_000, Wake())
            console = Console(record=True, width=132, file=io.StringIO())
            console.print(table.table())
    svg = console.export_svg(title="tickglass demo")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # a picture fetches nothing
    Path(where).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
