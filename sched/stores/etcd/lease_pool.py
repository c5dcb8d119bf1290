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
from tickglass.sched.durations import SECOND
from tickglass.sched.stores.etcd.client import GRANT, REVOKE

if TYPE_CHECKING:
    from tickglass.sched.stores.etcd.client import Call, EtcdClient
    from tickglass.sched.stores.etcd.keys import OpenRun

__all__ = ["EtcdLeasePool", "HeldLease", "PooledLease"]

_SPARE_MAX: Final = 64  # per length: as many as a pool of workers may return at once
_HELD_MAX: Final = 10_000


class PooledLease(NamedTuple):
    """An etcd lease that no key is attached to.

    Args:
        fresh: granted just now, so it need not be renewed.
    """

    lease_id: int
    seconds: int
    fresh: bool


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
        self._spare: dict[int, list[tuple[PooledLease, int]]] = {}
        self._held: OrderedDict[str, HeldLease] = OrderedDict()

    def take(self, call: Call, ttl_ns: int) -> PooledLease:
        """Return an etcd lease of this length, rounded up to seconds; no other caller has it."""
        seconds = -(-ttl_ns // SECOND)
        with self._lock:
            spare = self._spare.get(seconds, [])
            while spare:
                pooled, returned_ns = spare.pop()
                if self._real.monotonic_ns() - returned_ns < ttl_ns // 2:  # else it may end at any moment
                    return pooled
        granted = call.ask(GRANT, rpc.LeaseGrantRequest(TTL=seconds))
        return PooledLease(granted.ID, seconds, fresh=True)

    def give_back(self, pooled: PooledLease) -> None:
        """Return an etcd lease to the pool; the caller knows that no key is attached to it."""
        with self._lock:
            spare = self._spare.setdefault(pooled.seconds, [])
            if len(spare) < _SPARE_MAX:
                spare.append((pooled._replace(fresh=False), self._real.monotonic_ns()))

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
        """End the spare etcd leases now, before they end by themselves."""
        with self._lock:
            spare = [pooled for those in self._spare.values() for pooled, _ in those]
            self._spare.clear()
        for pooled in spare:
            client.forget(rpc.LeaseRevokeRequest(ID=pooled.lease_id), REVOKE)
