"""Decide how long before its due instant an occurrence is handed to a worker.

The lead hides the hand-over and the round trip to the store, of all that is due together. It follows how long
these took lately. A fixed lead is too short when the cores are busy (measured: with
350 us, p90 is late), and with a long one an instance claims what another one could run sooner.

It changes in steps, because jobs that are planned with different leads are not handed over together.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tickglass.sched.durations import MS, US

__all__ = ["LEAD_MAX_NS", "LeadTime"]

LEAD_MAX_NS: Final = 50 * MS
_FIRST_NS: Final = 8 * MS
_STEPS_NS: Final = (500 * US, MS, 2 * MS, 4 * MS, 8 * MS, 16 * MS, 32 * MS, LEAD_MAX_NS)
_REMEMBERED: Final = 32


class LeadTime:
    """1.25 x the p90 of the last 32 preparations, rounded up to 0.5, 1, 2, 4, ... ms, and at most 50 ms."""

    def __init__(self) -> None:
        self._took: deque[int] = deque(maxlen=_REMEMBERED)
        self.now_ns = _FIRST_NS

    def note(self, took_ns: int) -> None:
        """Note how long one preparation took, from the hand-over of the first occurrence to the claim of the last."""
        self._took.append(took_ns)
        took = sorted(self._took)  # one copy: other workers append meanwhile
        p90 = took[len(took) * 9 // 10]
        wanted_ns = p90 * 5 // 4
        self.now_ns = next((step_ns for step_ns in _STEPS_NS if wanted_ns <= step_ns), LEAD_MAX_NS)
