"""Read the URL of a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.errors import ConfigError
from tickglass.sched.stores.memory.store import MEMORY_KEEP_NS, MemoryStore
from tickglass.sched.stores.retention import KEEP_MIN_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.url import StoreUrl

__all__ = ["check_memory_exists", "read_memory"]


def read_memory(url: StoreUrl) -> Callable[[Clock], MemoryStore]:
    """Read `memory://?keep=1h`; return what opens one store, the same one each time."""
    if url.body:
        problem = "memory:// has no path: nothing of it is kept"
        raise url.refusal(problem, url.body, "memory://", f"sqlite:///{url.shown_body}")
    keep_ns = url.duration_ns("keep", MEMORY_KEEP_NS, min_ns=KEEP_MIN_NS)
    stores: list[MemoryStore] = []

    def opened(clock: Clock) -> MemoryStore:
        if not stores:
            stores.append(MemoryStore(clock, keep_ns=keep_ns))
        return stores[0]

    return opened


def check_memory_exists(url: StoreUrl) -> None:
    """Refuse it: each process that opens such a store has a new one.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        "a store in memory is inside its scheduler's process; no other process can look into it",
        given=url.text,
        instead=("sqlite:///jobs.db",),
    )
