"""Which series and labels an expression of PromQL names, and whether they are exported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import promql_parser
from promql_parser import MatchOp, VectorSelector

from tickglass.alerts import groups
from tickglass.telemetry import catalogue
from tickglass.telemetry.metric import Detail, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.telemetry.metric import Metric

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


def _read(expr: str) -> Iterator[tuple[VectorSelector, Metric]]:
    """Yield the selectors of an expression that read a metric of the catalogue, each with the metric."""
    metrics = {metric.name: metric for metric in catalogue.metrics()}
    for selector in selectors(promql_parser.parse(expr)):
        name = selector.name or ""
        metric = metrics.get(name) or metrics.get(re.sub("_(bucket|sum|count)$", "", name))
        if metric is not None:
            yield selector, metric


def _text(selector: VectorSelector) -> str:
    return str(selector).removesuffix("{}")


def missing_at_compact(expr: str) -> list[str]:
    """Return the selectors of an expression that name a metric or a bucket that is not there at compact detail."""
    wrong = []
    for selector, metric in _read(expr):
        bounds = {repr(bound) for bound in metric.bounds(Detail.COMPACT)} | {"+Inf"}
        matched = {matcher.value for matcher in selector.matchers.matchers if matcher.name == "le"}
        if metric.is_left_out(Detail.COMPACT) or not matched <= bounds:
            wrong.append(_text(selector))
    return wrong


def together_at_compact(expr: str) -> list[str]:
    """Return the selectors of an expression whose series are not there by job or lock at compact detail."""
    wrong = []
    for selector, metric in _read(expr):
        last = metric.labels[-1].name if metric.labels else ""
        asked = [
            matcher.value.split("|")
            for matcher in selector.matchers.matchers
            if matcher.name == last and matcher.op in (MatchOp.Equal, MatchOp.Re)
        ]
        values = asked[0] if asked else metric.labels[-1].values if metric.labels else ()
        if any(metric.is_together(Detail.COMPACT, value) for value in values or ("",)):
            wrong.append(_text(selector))
    return wrong


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
