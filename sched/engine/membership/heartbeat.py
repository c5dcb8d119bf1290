"""Write to the store where nobody else did for a while, to know whether it still takes writes.

An instance whose jobs are due once a day, or are claimed by others, would hear of a full, a
read-only or a locked store only when its turn comes. It takes a lease on a resource of its own, and
gives it back. The two calls count in the store's metrics like all others; the lease is no lock that
anybody works under, so a sidecar leaves it out, as it does those of `presence.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tickglass.sched.durations import SECOND
from tickglass.sched.policies.preference import PRESENCE_TTL_NS, heartbeat_resource
from tickglass.sched.ports import Granted, LeaseAsk

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.write_health import WriteHealth

__all__ = ["Heartbeat"]

_MIN_NS: Final = SECOND  # however short the leases of the jobs are, and so the pauses between sweeps


class Heartbeat:
    """A write that proves that the store takes writes.

    Args:
        write_health: what is known of that.
    """

    def __init__(self, context: EngineContext, write_health: WriteHealth) -> None:
        self._context = context
        self._write_health = write_health
        self._ask = LeaseAsk(  # with one token: should an answer be lost, the next request is granted the same lease
            heartbeat_resource(context.service, context.owner),
            context.owner,
            context.service,
            str(uuid4()),
            PRESENCE_TTL_NS,
        )

    def beat(self, period_ns: int) -> None:
        """Write, if nothing was granted for a period, or a write failed and has not worked since.

        Raises:
            StoreUnavailable: the store does not take it.
        """
        if not self._write_health.unproved(self._context.clock.monotonic_ns(), max(_MIN_NS, period_ns)):
            return
        ask = self._ask
        answer = self._context.store.acquire(ask)
        if isinstance(answer, Granted):
            self._context.store.release(ask.untrusted(answer.fence))
