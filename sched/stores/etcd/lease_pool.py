"""Keep etcd leases at hand, so that taking a lock need not wait for a new one.

An etcd lease is a countdown with keys attached; granting and revoking one are writes to the disks of the
cluster, renewing it is not. A lock that was released leaves a countdown without keys, which serves the next lock
of the same length: renewed in the same moment as it is attached, so it lasts its whole time from then on.
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

__all__ = ["Countdown", "EtcdLeasePool", "HeldLease"]

_SPARE_MAX: Final = 64  # per length: as many as a pool of workers returns at once
_MINE_MAX: Final = 10_000


class Countdown(NamedTuple):
    """An etcd lease that no key is attached to.

    Args:
        fresh: granted just now, so it need not be renewed.
    """

    lease_id: int
    seconds: int
    fresh: bool


class HeldLease(NamedTuple):
    """What this process remembers of a lease that it holds: it saves round trips, and nothing rests on it."""

    countdown: Countdown
    fence: int
    claim: OpenRun | None


class EtcdLeasePool:
    """The etcd leases of one store: those in use, and spare ones."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._lock = threading.Lock()
        self._spare: dict[int, list[tuple[Countdown, int]]] = {}
        self._mine: OrderedDict[str, HeldLease] = OrderedDict()

    def take(self, call: Call, ttl_ns: int) -> Countdown:
        """Return a countdown of so many nanoseconds, rounded up to seconds; it is the caller's alone."""
        seconds = -(-ttl_ns // SECOND)
        with self._lock:
            spare = self._spare.get(seconds, [])
            while spare:
                countdown, returned_ns = spare.pop()
                if self._real.monotonic_ns() - returned_ns < ttl_ns // 2:  # else it may end any moment
                    return countdown
        granted = call.ask(GRANT, rpc.LeaseGrantRequest(TTL=seconds))
        return Countdown(granted.ID, seconds, fresh=True)

    def give_back(self, countdown: Countdown) -> None:
        """Take back a countdown of which the caller knows that no key is attached to it."""
        with self._lock:
            spare = self._spare.setdefault(countdown.seconds, [])
            if len(spare) < _SPARE_MAX:
                spare.append((countdown._replace(fresh=False), self._real.monotonic_ns()))

    def remember(self, token: str, mine: HeldLease) -> None:
        """Note what a token holds."""
        with self._lock:
            self._mine[token] = mine
            if len(self._mine) > _MINE_MAX:
                self._mine.popitem(last=False)

    def recall(self, token: str) -> HeldLease | None:
        """Return what a token holds, as far as this process knows."""
        return self._mine.get(token)

    def forget(self, token: str, *, freed: bool) -> None:
        """Drop what a token held; if it is known that its key is gone, the countdown is spare now."""
        with self._lock:
            mine = self._mine.pop(token, None)
        if mine is not None and freed:
            self.give_back(mine.countdown)

    def revoke_spare(self, wire: EtcdClient) -> None:
        """End the spare ones now rather than by themselves."""
        with self._lock:
            spare = [countdown for those in self._spare.values() for countdown, _ in those]
            self._spare.clear()
        for countdown in spare:
            wire.forget(rpc.LeaseRevokeRequest(ID=countdown.lease_id), REVOKE)
