"""Read a trigger back from its text, as `str(trigger)` writes it.

Pure. The text is not evaluated: only calls of `at`, `cron` and `every` with literal arguments are accepted.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.triggers.at import at
from tickglass.sched.triggers.cron import cron
from tickglass.sched.triggers.every import every

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.triggers.base import Trigger

__all__ = ["trigger_of"]

_MAKERS: Final[Mapping[str, Callable[..., Trigger]]] = {"at": at, "cron": cron, "every": every}


@lru_cache(maxsize=2_000)
def trigger_of(text: str, job: str) -> Trigger | None:
    """Return the trigger that is written as this text, bound to the job.

    Returns:
        None if the text is not one that `at`, `cron` or `every` would write, e.g. that of a user's own trigger.
    """
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return None
        words: list[Any] = [ast.literal_eval(word) for word in call.args]
        named = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
        trigger = _MAKERS[call.func.id](*words, **named).bind(job)
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError):  # ConfigError is a ValueError
        return None
    return trigger if str(trigger) == text else None
