"""What is known of an occurrence that is to be run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tickglass.sched.policies.misfire import is_too_late

if TYPE_CHECKING:
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine

__all__ = ["Admitted"]


class Admitted(msgspec.Struct, frozen=True):
    """An admitted occurrence, and how late it may start.

    Args:
        due_ns: monotonic nanoseconds of the due instant.
        until_ns: monotonic; until when it may wait for another holder's lease, and the latest start of a first attempt.
        next_due_ns: wall-clock nanoseconds of the job's next due instant; None: there is none.
        visited_ns: monotonic; when the timeline first came to it.
        found_ns: monotonic; when it was found that an earlier claimant died; None: this is its first attempt. Such a
            rerun stays owed until an instance has run it, and its grace counts from then.
        expected_ns: for how long the run is expected to hold a worker.
    """

    job: Job
    occurrence: OccurrenceMachine
    due_ns: int
    until_ns: int
    next_due_ns: int | None
    visited_ns: int
    found_ns: int | None = None
    expected_ns: int = 0

    @property
    def rerun(self) -> bool:
        """Whether an earlier claimant died."""
        return self.found_ns is not None

    def too_late(self, now_ns: int) -> bool:
        """Return whether it must not start any more."""
        return is_too_late(now_ns - self.due_ns, self.until_ns - self.due_ns, rerun=self.rerun)

    @property
    def hold_back_until_ns(self) -> int:
        """The monotonic instant until which it may leave the claim to preferred instances.

        At most half the way to the next due instant: otherwise this occurrence would
        still be in hand when the next one falls due, and that one would be skipped.
        """
        if self.next_due_ns is None:
            return self.until_ns
        return min(self.until_ns, self.due_ns + (self.next_due_ns - self.occurrence.due_ns) // 2)
