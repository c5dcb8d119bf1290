"""Decide, from a store's ledger alone, which due instant of a job no instance has taken up.

The ledger names the next due instant as of the latest claim. Later ones follow from the trigger, which the
ledger has as text, as of the latest registration: while an old and a new version of a job run, the claim may be
from the old version. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.ports import JobRecord, RunRecord

__all__ = ["DROPPED_AFTER_NS", "interval_ns", "waiting_due_ns"]

# A job of a scheduler that died counts as dropped after an hour if the running ones do not have it; rules agree.
DROPPED_AFTER_NS: Final = 3_600 * SECOND


def waiting_due_ns(job: JobRecord, attempts: Sequence[RunRecord], *, running: bool) -> int | None:
    """Return the earliest due instant that no instance has taken up; None if there is none, or it is not known.

    Instants that passed while a run of the job was in progress were skipped; the ledger does not record them.

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
    """Return the shorter of the next two gaps between due instants; None if there is none, or it is not known.

    Two, because a pause does not count: for `*/5 9-17 * * 1-5` it is five minutes on a Friday evening, too.
    """
    trigger = trigger_of(job.trigger, job.name)
    next_ns = None if trigger is None else trigger.interval_ns(now_ns)
    if trigger is None or next_ns is None:
        return next_ns
    following_ns = trigger.interval_ns(now_ns + next_ns)
    return next_ns if following_ns is None else min(next_ns, following_ns)


def _busy_until_ns(run: RunRecord) -> int:
    return run.ended_wall_ns if run.ended_wall_ns is not None else run.claimed_wall_ns
