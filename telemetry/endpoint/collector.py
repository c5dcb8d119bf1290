"""What Prometheus scrapes of one scheduler, for a registry or an endpoint that is not ours."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from tickglass.telemetry.metrics import SINK_METRICS
from tickglass.telemetry.series import family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric as Family

    from tickglass.telemetry.internals import GcPauses
    from tickglass.telemetry.metrics import MetricSink

__all__ = ["SchedulerCollector"]


class SchedulerCollector(Collector):
    """All metrics of a scheduler, as prometheus_client collects them: before its start, while it runs, after its stop.

    One registry takes the collector of one scheduler: another one's series would have the same names.

    Args:
        metrics: returns what the scheduler counts; None before its first start.
        check: raises if the metrics cannot be collected here; called at each scrape.
    """

    def __init__(self, metrics: Callable[[], MetricSink | None], pauses: GcPauses, check: Callable[[], None]) -> None:
        self._metrics = metrics
        self._pauses = pauses
        self._check = check

    def describe(self) -> Iterable[Family]:
        """Name all families, so that a registry refuses a second scheduler."""
        return chain(map(family, SINK_METRICS), self._pauses.describe())

    def collect(self) -> Iterable[Family]:
        """Return all families with their samples."""
        self._check()
        metrics = self._metrics()
        return self._pauses.collect() if metrics is None else chain(metrics.collect(), self._pauses.collect())
