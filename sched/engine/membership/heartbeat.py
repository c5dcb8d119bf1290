"""Write to the store when this instance has not written for a while, to know whether it still takes writes.

An instance whose jobs are due once a day, or are claimed by others, would notice a full, a read-only or a locked
store only when it has a claim to make. So it takes a lease on a resource of its own, and releases it. The two calls
count in the store's metrics like all others. No job works under this lease, so a sidecar leaves it out, as it does
the leases of `presence.py`.
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

_MIN_NS: Final = SECOND  # with short leases, sweeps come more often than this


class Heartbeat:
    """A write that proves that the store takes writes.

    Args:
        write_health: knows when a write last worked.
    """

    def __init__(self, context: EngineContext, write_health: WriteHealth) -> None:
        self._context = context
        self._write_health = write_health
        self._ask = LeaseAsk(  # one token: if an answer is lost, the next request is granted the same lease
            heartbeat_resource(context.service, context.owner),
            context.owner,
            context.service,
            str(uuid4()),
            PRESENCE_TTL_NS,
        )

    def beat(self, period_ns: int) -> None:
        """Write if nothing was granted for a period, or a write failed and has not worked since.

        Raises:
            StoreUnavailable: the store does not take the write.
        """
        if not self._write_health.unproved(self._context.clock.monotonic_ns(), max(_MIN_NS, period_ns)):
            return
        ask = self._ask
        answer = self._context.store.acquire(ask)
        if isinstance(answer, Granted):
            self._context.store.release(ask.untrusted(answer.fence))
