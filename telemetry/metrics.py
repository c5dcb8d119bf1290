"""Turn the core's events into the metrics of the catalogue, for Prometheus to scrape.

Takes bounded fields only. On the hot path: no look-up by label, no text, a few
additions under the lock of one job or resource. Measured: docs/telemetry.md.
"""

from __future__ import annotations

import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from tickglass.sched.control.orders import fits_any
from tickglass.sched.events import (
    ActSeen,
    ClaimCacheHit,
    ClaimOrphaned,
    ClockDisciplineRead,
    ClockStepped,
    EventLoopAsked,
    EventLoopTurned,
    FencingRejected,
    FirstRunOnTime,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    JobContested,
    JobRegistered,
    LockMoved,
    OccurrenceMoved,
    OrdersStand,
    PoolMoved,
    ReadinessMoved,
    SchedulerMoved,
    SinkFailed,
    SkewMeasured,
    SpoolMoved,
    StoreCalled,
    StoreForgot,
    StoreRecordMissing,
    TelemetryDropped,
    ThreadDelayed,
    TimelineTicked,
    TriggerFailed,
)
from tickglass.sched.occurrence import Outcome
from tickglass.sched.state_machine import MoveSink
from tickglass.telemetry import catalogue
from tickglass.telemetry.internals import PoolGroup, SchedulerGroup, StoreGroup
from tickglass.telemetry.jobs import JobGroup
from tickglass.telemetry.locks import LockGroup
from tickglass.telemetry.metric import OVERFLOW, Declared, Detail
from tickglass.telemetry.names import ByName, LocksByName
from tickglass.telemetry.series import Together, family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.sched.state_machine import LockMove, OccurrenceMove
    from tickglass.telemetry.series import SeriesFamily, SeriesGroup, Value

G = TypeVar("G")
Group = TypeVar("Group", bound="SeriesGroup")

__all__ = ["NAMES_MAX", "SINK_METRICS", "MetricSink"]

NAMES_MAX: Final = 1_000  # per label; a job with its lock has up to 110 series, so this is 110,000 at the most

# What the sink itself shows; the pauses of the garbage collector are the exporter's.
_OTHERS: Final = frozenset({catalogue.GC_PAUSE, *catalogue.sidecar_metrics()})
SINK_METRICS: Final = tuple(metric for metric in catalogue.metrics() if metric not in _OTHERS)


class MetricSink(MoveSink):
    """An event sink, and the collector that Prometheus asks.

    Of the machines of its own process it takes the moves as they are, elsewhere it is told of them by events; either
    way the same groups count the same attributes.

    Args:
        clock: for the ages that are computed when scraped.
        registry: where to register; default: a new one, with the process's own
            CPU and memory beside.
        names_most: how many job names, resources and so on get series of their
            own; those after them share `__other__`, which is counted.
        service: the label `service` of every series, because another service
            may have a job of the same name; "": none.
        owner: the label `owner` of every series, where several schedulers are shown; "": none.
        detail: how much to show of each job and each lock; it stays, because series that came and went would look
            like restarts.
    """

    def __init__(
        self,
        clock: Clock,
        registry: CollectorRegistry | None = None,
        *,
        names_most: int = NAMES_MAX,
        service: str = "",
        owner: str = "",
        detail: Detail = Detail.FULL,
    ) -> None:
        self.detail = detail
        self._clock = clock
        common = tuple((name, value) for name, value in (("owner", owner), ("service", service)) if value)
        self._scheduler = SchedulerGroup(version("tickglass"))
        self._scheduler.label(common)
        self._together = together = Together(detail)
        together.label(common)

        def labelled(make: Callable[[str], Group]) -> Callable[[str], Group]:
            def made(name: str) -> Group:
                group = make(name)
                group.label(common)
                return group

            return made

        def named(label: Declared, make: Callable[[str], G]) -> ByName[G]:
            return ByName(make, names_most, self._scheduler.overflows[label.value])

        owners, services = named(Declared.OWNER, str), named(Declared.SERVICE, str)
        self._jobs = named(Declared.JOB_NAME, labelled(lambda name: JobGroup(name, together)))
        self._locks = LocksByName(
            labelled(lambda name: LockGroup(name, owners, services, together)),
            names_most,
            self._scheduler.overflows[Declared.RESOURCE.value],
            clock=clock,
            forgotten=self._scheduler.locks_forgotten,
        )
        self._pools = named(Declared.POOL, labelled(PoolGroup))
        self._stores = named(Declared.STORE, labelled(StoreGroup))
        self._sinks: ByName[Value] = named(Declared.SINK, self._scheduler.sink)
        self._paused: tuple[str, ...] = ()  # names and patterns
        self._pausing = threading.Lock()  # that a job is registered, against that others are paused
        self._handlers = self._handlers_by_event()
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        self.registry = registry
        registry.register(self)

    def _handlers_by_event(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            LockMoved: lambda event: self._locks.change(event.resource, lambda lock: lock.moved(event)),
            OccurrenceMoved: lambda event: self._jobs[event.job].moved(event),
            FencingRejected: lambda event: self._locks.change(event.resource, LockGroup.fencing_rejected),
            InstantsSkipped: lambda event: self._jobs[event.job].skipped(event),
            InstantsMissed: lambda event: self._jobs[event.job].passed(event, Outcome.MISSED),
            InstantsElsewhere: lambda event: self._jobs[event.job].passed(event, Outcome.ELSEWHERE),
            JobRegistered: self._register,
            JobContested: self._job_contested,
            ClaimOrphaned: lambda event: self._jobs[event.job].orphan_found(),
            ClaimCacheHit: lambda event: self._jobs[event.job].claim_cache_hit(),
            TriggerFailed: lambda event: self._jobs[event.job].trigger_failed(),
            PoolMoved: lambda event: self._pools[event.pool].moved(event),
            StoreCalled: lambda event: self._stores[event.store].called(event),
            ActSeen: self._scheduler.act_seen,
            OrdersStand: self._orders_stand,
            StoreForgot: lambda _: self._scheduler.store_forgot(),
            StoreRecordMissing: self._scheduler.record_missing,
            TimelineTicked: self._scheduler.ticked,
            ThreadDelayed: self._scheduler.thread_delayed,
            ClockStepped: self._scheduler.stepped,
            SkewMeasured: self._scheduler.measured,
            ClockDisciplineRead: self._scheduler.disciplined,
            SpoolMoved: self._scheduler.spool_moved,
            SchedulerMoved: self._scheduler.moved,
            FirstRunOnTime: self._scheduler.first_run,
            ReadinessMoved: self._scheduler.readiness_moved,
            EventLoopAsked: self._scheduler.loop_asked,
            EventLoopTurned: self._scheduler.loop_turned,
            SinkFailed: lambda event: self._scheduler.sink_failed(self._sinks[event.sink]),
            TelemetryDropped: lambda event: self.dropped(event.signal, event.reason, event.count),
        }

    def takes(self, kind: type[Event]) -> bool:
        """See `MoveSink`."""
        return kind in self._handlers

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`."""
        handle = self._handlers.get(type(event))
        if handle is not None:
            handle(event)

    def occurrence_moved(self, move: OccurrenceMove) -> None:
        """See `MoveSink`."""
        self._jobs[move.job].moved(move)

    def lock_moved(self, move: LockMove) -> None:
        """See `MoveSink`."""
        if not self._locks[move.resource].moved(move):  # the group was retired meanwhile
            self._locks.change(move.resource, lambda lock: lock.moved(move))

    def preregister(self, *, stores: Iterable[str] = (), pools: Iterable[str] = (), sinks: Iterable[str] = ()) -> None:
        """Show these at zero from now on, because `increase()` does not see the first count of a new series.

        Jobs and their resources do not need this call: their registration does it.
        """
        for names, groups in ((stores, self._stores), (pools, self._pools), (sinks, self._sinks)):
            for name in names:
                groups[name]

    expect = preregister  # the name that users may have written

    def dropped(self, signal: str, reason: str, count: int) -> None:
        """Count telemetry that could not be delivered; see `build_tracer_provider`."""
        self._scheduler.dropped(signal, reason, count)

    def forget(self) -> None:
        """Show only the past, because the scheduler of these events has gone and its present state is unknown."""
        self._forget(self._groups())

    def halt(self) -> None:
        """Show only the past, and that the scheduler has stopped, until `resume`; counts go on from where they are."""
        self._forget(self._subjects())

    def resume(self) -> None:
        """Show the present again; a job is shown again from its registration on."""
        for group in (*self._locks.values(), *self._stores.values(), *self._pools.values()):
            group.gone = False

    def restore(self, live_events: Iterable[Event], *, version: str, owner: str, service: str) -> None:
        """Take over the live state of a scheduler whose events were missing, all or some of them.

        Nothing is counted twice. Occurrences that fell due
        meanwhile count as due, those that ended meanwhile as outcome `OVERFLOW`, so
        that the account agrees again.

        Args:
            live_events: the events that lead to it: see `LiveState`.
        """
        self.forget()
        self._scheduler.restored(version, owner, service)
        self.resume()
        moves: dict[JobGroup, list[OccurrenceMoved]] = {job: [] for job in self._jobs.values()}
        for event in live_events:
            if isinstance(event, OccurrenceMoved):
                moves.setdefault(self._jobs[event.job], []).append(event)
            elif isinstance(event, LockMoved):
                self._restore_lock(event)
            elif isinstance(event, SpoolMoved):
                self._scheduler.spool_restored(event)
            else:
                self.record(event)
        for job, job_moves in moves.items():
            job.restored(job_moves)

    def describe(self) -> Iterable[SeriesFamily]:
        """Name all families, so that a clash is found when registering."""
        return [family(metric) for metric in SINK_METRICS]

    def collect(self) -> Iterable[SeriesFamily]:
        """Return all families with their samples; each group's were true at one instant."""
        page = {metric.name: family(metric) for metric in SINK_METRICS}
        now = self._clock.reading()
        self._scheduler.locks_idle(self._locks.count_idle(now))
        for group in self._groups():
            group.collect(page, now)
        return page.values()

    def _groups(self) -> list[SeriesGroup]:
        return [self._scheduler, self._together, *self._subjects()]

    def _subjects(self) -> list[SeriesGroup]:
        groups: list[SeriesGroup] = []
        for named in (self._jobs, self._locks, self._pools, self._stores):
            groups += named.values()
        return groups

    def _forget(self, groups: Iterable[SeriesGroup]) -> None:
        for group in groups:
            group.gone = True
        for lock in list(self._locks.values()):
            lock.forget()

    def _job_contested(self, event: JobContested) -> None:
        self._jobs[event.job].contested(event)
        self._scheduler.contested(event.job, is_so=event.since_wall_ns is not None)

    def _orders_stand(self, event: OrdersStand) -> None:
        with self._pausing:
            if event.paused != self._paused:
                self._paused = event.paused
                for name in tuple(self._jobs):
                    self._take_pauses(name)
        self._scheduler.orders_stand(event)

    def _register(self, event: JobRegistered) -> None:
        self._scheduler.contested(event.job, is_so=False)
        self._jobs[event.job].declared(event)
        with self._pausing:
            self._take_pauses(event.job)
        self._locks.change(event.resource, lambda lock: lock.declared(event))

    def _take_pauses(self, job: str) -> None:
        group = self._jobs.get(job)
        if group is not None and job != OVERFLOW:
            group.paused(is_so=fits_any(job, self._paused))

    def _restore_lock(self, event: LockMoved) -> None:
        self._locks.change(event.resource, lambda lock: lock.restored(event))
