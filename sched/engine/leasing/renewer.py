"""Renew the leases of this instance, and report the moment at which one can no longer be trusted.

A lease is renewed at a third of its TTL; after a failure again as `backoff.STORE` says. A slow store call for one
lease does not delay another lease's. A kept lease ends by `drop`, or its `on_lost` is called exactly once, before
another instance can have the lease.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tickglass.sched.engine.leasing.thread_cache import ThreadCache
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import (
    RENEWALS_PER_TTL,
    LockEvent,
    LockReason,
    LockState,
    trusted_until_ns,
)
from tickglass.sched.policies import backoff
from tickglass.sched.ports import Gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.timing.timers import Timer, Timers
    from tickglass.sched.lease import Lease, LockMachine
    from tickglass.sched.ports import LockStore

__all__ = ["KeptLease", "LeaseRenewer"]

_log: Final = logging.getLogger(__name__)


class KeptLease:
    """One lease, from the grant until it is dropped or lost."""

    def __init__(
        self, lock: LockMachine, lease: Lease, asked_ns: int, on_lost: Callable[[], None], *, renewing: bool
    ) -> None:
        self.lock = lock
        self.lease = lease
        self.asked_ns = asked_ns  # when the last granted request left
        self.on_lost = on_lost
        self.renewing = renewing
        self.kept = True
        self.failures = 0
        self.timer: Timer | None = None
        self.mutex = threading.Lock()  # one of drop, renewed, lost at a time


class LeaseRenewer:
    """One renewer for all leases of an instance."""

    def __init__(self, store: LockStore, *, clock: Clock, timers: Timers) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._threads = ThreadCache()

    def keep(
        self, lock: LockMachine, lease: Lease, asked_ns: int, on_lost: Callable[[], None], *, renew: bool
    ) -> KeptLease:
        """Look after a lease that was just granted.

        Args:
            asked_ns: monotonic nanoseconds, read before the request that was granted.
            on_lost: called once, on a thread of the renewer, when the lease
                can no longer be trusted; the lock has reported the loss before.
            renew: False: only watch for the end of trust.
        """
        hold = KeptLease(lock, lease, asked_ns, on_lost, renewing=renew)
        with hold.mutex:
            self._set_next_timer(hold)
        return hold

    def submit(self, call: Callable[[], None]) -> None:
        """Make a store call on one of the renewer's threads, as renewals are; after `stop`, never."""
        self._threads.submit(call)

    def stop_renewing(self, hold: KeptLease) -> None:
        """Let the lease run out; its loss is still reported."""
        with hold.mutex:
            hold.renewing = False
            if hold.kept:
                self._set_next_timer(hold)

    def check(self, hold: KeptLease) -> None:
        """Report an end of trust that has passed now: the timer is late when the process was frozen."""
        if self._clock.monotonic_ns() >= hold.lease.trusted_until_ns:
            self._expire(hold)

    def drop(self, hold: KeptLease) -> None:
        """Stop renewing and watching it, because its holder is about to release it."""
        with hold.mutex:
            hold.kept = False
            if hold.timer is not None:
                hold.timer.cancel()

    def stop(self) -> None:
        """Renew nothing any more; leases that are still kept run out."""
        self._threads.stop()

    def _set_timer(self, hold: KeptLease, instant_ns: int, call: Callable[[], None]) -> None:
        if hold.timer is not None:
            hold.timer.cancel()
        hold.timer = self._timers.at(instant_ns, call)

    def _set_next_timer(self, hold: KeptLease) -> None:
        """Set the timer for the next renewal, or for the end of trust if it is not renewed."""
        if hold.renewing:
            due_ns = hold.asked_ns + hold.lease.ttl_ns // RENEWALS_PER_TTL
            self._set_timer(hold, due_ns, lambda: self._begin_renewal(hold))
        else:
            self._set_timer(hold, hold.lease.trusted_until_ns, lambda: self._expire(hold))

    def _begin_renewal(self, hold: KeptLease) -> None:
        """On the timers' thread: set the timer for the end of trust, and have another thread ask the store."""
        with hold.mutex:
            if not (hold.kept and hold.renewing and hold.lock.state is LockState.HELD):
                return  # its holder was interrupted before it knew this lease, for example
            self._set_timer(hold, hold.lease.trusted_until_ns, lambda: self._expire(hold))
            lease = hold.lease
        self._threads.submit(lambda: self._renew(hold, lease))

    def _renew(self, hold: KeptLease, lease: Lease) -> None:
        asked_ns = self._clock.monotonic_ns()
        if asked_ns >= lease.trusted_until_ns:
            return  # the timer for the end of trust fires now
        try:
            answer = self._store.renew(lease)
        except StoreUnavailable as error:
            down = error.kind == "unavailable"
            self._renewal_failed(hold, LockReason.STORE_UNAVAILABLE if down else LockReason.STORE_ERROR)
            return
        except Exception:  # noqa: BLE001 - reported; it is tried again, and trust ends in time
            _log.exception("renewing %s raised", lease.resource)
            self._renewal_failed(hold, LockReason.STORE_ERROR)
            return
        if isinstance(answer, Gone):
            self._lose(hold, LockEvent.LOST, other_owner=answer.owner)
        else:
            self._renewed(hold, asked_ns)

    def _renewed(self, hold: KeptLease, asked_ns: int) -> None:
        with hold.mutex:
            if not hold.kept:
                return
            ttl_ns = hold.lease.ttl_ns
            left_ns = hold.asked_ns + ttl_ns - self._clock.monotonic_ns()
            trusted_ns = trusted_until_ns(asked_ns, ttl_ns, self._store.allowance_ns(ttl_ns))
            hold.lease = replace(hold.lease, trusted_until_ns=trusted_ns)
            hold.asked_ns, hold.failures = asked_ns, 0
            hold.lock.fire(LockEvent.RENEWED, trusted_until_ns=trusted_ns, margin_ns=left_ns)
            self._set_next_timer(hold)

    def _renewal_failed(self, hold: KeptLease, reason: LockReason) -> None:
        with hold.mutex:
            if not (hold.kept and hold.renewing):
                return
            hold.lock.fire(LockEvent.RENEWAL_FAILED, reason=reason)
            hold.failures += 1
            again_ns = self._clock.monotonic_ns() + backoff.STORE.after(hold.failures)
            if again_ns < hold.lease.trusted_until_ns:
                self._set_timer(hold, again_ns, lambda: self._begin_renewal(hold))

    def _expire(self, hold: KeptLease) -> None:
        self._lose(hold, LockEvent.EXPIRED)

    def _lose(self, hold: KeptLease, event: LockEvent, *, other_owner: str = "") -> None:
        with hold.mutex:
            if not hold.kept or hold.lock.state is not LockState.HELD:
                return
            hold.kept = False
            if hold.timer is not None:
                hold.timer.cancel()
            hold.lock.fire(event, other_owner=other_owner)
        hold.on_lost()
