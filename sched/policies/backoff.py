"""Decide how long to pause before the next try, by how often the last ones failed.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from typing import Final

from tickglass.sched.durations import MS

__all__ = ["POLL", "STORE", "Backoff"]


class Backoff:
    """Pauses that follow failures in a row; the last one repeats.

    Args:
        first_ns: the pause after the first failure, in nanoseconds.
        more_ns: those after the failures that follow.
    """

    __slots__ = ("_pauses_ns",)

    def __init__(self, first_ns: int, *more_ns: int) -> None:
        self._pauses_ns = (first_ns, *more_ns)

    @classmethod
    def doubling(cls, first_ns: int, max_ns: int) -> Backoff:
        """Return pauses that double, from the first to the longest."""
        pauses_ns = [first_ns]
        while pauses_ns[-1] < max_ns:
            pauses_ns.append(min(2 * pauses_ns[-1], max_ns))
        return cls(*pauses_ns)

    def after(self, failures: int) -> int:
        """Return the pause after so many failures in a row: 1, or more."""
        return self._pauses_ns[min(failures, len(self._pauses_ns)) - 1]

    def is_exhausted(self, failures: int) -> bool:
        """Return whether each pause has been waited out once: a caller that does not try for ever gives up."""
        return failures > len(self._pauses_ns)


STORE: Final = Backoff(100 * MS, 300 * MS, 800 * MS)  # a store that does not answer
POLL: Final = Backoff.doubling(5 * MS, 250 * MS)  # a lease that another instance has; a release is noticed within this
