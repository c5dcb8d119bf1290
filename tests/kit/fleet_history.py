"""What Prometheus would have of a fleet over an hour, at any interval between scrapes, as input for promtool.

The schedulers are scripted: which instances there are, what is due, and what becomes of it, with every occurrence told
as the engine tells it. Sinks, sidecar, store and exporters are the real ones, on a clock that is moved by hand.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import promql_parser
from kit.expressions import EXPRESSIONS, selectors
from kit.sidecar_events import introduction
from msgspec import structs
from prometheus_client import CollectorRegistry

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import (
    JobRegistered,
    Lateness,
    OccurrenceMoved,
    PoolMoved,
    ReadinessMoved,
    SchedulerMoved,
    StoreCalled,
    TimelineTicked,
)
from tickglass.sched.lease import Lease
from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.sched.ports import ClaimAsk, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.sched.triggers.text import trigger_of
from tickglass.telemetry import MetricSink
from tickglass.telemetry.sidecar.collector import SidecarCollector
from tickglass.telemetry.sidecar.schedulers.sources import Sources
from tickglass.telemetry.sidecar.stores.probe import probe_once
from tickglass.telemetry.sidecar.transport.live_state import LiveState
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kit import promtool
    from prometheus_client.metrics_core import Metric as Family

    from tickglass.sched.events import Event
    from tickglass.sched.triggers import Trigger

__all__ = ["STEP_S", "Fleet", "Instance", "Told"]

STEP_S: Final = 15
_EVALUATED_AFTER_S: Final = 7  # so long after a scrape: numbers are as old as that when a rule reads them
TTL_NS: Final = 30 * SECOND
_READ: Final = {one.name for expr in EXPRESSIONS.values() for one in selectors(promql_parser.parse(expr))}
_RECENT_NS: Final = (
    2 * SECOND
)  # the store has what was claimed so shortly before it is read: older claims change nothing

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Told:
    """What becomes of an occurrence of a job, on the instance whose turn it is."""

    outcome: Outcome = Outcome.SUCCESS
    late_ns: int = MS
    reason: str = ""


@dataclass
class Instance:
    """One scheduler: its jobs as trigger texts, its own endpoint, and what it tells a sidecar."""

    service: str
    owner: str
    jobs: Mapping[str, str]
    clock: FakeClock
    next_ns: dict[str, int] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.metrics = MetricSink(self.clock, CollectorRegistry(), service=self.service)
        self.live = LiveState()
        self.link = object()
        self.began_ns = self.clock.monotonic_ns()
        self.sources: Sources | None = None

    def tell(self, event: Event) -> None:
        self.metrics.record(event)
        self.live.record(event)
        if self.sources is not None:
            self.sources.named(self.service, self.owner).on_event(self.number, event, self.link)
        self.number += 1

    def connect(self, sources: Sources) -> None:
        now_ns = self.clock.monotonic_ns()
        said = structs.replace(
            introduction(owner=self.owner, next_number=self.number, began_ns=self.began_ns),
            service=self.service,
            boottime_ns=now_ns,
        )
        sources.named(self.service, self.owner).on_introduction(said, self.live.events(), self.link)
        self.sources = sources

    def moved(self, before: str, event: str, after: str) -> None:
        wall_ns = self.clock.wall_ns()
        self.tell(
            SchedulerMoved(
                owner=self.owner, service=self.service, before=before, event=event, after=after, wall_ns=wall_ns
            )
        )


class Fleet:
    """Instances of several services on one store, beside one sidecar; each step is a scrape of all of them."""

    def __init__(self, told: Callable[[str, str, int], Told] = lambda *_: Told()) -> None:
        self.clock = FakeClock()
        self.began_ns = self.clock.wall_ns()
        self.instances: list[Instance] = []
        self.dead: set[str] = set()  # listed, and they do not answer
        self.store = MemoryStore(self.clock)
        self.sources = Sources(self.clock)
        self._told = told
        self._turn = itertools.count()
        self._scrapes: list[dict[str, dict[Labels, float]] | None] = []  # by origin; None: Prometheus was not there

    # --- what happens

    def start(self, service: str, owner: str, jobs: Mapping[str, str], *, sidecar: bool = True) -> Instance:
        one = Instance(service, owner, jobs, self.clock)
        now_ns = self.clock.wall_ns()
        if sidecar:
            one.connect(self.sources)
        for name, text in jobs.items():
            self._register(one, name, text)
        one.moved("starting", "started", "running")
        one.tell(ReadinessMoved(owner=owner, service=service, error="", wall_ns=now_ns))
        one.tell(PoolMoved(pool="default", slots=4, in_use=1, waiting=0, waited_ns=None))
        self.instances.append(one)
        return one

    def _register(self, one: Instance, name: str, text: str) -> None:
        now_ns = self.clock.wall_ns()
        due_ns = one.next_ns[name] = _next(text, name, now_ns)
        interval_ns = _next(text, name, due_ns) - due_ns
        record = JobRecord(
            name, text, f"{one.service}/{name}", one.owner, one.service, TTL_NS, min(60 * SECOND, interval_ns),
            25 * SECOND, due_ns,
        )  # fmt: skip
        self.store.register([record])
        one.tell(
            JobRegistered(
                job=name, trigger=text, resource=record.resource, owner=one.owner, service=one.service, ttl_ns=TTL_NS,
                grace_ns=record.grace_ns, interval_ns=interval_ns, timeout_ns=25 * SECOND, next_due_ns=due_ns,
                wall_ns=now_ns,
            )
        )  # fmt: skip

    def stop(self, owner: str) -> None:
        """Stop on request: it says so, and is not listed any more."""
        one = self.named(owner)
        one.moved("running", "stop_asked", "draining")
        one.moved("draining", "drained", "stopped")
        self._leave(one)

    def kill(self, owner: str) -> None:
        """End it without a word; it stays listed."""
        self.dead.add(owner)
        self._leave(self.named(owner))

    def restart_sidecar(self) -> None:
        self.sources = Sources(self.clock)
        for one in self.instances:
            one.connect(self.sources)

    def named(self, owner: str) -> Instance:
        return next(one for one in self.instances if one.owner == owner)

    def _leave(self, one: Instance) -> None:
        self.instances.remove(one)
        if one.sources is not None:
            one.sources.named(one.service, one.owner).on_disconnect(one.link)

    # --- time

    def step(self, *, scraped: bool = True) -> None:
        """Let what is due until the next scrape be done, and scrape."""
        until_ns = self.clock.wall_ns() + STEP_S * SECOND
        for service in {one.service for one in self.instances}:
            self._run(service, until_ns)
        self.clock.advance(until_ns - self.clock.wall_ns())
        for one in self.instances:
            for _ in range(STEP_S):  # a heartbeat a second
                one.tell(TimelineTicked(lag_ns=0, duration_ns=1000, handed=0))
        self._scrapes.append(dict(self._scraped()) if scraped else None)

    def _run(self, service: str, until_ns: int) -> None:
        own = [one for one in self.instances if one.service == service]
        dues = {(due_ns, name) for one in own for name, due_ns in one.next_ns.items() if due_ns <= until_ns}
        while dues:
            due_ns, name = min(dues)
            dues.remove((due_ns, name))
            having = [one for one in own if one.next_ns.get(name) == due_ns]
            winner = having[next(self._turn) % len(having)]
            for one in having:
                next_ns = one.next_ns[name] = _next(one.jobs[name], name, due_ns)
                if next_ns <= until_ns:
                    dues.add((next_ns, name))
                told = self._told(service, name, (due_ns - self.began_ns) // SECOND)
                outage = told.reason == SkipReason.STORE_UNAVAILABLE  # for all of them
                told = told if one is winner or outage else Told(Outcome.ELSEWHERE)
                if one is winner and not outage and until_ns - due_ns < max(_RECENT_NS, next_ns - due_ns):
                    self._ledger(one, name, due_ns, next_ns, told)
                for event in _occurrence(one, name, due_ns, next_ns, told):
                    one.tell(event)
                error = "unavailable" if outage else ""
                one.tell(StoreCalled(store="memory", operation="claim", duration_ns=MS, error=error, wall_ns=due_ns))

    def _ledger(self, one: Instance, name: str, due_ns: int, next_ns: int, told: Told) -> None:
        number = f"{next(self._turn):032x}"
        resource = f"{one.service}/{name}"
        ask = LeaseAsk(resource, one.owner, one.service, number, TTL_NS, name, number)
        self.store.claim(ClaimAsk(ask, due_ns, next_due_ns=next_ns))
        lease = Lease(resource, one.owner, number, 0, TTL_NS, 0)
        started_ns = due_ns + told.late_ns
        self.store.settle(
            Settlement(lease, one.service, name, due_ns, number, told.outcome, "", started_ns, told.late_ns)
        )

    # --- what Prometheus has of it

    def _scraped(self) -> Iterator[tuple[str, dict[Labels, float]]]:
        own: dict[Labels, float] = {}
        for one in self.instances:
            own |= self._samples(one.metrics.collect(), job="tickglass", instance=one.owner)
        for owner in (*(one.owner for one in self.instances), *self.dead):
            own[_labels("up", job="tickglass", instance=owner)] = float(owner not in self.dead)
        yield "themselves", own
        snapshot = probe_once("memory://", self.store, self.clock)
        collector = SidecarCollector(self.sources, clock=self.clock, snapshots=lambda: [snapshot])
        beside = self._samples(collector.collect(), job="tickglass-sidecar", instance="s")
        yield "by a sidecar", beside | {_labels("up", job="tickglass-sidecar", instance="s"): 1.0}

    def _samples(self, families: Iterable[Family], **target: str) -> dict[Labels, float]:
        zero_s = self.began_ns / SECOND + STEP_S + _EVALUATED_AFTER_S  # promtool's time begins with the first scrape
        return {
            _labels(sample.name, **sample.labels, **target): sample.value
            - (zero_s if sample.name.endswith("_timestamp_seconds") else 0)
            for family in families
            for sample in family.samples
            if sample.name in _READ and sample.labels.get("le", "0.008") == "0.008"
        }

    def input_series(self, how: str, every_s: int) -> list[promtool.Document]:
        """Return the series with the labels of their targets, one value per scrape."""
        scrapes = self._scrapes[:: every_s // STEP_S]
        names = {labels for scrape in scrapes if scrape is not None for labels in scrape[how]}
        found = []
        for labels in sorted(names):
            values, there = [], False
            for scrape in scrapes:
                value = None if scrape is None else scrape[how].get(labels)
                if value is not None:
                    values.append(repr(value))
                else:
                    values.append("stale" if there and scrape is not None else "_")
                there = value is not None or (there and scrape is None)
            (_, name), *rest = labels
            written = ",".join(f'{key}="{text}"' for key, text in rest)
            found.append({"series": f"{name}{{{written}}}", "values": " ".join(values)})
        return found


@cache
def _trigger(text: str, job: str) -> Trigger:
    trigger = trigger_of(text, job)
    assert trigger is not None
    return trigger


def _next(text: str, job: str, after_ns: int) -> int:
    due_ns = _trigger(text, job).next_after_ns(after_ns)
    assert due_ns is not None
    return due_ns


def _labels(name: str, **labels: str) -> Labels:
    return (("", name), *sorted(labels.items()))


def _occurrence(one: Instance, job: str, due_ns: int, next_ns: int, told: Told) -> list[OccurrenceMoved]:
    started = told.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
    late = Lateness(total_ns=told.late_ns, timer_ns=told.late_ns, pool_ns=0, lock_ns=0, start_ns=0) if started else None
    fell_due = OccurrenceMoved(
        job=job, due_ns=due_ns, attempt=1, owner=one.owner, service=one.service, run_id="", sampled=False,
        before="planned", event="fell_due", after="admitting", at_ns=0, wall_ns=due_ns, stayed_ns=0, fence=0,
        outcome=None, reason="", lateness=None, ran_ns=None, error="", next_due_ns=next_ns,
    )  # fmt: skip
    started_ns = due_ns + told.late_ns
    running = structs.replace(
        fell_due, before="claimed", event="started", after="running", wall_ns=started_ns, next_due_ns=None
    )
    ended = structs.replace(
        running, before="running", event="ended", after="ended", outcome=told.outcome.value, reason=told.reason,
        lateness=late, ran_ns=MS if started else None, wall_ns=started_ns + MS,
    )  # fmt: skip
    return [fell_due, *([running] if started else []), ended]
