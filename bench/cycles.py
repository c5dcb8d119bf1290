"""What one claim and settlement costs per store, and what telemetry adds."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease, LockEvent, LockMachine
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.telemetry.endpoint.exposition import encode
from tickglass.telemetry.metrics import MetricSink
from tickglass.telemetry.spans import SpanSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tickglass.sched.ports import EventSink, Store

TIMES, ROUNDS, TTL_NS = 500, 5, 30 * SECOND
clock = SystemClock()
numbers = count(1)


def best_us(step: Callable[[], object], times: int = TIMES) -> float:
    """Return microseconds per step in the best of five rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begin_ns = clock.monotonic_ns()
        for _ in range(times):
            step()
        rounds.append((clock.monotonic_ns() - begin_ns) / times / 1e3)
    return min(rounds)


def claim_and_settle(store: Store) -> None:
    """Go through one occurrence as the engine does."""
    number = next(numbers)
    ask = LeaseAsk("tick", "bench", "bench", f"{number}", TTL_NS, job="tick", run_id=f"{number:032x}")
    answer = store.claim(ClaimAsk(ask, number))
    if not isinstance(answer, Claimed):
        raise TypeError(f"nobody else is here, and yet {answer}")
    lease = Lease("tick", "bench", ask.token, answer.fence, TTL_NS, 0)
    store.settle(Settlement(lease, "bench", "tick", number, ask.run_id, "success"))


def store_rows(home: Path) -> list[tuple[str, float]]:
    """Return claim + settle of each store that needs no server."""
    rows = []
    for name, url in (("memory", "memory://"), ("sqlite", f"sqlite:///{home / 'cycles.db'}")):
        store = open_store(url, clock)
        rows.append((f"claim + settle, {name}", best_us(partial(claim_and_settle, store))))
        store.close()
    return rows


def lock_cycle(sink: EventSink) -> None:
    """Go through one uncontended lock cycle."""
    lock = LockMachine(
        "r", owner="o", service="s", job="", run_id="", ttl_ns=TTL_NS, blocking=True, clock=clock, sink=sink
    )
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=1, trusted_until_ns=0)
    lock.fire(LockEvent.RELEASED)


def telemetry_rows() -> list[tuple[str, float]]:
    """Return what a lock cycle costs in each sink, and what a scrape does."""
    metrics = MetricSink(clock)
    rows = [("lock cycle, metrics", best_us(lambda: lock_cycle(metrics)))]
    for name, sink in (
        ("spans, no exporter", SpanSink(None, clock)),
        ("spans, traced", SpanSink(TracerProvider(), clock)),
    ):
        rows.append((f"lock cycle, {name}", best_us(partial(lock_cycle, sink))))
    for number in range(100):
        LockMachine(
            f"r{number}", owner="o", service="s", job="", run_id="", ttl_ns=1, blocking=True, clock=clock, sink=metrics
        ).fire(LockEvent.REQUESTED)
    rows.append(("scrape of 100 locks", best_us(lambda: encode(metrics.registry, ""), times=5)))
    return rows
