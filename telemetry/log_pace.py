"""Decide how often a log repeats what happens all the time: once in a while, with a count of what it passed over.

Pure: no clock reads; the caller says when each thing happened.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Pace"]

PACE_NS: Final = 50 * SECOND  # below a minute, so that a job that runs each minute is told each time


class Pace:
    """Gives the first of a kind its turn, and then one in each period; any thread may ask.

    Args:
        period_ns: how long after its turn a kind is passed over.
    """

    def __init__(self, period_ns: int = PACE_NS) -> None:
        self._period_ns = period_ns
        self._mutex = threading.Lock()
        self._kinds: dict[Hashable, tuple[int, int]] = {}  # when it had its turn; how many were passed over since

    def passed_over(self, kind: Hashable, at_ns: int) -> int | None:
        """Return how many were passed over before this one, whose turn it is; None if it is passed over, too.

        Args:
            at_ns: when it happened, monotonic.
        """
        with self._mutex:
            turn_ns, passed = self._kinds.get(kind, (at_ns - self._period_ns, 0))
            is_its_turn = at_ns - turn_ns >= self._period_ns
            self._kinds[kind] = (at_ns, 0) if is_its_turn else (turn_ns, passed + 1)
        return passed if is_its_turn else None
