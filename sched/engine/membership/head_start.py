"""Count the head start of those who are preferred, for one attempt at one lease.

It runs from the instant at which the lease may have become free, as far as that
is known here, and ends at once when nobody better placed is there any more.
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
        until_ns: monotonic; it never holds back longer. None: as long as the preference says.
    """

    def __init__(self, preferred: Preference | None, presence: Presence, *, until_ns: int | None = None) -> None:
        self._preferred = preferred
        self._presence = presence
        self._until_ns = until_ns
        self._from_ns: int | None = None

    def begin(self, from_ns: int) -> None:
        """Count from this monotonic instant: the lease may be free; a head start under way is not begun anew.

        For if it were, who is not preferred would never come to ask for a lease
        that changes manual_locks often.
        """
        if from_ns >= self.ends_ns():
            self._from_ns = from_ns

    @property
    def begun(self) -> bool:
        """Whether it was ever begun."""
        return self._from_ns is not None

    def ends_ns(self) -> int:
        """Return the monotonic instant until which to hold back, as things stand; 0 for not at all."""
        head_start_ns = self._presence.head_start_ns(self._preferred)
        if self._from_ns is None or head_start_ns == 0:
            return 0
        ends_ns = self._from_ns + head_start_ns
        return ends_ns if self._until_ns is None else min(self._until_ns, ends_ns)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call when `ends_ns` may have changed, from any thread; return what ends that."""
        return _nothing if self._preferred is None else self._presence.watch(changed)


def _nothing() -> None:
    """Nothing was watched."""
