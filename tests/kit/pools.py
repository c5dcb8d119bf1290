"""Pools for tests that need threads and nothing that a pool does beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.engine.running.pool import Pool

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink

__all__ = ["new_pool"]


class NoSettlements:
    """No outcomes wait to be written."""

    waiting = False

    def is_due(self, now_ns: int) -> bool:
        return False

    def flush(self) -> None: ...

    def hold(self) -> None: ...


def new_pool(size: int, clock: Clock, sink: EventSink, *, spin_ns: int = 0) -> Pool:
    return Pool(
        "default", size, claim=lambda _: (), spin_ns=spin_ns, settlements=NoSettlements(), clock=clock, sink=sink
    )
