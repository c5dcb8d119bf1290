"""What it costs a scheduler to tell a sidecar, and what a scrape costs there and here."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from cycles import TTL_NS, best_us, clock, lock_cycle

from tickglass.sched.clock import Wake
from tickglass.sched.durations import MS
from tickglass.sched.events import JobRegistered, Lateness, TimelineTicked
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine, Outcome
from tickglass.telemetry.endpoint.exposition import encode
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.metrics import MetricSink
from tickglass.telemetry.sidecar.collector import SidecarCollector, sidecar_registry
from tickglass.telemetry.sidecar.schedulers.receiver import Receiver
from tickglass.telemetry.sidecar.schedulers.sources import Sources
from tickglass.telemetry.sidecar.transport.stream import StreamSink
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from pathlib import Path

    from tickglass.sched.ports import EventSink

OWNER, SERVICE = "o", "s"  # as of `lock_cycle`: nobody tells of another scheduler
TURNED = TimelineTicked(lag_ns=1, duration_ns=1, handed=0)
LATENESS = Lateness(total_ns=4, timer_ns=1, pool_ns=1, lock_ns=1, start_ns=1)
PATH = (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN, OccurrenceEvent.CLAIMED)
numbers = count(1)


class Nothing:
    """The sink that others are compared with."""

    def record(self, event: object) -> None:
        """See `EventSink`."""


def stream(path: Path, capacity: int, detail: Detail = Detail.FULL) -> StreamSink:
    """Return a stream to a sidecar, not started."""
    return StreamSink(
        str(path),
        owner=OWNER,
        service=SERVICE,
        clock=clock,
        detail=detail,
        on_drop=lambda *_: None,
        ring_capacity=capacity,
    )


def record_rows(home: Path) -> list[tuple[str, float]]:
    """Return what one event costs whoever emits it, whatever the sidecar does."""
    path = home / "s.sock"
    metrics, absent, full = MetricSink(clock), stream(path, 10_000_000), stream(path, 100)
    rows = [
        ("event, no sink", best_us(lambda: Nothing().record(TURNED))),
        ("event, metrics", best_us(lambda: metrics.record(TURNED))),
        ("event, stream, sidecar absent", best_us(lambda: absent.record(TURNED))),
        ("event, stream, ring full", best_us(lambda: full.record(TURNED))),
        ("lock cycle, stream, ring full", best_us(lambda: lock_cycle(full))),
    ]
    receiver = Receiver(str(path), Sources(clock), clock=clock)
    receiver.start()
    told = stream(path, 10_000_000)
    told.start()
    rows.append(("event, stream, sidecar reading in the same process", best_us(lambda: told.record(TURNED))))
    rows.append(("lock cycle, stream, sidecar reading likewise", best_us(lambda: lock_cycle(told))))
    told.stop(30.0)
    receiver.stop()
    return rows


def live(size: int, sink: EventSink) -> None:
    """Run so many jobs once each, under a lock each."""
    for number in range(size):
        job, now_ns = f"job-{number}", clock.wall_ns()
        registered = JobRegistered(
            job=job,
            trigger="",
            resource=job,
            owner=OWNER,
            service=SERVICE,
            ttl_ns=TTL_NS,
            grace_ns=1,
            interval_ns=1,
            timeout_ns=1,
            next_due_ns=now_ns,
            wall_ns=now_ns,
        )
        sink.record(registered)
        run_id = f"{next(numbers):032x}"
        run = OccurrenceMachine(job, now_ns, owner=OWNER, service=SERVICE, run_id=run_id, clock=clock, sink=sink)
        run.sampled = True
        for event in (*PATH, OccurrenceEvent.STARTED):
            run.fire(event)
        run.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS, lateness=LATENESS, ran_ns=1)
        lock_cycle(sink)


def scrape_rows(home: Path, size: int, detail: Detail) -> list[tuple[str, float]]:
    """Return what a scrape of so many jobs and as many locks costs embedded, and in a sidecar."""
    told, metrics = ListSink(), MetricSink(clock, detail=detail)
    live(size, told)
    for event in told.events:
        metrics.record(event)
    sources = Sources(clock)
    path = home / f"{detail}-{size}.sock"
    receiver = Receiver(str(path), sources, clock=clock)
    receiver.start()
    sink = stream(path, 10_000_000, detail)
    for event in told.events:
        sink.record(event)
    sink.start()
    sink.stop(60.0)
    while sum(source.events for source in sources.all()) < len(told.events):
        clock.wait(clock.monotonic_ns() + MS, Wake())
    receiver.stop()
    registry = sidecar_registry(SidecarCollector(sources, clock=clock))
    text = encode(registry, "")[1]
    lines = text.count(b"\n")
    return [
        (
            f"scrape of {size:,} jobs + locks, {detail} detail, embedded",
            best_us(lambda: encode(metrics.registry, ""), times=2),
        ),
        (
            f"the same in a sidecar ({lines:,} lines, {len(text) / 1e6:.1f} MB)",
            best_us(lambda: encode(registry, ""), times=2),
        ),
    ]


def sidecar_rows(home: Path) -> list[tuple[str, float]]:
    """Return all of it."""
    scrapes = [row for size in (100, 1_000) for detail in Detail for row in scrape_rows(home, size, detail)]
    return [*record_rows(home), *scrapes]


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        for name, us in sidecar_rows(Path(folder)):
            print(f"{us:12,.1f} us  {name}")
