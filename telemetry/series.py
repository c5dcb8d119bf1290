"""Hold the series that change together, and copy them together when scraped.

A group is one job, one resource, one pool. All of its values change under its
own lock and are copied under it, so sums that must agree do agree at every
scrape, and a scrape holds up one group for microseconds rather than all of them
for as long as the text takes to write. prometheus_client's own children cannot
do that: each has a lock of its own.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from tickglass.telemetry.metric import OVERFLOW, Detail, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from tickglass.sched.clock import Reading
    from tickglass.telemetry.metric import Metric

__all__ = ["Counters", "Histogram", "Page", "SeriesGroup", "Together", "TraceExemplar", "Value", "family"]

Page = dict[str, Family]  # the families of one scrape, by metric name


def family(metric: Metric) -> Family:
    """Return the metric's family, without samples."""
    return Family(metric.family, metric.help, metric.kind.value, metric.unit)


class TraceExemplar(NamedTuple):
    """An exemplar: the trace of the observed run."""

    trace_id: str
    value: float
    wall_ns: int


class Instrument(Protocol):
    """One value or several, copied under the lock and written out later from the copy."""

    def copy(self) -> Self:
        """Return a copy; called under the group's lock."""
        ...

    def samples(self, metric: Metric, labels: dict[str, str]) -> Iterable[Sample]:
        """Write it out."""
        ...


Kept = TypeVar("Kept", bound=Instrument)


class Value:
    """A counter's or a gauge's value; None: the series is absent."""

    __slots__ = ("value",)

    def __init__(self, value: float | None = None) -> None:
        self.value = value

    def add(self, amount: float = 1) -> None:
        """Count."""
        self.value = (self.value or 0) + amount

    def copy(self) -> Value:
        """See `Instrument`."""
        return Value(self.value)

    def samples(self, metric: Metric, labels: dict[str, str]) -> Iterable[Sample]:
        """See `Instrument`."""
        return () if self.value is None else (Sample(metric.name, labels, self.value),)


class Histogram:
    """A histogram's counts, and the latest exemplar of each bucket."""

    __slots__ = ("_bounds", "_counts", "_marks", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._marks: list[TraceExemplar | None] = []
        self._sum = 0.0

    def observe(self, value: float, trace_id: str = "", wall_ns: int = 0) -> None:
        """Count a value; with a trace id, remember it as the bucket's exemplar.

        A negative value counts as 0: a sum that falls would look like a restart.
        """
        value = max(value, 0.0)
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._sum += value
        if trace_id:
            if not self._marks:
                self._marks = [None] * len(self._counts)
            self._marks[place] = TraceExemplar(trace_id, value, wall_ns)

    def copy(self) -> Histogram:
        """See `Instrument`."""
        twin = Histogram(self._bounds)
        twin._counts, twin._marks, twin._sum = self._counts.copy(), self._marks.copy(), self._sum
        return twin

    def samples(self, metric: Metric, labels: dict[str, str]) -> Iterable[Sample]:
        """See `Instrument`."""
        name, upto = f"{metric.name}_bucket", list(accumulate(self._counts))
        for place, bound in enumerate(_bound_texts(self._bounds)):
            mark = self._marks[place] if self._marks else None
            exemplar = mark and Exemplar({"trace_id": mark.trace_id}, mark.value, mark.wall_ns / 1e9)
            yield Sample(name, {**labels, "le": bound}, upto[place], None, exemplar)
        yield Sample(f"{metric.name}_count", labels, upto[-1])
        yield Sample(f"{metric.name}_sum", labels, self._sum)


_texts: Final[dict[tuple[float, ...], tuple[str, ...]]] = {}  # the catalogue's bounds: a handful


def _bound_texts(bounds: tuple[float, ...]) -> tuple[str, ...]:
    texts = _texts.get(bounds)
    if texts is None:
        texts = _texts[bounds] = (*map(floatToGoString, bounds), "+Inf")
    return texts


class Counters(dict[str, Value]):
    """Counters of one metric by the values of its last label, all at zero from the start.

    A value outside its enumeration counts as `OVERFLOW`.
    """

    def __init__(self, values: Iterable[str], make: Callable[[str], Value]) -> None:
        super().__init__((value, make(value)) for value in values)
        self._make = make

    def __missing__(self, value: str) -> Value:
        cell = self.get(OVERFLOW)
        if cell is None:
            cell = self[OVERFLOW] = self._make(OVERFLOW)
        return cell


class SeriesGroup:
    """Series that change under one lock; subclasses name them and move them.

    The lock is re-entrant: a signal handler that stops the scheduler may run in
    the middle of `record`, in the same thread, and report what it does.

    Args:
        together: keeps what this job or lock does not have series of its own for; it says the detail.
    """

    def __init__(self, together: Together | None = None) -> None:
        self._together = together
        self._detail = Detail.FULL if together is None else together.detail
        self.lock = threading.RLock()
        self.gone = False  # its subject has gone: only the past is shown
        self._rows: list[tuple[Metric, dict[str, str], Instrument]] = []
        self._common: dict[str, str] = {}

    def label(self, **common: str) -> None:
        """Give every series these labels, beside its own; a label that a metric declares keeps its own value."""
        with self.lock:
            self._common = common
            self._rows = [(metric, {**common, **labels}, instrument) for metric, labels, instrument in self._rows]

    def counter(self, metric: Metric, *values: str) -> Value:
        """Return a counter, a new one at zero; `values` are those of the metric's labels, in order."""
        if self._together is not None and metric.is_together(self._detail, values[-1]):
            return self._together.shared_counter(metric, values)
        return self._keep(metric, values, Value(0))

    def counters(self, metric: Metric, *values: str) -> Counters:
        """Return new counters at zero, one for each value of the last label's enumeration."""
        return Counters(metric.labels[-1].values, lambda last: self.counter(metric, *values, last))

    def gauge(self, metric: Metric, *values: str, start: float | None = None) -> Value:
        """Return a new gauge, absent until it is set unless it has a `start`."""
        gauge = Value(start)
        return gauge if metric.is_left_out(self._detail) else self._keep(metric, values, gauge)

    def histogram(self, metric: Metric, *values: str) -> Histogram:
        """Return a histogram with the metric's buckets, a new one at zero."""
        if self._together is not None and metric.is_together(self._detail, values[-1]):
            return self._together.shared_histogram(metric, values)
        return self._keep(metric, values, Histogram(metric.bounds(self._detail)))

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:  # noqa: ARG002 - for subclasses
        """Compute what is true only now (ages, say); called under the lock."""
        return ()

    def is_hidden(self, now: Reading) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether nothing is shown of it at present; called under the lock."""
        return False

    def collect(self, page: Page, now: Reading) -> None:
        """Add this group's samples to the page of a scrape."""
        with self.lock:
            if self.is_hidden(now):
                return
            live = [] if self.gone else [row for row in self.live(now) if not row[0].is_left_out(self._detail)]
            rows = [row for row in self._rows if _stays(row[0])] if self.gone else self._rows.copy()
            copies = [instrument.copy() for _, _, instrument in rows]
            common = self._common
        for (metric, labels, _), copied in zip(rows, copies, strict=True):
            page[metric.name].samples.extend(copied.samples(metric, labels))
        for metric, values, value in live:
            page[metric.name].samples.append(Sample(metric.name, {**common, **_labelled(metric, values)}, value))

    def _keep(self, metric: Metric, values: tuple[str, ...], instrument: Kept) -> Kept:
        self._rows.append((metric, {**self._common, **_labelled(metric, values)}, instrument))
        return instrument


class _SharedValue(Value):
    """A counter that groups with different locks move."""

    __slots__ = ("_lock",)

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(0)
        self._lock = lock

    def add(self, amount: float = 1) -> None:
        """See `Value`."""
        with self._lock:
            super().add(amount)


class _SharedHistogram(Histogram):
    """A histogram that groups with different locks move."""

    __slots__ = ("_lock",)

    def __init__(self, bounds: tuple[float, ...], lock: threading.RLock) -> None:
        super().__init__(bounds)
        self._lock = lock

    def observe(self, value: float, trace_id: str = "", wall_ns: int = 0) -> None:
        """See `Histogram`."""
        with self._lock:
            super().observe(value, trace_id, wall_ns)


class Together(SeriesGroup):
    """What is counted for all jobs, or all locks, of a scheduler together: at compact detail.

    Its lock is taken under those of the groups that move its series, never the other way round.
    """

    def __init__(self, detail: Detail) -> None:
        super().__init__()
        self.detail = detail
        self._counters: dict[tuple[str, ...], Value] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}

    def shared_counter(self, metric: Metric, values: tuple[str, ...]) -> Value:
        """Return the counter that all names share; `values` as a group of one name has them."""
        shared = OVERFLOW, *values[1:]
        with self.lock:
            found = self._counters.get((metric.name, *shared))
            if found is None:
                counter: Value = _SharedValue(self.lock)
                found = self._counters[metric.name, *shared] = self._keep(metric, shared, counter)
            return found

    def shared_histogram(self, metric: Metric, values: tuple[str, ...]) -> Histogram:
        """Return the histogram that all names share."""
        shared = OVERFLOW, *values[1:]
        with self.lock:
            found = self._histograms.get((metric.name, *shared))
            if found is None:
                histogram: Histogram = _SharedHistogram(metric.bounds(self.detail), self.lock)
                found = self._histograms[metric.name, *shared] = self._keep(metric, shared, histogram)
            return found


def _stays(metric: Metric) -> bool:
    """Return whether a metric describes the past: counts do, and timestamps of a last event."""
    return metric.kind is not Kind.GAUGE or "_last_" in metric.name


def _labelled(metric: Metric, values: tuple[str, ...]) -> dict[str, str]:
    return {label.name: value for label, value in zip(metric.labels, values, strict=True)}
