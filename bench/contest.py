"""Measure what the memory of claims saves: processes that want the same occurrences, on one store of each technology.

`make bench` does not run this: it needs Redis and etcd. `PYTHONPATH=bench:tests .venv/bin/python bench/contest.py`.
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kit.servers import EtcdServer, RedisServer
from rich.console import Console
from rich.table import Table

from tickglass import Scheduler, every
from tickglass.sched.clock import Reading, SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.engine.leasing.claim_cache import ClaimCachingStore
from tickglass.sched.events import ClaimCacheHit, Event, StoreCalled
from tickglass.sched.identity import JobId
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PROCESSES = 4
SECONDS = 6
INTERVAL = "20ms"


class BehindClock(SystemClock):
    """A machine's clock, as wrong as machines' clocks are."""

    def __init__(self, behind_ns: int) -> None:
        self._behind_ns = behind_ns

    def wall_ns(self) -> int:
        """Return the wrong time."""
        return super().wall_ns() - self._behind_ns

    def reading(self) -> Reading:
        """Return the right monotonic and the wrong time."""
        reading = super().reading()
        return Reading(reading.monotonic_ns, reading.wall_ns - self._behind_ns)


class Count:
    """How often the store was asked for a claim, and how often the answer was known."""

    def __init__(self) -> None:
        self.asked = self.known = 0

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        if isinstance(event, StoreCalled):
            self.asked += event.operation in {"claim", "claim_many"}
        elif isinstance(event, ClaimCacheHit):
            self.known += 1


def instance(url: str, number: int, apart_ms: float, listening: bool, told: Connection) -> None:  # noqa: FBT001
    """Run one scheduler and tell its counts and its processor time."""
    if not listening:
        ClaimCachingStore.start = ClaimCachingStore.stop  # type: ignore[method-assign]  # nobody listens
    count = Count()
    with tempfile.TemporaryDirectory() as home:
        scheduler = Scheduler(
            url,
            service="bench",
            owner=f"n{number}",
            sinks={"count": count},
            spool=Path(home, "spool"),
            clock=BehindClock(int(number * apart_ms * MS)),
        )
        scheduler.add(lambda: None, every(INTERVAL), name="tick")
        scheduler.run(f"{SECONDS}s")
    used = resource.getrusage(resource.RUSAGE_SELF)
    told.send((count.asked, count.known, used.ru_utime + used.ru_stime))


def contest(url: str, apart_ms: float, *, listening: bool) -> tuple[float, float, float]:
    """Return, per occurrence: claims asked, claims known, ms of the instances' processor time."""
    spawn = multiprocessing.get_context("spawn")
    ears = []
    for number in range(PROCESSES):
        ear, mouth = spawn.Pipe(duplex=False)
        spawn.Process(target=instance, args=(url, number, apart_ms, listening, mouth)).start()
        ears.append(ear)
    counts = [ear.recv() for ear in ears]
    store = open_store(url, SystemClock())
    occurrences = len({run.due_ns for run in store.runs(JobId("bench", "tick"), 10_000)})
    store.close()
    asked, known, cpu_s = (sum(column) for column in zip(*counts, strict=True))
    return asked / occurrences, known / occurrences, cpu_s * 1e3 / occurrences


def main() -> None:
    """Print the table."""
    table = Table(title=f"{PROCESSES} instances, one job every {INTERVAL}, {SECONDS} s; per occurrence")
    for heading in ("store", "clocks apart", "memory", "claims asked", "claims known", "instances' CPU ms"):
        table.add_column(heading, justify="right")
    numbers = itertools.count()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (home / "etcd").mkdir()
        redis, etcd = RedisServer(home), EtcdServer(home / "etcd")
        redis.start()
        stack.callback(redis.end)
        etcd.start()
        stack.callback(etcd.stop)
        stores: dict[str, Callable[[int], str]] = {
            "sqlite": lambda number: f"sqlite:///{home}/{number}.db",
            "redis": lambda number: f"{redis.url}?prefix=c{number}",
            "etcd": lambda number: etcd.url(prefix=f"/c{number}"),
        }
        for name, url_of in stores.items():
            for apart_ms in (0.0, 0.5, 2.0):
                for listening in (False, True):
                    row = contest(url_of(next(numbers)), apart_ms, listening=listening)
                    memory = "on" if listening else "off"
                    table.add_row(name, f"{apart_ms} ms", memory, *(f"{value:.2f}" for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
