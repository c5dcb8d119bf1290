"""Take and release locks on threads, and count the pairs; whose locks, the callers say."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import redis

from workloads.cell import Cell, Place, Result
from workloads.meter import Meter, monotonic_ns, pause
from workloads.redis_cpu import server_cpu_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["count_pairs"]

WARM_UP_PAIRS = 20


def count_pairs(cell: Cell, place: Place, pairs: Sequence[Callable[[], object]]) -> Result:
    """Do each of these pairs over and over on a thread of its own, for the cell's window.

    Args:
        pairs: takes and releases a lock of its own, uncontended; one for each thread.
    """
    for pair in pairs:
        for _ in range(WARM_UP_PAIRS):
            pair()
    counts = [0] * len(pairs)
    stop = threading.Event()

    def repeat(number: int, pair: Callable[[], object]) -> None:
        while not stop.is_set():
            pair()
            counts[number] += 1

    threads = [threading.Thread(target=repeat, args=pair, daemon=True) for pair in enumerate(pairs)]
    with redis.Redis(port=place.redis_port) as client:
        server_before_s = server_cpu_s(client)
        meter, begin_ns = Meter(), monotonic_ns()
        for thread in threads:
            thread.start()
        pause(cell.window_s)
        stop.set()
        for thread in threads:
            thread.join()
        lasted_s = (monotonic_ns() - begin_ns) / 1e9
        cpu_s, switches = meter.read()
        server_s = server_cpu_s(client) - server_before_s
    total = sum(counts)
    figures = {
        "pairs": float(total),
        "pairs_per_s": total / lasted_s,
        "cpu_us_per_pair": cpu_s * 1e6 / total,
        "server_cpu_us_per_pair": server_s * 1e6 / total,
        "switches_per_pair": switches / total,
    }
    return Result(figures)
