"""Judge whether our wall clock is near enough to the store's to say what is due."""

from __future__ import annotations

from typing import Final

from tickglass.sched.durations import SECOND, duration_text

__all__ = ["MAX_SKEW_NS", "SkewGuard"]

MAX_SKEW_NS: Final = SECOND


class SkewGuard:
    """The last measurement of the skew, and what follows from it.

    Args:
        most_ns: how far the clocks may be apart.
        refuse: whether occurrences are skipped meanwhile, and before the first
            measurement; else it is only told.
    """

    def __init__(self, most_ns: int = MAX_SKEW_NS, *, refuse: bool = False) -> None:
        self._most_ns = most_ns
        self._refuse = refuse
        self._least_ns: int | None = None  # the skew is at least this, whatever the error of measuring it

    def note(self, skew_ns: int, bound_ns: int) -> None:
        """Take a measurement: our wall clock minus the store's, within plus or minus the bound."""
        self._least_ns = max(0, abs(skew_ns) - bound_ns)

    @property
    def refuses(self) -> bool:
        """Whether nothing may be started now."""
        return self._refuse and (self._least_ns is None or self._least_ns > self._most_ns)

    def reason(self) -> str | None:
        """Return a sentence when the clocks are too far apart, or may be and nothing is started therefore."""
        if self._least_ns is None:
            return "our clock has not been compared with the store's yet" if self._refuse else None
        if self._least_ns <= self._most_ns:
            return None
        return (
            f"our clock is at least {self._least_ns / SECOND:.3f} s from the store's,"
            f" and {duration_text(self._most_ns)} is allowed"
        )
