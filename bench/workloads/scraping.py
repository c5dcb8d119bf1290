"""What a scrape costs the process that is scraped, asked as Prometheus asks."""

from __future__ import annotations

import statistics
import urllib.request
from typing import Final

from tickglass import every
from workloads.cell import Cell, Place, Result
from workloads.firing import new_scheduler
from workloads.meter import Meter, pause, wall_ns

__all__ = ["measure"]

ACTIVE_PART: Final = 20  # one job in so many runs between two scrapes
PERIOD_NS: Final = 500_000_000
SCRAPES: Final = 8  # enough to meet the collector of garbage as often as it comes; their mean is told
HEADERS: Final = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}


def nothing() -> None:
    """Be a job."""


def scrape_cpu_ms(port: int) -> tuple[float, int]:
    """Return the CPU time of one scrape in milliseconds, and the bytes of the answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=HEADERS)
    meter = Meter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        size = len(answer.read())
    return meter.read()[0] * 1e3, size


def measure(cell: Cell, place: Place) -> Result:
    """Scrape a scheduler in which every twentieth job has run since the last scrape."""
    scheduler = new_scheduler(cell, place)
    for number in range(cell.jobs):
        active = number % ACTIVE_PART == 0
        scheduler.add(nothing, every("500ms" if active else "24h"), name=f"job-{number:06d}")
    scheduler.start()
    port = scheduler.metrics_port
    if port is None:
        raise RuntimeError("the scheduler has no endpoint")
    pause(1.0)
    costs = []
    for _ in range(SCRAPES + 1):
        # Half-way between two instants, where no job runs.
        pause((PERIOD_NS + PERIOD_NS // 2 - wall_ns() % PERIOD_NS) / 1e9)
        costs.append(scrape_cpu_ms(port))
    (first_ms, size), later_ms = costs[0], [ms for ms, _ in costs[1:]]
    return Result({"first_scrape_ms": first_ms, "scrape_ms": statistics.fmean(later_ms), "page_bytes": float(size)})
