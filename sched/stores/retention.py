"""Decide how long a store remembers, alike for every store.

Pure: numbers and text, no I/O. A row may be forgotten only when all of these
hold: it is settled, it ended longer ago than the time to keep, and it is not
among its job's latest. So a job's latest claimed instant is never forgotten.

A lease that ended without a release is shown until another owner takes it. But a
name may be locked once and never again, so such a lease is forgotten, too: as long
after its end as a row, and after a day at the latest. Its fence is not forgotten: it
is kept apart from the leases, so the next one on that resource is greater.
"""

from __future__ import annotations

from typing import Final

from tickglass.sched.durations import SECOND

__all__ = [
    "DETAIL_CHARS_MAX",
    "KEEP_MIN_NS",
    "KEEP_NS",
    "LATEST_KEPT",
    "PRUNE_EVERY_NS",
    "ended_keep_ns",
    "shown_detail",
]

KEEP_NS: Final = 86_400 * SECOND
KEEP_MIN_NS: Final = 60 * SECOND  # a slower clock must still find the claim of the faster one
LATEST_KEPT: Final = 100  # rows per job
PRUNE_EVERY_NS: Final = 60 * SECOND
DETAIL_CHARS_MAX: Final = 2_000
_ENDED_KEEP_MAX_NS: Final = 86_400 * SECOND  # so that a job that runs daily still learns which owner's lease had ended


def ended_keep_ns(keep_ns: int) -> int:
    """Return how long a lease is kept after its end, if it was neither released nor taken.

    Args:
        keep_ns: how long after its end an attempt is kept.
    """
    return min(keep_ns, _ENDED_KEEP_MAX_NS)


def shown_detail(detail: str) -> str:
    """Return a settlement's detail as it is stored: cut, and valid Unicode.

    The text of an exception may hold characters that UTF-8 cannot encode, for
    example of a file name. A run's outcome must not be lost because of that.
    """
    return detail[:DETAIL_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
