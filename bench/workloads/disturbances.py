"""Disturb a process while it is measured: threads that compute, saturated cores, a collector of garbage that is busy.

Standard library alone: the processes of peers import this.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workloads.cell import Cell

__all__ = ["disturbed"]

HEAP_OBJECTS: Final = 200_000  # which the collector goes through each time: a pause of some 10 ms
COLLECT_EACH_S: Final = 0.2


@contextmanager
def disturbed(cell: Cell) -> Iterator[None]:
    """Disturb this process meanwhile, as the cell says."""
    if cell.beside == "cores":
        with _busy_processes(os.cpu_count() or 1):
            yield
    elif cell.beside == "collector":
        with _threads(1, _collect):
            yield
    else:
        with _threads(cell.busy_threads, _compute):
            yield


def _compute(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1_000))


def _collect(stop: threading.Event) -> None:
    heap: list[object] = [[number] for number in range(HEAP_OBJECTS)]
    while not stop.wait(COLLECT_EACH_S):
        gc.collect()
    heap.clear()


@contextmanager
def _threads(count: int, work: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
