"""A stage for the real state machines: a fake clock, a metric sink, and what it exposes."""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tickglass.sched.events import JobRegistered, Lateness, Streak
from tickglass.sched.lease import LockEvent, LockMachine
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine, Outcome
from tickglass.telemetry import MetricSink
from tickglass.telemetry.metric import Detail
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from tickglass.sched.ports import EventSink

MS = 1_000_000
SECOND = 1_000_000_000
LATENESS = Lateness(total_ns=10 * MS, timer_ns=1 * MS, pool_ns=2 * MS, lock_ns=3 * MS, start_ns=4 * MS)


class Stage:
    def __init__(self, *, names_most: int = 1_000, detail: Detail = Detail.FULL) -> None:
        self.clock = FakeClock()
        self.metrics = MetricSink(self.clock, CollectorRegistry(), names_most=names_most, detail=detail)
        self.sink: EventSink = self.metrics
        self._fences = itertools.count(1)

    def register(
        self,
        job: str,
        *,
        resource: str | None = None,
        timeout_ns: int | None = 25 * SECOND,
        streak: Streak = Streak(),  # noqa: B008 - frozen
    ) -> JobRegistered:
        event = JobRegistered(
            job=job,
            trigger='cron("0 2 * * *")',
            resource=resource or job,
            owner="host-1",
            service="billing",
            ttl_ns=30 * SECOND,
            grace_ns=60 * SECOND,
            interval_ns=86_400 * SECOND,
            timeout_ns=timeout_ns,
            next_due_ns=self.clock.wall_ns() + SECOND,
            wall_ns=self.clock.wall_ns(),
            streak=streak,
        )
        self.sink.record(event)
        return event

    def lock(
        self,
        resource: str,
        *,
        run_id: str = "",
        sampled: bool = False,
        blocking: bool = True,
        owner: str = "host-1",
    ) -> LockMachine:
        lock = LockMachine(
            resource,
            owner=owner,
            service="billing",
            job=resource if run_id else "",
            run_id=run_id,
            ttl_ns=30 * SECOND,
            blocking=blocking,
            clock=self.clock,
            sink=self.sink,
        )
        lock.sampled = sampled
        return lock

    def occurrence(self, job: str, *, run_id: str | None = None, sampled: bool = False) -> OccurrenceMachine:
        occurrence = OccurrenceMachine(
            job,
            self.clock.wall_ns(),
            owner="host-1",
            service="billing",
            run_id=run_id or secrets.token_hex(16),
            clock=self.clock,
            sink=self.sink,
        )
        occurrence.sampled = sampled
        return occurrence

    def next_fence(self) -> int:
        return next(self._fences)

    def hold(self, lock: LockMachine, *, waited_ns: int = 0, other_owner: str = "") -> None:
        """Take a lock that is idle."""
        lock.fire(LockEvent.REQUESTED)
        self.clock.advance(waited_ns)
        lock.fire(LockEvent.GRANTED, fence=self.next_fence(), other_owner=other_owner)

    def start(self, occurrence: OccurrenceMachine) -> None:
        """Bring an occurrence from falling due to running."""
        for event in (
            OccurrenceEvent.FELL_DUE,
            OccurrenceEvent.ADMITTED,
            OccurrenceEvent.TAKEN,
            OccurrenceEvent.CLAIMED,
            OccurrenceEvent.STARTED,
        ):
            occurrence.fire(event)

    def run(self, occurrence: OccurrenceMachine, outcome: Outcome = Outcome.SUCCESS, *, ran_ns: int = SECOND) -> None:
        """Bring an occurrence from falling due to its end."""
        self.start(occurrence)
        self.clock.advance(ran_ns)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, lateness=LATENESS, ran_ns=ran_ns)

    def text(self) -> str:
        return generate_latest(self.metrics.registry).decode()

    def openmetrics(self) -> str:
        text: bytes = generate_openmetrics(self.metrics.registry)  # type: ignore[no-untyped-call] # the client's
        return text.decode()

    def series(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Scrape: every sample as Prometheus would read it."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return one sample of a scrape, None if it is absent."""
        return self.series().get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all samples that have these labels, others aside."""
        wanted = labels.items()
        return sum(value for (sample, has), value in self.series().items() if sample == name and wanted <= has)
