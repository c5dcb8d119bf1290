"""What jobs cost their store: bytes in Redis and in SQLite, and the processor time of a Redis server for each request.

The figures of docs/scaling.md. `make bench` does not run this: it needs redis-server.
`PYTHONPATH=bench:tests .venv/bin/python bench/sizes.py`.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import redis
from kit.servers import RedisServer
from rich.console import Console
from rich.table import Table

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, InstanceRecord, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.ports import Store

SERVICE: Final = "billing"
OWNER: Final = "worker-17.example.net/billing/0"
TTL_NS: Final = 600 * SECOND
ROUNDS: Final = 5
clock = SystemClock()
numbers = count(1)


def ask(job: str, resource: str) -> LeaseAsk:
    return LeaseAsk(resource, OWNER, SERVICE, str(uuid.uuid4()), TTL_NS, job, uuid.uuid4().hex)


def claim(store: Store, job: str, resource: str | None = None) -> tuple[ClaimAsk, Claimed]:
    """Claim a new occurrence of a job."""
    due_ns = clock.wall_ns() + next(numbers)
    asked = ClaimAsk(ask(job, resource or f"{SERVICE}/{job}"), due_ns, due_ns + SECOND, declaration="0123456789abcdef")
    claimed = store.claim(asked)
    if not isinstance(claimed, Claimed):
        raise TypeError(f"{claimed} where a claim was expected")
    return asked, claimed


def settle(store: Store, asked: ClaimAsk, claimed: Claimed) -> None:
    lease, now_ns = asked.lease, clock.wall_ns()
    done = Settlement(
        lease.untrusted(claimed.fence), SERVICE, lease.job, asked.due_ns, lease.run_id, "success",
        started_wall_ns=now_ns, lateness_ns=250_000, started_after_ns=400_000, ran_ns=31_000_000,
    )  # fmt: skip
    store.settle(done)


def run(store: Store, *jobs: str) -> None:
    """Claim and settle a new occurrence of each."""
    for job in jobs:
        settle(store, *claim(store, job))


def job_record(number: int) -> JobRecord:
    name = f"job-{number:05}"
    return JobRecord(
        name, 'cron("*/5 * * * *", tz="Europe/Berlin")', f"{SERVICE}/{name}", OWNER, SERVICE,
        ttl_ns=30 * SECOND, grace_ns=60 * SECOND, timeout_ns=None, next_due_ns=clock.wall_ns(),
    )  # fmt: skip


def instance(number: int) -> InstanceRecord:
    return InstanceRecord(SERVICE, f"worker-{number}", uuid.uuid4().hex, "1.0.0", "0123456789abcdef", "running")


def redis_sizes(store: Store, server: redis.Redis) -> Table:
    """Memory that the server uses more, for each thing that it keeps."""
    table = Table(title="Redis: bytes of memory for each")
    for heading in ("what", "bytes"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    def grown(things: int, step: Callable[[], object]) -> str:
        before = int(server.info("memory")["used_memory"])
        step()
        return f"{(int(server.info('memory')['used_memory']) - before) / things:,.0f}"

    def leases() -> None:
        for number in range(2_000):
            assert isinstance(store.acquire(ask("", f"order:{number}")), Granted)

    def instances() -> None:
        for number in range(200):
            store.join(instance(number), names[:100])

    names = [f"job-{number:05}" for number in range(2_000)]
    table.add_row("registered job", grown(2_000, lambda: store.register([job_record(n) for n in range(2_000)])))
    table.add_row("job that has run once, its attempt included", grown(2_000, lambda: run(store, *names)))

    table.add_row("attempt, of 100 a job", grown(10_000, lambda: run(store, *names[:100] * 100)))
    table.add_row("attempt, of 10,000 a job", grown(10_000, lambda: run(store, *["often"] * 10_000)))
    table.add_row("lease that is held", grown(2_000, leases))
    table.add_row("instance that shares its list of 100 jobs", grown(200, instances))
    return table


def sqlite_sizes(home: Path) -> Table:
    """What the file grows by."""
    table = Table(title="SQLite: bytes of the file for each")
    for heading in ("what", "bytes"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    path, names = home / "sizes.db", [f"job-{number:05}" for number in range(100)]

    def grown(things: int, step: Callable[[Store], object]) -> str:
        before = path.stat().st_size if path.exists() else 0
        store = open_store(f"sqlite:///{path}", clock)
        step(store)
        store.close()  # writes the log back into the file
        return f"{(path.stat().st_size - before) / things:,.0f}"

    jobs = [job_record(number) for number in range(2_000)]
    table.add_row("registered job", grown(2_000, lambda store: store.register(jobs)))
    table.add_row("attempt", grown(20_000, lambda store: run(store, *names * 200)))
    return table


class ServerTime:
    """Processor time of the server for each of some requests: the median of the rounds, in microseconds."""

    def __init__(self, server: redis.Redis) -> None:
        self._server = server

    def used_us(self) -> float:
        """Return what it has used so far."""
        info = self._server.info("cpu")
        return sum(float(info[f"used_cpu_{kind}_main_thread"]) for kind in ("sys", "user")) * 1e6

    def of(self, step: Callable[[], object], times: int) -> float:
        """Return microseconds per step."""
        rounds = []
        for _ in range(ROUNDS):
            before_us = self.used_us()
            for _ in range(times):
                step()
            rounds.append((self.used_us() - before_us) / times)
        return median(rounds)


def redis_times(store: Store, server: redis.Redis) -> Table:
    """What the server computes for each request."""
    table = Table(title=f"Redis: processor time of the server for each request, microseconds (median of {ROUNDS})")
    for heading in ("request", "us"):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    of = ServerTime(server).of
    taken, _ = claim(store, "taken")
    late = replace(taken, lease=ask("taken", taken.lease.resource))
    held = ask("", "held")
    granted = store.acquire(held)
    assert isinstance(granted, Granted)
    lease, other, here = held.untrusted(granted.fence), ask("", "held").untrusted(0), instance(1)
    store.join(here, ["one"])
    rows: dict[str, tuple[Callable[[], object], int]] = {
        "claim and settlement": (lambda: run(store, "often"), 1_000),
        "claim of what another instance has": (lambda: store.claim(late), 1_000),
        "lock taken and released by hand": (lambda: _lock(store), 1_000),
        "renewal": (lambda: store.renew(lease), 1_000),
        "poll of a preferred instance's presence": (lambda: store.renew(other), 1_000),
        "record of an instance": (lambda: store.beat(here), 1_000),
        "time": (store.time_ns, 1_000),
    }
    for name, (step, times) in rows.items():
        table.add_row(name, f"{of(step, times):,.0f}")
    some = [job_record(number) for number in range(100)]
    table.add_row("registration, each job of 100", f"{of(lambda: store.register(some), 20) / 100:,.0f}")
    wanted = [job_record(number).job_id for number in range(100)]
    few = of(lambda: store.orphans(wanted), 200)
    for number in range(1_000):
        claim(store, f"open-{number}")
    table.add_row("look for orphans, few open claims", f"{few:,.0f}")
    table.add_row("the same, 1,000 open claims of all instances", f"{of(lambda: store.orphans(wanted), 20):,.0f}")
    return table


def _lock(store: Store) -> None:
    asked = ask("", "by hand")
    granted = store.acquire(asked)
    assert isinstance(granted, Granted)
    store.release(asked.untrusted(granted.fence))


def main() -> None:
    """Print all tables."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    with tempfile.TemporaryDirectory() as folder:
        home, server = Path(folder), RedisServer(Path(folder))
        server.start()
        try:
            client = redis.Redis(unix_socket_path=str(server.socket))
            store = open_store(server.url, clock)
            sizes, times = redis_sizes(store, client), redis_times(store, client)
            store.close()
        finally:
            server.kill()
        Console().print(f"load before: {load}; {os.cpu_count()} cores", sizes, sqlite_sizes(home), times)


if __name__ == "__main__":
    main()
