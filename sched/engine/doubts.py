"""Remember the claims and locks that were given up without an answer, and take back what was granted all the same.

A store that went away may have heard the last request. Nobody acts under such a
lease, yet it keeps everybody from its resource until it ends. Whoever is refused
for it here takes it back, and asks again.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.occurrence import Outcome
from tickglass.sched.ports import Released, Settlement

if TYPE_CHECKING:
    from tickglass.sched.engine.gear import Gear
    from tickglass.sched.ports import ClaimAsk, Holder, LeaseAsk

__all__ = ["DOUBTS_MOST", "Doubts"]

_log: Final = logging.getLogger(__name__)
DOUBTS_MOST: Final = 1_000  # the oldest run out by themselves


class Doubts:
    """What this instance has asked for, and does not know whether it has."""

    def __init__(self, gear: Gear) -> None:
        self._gear = gear
        self._door = threading.Lock()
        self._asks: OrderedDict[str, tuple[ClaimAsk, str]] = OrderedDict()  # by run -> and why it was given up
        self._locks: OrderedDict[str, LeaseAsk] = OrderedDict()  # by token

    def note(self, ask: ClaimAsk, reason: str) -> None:
        """Remember a claim whose occurrence has ended as skipped, for this reason."""
        with self._door:
            self._asks[ask.lease.run_id] = (ask, reason)
            if len(self._asks) > DOUBTS_MOST:
                self._asks.popitem(last=False)

    def note_lock(self, ask: LeaseAsk) -> None:
        """Remember a lock that was asked for by hand, and given up."""
        with self._door:
            self._locks[ask.token] = ask
            if len(self._locks) > DOUBTS_MOST:
                self._locks.popitem(last=False)

    def take_back(self, resource: str, holder: Holder) -> bool:
        """End the lease that is in the way, if it is one of these; return whether that freed the resource."""
        return self._take_back_claim(holder) or self._take_back_lock(resource, holder)

    def _take_back_claim(self, holder: Holder) -> bool:
        with self._door:
            ask, reason = self._asks.pop(holder.run_id, (None, ""))
        if ask is None:
            return False
        lease = Lease(ask.lease.resource, ask.lease.owner, ask.lease.token, holder.fence, ask.lease.ttl_ns, 0)
        settlement = Settlement(lease, ask.lease.job, ask.due_ns, holder.run_id, Outcome.SKIPPED, reason)
        try:
            return self._gear.store.settle(settlement).released
        except StoreUnavailable as error:
            _log.warning("a claim of %s that nobody runs under was not taken back: %s", ask.lease.job, error)
            self.note(ask, reason)
            return False

    def _take_back_lock(self, resource: str, holder: Holder) -> bool:
        for ask in self._locks_of(resource, holder):
            lease = Lease(resource, ask.owner, ask.token, holder.fence, ask.ttl_ns, 0)
            try:
                answer = self._gear.store.release(lease)  # which is refused to all but the token that has it
            except StoreUnavailable as error:
                _log.warning("the lock %s, which nobody here has, was not taken back: %s", resource, error)
                return False
            with self._door:
                self._locks.pop(ask.token, None)
            if isinstance(answer, Released):
                return True
        return False

    def _locks_of(self, resource: str, holder: Holder) -> list[LeaseAsk]:
        who = (resource, holder.owner, holder.run_id)
        with self._door:
            return [ask for ask in self._locks.values() if (ask.resource, ask.owner, ask.run_id) == who]
