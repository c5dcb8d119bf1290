"""The parts of a PromQL expression that must have an answer, whatever the numbers: comparisons do not filter here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, ParenExpr, UnaryExpr

if TYPE_CHECKING:
    from collections.abc import Iterator

_OFFSET: Final = re.compile(r" offset \w+")
_COMPARISONS: Final = {"==", "!=", ">", "<", ">=", "<="}


def needs(expr: str) -> list[str]:
    """Return the expressions that must have an answer, or else this one may be empty for a wrong reason.

    These are: the whole expression, with comparisons that return 0 or 1; for each `and` and `unless`, the series that
    its two sides have in common, because with labels that never match, `and` is always empty and `unless` has no
    effect; and each side of every `or`.
    """
    node = promql_parser.parse(_OFFSET.sub("", expr))  # a server that has just begun has no past
    return [_unfiltered(node), *_joins(node)]


def _joins(node: Any) -> Iterator[str]:  # noqa: ANN401 - the parser's nodes have no common type
    if isinstance(node, BinaryExpr):
        op, left, right = str(node.op), _unfiltered(node.lhs), _unfiltered(node.rhs)
        if op in ("and", "unless"):
            yield f"({left}) and {node.modifier or ''} ({right})"
        elif op == "or":
            yield from (left, right)
    for name in ("expr", "lhs", "rhs", "args"):
        child = getattr(node, name, None)
        for one in child if isinstance(child, list) else [child]:
            if one is not None:
                yield from _joins(one)


def _unfiltered(node: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(node, BinaryExpr):
        op, left, right = str(node.op), _unfiltered(node.lhs), _unfiltered(node.rhs)
        if op in ("and", "unless"):
            return left
        return f"({left}) {op}{' bool' if op in _COMPARISONS else ''} {node.modifier or ''} ({right})"
    if isinstance(node, AggregateExpr):
        parameter = "" if node.param is None else f"{node.param}, "
        return f"{node.op} {node.modifier or ''} ({parameter}{_unfiltered(node.expr)})"
    if isinstance(node, Call):
        inner = ", ".join(_unfiltered(one) for one in node.args)
        return inner if node.func.name == "absent" else f"{node.func.name}({inner})"
    if isinstance(node, ParenExpr | UnaryExpr):
        return f"{'-' if isinstance(node, UnaryExpr) else ''}({_unfiltered(node.expr)})"
    return str(node)
