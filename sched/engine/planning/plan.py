"""Hold a job's place among its due instants.

No I/O, no clock reads, no logging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.job import Job

__all__ = ["Plan"]


class Plan:
    """The next due instant of a job; the timeline calls the plan itself, so that a visit needs no object of its own.

    At any time it is in one place: on the timeline, or held while its job is in hand, or with the thread that moves it.

    Args:
        visit: is called when it is time to decide on the instant; given the plan and the timeline's offset.
        after_ns: the next instant is the first after this one.
        until_ns: the last instant of this plan, because another plan goes on from there; None: no end.
    """

    __slots__ = ("_visit", "after_ns", "due_ns", "failures", "job", "until_ns", "visited_ns")

    def __init__(
        self, job: Job, visit: Callable[[Plan, int], None], after_ns: int, until_ns: int | None = None
    ) -> None:
        self.job = job
        self._visit = visit
        self.until_ns = until_ns
        self.after_ns = after_ns
        self.due_ns: int | None = None
        self.failures = 0  # of its trigger, in a row
        self.visited_ns = 0  # monotonic, when the timeline last called it

    def __call__(self, offset_ns: int) -> None:
        """Decide on the next instant; on the timeline's thread."""
        self._visit(self, offset_ns)

    @property
    def next_ns(self) -> int | None:
        """The next due instant of this plan; None: it has ended, or its trigger has to be asked."""
        within = self.due_ns is not None and (self.until_ns is None or self.due_ns <= self.until_ns)
        return self.due_ns if within else None
