"""Declare a metric in one line: the labels, bounds and kinds that the catalogue uses."""

from __future__ import annotations

from typing import Final

from tickglass.telemetry.label_values import StoreOperation
from tickglass.telemetry.metric import Compact, Declared, Kind, Label, Metric

__all__ = [
    "BY_CALL",
    "BY_HOLDER",
    "BY_JOB",
    "BY_POOL",
    "BY_RESOURCE",
    "BY_SCHEDULER",
    "BY_SOURCE",
    "CALLS_S",
    "DURATIONS_S",
    "HOLDS_S",
    "LATENESS_COMPACT_S",
    "LATENESS_S",
    "LOCK_WAITS_COMPACT_S",
    "LOCK_WAITS_S",
    "PAUSES_S",
    "PROBES_S",
    "TICKS_S",
    "WAITS_S",
    "counter",
    "gauge",
    "histogram",
]

BY_RESOURCE: Final = Label("resource", Declared.RESOURCE)
BY_HOLDER: Final = (BY_RESOURCE, Label("owner", Declared.OWNER), Label("service", Declared.SERVICE))
BY_JOB: Final = Label("job_name", Declared.JOB_NAME)
BY_POOL: Final = Label("pool", Declared.POOL)
BY_CALL: Final = (Label("backend", Declared.STORE), Label("operation", StoreOperation))
BY_SCHEDULER: Final = BY_HOLDER[1:]
BY_SOURCE: Final = Label("source", Declared.SOURCE)
# Bounds in seconds.
# Of each job and each lock there are few buckets, because 1,000 jobs have them 1,000 times. A limit that a rule or a
# board reads is a bound, so that shares are exact.
LATENESS_S: Final = (0.001, 0.008, 0.1, 1.0, 10.0)
LATENESS_COMPACT_S: Final = (0.008, 0.1, 1.0)
DURATIONS_S: Final = (0.1, 1.0, 10.0, 60.0, 600.0)
HOLDS_S: Final = (0.1, 1.0, 10.0)
LOCK_WAITS_S: Final = (0.01, 0.1, 1.0, 5.0, 30.0)
LOCK_WAITS_COMPACT_S: Final = (0.1, 5.0, 30.0)
WAITS_S: Final = (2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CALLS_S: Final = (1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
TICKS_S: Final = (1e-5, 5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0)
PROBES_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PAUSES_S: Final = (5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)


def counter(
    name: str, text: str, *labels: Label, compact: Compact = Compact.BY_NAME, by_name: tuple[str, ...] = ()
) -> Metric:
    """Return a counter; its name ends in `_total`, and in `_seconds_total` if it sums seconds."""
    unit = "seconds" if name.endswith("_seconds_total") else ""
    return Metric(name, Kind.COUNTER, text, labels, unit=unit, compact=compact, by_name=by_name)


def gauge(name: str, text: str, *labels: Label, compact: Compact = Compact.BY_NAME) -> Metric:
    """Return a gauge; in seconds, if its name ends so."""
    unit = "seconds" if name.endswith("_seconds") else ""
    return Metric(name, Kind.GAUGE, text, labels, unit=unit, compact=compact)


def histogram(
    name: str,
    text: str,
    buckets: tuple[float, ...],
    *labels: Label,
    exemplar: bool = False,
    compact: Compact = Compact.BY_NAME,
    compact_buckets: tuple[float, ...] = (),
) -> Metric:
    """Return a histogram in seconds, with these upper bounds."""
    return Metric(
        name,
        Kind.HISTOGRAM,
        text,
        labels,
        unit="seconds",
        buckets=buckets,
        exemplar=exemplar,
        compact=compact,
        compact_buckets=compact_buckets,
    )
