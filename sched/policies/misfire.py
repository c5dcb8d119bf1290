"""Decide how late an occurrence may start, and whether it is too late.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from typing import Final

from tickglass.sched.durations import SECOND

__all__ = ["GRACE_DEFAULT_MAX_NS", "grace_for_ns", "grace_max_ns", "is_too_late"]

GRACE_DEFAULT_MAX_NS: Final = 60 * SECOND


def grace_for_ns(declared_ns: int | None, due_ns: int | None, next_due_ns: int | None) -> int:
    """Return how late the occurrence due at `due_ns` may start, in nanoseconds.

    Args:
        declared_ns: the job's `misfire_grace`; None: the interval to the next due instant, at most 60 s.
        due_ns: None: no due instant is known.
        next_due_ns: None: none follows; then the grace is 60 s.
    """
    if declared_ns is not None:
        return declared_ns
    if due_ns is None or next_due_ns is None:
        return GRACE_DEFAULT_MAX_NS
    return min(next_due_ns - due_ns, GRACE_DEFAULT_MAX_NS)


def grace_max_ns(declared_ns: int | None) -> int:
    """Return the longest grace that an occurrence of a job can have, whenever it is due."""
    return GRACE_DEFAULT_MAX_NS if declared_ns is None else declared_ns


def is_too_late(late_ns: int, grace_ns: int, *, rerun: bool = False) -> bool:
    """Return whether an occurrence may not start any more.

    Args:
        late_ns: how long ago it was due; negative before that.
        grace_ns: how late it may start.
        rerun: an earlier claimant died. A rerun is never too late: it stays owed until an instance has run it.
    """
    return not rerun and late_ns > grace_ns
