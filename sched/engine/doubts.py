"""Remember the claims that were given up without an answer, and take back those that were granted all the same.

A store that went away may have heard the last request. Nobody runs under such a
claim, yet its lease keeps the job, and all others of its resource, from running
until it ends. Whoever is refused for it here takes it back, and asks again.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.occurrence import Outcome
from tickglass.sched.ports import Settlement

if TYPE_CHECKING:
    from tickglass.sched.engine.gear import Gear
    from tickglass.sched.ports import ClaimAsk, Holder

__all__ = ["DOUBTS_MOST", "Doubts"]

_log: Final = logging.getLogger(__name__)
DOUBTS_MOST: Final = 1_000  # the oldest run out by themselves


class Doubts:
    """What this instance has asked for, and does not know whether it has."""

    def __init__(self, gear: Gear) -> None:
        self._gear = gear
        self._door = threading.Lock()
        self._asks: OrderedDict[str, tuple[ClaimAsk, str]] = OrderedDict()  # by run -> and why it was given up

    def note(self, ask: ClaimAsk, reason: str) -> None:
        """Remember a claim whose occurrence has ended as skipped, for this reason."""
        with self._door:
            self._asks[ask.lease.run_id] = (ask, reason)
            if len(self._asks) > DOUBTS_MOST:
                self._asks.popitem(last=False)

    def take_back(self, holder: Holder) -> bool:
        """Settle the claim that is in the way, if it is one of these; return whether that freed the resource."""
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
