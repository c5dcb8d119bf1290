"""Decide what a board consists of: rows of panels, each with queries, a unit, and the meaning of a bad picture.

Pure data, without grafanalib: boards can be read, checked and documented as they are. grafana.py makes JSON of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BOARD_WIDTH",
    "GOOD",
    "Annotation",
    "Board",
    "Column",
    "Kind",
    "Link",
    "Panel",
    "Query",
    "Row",
    "Step",
    "ValueMapping",
    "above",
    "below",
]

BOARD_WIDTH: Final = 24  # Grafana's grid
GOOD: Final = "green"
_LABEL: Final = re.compile(r"{{(\w+)}}")


class Kind(StrEnum):
    """How a panel draws its values. The names are Grafana's."""

    TIMESERIES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    HEATMAP = "heatmap"
    STATE_TIMELINE = "state-timeline"
    STATUS_HISTORY = "status-history"


@dataclass(frozen=True, slots=True)
class Step:
    """A colour from this value on. None: from the lowest value on."""

    value: float | None
    colour: str


def above(warn: float, bad: float | None = None) -> tuple[Step, ...]:
    """Return steps for a value that should stay low. With one argument, reaching it is bad."""
    if bad is None:
        return (Step(None, GOOD), Step(warn, "red"))
    return (Step(None, GOOD), Step(warn, "orange"), Step(bad, "red"))


def below(good: float) -> tuple[Step, ...]:
    """Return steps for a value that should be at least this high."""
    return (Step(None, "red"), Step(good, GOOD))


@dataclass(frozen=True, slots=True)
class ValueMapping:
    """What a number stands for, as text and colour."""

    value: int
    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        gauge: draw a bar up to the last of the steps.
    """

    title: str
    unit: str = "short"
    steps: tuple[Step, ...] = ()
    gauge: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """One expression.

    Args:
        legend: with {{label}} where a label's value stands.
        exemplar: show the traces behind the buckets of a histogram.
        column: in a table, what its values are.
    """

    expr: str
    legend: str = ""
    exemplar: bool = False
    column: Column | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the legend uses."""
        return tuple(_LABEL.findall(self.legend))


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a series, or from a row of a table, to a board filtered by one of its labels."""

    board: str
    variable: str
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        description: what the panel shows, and what a bad picture means.
        unit: Grafana's name of the unit.
        no_value: the word that is shown if a query has no answer; never a gap.
        steps: thresholds, from telemetry/thresholds.py.
        mappings: texts and colours for numbers.
        keys: in a table, the labels that identify a row, and their titles.
        sort_by: in a table, the title of the column to begin with, largest first.
        stacked: draw series on top of each other, as bars.
        stepped: keep the level of a value until the next one, instead of a sloping line.
        colours: colours of series by their name in the legend; the others take colours of Grafana's palette.
        sidecar: the panel is empty where no sidecar runs.
    """

    kind: Kind
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    no_value: str = "none"
    steps: tuple[Step, ...] = ()
    link: Link | None = None
    mappings: tuple[ValueMapping, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    sort_by: str = ""
    stacked: bool = False
    stepped: bool = False
    maximum: float | None = None
    colours: tuple[tuple[str, str], ...] = ()
    sidecar: bool = False

    def __post_init__(self) -> None:
        rules = {
            "it has a query": self.queries,
            "it has a title and a unit": self.title and self.unit,
            "its description is made of sentences": self.description.endswith("."),
            "it is as wide as the board at the most": 0 < self.width <= BOARD_WIDTH,
            "a table, and nothing else, has columns": all(
                (query.column is not None) == (self.kind is Kind.TABLE) for query in self.queries
            ),
            "what has series, and nothing else, has colours": not self.colours or self.kind is Kind.TIMESERIES,
            "a table's rows have a name": bool(self.keys) == (self.kind is Kind.TABLE),
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"panel {self.title}: not so: {'; '.join(broken)}")


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, laid out from left to right.

    Args:
        collapsed: shown when it is opened.
    """

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Annotation:
    """A line on every panel, at each instant at which the expression has a value."""

    name: str
    expr: str
    title: str
    colour: str


@dataclass(frozen=True, slots=True)
class Board:
    """One board.

    Args:
        question: the question that the board answers, for its description and the reference page.
    """

    uid: str
    title: str
    question: str
    rows: tuple[Row, ...]
    annotations: tuple[Annotation, ...] = field(default=())

    def panels(self) -> Iterator[Panel]:
        """Yield its panels, in the order in which they are read."""
        for row in self.rows:
            yield from row.panels
