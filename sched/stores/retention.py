"""Decide how long a store remembers, alike for every store.

Pure: numbers and text, no I/O. A row may be forgotten only when all of these
hold: it is settled, it ended longer ago than the time to keep, it is not
among its job's latest, and it is not the latest one that a trigger asked for. So a job's
latest claimed instant is never forgotten, however often people run it by hand.

A lease that ended without a release is shown until another owner takes it. But a
name may be locked once and never again, so such a lease is forgotten, too: as long
after its end as a row, and after a day at the latest. Its fence is not forgotten: it
is kept apart from the leases, so the next one on that resource is greater.

The record of an instance is of use to people only. One that left is kept for an hour, for those who look at a
deployment. One that died is kept for a day, so that it is found in the morning. A process that is restarted all the
time has a record for each start; so no more than a thousand are kept of instances that are not heard of any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.ports import InstanceState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.ports import InstanceRecord

__all__ = [
    "DETAIL_CHARS_MAX",
    "GONE_KEPT",
    "KEEP_MIN_NS",
    "KEEP_NS",
    "LATEST_KEPT",
    "LEFT_KEEP_NS",
    "PRUNE_EVERY_NS",
    "SILENT_KEEP_NS",
    "ended_keep_ns",
    "gone_for_long",
    "shown_detail",
]

KEEP_NS: Final = 86_400 * SECOND
KEEP_MIN_NS: Final = 60 * SECOND  # a slower clock must still find the claim of the faster one
LATEST_KEPT: Final = 100  # rows per job
PRUNE_EVERY_NS: Final = 60 * SECOND
DETAIL_CHARS_MAX: Final = 2_000
_ENDED_KEEP_MAX_NS: Final = 86_400 * SECOND  # so that a job that runs daily still learns which owner's lease had ended
LEFT_KEEP_NS: Final = 3_600 * SECOND
SILENT_KEEP_NS: Final = 86_400 * SECOND
GONE_KEPT: Final = 1_000  # records of instances that are not heard of any more


def ended_keep_ns(keep_ns: int) -> int:
    """Return how long a lease is kept after its end, if it was neither released nor taken.

    Args:
        keep_ns: how long after its end an attempt is kept.
    """
    return min(keep_ns, _ENDED_KEEP_MAX_NS)


def gone_for_long(instances: Iterable[InstanceRecord]) -> list[str]:
    """Return the incarnations whose records need not be kept."""
    gone = sorted((it for it in instances if not it.living), key=lambda it: it.silent_ns)
    return [it.incarnation for at, it in enumerate(gone) if at >= GONE_KEPT or it.silent_ns >= _keep_ns(it)]


def _keep_ns(instance: InstanceRecord) -> int:
    return LEFT_KEEP_NS if instance.state == InstanceState.LEFT else SILENT_KEEP_NS


def shown_detail(detail: str) -> str:
    """Return a settlement's detail as it is stored: cut, and valid Unicode.

    The text of an exception may hold characters that UTF-8 cannot encode, for
    example of a file name. A run's outcome must not be lost because of that.
    """
    return detail[:DETAIL_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
