"""Read figures off results, and compare them. Pure."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

from workloads.cell import Absent, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Round = Mapping[str, Result | Absent]
    Measure = Callable[[Round], float]

__all__ = [
    "NotMeasured",
    "NotPlanned",
    "TooSlow",
    "difference",
    "figure",
    "lateness",
    "median_of",
    "pooled",
    "ratio",
    "read",
    "started_part",
]

PERCENTILES: Final = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99}


class NotMeasured(Exception):  # noqa: N818 - no error: a cell was left out
    """A cell has no result; says why."""


class TooSlow(NotMeasured):
    """A cell did not end in time."""


class NotPlanned(NotMeasured):
    """Nobody asked for the cell in this run."""


def lateness(result: Result, part: float) -> float:
    """Return the lateness in microseconds that a part of the due instants kept to; infinity if fewer of them started.

    An instant that was skipped is later than every other. Else a subject that skips would look punctual.

    Args:
        part: between 0 and 1.
    """
    rank = int(part * (result.figures["due"] - 1))
    last = result.figures["started"] - 1
    if not result.late_us or rank > max(last, 0):
        return math.inf
    return result.late_us[int(rank / max(last, 1) * (len(result.late_us) - 1))]


def read(results: Round, cell: str, name: str) -> float:
    """Return a figure of a cell: one of its own, or a percentile of its lateness.

    Raises:
        NotMeasured: the cell has no result in this round.
    """
    result = results.get(cell)
    if result is None:
        raise NotPlanned(f"{cell}: not in this run")
    if isinstance(result, Absent):
        raise (TooSlow if result.too_slow else NotMeasured)(f"{cell}: {result.reason}")
    return lateness(result, PERCENTILES[name]) if name in PERCENTILES else result.figures[name]


def figure(cell: str, name: str) -> Measure:
    """Return what reads this figure off a round."""
    return lambda results: read(results, cell, name)


def ratio(top: Measure, bottom: Measure) -> Measure:
    """Return what divides one figure by another of the same round, because the machine was the same for both.

    The measure raises `NotMeasured` if there is nothing to compare with: zero, or two infinities.
    """

    def measure(results: Round) -> float:
        above, below = top(results), bottom(results)
        if below == 0 or (math.isinf(above) and math.isinf(below)):
            raise NotMeasured(f"{above:g} cannot be compared with {below:g}")
        return above / below

    return measure


def difference(more: Measure, less: Measure) -> Measure:
    """Return what subtracts one figure from another of the same round."""
    return lambda results: more(results) - less(results)


def median_of(rounds: Sequence[Round], cell: str, name: str) -> float | None:
    """Return the median of a figure over the rounds that have it; None: no round has it."""
    values = []
    for results in rounds:
        try:
            values.append(read(results, cell, name))
        except (NotMeasured, KeyError):
            continue
    return statistics.median(values) if values else None


def pooled(rounds: Sequence[Round], cell: str) -> list[float]:
    """Return the lateness of a cell in all rounds together, ascending, in microseconds."""
    found = (results.get(cell) for results in rounds)
    return sorted(late for result in found if isinstance(result, Result) for late in result.late_us)


def started_part(rounds: Sequence[Round], cell: str) -> float:
    """Return which part of the due instants of a cell started, in all rounds together."""
    found = [result.figures for results in rounds if isinstance(result := results.get(cell), Result)]
    return sum(figures["started"] for figures in found) / max(1.0, sum(figures["due"] for figures in found))
