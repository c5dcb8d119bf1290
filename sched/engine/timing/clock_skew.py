"""Judge whether our wall clock is close enough to the store's to say what is due, and which of the two counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND, duration_text
from tickglass.sched.engine.timing.lead_time import LEAD_MAX_NS

if TYPE_CHECKING:
    from tickglass.sched.clock import Reading

__all__ = ["MAX_SKEW_NS", "SkewGuard"]

MAX_SKEW_NS: Final = SECOND


class SkewGuard:
    """The last measurement of the skew, and what follows from it.

    Args:
        max_ns: how far the clocks may be apart.
        refuse: whether occurrences are skipped while they are further apart, and before the first
            measurement; else it is only reported.
    """

    def __init__(self, max_ns: int = MAX_SKEW_NS, *, refuse: bool = False) -> None:
        self.max_ns = max_ns
        self._refuse = refuse
        self._min_ns: int | None = None  # the skew is at least this, whatever the error of measuring it
        self._store: tuple[int, int] | None = None  # its wall clock minus our monotonic one, and the error of that

    def note(self, skew_ns: int, bound_ns: int, *, offset_ns: int | None = None) -> None:
        """Take a measurement: our wall clock minus the store's, within plus or minus the bound.

        Args:
            offset_ns: our wall clock minus our monotonic one at that time; None where the store's clock is
                that of our host: it steps when ours does, so it cannot judge ours.
        """
        self._store = None if offset_ns is None else (offset_ns - skew_ns, bound_ns)
        self._min_ns = max(0, abs(skew_ns) - bound_ns)

    def offset_ns(self, now: Reading) -> int:
        """Return wall minus monotonic by the clock that counts: ours, or the store's if they are too far apart.

        The monotonic clock carries the last measurement on, so a step of our wall clock is judged when it is read,
        and not after the next measurement.
        """
        if self._store is None:
            return now.offset_ns
        store_ns, bound_ns = self._store
        self._min_ns = max(0, abs(now.offset_ns - store_ns) - bound_ns)
        return store_ns if self._min_ns > self.max_ns else now.offset_ns

    @property
    def store_offset_ns(self) -> int | None:
        """The store's wall clock minus our monotonic one; None where it has none of its own, or was not asked yet."""
        return None if self._store is None else self._store[0]

    @property
    def max_ahead_ns(self) -> int:
        """How far ahead of the store's clock an instant may be claimed: the skew that is allowed, and the lead."""
        return self.max_ns + LEAD_MAX_NS

    @property
    def refuses(self) -> bool:
        """Whether no occurrence may be started now."""
        return self._refuse and (self._min_ns is None or self._min_ns > self.max_ns)

    def reason(self) -> str | None:
        """Return a sentence while the clocks are too far apart, or while it is unknown and nothing is started."""
        if self._min_ns is None:
            return "our clock has not been compared with the store's yet" if self._refuse else None
        if self._min_ns <= self.max_ns:
            return None
        return (
            f"our clock is at least {self._min_ns / SECOND:.3f} s from the store's,"
            f" and {duration_text(self.max_ns)} is allowed"
        )
