"""Decide how long before its due instant an occurrence is handed to a worker.

The lead hides the hand-over and the round trip to the store. It follows how long
these took lately. A fixed lead is too short when the cores are busy (measured: with
350 us, p90 is late), and with a long one an instance claims what another one could run sooner.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tickglass.sched.durations import MS, US

__all__ = ["LEAD_MAX_NS", "LeadTime"]

LEAD_MAX_NS: Final = 50 * MS
_MIN_NS: Final = 500 * US
_FIRST_NS: Final = 5 * MS
_REMEMBERED: Final = 32


class LeadTime:
    """1.25 x the p90 of the last 32 preparations, between 0.5 and 50 ms."""

    def __init__(self) -> None:
        self._took: deque[int] = deque(maxlen=_REMEMBERED)
        self.now_ns = _FIRST_NS

    def note(self, took_ns: int) -> None:
        """Note how long one preparation took, from the hand-over to the claim."""
        self._took.append(took_ns)
        took = sorted(self._took)  # one copy: other workers append meanwhile
        p90 = took[len(took) * 9 // 10]
        self.now_ns = min(LEAD_MAX_NS, max(_MIN_NS, p90 * 5 // 4))
