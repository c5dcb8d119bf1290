"""Read values off Python code that is not executed: literals, constants of the module, datetimes, zones.

Pure. What cannot be known without running the code is not guessed.
"""

from __future__ import annotations

import ast
import operator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CannotSay", "Values"]

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}
_NUMBER_MAX: Final = 10**15  # a product of these is computed at once
_ZONES: Final = frozenset({"ZoneInfo", "timezone", "gettz"})  # of zoneinfo, pytz, dateutil


class CannotSay(Exception):  # noqa: N818 - says what happened
    """Something of the source cannot be said in a jobs file; the text is a sentence without a full stop."""


class Values:
    """What expressions of one module mean.

    Args:
        module: its code.
    """

    def __init__(self, module: ast.Module) -> None:
        self._constants = _constants(module)

    def resolved(self, node: ast.expr) -> ast.expr:
        """Return the expression that a name stands for, if it is assigned once in the module and outside functions."""
        seen: set[str] = set()
        while isinstance(node, ast.Name) and node.id in self._constants and node.id not in seen:
            seen.add(node.id)
            node = self._constants[node.id]
        return node

    def of(self, node: ast.expr, what: str) -> Any:  # noqa: ANN401 - any literal
        """Return the value of an expression.

        Args:
            what: the argument's name, for the error.

        Raises:
            CannotSay: it is not known without running the code.
        """
        try:
            return self._value(node)
        except (CannotSay, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise CannotSay(f"{what} is not a literal: {ast.unparse(node)}") from error

    def _value(self, node: ast.expr) -> Any:  # noqa: ANN401 - any literal
        node = self.resolved(node)
        value: Any
        match node:
            case ast.Constant(value=str() | int() | float() | None):
                value = node.value
            case ast.UnaryOp(op=ast.USub()):
                value = -self._value(node.operand)
            case ast.BinOp() if type(node.op) in _OPERATORS:
                value = self._computed(node)
            case ast.List() | ast.Tuple():
                value = [self._value(each) for each in node.elts]
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                value = {self._value(_known(key)): self._value(each) for key, each in pairs}
            case ast.Call():
                value = self._made(node)
            case ast.Attribute(attr="utc" | "UTC") | ast.Name(id="utc" | "UTC"):
                value = UTC
            case _:
                raise CannotSay
        return value

    def _computed(self, node: ast.BinOp) -> int | float:
        left, right = self._value(node.left), self._value(node.right)
        if not all(isinstance(each, int | float) and abs(each) < _NUMBER_MAX for each in (left, right)):
            raise CannotSay
        computed: int | float = _OPERATORS[type(node.op)](left, right)
        return computed

    def _made(self, call: ast.Call) -> Any:  # noqa: ANN401 - any literal
        words = [self._value(each) for each in call.args]
        named = {word.arg or "": self._value(word.value) for word in call.keywords}
        match _last_name(call.func):
            case "datetime":
                return datetime(*words, **named)  # noqa: DTZ001 - as it is written there
            case "date":
                return date(*words, **named)
            case "timedelta":
                return timedelta(*words, **named)
            case "dict" if not words:
                return named
            case name if name in _ZONES and len(words) == 1:
                return _zone(words[0])
            case _:
                raise CannotSay


def _zone(given: Any) -> tzinfo:  # noqa: ANN401 - a literal
    try:
        return zone_named(given)
    except ConfigError as error:
        raise CannotSay(str(error)) from error


def _known(key: ast.expr | None) -> ast.expr:
    if key is None:  # {**other}
        raise CannotSay
    return key


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    """Return what names of the module stand for that are bound once."""
    found: dict[str, ast.expr] = {}
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            value = getattr(statement, "value", None)
            if isinstance(target, ast.Name) and value is not None:
                found[target.id] = value
    bound = [node.id for node in ast.walk(module) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {name: value for name, value in found.items() if bound.count(name) == 1}
