"""Remember that a request got no answer, and tell from when on a lease granted after it counts.

A request without an answer may have been granted, or may be granted later. A retry with the same token gets the
first answer, so the lease may be as old as the first request: it is renewed before it is trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Renewed

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.lease import Lease

__all__ = ["Unacknowledged"]


class Unacknowledged:
    """The requests of one token that got no answer."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._since_ns: int | None = None

    def note(self, asked_ns: int) -> None:
        """Note that the request which left then (monotonic) got no answer."""
        if self._since_ns is None:
            self._since_ns = asked_ns

    @property
    def any(self) -> bool:
        """Whether there was such a request."""
        return self._since_ns is not None

    def lease_counts_from(self, lease: Lease, asked_ns: int) -> int:
        """Return the monotonic instant from which on a lease that was just granted lasts at least its TTL.

        Args:
            asked_ns: monotonic, read before the request that was answered.
        """
        if self._since_ns is None:
            return asked_ns
        asked_ns = self._context.clock.monotonic_ns()
        try:
            answer = self._context.store.renew(lease)
        except StoreUnavailable:
            return self._since_ns
        return asked_ns if isinstance(answer, Renewed) else self._since_ns
