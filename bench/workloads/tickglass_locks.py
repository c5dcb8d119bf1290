"""Locks by hand of Tickglass: through a scheduler, and free-standing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass import Lock
from workloads.firing import new_scheduler
from workloads.lock_pairs import count_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.locks import SchedulerLock
    from workloads.cell import Cell, Place, Result

__all__ = ["measure"]


def measure(cell: Cell, place: Place) -> Result:
    """Count `with` blocks on locks of their own."""
    names = [f"lock-{number}" for number in range(cell.threads)]
    if cell.subject == "tickglass Lock":
        return count_pairs(cell, place, [_pair(Lock(place.url(cell.store), name)) for name in names])
    scheduler = new_scheduler(cell, place)
    scheduler.start()
    return count_pairs(cell, place, [_pair(scheduler.lock(name)) for name in names])


def _pair(lock: Lock | SchedulerLock) -> Callable[[], None]:
    def pair() -> None:
        with lock:
            pass

    return pair
