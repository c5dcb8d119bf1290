"""Read a trigger from text: as people write it in a file, or as `str(trigger)` writes it.

Pure. The text is not evaluated: only calls of `at`, `cron` and `every` with literal arguments are accepted.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import ConfigError, nearest
from tickglass.sched.triggers.at import at
from tickglass.sched.triggers.cron import cron
from tickglass.sched.triggers.every import every

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.triggers.base import Trigger

__all__ = ["read_trigger", "trigger_of"]

_MAKERS: Final[Mapping[str, Callable[..., Trigger]]] = {"at": at, "cron": cron, "every": every}
_EXAMPLES: Final = ('every("100ms")', 'cron("30 2 * * *", tz="Europe/Warsaw")', 'at("2027-01-31T02:30:00Z")')


@lru_cache(maxsize=2_000)
def trigger_of(text: str, job: str) -> Trigger | None:
    """Return the trigger that is written as this text, bound to the job.

    Returns:
        None if the text is not one that `at`, `cron` or `every` would write, e.g. that of a user's own trigger.
    """
    try:
        trigger = read_trigger(text).bind(job)
    except ConfigError:
        return None
    return trigger if str(trigger) == text else None


def read_trigger(text: str) -> Trigger:
    """Return the trigger that is written as in Python, `cron("30 2 * * *", tz="Europe/Warsaw")`, not bound to a job.

    Raises:
        ConfigError: it is not such a call, or the call itself raises one; `given` is then a part of the text.
    """
    call = _call_in(text)
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in _MAKERS:
        meant = tuple(f"{near}(...)" for near in nearest(name, _MAKERS))
        raise _wrong("a trigger is made by cron, every or at", text, call.func, instead=meant)
    words = [_literal(word, text) for word in call.args]
    named = {word.arg or "": _literal(word.value, text) for word in call.keywords}
    try:
        return _MAKERS[name](*words, **named)
    except TypeError as error:  # an argument that it has not, or one too many
        raise _wrong(f"{name} cannot be called like this: {error}", text, call) from error


def _call_in(text: str) -> ast.Call:
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _wrong("a trigger is a call, written as in Python", text) from error
    if not isinstance(call, ast.Call):
        raise _wrong("a trigger is a call, written as in Python", text)
    return call


def _literal(word: ast.expr, text: str) -> Any:  # noqa: ANN401 - whatever a literal may be
    try:
        return ast.literal_eval(word)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise _wrong("an argument of a trigger is a literal, e.g. a text in quotes", text, word) from error


def _wrong(problem: str, text: str, at_node: ast.expr | None = None, *, instead: tuple[str, ...] = ()) -> ConfigError:
    """Return the error that shows the text, and points at a part of it where that is in the first line."""
    span = None
    if at_node is not None and "\n" not in text and at_node.end_col_offset is not None:
        # Offsets of a syntax tree count bytes.
        in_bytes = text.encode("utf-8", "surrogatepass")
        start, end = (
            len(in_bytes[:offset].decode("utf-8", "surrogatepass"))
            for offset in (at_node.col_offset, at_node.end_col_offset)
        )
        span = (start, end)
    return ConfigError(problem, given=text, span=span, instead=instead, examples=() if instead else _EXAMPLES)
