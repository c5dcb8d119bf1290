"""Decide, from a store's ledger alone, which due instant of a job nobody has taken up.

The ledger names the next due instant as it was at the latest claim. Later ones follow from the trigger, which the
ledger has as text, as it was registered last: while an old and a new version of a job are at work, the claim may be
one of the old version. Pure.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.triggers import at, cron, every

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickglass.sched.ports import JobRecord, RunRecord
    from tickglass.sched.triggers import Trigger

__all__ = ["DROPPED_AFTER_NS", "interval_ns", "trigger_of", "waiting_due_ns"]

# What the dead knew counts for an hour, in rules as well: then those that are at work without a job have dropped it.
DROPPED_AFTER_NS: Final = 3_600 * SECOND

_MAKERS: Final[Mapping[str, Callable[..., Trigger]]] = {"at": at, "cron": cron, "every": every}


@lru_cache(maxsize=2_000)
def trigger_of(text: str, job: str) -> Trigger | None:
    """Return the trigger that shows itself as this text, as the job has it; None if it is none of ours."""
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


def waiting_due_ns(job: JobRecord, attempts: Sequence[RunRecord], *, running: bool) -> int | None:
    """Return the earliest due instant that nobody has taken up; None where there is none, or the ledger cannot say.

    Instants that passed while a run of the job was in progress were skipped, which the ledger does not hear of.

    Args:
        attempts: the latest ones, oldest first.
        running: whether one of them is in progress, under a live lease.
    """
    if job.next_due_ns is None or running:
        return None
    busy_until_ns = max((_busy_until_ns(run) for run in attempts), default=0)
    trigger = trigger_of(job.trigger, job.name)
    if trigger is not None and attempts and trigger.next_after_ns(job.next_due_ns - 1) != job.next_due_ns:
        # Announced by a claim of an instance that still had another trigger.
        return trigger.next_after_ns(max(busy_until_ns, job.seen_wall_ns))
    if busy_until_ns < job.next_due_ns:
        return job.next_due_ns
    return None if trigger is None else trigger.next_after_ns(busy_until_ns)


def interval_ns(job: JobRecord, now_ns: int) -> int | None:
    """Return the shorter of the next two gaps between due instants; None where there is none, or nobody can say.

    Of `*/5 9-17 * * 1-5` it is five minutes on a Friday evening, too.
    """
    trigger = trigger_of(job.trigger, job.name)
    next_ns = None if trigger is None else trigger.interval_ns(now_ns)
    if trigger is None or next_ns is None:
        return next_ns
    following_ns = trigger.interval_ns(now_ns + next_ns)
    return next_ns if following_ns is None else min(next_ns, following_ns)


def _busy_until_ns(run: RunRecord) -> int:
    return run.ended_wall_ns if run.ended_wall_ns is not None else run.claimed_wall_ns
