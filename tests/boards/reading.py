"""Read generated boards as Grafana does: every panel, query, variable and annotation, with what it belongs to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import promql_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
GENERATED: Final = ROOT / "dashboards" / "generated"
UIDS: Final = ("tickglass-overview", "tickglass-locks", "tickglass-jobs", "tickglass-scheduler", "tickglass-telemetry")
BUILT_IN: Final = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "15s"}  # for parsing


def generated(uid: str) -> dict[str, Any]:
    board: dict[str, Any] = json.loads((GENERATED / f"{uid}.json").read_text(encoding="utf-8"))
    return board


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel that is no row, those of collapsed rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


@dataclass(frozen=True)
class Asked:
    """An expression, and where it stands."""

    where: str
    expr: str
    legend: str
    instant: bool
    panel: Mapping[str, Any]


def asked(board: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield every query of every panel, and every annotation's."""
    for panel in panels(board):
        for target in panel["targets"]:
            where = f"{board['uid']}, {panel['title']}, {target['refId']}"
            yield Asked(where, target["expr"], target["legendFormat"], target["instant"], panel)
    for annotation in board["annotations"]["list"]:
        where = f"{board['uid']}, annotation {annotation['name']}"
        yield Asked(where, annotation["target"]["expr"], annotation["titleFormat"], instant=False, panel=annotation)


def interpolated(expr: str, values: Mapping[str, str]) -> str:
    """Put values where variables stand, the longest names first."""
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(name, values[name])
    return expr


def parsed(expr: str) -> promql_parser.Expr:
    return promql_parser.parse(interpolated(expr, BUILT_IN))


def nodes(expr: Any) -> Iterator[Any]:  # noqa: ANN401 - the parser has no common type
    """Yield an expression and all that it is made of."""
    yield expr
    for inner in _inside(expr):
        yield from nodes(inner)


def selectors_outside(expr: Any, kind: type) -> list[str]:  # noqa: ANN401 - likewise
    """Return the names of the series that an expression reads otherwise than within a node of that kind."""
    if isinstance(expr, kind):
        return []
    here = [expr.name or ""] if isinstance(expr, promql_parser.VectorSelector) else []
    return here + [name for inner in _inside(expr) for name in selectors_outside(inner, kind)]


def _inside(expr: Any) -> Iterable[Any]:  # noqa: ANN401 - likewise
    parts = (getattr(expr, name, None) for name in ("expr", "lhs", "rhs", "param", "vector_selector"))
    return [*(part for part in parts if part is not None), *(getattr(expr, "args", None) or ())]


def metrics_in(expr: str) -> set[str]:
    """Return the names of all series that an expression reads."""
    return {node.name or "" for node in nodes(parsed(expr)) if isinstance(node, promql_parser.VectorSelector)}
