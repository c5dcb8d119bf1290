"""Declare a metric in one line: the labels, bounds and kinds that the catalogue uses."""

from __future__ import annotations

from typing import Final

from tickglass.telemetry.label_values import StoreOperation
from tickglass.telemetry.metric import Declared, Kind, Label, Metric

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
    "LATENESS_S",
    "MARGINS_S",
    "PARTS_S",
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
# Bounds in seconds. 8 ms is the promise that a start is measured against; it must be one for the share to be exact.
LATENESS_S: Final = (5e-5, 1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.008, 0.01, 0.025,
                    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # fmt: skip
PARTS_S: Final = (1e-4, 0.001, 0.01, 0.1, 1.0)
DURATIONS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                     25.0, 30.0, 60.0, 300.0, 900.0, 3600.0)  # fmt: skip
WAITS_S: Final = (2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MARGINS_S: Final = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
CALLS_S: Final = (1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
TICKS_S: Final = (1e-5, 5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0)
PROBES_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PAUSES_S: Final = (5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)


def counter(name: str, text: str, *labels: Label) -> Metric:
    """Return a counter; its name ends in `_total`."""
    return Metric(name, Kind.COUNTER, text, labels)


def gauge(name: str, text: str, *labels: Label) -> Metric:
    """Return a gauge; in seconds, if its name ends so."""
    return Metric(name, Kind.GAUGE, text, labels, unit="seconds" if name.endswith("_seconds") else "")


def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: Label, exemplar: bool = False) -> Metric:
    """Return a histogram in seconds, with these upper bounds."""
    return Metric(name, Kind.HISTOGRAM, text, labels, unit="seconds", buckets=buckets, exemplar=exemplar)
