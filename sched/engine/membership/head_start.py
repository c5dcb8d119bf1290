"""Count the head start of preferred instances, for one attempt at one lease.

It runs from the instant at which the lease may have become free, as far as this instance knows. It ends at once when
no instance with a better label is present any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.membership.presence import Presence
    from tickglass.sched.policies.preference import Preference

__all__ = ["HeadStart"]


class HeadStart:
    """How long one attempt holds back.

    Args:
        until_ns: monotonic; the attempt never holds back longer. None: as long as the preference says.
    """

    def __init__(self, preferred: Preference | None, presence: Presence, *, until_ns: int | None = None) -> None:
        self._preferred = preferred
        self._presence = presence
        self._until_ns = until_ns
        self._from_ns: int | None = None

    def begin(self, from_ns: int) -> None:
        """Count from this monotonic instant, at which the lease may be free; a head start under way is not restarted.

        Restarting it would starve standbys of a lease that changes hands often.
        """
        if from_ns >= self.ends_ns():
            self._from_ns = from_ns

    @property
    def begun(self) -> bool:
        """Whether it was ever begun."""
        return self._from_ns is not None

    def ends_ns(self) -> int:
        """Return the monotonic instant until which to hold back, as far as is known now; 0: not at all."""
        if self._preferred is None:
            return 0
        head_start_ns = self._presence.head_start_ns(self._preferred)
        if self._from_ns is None or head_start_ns == 0:
            return 0
        ends_ns = self._from_ns + head_start_ns
        return ends_ns if self._until_ns is None else min(self._until_ns, ends_ns)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call when `ends_ns` may have changed, from any thread; return the function that ends it."""
        return _nothing if self._preferred is None else self._presence.watch(changed)


def _nothing() -> None:
    """End a watch that was none."""
