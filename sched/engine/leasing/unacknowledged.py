"""Requests that got no answer, and since when a grant may therefore count.

The store may have granted one of them unheard, or may yet hear of it, late; a
second request by the same token is then answered as the first, but the lease is
as old as what got it. So such a lease is renewed before anybody trusts it.
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
    """What one token has asked for in vain."""

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
        """Return the monotonic instant from which a lease that was just granted lasts at least its TTL.

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
