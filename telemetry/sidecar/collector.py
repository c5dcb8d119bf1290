"""Collect what Prometheus scrapes: the series of every scheduler, of the stores, and of the sidecar itself.

No I/O. A scheduler's series get its owner and service, those of a store its URL, so that no two series are equal;
queries use `max by` or `sum by`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Sample

from tickglass.sched.durations import SECOND
from tickglass.telemetry import catalogue
from tickglass.telemetry.metrics import SINK_METRICS
from tickglass.telemetry.series import family
from tickglass.telemetry.sidecar.merge.scheduler_status import resting_services, statuses_of
from tickglass.telemetry.sidecar.stores.overdue import DROPPED_AFTER_NS
from tickglass.telemetry.sidecar.stores.store_metrics import STORE_METRICS, store_families

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric as Family

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import JobRecord
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.sidecar.schedulers.sources import Source, Sources
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["SIDECAR_METRICS", "SidecarCollector", "sidecar_registry", "unready"]

_OWN: Final = (
    catalogue.SIDECAR_CONNECTED,
    catalogue.SIDECAR_EVENTS,
    catalogue.SIDECAR_GAPS,
    catalogue.SIDECAR_MISSED,
    catalogue.SIDECAR_LAST_EVENT,
    catalogue.SIDECAR_REFUSED,
)
# All that a sidecar may show, each family once.
SIDECAR_METRICS: Final = tuple(dict.fromkeys((*SINK_METRICS, catalogue.GC_PAUSE, *STORE_METRICS, *_OWN)))


class SidecarCollector:
    """The collector of the sidecar's registry.

    Args:
        snapshots: returns the latest reads of the stores, without I/O.
    """

    def __init__(
        self, sources: Sources, *, clock: Clock, snapshots: Callable[[], Sequence[StoreSnapshot]] = tuple
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._snapshots = snapshots

    def describe(self) -> Iterable[Family]:
        """Name all families, so that a clash is found when registering."""
        return [family(metric) for metric in SIDECAR_METRICS]

    def collect(self) -> Iterable[Family]:
        """Return all families with their samples."""
        page = {metric.family: family(metric) for metric in SIDECAR_METRICS}
        sources = self._sources.all()
        resting = resting_services(sources)
        for source in sources:
            labels = {"owner": source.owner, "service": source.service}
            for found in source.families():
                page[found.name].take(found)
            for metric, value in _about(source, rests=source.service in resting):
                page[metric.family].loose.append(Sample(metric.name, labels, value))
        for reason, count in self._sources.refusals().items():
            metric = catalogue.SIDECAR_REFUSED
            page[metric.family].loose.append(Sample(metric.name, {"reason": reason.value}, count))
        dropped = partial(_is_not_due, sources, resting)
        for found in store_families(self._snapshots(), self._clock.reading(), dropped):
            page[found.name].take(found)
        return page.values()


def sidecar_registry(collector: SidecarCollector) -> CollectorRegistry:
    """Return what /metrics shows: the collector's series, and the sidecar's own CPU and memory."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(collector)
    return registry


def unready(sources: Sources, snapshots: Iterable[StoreSnapshot], clock: Clock) -> list[str]:
    """Return why the sidecar, or a scheduler connected to it, is not ready, a sentence each.

    A scheduler that is gone is no reason, because it has a metric of its own.
    """
    now = clock.reading()
    reasons = []
    for one in statuses_of(sources.all(), now):
        name = f"{one.source.service}/{one.source.owner}"
        if one.stalled:
            ticked_ns = one.snapshot.ticked_ns
            silent_ns = one.silent_ns if ticked_ns is None else now.monotonic_ns - ticked_ns
            reasons.append(f"scheduler {name} is silent for {(silent_ns or 0) // SECOND} s")
        reasons += [f"scheduler {name} is not ready: {reason}" for reason in one.unready]
    for snapshot in snapshots:
        age_ns = snapshot.age_ns(now)
        if age_ns is None:
            reasons.append(f"store {snapshot.source} has not been read yet")
        elif not snapshot.is_fresh(now):
            reasons.append(f"store {snapshot.source} was last read {age_ns // SECOND} s ago")
    return reasons


def _is_not_due(sources: Iterable[Source], resting: Collection[str], job: JobRecord, overdue_ns: int) -> bool:
    """Return whether a job's service was stopped on request, or every connected scheduler of it has dropped the job.

    If the scheduler that registered it last left without a stop, it counts as dropped only after an hour.
    """
    if job.service in resting:
        return True
    own = [one for one in sources if one.service == job.service]
    connected = [one for one in own if one.connected]
    died = {one.owner for one in own if not one.connected and not one.history.drained}
    without = all(one.history.lacks(job.name) for one in connected)
    return bool(connected) and without and (overdue_ns > DROPPED_AFTER_NS or job.owner not in died)


def _about(source: Source, *, rests: bool) -> Iterator[tuple[Metric, float]]:
    if source.connected or not (source.history.drained or rests):
        yield catalogue.SIDECAR_CONNECTED, int(source.connected)
    yield catalogue.SIDECAR_EVENTS, source.events
    yield catalogue.SIDECAR_GAPS, source.gaps
    yield catalogue.SIDECAR_MISSED, source.missed
    if source.last_heard_wall_ns is not None:
        yield catalogue.SIDECAR_LAST_EVENT, source.last_heard_wall_ns / SECOND
