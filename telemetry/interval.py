"""Decide how far apart a job's due instants are, from those that were planned.

Pure.
"""

from __future__ import annotations

__all__ = ["IntervalTracker"]


class IntervalTracker:
    """When a job is due next, and its interval: the shortest gap between two due instants so far.

    The shortest, because a pause is not an interval: `*/5 9-17 * * 1-5` has five minutes on a Friday evening, too.

    Args:
        next_due_ns: as registered; None: there is none, or it is not known.
        interval_ns: as registered: the gap after the next due instant.
    """

    __slots__ = ("interval_ns", "next_due_ns")

    def __init__(self, next_due_ns: int | None = None, interval_ns: int | None = None) -> None:
        self.next_due_ns = next_due_ns
        self.interval_ns = interval_ns

    def fell_due(self, due_ns: int, next_due_ns: int | None) -> None:
        """Take a due instant; one that was taken over from a dead instance is out of order, and is not measured."""
        in_turn = self.next_due_ns is None or due_ns >= self.next_due_ns
        if in_turn and next_due_ns is not None:
            gap_ns = next_due_ns - due_ns
            self.interval_ns = gap_ns if self.interval_ns is None else min(self.interval_ns, gap_ns)
        self.next_due_ns = next_due_ns

    def passed(self, before_ns: int) -> None:
        """Take that all due instants before this one have ended."""
        if self.next_due_ns is not None:
            self.next_due_ns = max(self.next_due_ns, before_ns)
