"""Hold the next two due instants of a job, as its trigger named them: a trigger may be slow, so it is asked once.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Upcoming"]


class Upcoming(NamedTuple):
    """What a trigger named after an instant; all are nanoseconds since the Unix epoch.

    Args:
        after_ns: the instant.
        first_ns: the first due instant after it; None: none comes, or the trigger raised.
        second_ns: the one after that.
    """

    after_ns: int
    first_ns: int | None
    second_ns: int | None

    @property
    def interval_ns(self) -> int | None:
        """How far the two are apart; None: there are no two."""
        return None if self.first_ns is None or self.second_ns is None else self.second_ns - self.first_ns

    def names_next_after(self, after_ns: int) -> bool:
        """Return whether `first_ns` is the first due instant after this one as well."""
        return self.first_ns is not None and self.after_ns <= after_ns < self.first_ns
