"""Which series and labels an expression of PromQL names, and whether they are exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import promql_parser
from promql_parser import VectorSelector

from tickglass.alerts import groups
from tickglass.telemetry import catalogue
from tickglass.telemetry.metric import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPRESSIONS: Final = {rule.name: rule.expr for group in groups() for rule in group.rules}
_RECORDED: Final = {name for name in EXPRESSIONS if ":" in name}
_ADDED: Final = {"service", "owner", "source"}  # by a scheduler's own endpoint, and by a sidecar
_PROMETHEUS_OWN: Final = {"up", "ALERTS"}


def selectors(node: Any) -> Iterator[VectorSelector]:  # noqa: ANN401 - the parser's nodes have no common type
    """Yield the selectors of a parsed expression."""
    if isinstance(node, VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "args", "param"):
        child = getattr(node, name, None)
        for one in child if isinstance(child, list) else [child]:
            if one is not None and not isinstance(one, str | int | float):
                yield from selectors(one)


def exposed() -> dict[str, set[str]]:
    """Return the names under which the catalogue's metrics are scraped, with their own labels."""
    names: dict[str, set[str]] = {}
    for metric in catalogue.metrics():
        labels = {label.name for label in metric.labels} | _ADDED
        parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {metric.name + part: labels | ({"le"} if part == "_bucket" else set()) for part in parts}
    return names


def unknown(expr: str) -> list[str]:
    """Return the selectors of an expression that name a series or a label that is not exported."""
    known, wrong = exposed(), []
    for selector in selectors(promql_parser.parse(expr)):
        if selector.name in _PROMETHEUS_OWN | _RECORDED:
            continue
        labels = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name not in known or not labels <= known[selector.name]:
            wrong.append(str(selector))
    return wrong
