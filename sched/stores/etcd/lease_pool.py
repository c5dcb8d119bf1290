"""Keep spare etcd leases, so that taking a lock need not wait for a new one.

An etcd lease is a countdown with keys attached; granting and revoking one are writes to the disks of the
cluster, renewing it is not. A lock that was released leaves an etcd lease without keys, which serves the next lock
of the same length: it is renewed when a key is attached to it, so it lasts its whole time from then on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from aetcd import rpc

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.etcd.client import GRANT, REVOKE

if TYPE_CHECKING:
    from tickglass.sched.stores.etcd.client import Call, EtcdClient
    from tickglass.sched.stores.etcd.keys import OpenRun

__all__ = ["EtcdLeasePool", "HeldLease", "PooledLease"]

_SPARE_MAX: Final = 64  # per length: as many as a pool of workers may return at once
_HELD_MAX: Final = 10_000
_REVOKE_WITHIN_NS: Final = 200 * MS  # a close takes no longer; a server writes some 1,000 a second


class PooledLease(NamedTuple):
    """An etcd lease that no key is attached to.

    Args:
        fresh: granted just now, so it need not be renewed.
        alive_ns: monotonic, read before the latest request that granted or renewed it.
    """

    lease_id: int
    seconds: int
    fresh: bool
    alive_ns: int


class HeldLease(NamedTuple):
    """What this process remembers of a lease that it holds: it saves round trips; correctness does not depend on it."""

    pooled: PooledLease
    fence: int
    claim: OpenRun | None


class EtcdLeasePool:
    """The etcd leases of one store: those in use, and spare ones."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._lock = threading.Lock()
        self._spare: dict[int, list[PooledLease]] = {}  # by length
        self._held: OrderedDict[str, HeldLease] = OrderedDict()

    def take(self, call: Call, ttl_ns: int) -> PooledLease:
        """Return an etcd lease of this length, rounded up to seconds; no other caller has it."""
        seconds = -(-ttl_ns // SECOND)
        now_ns = self._real.monotonic_ns()
        with self._lock:
            spare = self._spare.get(seconds, [])
            while spare:
                pooled = spare.pop()
                if now_ns - pooled.alive_ns < ttl_ns // 2:  # else it may end at any moment
                    return pooled._replace(alive_ns=now_ns)  # the caller renews it
        granted = call.ask(GRANT, rpc.LeaseGrantRequest(TTL=seconds))
        return PooledLease(granted.ID, seconds, fresh=True, alive_ns=now_ns)

    def give_back(self, pooled: PooledLease) -> None:
        """Return an etcd lease to the pool; the caller knows that no key is attached to it."""
        with self._lock:
            spare = self._spare.setdefault(pooled.seconds, [])
            if len(spare) < _SPARE_MAX:
                spare.append(pooled._replace(fresh=False))

    def drop_spare(self, seconds: int) -> None:
        """Forget the spare etcd leases of a length, because one of them has ended, and others may have."""
        with self._lock:
            self._spare.pop(seconds, None)

    def now_ns(self) -> int:
        """Return the monotonic time, for `renewed`."""
        return self._real.monotonic_ns()

    def renewed(self, token: str, alive_ns: int) -> None:
        """Note that what a token holds was renewed."""
        with self._lock:
            held = self._held.get(token)
            if held is not None:
                self._held[token] = held._replace(pooled=held.pooled._replace(alive_ns=alive_ns))

    def remember(self, token: str, held: HeldLease) -> None:
        """Note what a token holds."""
        with self._lock:
            self._held[token] = held
            if len(self._held) > _HELD_MAX:
                self._held.popitem(last=False)

    def recall(self, token: str) -> HeldLease | None:
        """Return what a token holds, as far as this process knows."""
        return self._held.get(token)

    def forget(self, token: str, *, freed: bool) -> None:
        """Drop what a token held; if its key is known to be deleted, the etcd lease is spare now."""
        with self._lock:
            held = self._held.pop(token, None)
        if held is not None and freed:
            self.give_back(held.pooled)

    def revoke_spare(self, client: EtcdClient) -> None:
        """End the spare etcd leases now, before they end by themselves; wait for that for a moment."""
        with self._lock:
            spare = [pooled for those in self._spare.values() for pooled in those]
            self._spare.clear()
        client.tell([(REVOKE, rpc.LeaseRevokeRequest(ID=pooled.lease_id)) for pooled in spare], _REVOKE_WITHIN_NS)
