"""Keep the series of one subject under one lock; subclasses name them and move them."""

from __future__ import annotations

import threading
from functools import lru_cache
from itertools import chain, repeat
from typing import TYPE_CHECKING, ClassVar, TypeVar

from tickglass.telemetry.metric import OVERFLOW, Detail, Kind
from tickglass.telemetry.series.families import Place, row_of, spot_of
from tickglass.telemetry.series.instruments import Counters, Histogram, Size, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sized

    from tickglass.sched.clock import Reading
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series.families import Common, Page, Row, Spot
    from tickglass.telemetry.series.instruments import Copy, Instrument

__all__ = ["SeriesGroup", "Together"]

Kept = TypeVar("Kept", bound="Instrument")


class SeriesGroup:
    """Series that change under one lock.

    The lock is re-entrant: a signal handler that stops the scheduler may run in
    the middle of `record`, in the same thread, and report what it does.

    Args:
        name: the value of the first label of its metrics; None if they have no label of its own in common.
        together: keeps what this job or lock does not have series of its own for; it says the detail.
    """

    __slots__ = (
        "_changes",
        "_detail",
        "_instruments",
        "_live",
        "_name",
        "_place",
        "_spots",
        "_taken",
        "_together",
        "gone",
        "lock",
    )

    counts_changes: ClassVar = False  # whether `_changes` moves with every change, so that a scrape can tell

    def __init__(self, name: str | None = None, together: Together | None = None) -> None:
        self._together = together
        self._detail = Detail.FULL if together is None else together.detail
        self._name = name
        self.lock = threading.RLock()
        self.gone = False  # its subject has gone: only the past is shown
        self._spots: list[Spot] = []
        self._instruments: list[Instrument] = []  # as many
        self._place = Place(name, ())
        self._changes = 0
        self._taken: tuple[object, list[Row | None]] = None, []  # what the last scrape took, and when
        self._live: list[Row] = []  # what was true only then

    def label(self, common: Common) -> None:
        """Give every series these labels, beside its own; a label that a metric declares keeps its own value."""
        with self.lock:
            self._place = Place(self._name, common)

    def counter(self, metric: Metric, *rest: str) -> Value:
        """Return a counter, a new one at zero; `rest` are the values of the metric's labels after the group's name."""
        if self._together is not None and metric.is_together(self._detail, rest[-1] if rest else ""):
            return self._together.shared_counter(metric, rest)
        return self._keep(metric, rest, Value(0))

    def counters(self, metric: Metric, *rest: str) -> Counters:
        """Return new counters at zero, one for each value of the last label's enumeration."""
        own, shared = _values_of(metric, self._detail)
        if self._together is None or not shared:
            return self._keep(metric, rest, Counters(own))
        theirs = self._together.shared_counters(metric, rest, shared)
        return self._keep(metric, rest, Counters(own, theirs)) if own else theirs

    def gauge(self, metric: Metric, *rest: str, start: float | None = None) -> Value:
        """Return a new gauge, absent until it is set unless it has a `start`."""
        gauge = Value(start)
        return gauge if metric.is_left_out(self._detail) else self._keep(metric, rest, gauge)

    def size(self, metric: Metric, things: Sized) -> None:
        """Show how many things there are as a gauge."""
        if not metric.is_left_out(self._detail):
            self._keep(metric, (), Size(things))

    def histogram(self, metric: Metric, *rest: str) -> Histogram:
        """Return a histogram with the metric's buckets, a new one at zero."""
        if self._together is not None and metric.is_together(self._detail, rest[-1] if rest else ""):
            return self._together.shared_histogram(metric, rest)
        return self._keep(metric, rest, Histogram(metric.bounds(self._detail)))

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:  # noqa: ARG002 - for subclasses
        """Compute what is true only now (ages, say): metric, `rest` and value; called under the lock."""
        return ()

    def is_hidden(self, now: Reading) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether nothing is shown of it at present; called under the lock."""
        return False

    def collect(self, page: Page, now: Reading) -> None:
        """Add this group's series to the page of a scrape."""
        with self.lock:
            if self.is_hidden(now):
                return
            gone, place, (last_at, rows) = self.gone, self._place, self._taken
            live = () if gone else tuple(self.live(now))
            at = self._changes, gone, place
            changed = at != last_at or not self.counts_changes
            copies = [instrument.snapshot() for instrument in self._instruments] if changed else []
        if changed:
            rows = self._rows(place, copies, rows, gone=gone)
            self._taken = at, rows
        fresh = [(spot_of(metric, rest), value) for metric, rest, value in live if not metric.is_left_out(self._detail)]
        alive = [
            row_of(before, place, spot, value)
            for (spot, value), before in zip(fresh, chain(self._live, repeat(None)), strict=False)
        ]
        self._live = alive
        for row in chain(rows, alive):
            if row is not None:
                page[row.spot.metric.name].rows.append(row)

    def _rows(self, place: Place, copies: list[Copy | None], last: list[Row | None], *, gone: bool) -> list[Row | None]:
        """Return a row for each copy that shows, those of the last scrape where nothing has changed."""
        return [
            None if copy is None or (gone and not _stays(spot.metric)) else row_of(before, place, spot, copy)
            for spot, copy, before in zip(self._spots, copies, chain(last, repeat(None)), strict=False)
        ]

    def _keep(self, metric: Metric, rest: tuple[str, ...], instrument: Kept) -> Kept:
        self._spots.append(spot_of(metric, rest))
        self._instruments.append(instrument)
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
        super().__init__(OVERFLOW)
        self.detail = detail
        self._counters: dict[tuple[str, ...], Value] = {}
        self._several: dict[tuple[str, ...], Counters] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}

    def shared_counter(self, metric: Metric, rest: tuple[str, ...]) -> Value:
        """Return the counter that all names share."""
        with self.lock:
            found = self._counters.get((metric.name, *rest))
            if found is None:
                counter: Value = _SharedValue(self.lock)
                found = self._counters[metric.name, *rest] = self._keep(metric, rest, counter)
            return found

    def shared_counters(self, metric: Metric, rest: tuple[str, ...], values: tuple[str, ...]) -> Counters:
        """Return the counters that all names share, at zero from the start for these values of the last label."""
        with self.lock:
            found = self._several.get((metric.name, *rest))
            if found is None:
                found = self._several[metric.name, *rest] = Counters(values, make=self._maker(metric, rest))
                for value in values:
                    found[value]
            return found

    def shared_histogram(self, metric: Metric, rest: tuple[str, ...]) -> Histogram:
        """Return the histogram that all names share."""
        with self.lock:
            found = self._histograms.get((metric.name, *rest))
            if found is None:
                histogram: Histogram = _SharedHistogram(metric.bounds(self.detail), self.lock)
                found = self._histograms[metric.name, *rest] = self._keep(metric, rest, histogram)
            return found

    def _maker(self, metric: Metric, rest: tuple[str, ...]) -> Callable[[str], Value]:
        return lambda value: self.shared_counter(metric, (*rest, value))


@lru_cache(maxsize=256)
def _values_of(metric: Metric, detail: Detail) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values of the last label that have series by name, and those that are counted together."""
    values = metric.labels[-1].values
    shared = tuple(value for value in values if metric.is_together(detail, value))
    return tuple(value for value in values if value not in shared), shared


def _stays(metric: Metric) -> bool:
    """Return whether a metric describes the past: counts do, and timestamps of a last event."""
    return metric.kind is not Kind.GAUGE or "_last_" in metric.name
