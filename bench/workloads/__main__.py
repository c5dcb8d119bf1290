"""Measure one cell, print its result as one line of JSON, and end: `python -m workloads CELL PLACE`."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Final

from workloads.cell import Cell, Place, Result, Unsupported

UNSUPPORTED: Final = 3  # the exit code that says: no error, the subject cannot do this
# The module by workload and subject. It is imported alone: peers are measured without tickglass in their process.
MODULES: Final = {
    ("fire", "tickglass"): "firing",
    ("fire", "asyncio"): "asyncio_timers",
    ("fire", "APScheduler"): "apscheduler_jobs",
    ("fire", "schedule"): "schedule_jobs",
    ("skip", "tickglass"): "skipping",
    ("lock", "tickglass"): "tickglass_locks",
    ("lock", "tickglass Lock"): "tickglass_locks",
    ("lock", "redis-py"): "peer_locks",
    ("lock", "python-redis-lock"): "peer_locks",
    ("lock", "two scripts"): "peer_locks",
    ("messages", "tickglass"): "messages",
    ("scale", "tickglass"): "scale",
    ("scale", "APScheduler"): "apscheduler_jobs",
    ("scrape", "tickglass"): "scraping",
    ("fleet", "tickglass"): "fleet",
}


def source() -> str:
    """Return the folder of the tickglass that this process measured."""
    module = sys.modules.get("tickglass")
    return "" if module is None or module.__file__ is None else str(Path(module.__file__).resolve().parent)


def main() -> None:
    cell, place = Cell.from_json(sys.argv[1]), Place.from_json(sys.argv[2])
    logging.disable(logging.CRITICAL)  # of every subject alike: what a terminal costs is not measured
    module = importlib.import_module(f"workloads.{MODULES[cell.workload, cell.subject]}")
    try:
        result: Result = module.measure(cell, place)
    except Unsupported as reason:
        print(reason, flush=True)
        os._exit(UNSUPPORTED)
    result.source = source()
    print(result.to_json(), flush=True)
    os._exit(0)  # a scheduler may still be running: its stop is not measured


if __name__ == "__main__":
    main()
