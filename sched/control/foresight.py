"""Say how many due instants an act is about, before they come.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.triggers.base import InstantCount
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.ports import JobRecord

__all__ = ["COUNTED_MAX", "due_between"]

COUNTED_MAX: Final = 1_000  # of all jobs together, one by one: the answer is for a person who waits for it


def due_between(jobs: Iterable[JobRecord], after_ns: int, until_ns: int) -> InstantCount | None:
    """Count the due instants of all these jobs in (after_ns, until_ns), the end not included.

    Returns:
        The count, which is a lower bound where it is not exact; its latest instant is not set. None: the trigger of
        one of the jobs is not one of ours, so its instants are not known.
    """
    count = 0
    for job in jobs:
        trigger = trigger_of(job.trigger, job.name)
        if trigger is None:
            return None
        found = trigger.count_between(after_ns, until_ns - 1, max(0, COUNTED_MAX - count))
        count += found.count
        if not found.exact:
            return InstantCount(count, None, exact=False)
    return InstantCount(count, None, exact=True)
