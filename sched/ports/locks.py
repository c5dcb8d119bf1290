"""Say what the domain needs of a store of leases, and the answers that come back.

Expected answers are values: losing a race is `Refused`, not an exception.
Only an unreachable or broken store raises, and only `StoreUnavailable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Gone",
    "Granted",
    "Holder",
    "LeaseAsk",
    "LockStore",
    "Refused",
    "Released",
    "Renewed",
]


class LeaseAsk(msgspec.Struct, frozen=True):
    """A request for a lease.

    Args:
        resource: what the lock protects; any non-empty text.
        token: 122 random bits or more; only a caller that has it renews or releases. A second call with
            the same token, while the lease lasts, gets the answer of the first.
        job: name of the job it is for, "" for a lock taken by hand.
        run_id: the run it is for, "" for a lock taken by hand.
    """

    resource: str
    owner: str
    service: str
    token: str
    ttl_ns: int
    job: str = ""
    run_id: str = ""

    def untrusted(self, fence: int) -> Lease:
        """Return the lease that this ask was, or may have been, granted: enough to renew or release it, not to act.

        Args:
            fence: that of the grant; 0 if there was none, or its answer was lost.
        """
        return Lease(self.resource, self.owner, self.token, fence, self.ttl_ns, trusted_until_ns=0)

    def trusted(self, fence: int, until_ns: int) -> Lease:
        """Return the lease that this ask was granted, to act under it.

        Args:
            until_ns: as `trusted_until_ns` computes it, from when the request left.
        """
        return Lease(self.resource, self.owner, self.token, fence, self.ttl_ns, trusted_until_ns=until_ns)


class Holder(msgspec.Struct, frozen=True):
    """The instance that holds a lock, and what for."""

    owner: str
    service: str
    job: str
    run_id: str
    fence: int

    @property
    def job_id(self) -> JobId | None:
        """The job that it is held for; None for a lock taken by hand."""
        return JobId(self.service, self.job) if self.job else None


class Granted(msgspec.Struct, frozen=True):
    """The lease is yours.

    Args:
        fence: greater than every fence ever granted on that resource; numbers may be skipped.
        expired_owner: the owner whose lease on it ended without a release just before, or "".
    """

    fence: int
    expired_owner: str = ""


class Refused(msgspec.Struct, frozen=True):
    """Another owner holds it, or goes first; ask again after `retry_after_ns` at the latest."""

    holder: Holder
    retry_after_ns: int


class Renewed(msgspec.Struct, frozen=True):
    """The lease lasts its whole TTL again, counted from the store's clock now."""


class Gone(msgspec.Struct, frozen=True):
    """The lease is no longer yours: it expired, or `owner` ("" if unknown or none) holds it."""

    owner: str = ""


class Released(msgspec.Struct, frozen=True):
    """The lease was yours and is free."""


class LockStore(Protocol):
    """Where leases live. Adapters never retry a refusal, log, or judge time themselves.

    Leases expire by the store's clock alone. Every method raises
    `StoreUnavailable` when the store cannot be reached in time, or fails.
    """

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """Grant the lease if the resource is free; atomically, raising its fence."""
        ...

    def renew(self, lease: Lease) -> Renewed | Gone:
        """Extend the lease by its TTL from now, if its token still holds it.

        An expired lease is `Gone` even if no other owner has taken it since.
        """
        ...

    def release(self, lease: Lease) -> Released | Gone:
        """Free the resource if the token still holds it: compare and delete."""
        ...

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """Call `freed` when the resource may have become free; return what ends the watch.

        A hint: `freed` may be called from any thread, without a cause, or never (where the technology cannot report
        the releases of other processes). So the caller must poll as well. This call does not wait for the store, and
        `freed` is not called from within it. `freed` returns at once and does not raise. Ending a watch waits for
        nothing, so a call that is already under way may come later; ending it twice does no harm.
        """
        ...

    def allowance_ns(self, ttl_ns: int) -> int:
        """Return how long before its end a lease must not be trusted any more.

        The store's clock and ours may run at different rates: so 1 % of the TTL plus 2 ms, or more.
        """
        ...

    def time_ns(self) -> int:
        """Return the store's wall clock, nanoseconds since the Unix epoch."""
        ...

    def close(self) -> None:
        """Close connections and files. Leases that are held stay as they are."""
        ...
