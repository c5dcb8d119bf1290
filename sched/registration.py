"""Decide from when on a job that is registered owes its due instants.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickglass.sched.ports import JobRecord

__all__ = ["Registered"]


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration did.

    Args:
        job: the record as stored now, with `last_due_ns`.
        before: the record that it replaced, as it was; None if the job was not known.
    """

    job: JobRecord
    before: JobRecord | None = None

    def settled_until_ns(self, now_ns: int) -> int:
        """Return the instant after which the job owes its due instants: what lies before it is nobody's debt.

        It is the latest one that anybody claimed. Where none was, it is the
        present; unless an instant that was announced by the registration
        before, under the same trigger, has passed since: then it lies just before that.
        As a registration announces the next instant anew, only the first of
        several instances to register finds one that has passed.

        Args:
            now_ns: the wall clock, nanoseconds since the Unix epoch; so is the answer.
        """
        if self.job.last_due_ns is not None:
            return self.job.last_due_ns
        announced = self.before
        if announced is None or announced.trigger != self.job.trigger or announced.next_due_ns is None:
            return now_ns
        return min(now_ns, announced.next_due_ns - 1)
