"""Count and measure; give a copy that is written out later.

A copy is a value: equal copies give the same samples. What was never counted takes no room, because most series of
most jobs stay at zero. No locks: see `SeriesGroup`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tickglass.telemetry.metric import OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

__all__ = ["Copy", "Counters", "Counts", "Distribution", "Histogram", "Instrument", "Size", "TraceExemplar", "Value"]


class TraceExemplar(NamedTuple):
    """An exemplar: the trace of the observed run."""

    trace_id: str
    value: float
    wall_ns: int


class Counts(NamedTuple):
    """A copy of `Counters`: for each value of the last label its count."""

    values: tuple[str, ...]
    counts: tuple[float, ...]


class Distribution(NamedTuple):
    """A copy of a `Histogram`.

    Args:
        bounds: upper bounds, ascending, without infinity.
        counts: of each bucket, the last one without bound; (): nothing was observed.
        marks: the latest exemplar of each bucket; (): there is none.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    marks: tuple[TraceExemplar | None, ...]


Copy = float | Counts | Distribution


class Instrument(Protocol):
    """One value or several of one metric."""

    def snapshot(self) -> Copy | None:
        """Return a copy, None if there is no series now; called under the group's lock."""
        ...


class Value:
    """A counter's or a gauge's value; None: the series is absent."""

    __slots__ = ("value",)

    def __init__(self, value: float | None = None) -> None:
        self.value = value

    def add(self, amount: float = 1) -> None:
        """Count."""
        self.value = (self.value or 0) + amount

    def snapshot(self) -> float | None:
        """See `Instrument`."""
        return self.value


class Counters(dict[str, Value]):
    """Counters of one metric by the values of its last label; all are shown from the start, at zero.

    A value outside its enumeration counts as `OVERFLOW`.

    Args:
        own: the values that are counted here.
        others: where the other values are counted, `OVERFLOW` too; None: there are no others.
        make: returns a new counter of a value.
    """

    __slots__ = ("_make", "_others", "_own")

    def __init__(
        self,
        own: tuple[str, ...],
        others: Counters | None = None,
        make: Callable[[str], Value] = lambda _: Value(0),
    ) -> None:
        super().__init__()
        self._own = own
        self._others = others
        self._make = make

    def __missing__(self, value: str) -> Value:
        if value not in self._own:
            if self._others is not None:
                return self._others[value]
            if value != OVERFLOW:
                return self[OVERFLOW]
            self._own = (*self._own, OVERFLOW)
        return self.setdefault(value, self._make(value))  # a signal handler may count the same between the two

    def snapshot(self) -> Counts:
        """See `Instrument`."""
        if not self:
            return Counts(self._own, (0,) * len(self._own))
        cells = map(self.get, self._own)
        return Counts(self._own, tuple([0 if cell is None else cell.value or 0 for cell in cells]))


class Size:
    """A gauge that shows how many things there are."""

    __slots__ = ("_things",)

    def __init__(self, things: Sized) -> None:
        self._things = things

    def snapshot(self) -> float:
        """See `Instrument`."""
        return len(self._things)


class Histogram:
    """A histogram's counts, and the latest exemplar of each bucket."""

    __slots__ = ("_bounds", "_counts", "_marks", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts: list[int] | None = None
        self._marks: list[TraceExemplar | None] | None = None
        self._total = 0.0

    def observe(self, value: float, trace_id: str = "", wall_ns: int = 0) -> None:
        """Count a value; with a trace id, remember it as the bucket's exemplar.

        A negative value counts as 0: a sum that falls would look like a restart.
        """
        value = max(value, 0.0)
        counts = self._counts
        if counts is None:
            counts = self._counts = [0] * (len(self._bounds) + 1)
        place = bisect_left(self._bounds, value)
        counts[place] += 1
        self._total += value
        if trace_id:
            if self._marks is None:
                self._marks = [None] * len(counts)
            self._marks[place] = TraceExemplar(trace_id, value, wall_ns)

    def snapshot(self) -> Distribution:
        """See `Instrument`."""
        return Distribution(self._bounds, tuple(self._counts or ()), self._total, tuple(self._marks or ()))
