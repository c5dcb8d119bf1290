"""Hold the leases of a store in memory. Not safe for threads: the store has one lock around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tickglass.sched.ports import Holder, LeaseRecord, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import LeaseAsk

__all__ = ["HeldLease", "LeaseTable"]


@dataclass(slots=True)
class HeldLease:
    """A lease, live or expired; it is dropped when it is released, or when another owner takes it."""

    ask: LeaseAsk
    fence: int
    expired_owner: str
    ttl_ns: int
    acquired_ns: int
    acquired_wall_ns: int
    expires_ns: int

    def refusal(self, now_ns: int) -> Refused:
        """Return the answer to whoever asks for it meanwhile."""
        ask = self.ask
        return Refused(Holder(ask.owner, ask.service, ask.job, ask.run_id, self.fence), self.expires_ns - now_ns)


class LeaseTable:
    """Leases by resource.

    Args:
        clock: leases expire by its monotonic side, on which every `now_ns` is; fences begin at its wall side.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fence = 0
        self._held: dict[str, HeldLease] = {}

    def live(self, resource: str, now_ns: int) -> HeldLease | None:
        """Return the lease on a resource that has not expired."""
        held = self._held.get(resource)
        return held if held is not None and now_ns < held.expires_ns else None

    def is_live(self, lease: HeldLease, now_ns: int) -> bool:
        """Return whether this very lease is the live one on its resource."""
        return self.live(lease.ask.resource, now_ns) is lease

    def grant(self, ask: LeaseAsk, now_ns: int) -> HeldLease:
        """Make a lease on a resource that is free, with a new fence."""
        wall_ns = self._clock.wall_ns()
        expired = self._held.get(ask.resource)
        self._fence = max(self._fence + 1, wall_ns // 1_000)  # so that they go on growing in the next process
        held = self._held[ask.resource] = HeldLease(
            ask=ask,
            fence=self._fence,
            expired_owner="" if expired is None else expired.ask.owner,
            ttl_ns=ask.ttl_ns,
            acquired_ns=now_ns,
            acquired_wall_ns=wall_ns,
            expires_ns=now_ns + ask.ttl_ns,
        )
        return held

    def drop(self, resource: str, token: str, run_id: str | None = None) -> HeldLease | None:
        """Drop and return the lease with this token, live or not; None: there is none.

        Args:
            run_id: that of the lease, if it is not None.
        """
        held = self._held.get(resource)
        if held is None or held.ask.token != token or run_id not in (None, held.ask.run_id):
            return None
        return self._held.pop(resource)

    def drop_expired(self, before_ns: int) -> None:
        """Drop the leases that expired before this monotonic instant."""
        for resource in [name for name, held in self._held.items() if held.expires_ns < before_ns]:
            del self._held[resource]

    def records(self, limit: int | None) -> Sequence[LeaseRecord]:
        """Return all leases, or `limit` of them, by resource."""
        now_ns = self._clock.monotonic_ns()
        return [
            LeaseRecord(
                resource,
                held.ask.owner,
                held.ask.service,
                held.ask.job,
                held.ask.run_id,
                held.fence,
                held.ttl_ns,
                held.acquired_wall_ns,
                now_ns - held.acquired_ns,
                held.expires_ns - now_ns,
            )
            for resource, held in sorted(self._held.items())[:limit]
        ]
