"""Take, keep and free one lease of an etcd store, inside a call that may do more in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aetcd import rpc

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import Refused
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.claim_state import lease_from, lease_reads
from tickglass.sched.stores.etcd.client import KEEP_ALIVE, TIME_TO_LIVE, TXN, LeaseNotFound
from tickglass.sched.stores.etcd.keys import HolderEntry, OpenRun
from tickglass.sched.stores.etcd.lease_pool import EtcdLeasePool, HeldLease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import LeaseAsk
    from tickglass.sched.stores.etcd.claim_state import LeaseState
    from tickglass.sched.stores.etcd.client import Call
    from tickglass.sched.stores.etcd.keys import Keys
    from tickglass.sched.stores.etcd.watch import LeaseWatch

__all__ = ["Locks"]

_NOTICED_NS: Final = 750 * MS  # etcd looks every 500 ms for leases that have ended, and then has to agree on it


class Locks:
    """The leases under one prefix, as one process takes them.

    Args:
        watch: is told of refusals and releases.
    """

    def __init__(self, keys: Keys, clock: Clock, watch: LeaseWatch) -> None:
        self.countdowns = EtcdLeasePool()
        self._keys = keys
        self._clock = clock
        self._watch = watch

    def grant(
        self,
        call: Call,
        ask: LeaseAsk,
        seen: LeaseState,
        looks: Sequence[Any],
        compares: Sequence[Any] = (),
        puts: Sequence[Any] = (),
        run: OpenRun | None = None,
    ) -> tuple[int, Any]:
        """Take the lease and write the rest, all or nothing.

        Returns:
            The fence; 0 if somebody went ahead, and then what `looks` see now.
        """
        countdown = self.countdowns.take(call, ask.ttl_ns)
        expired_owner, wall_ns = seen.holder.owner, self._clock.wall_ns()
        who = (ask.token, ask.owner, ask.service, ask.ttl_ns, wall_ns, ask.job, ask.run_id, expired_owner)
        lease, holder = self._keys.lease(ask.resource), self._keys.holder(ask.resource)
        still = [kv.absent(lease), kv.unchanged(holder, seen.holder_revision), *compares]
        then = [kv.put(lease, ask.token.encode(), countdown.lease_id), kv.put(holder, HolderEntry(*who)), *puts]
        questions = [(TXN, kv.transaction(still, then, looks))]
        if not countdown.fresh:  # at the same time: what counts is that it is renewed after we began
            questions.append((KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=countdown.lease_id)))
        try:
            written, *renewed = call.ask_all(*questions)
        except LeaseNotFound:  # a spare one, which has ended by itself
            return 0, call.ask(TXN, kv.transaction([], looks))
        if not written.succeeded:
            if not call.repeated:  # else the key that is in our way may be our own
                self.countdowns.give_back(countdown)
            return 0, written
        if renewed and renewed[0].TTL <= 0:
            raise call.give_up("the lease ended while it was taken")
        fence: int = written.header.revision
        self.countdowns.remember(ask.token, HeldLease(countdown, fence, run))
        return fence, written

    def renew_again(self, call: Call, seen: LeaseState) -> None:
        """Let a lease that is asked for a second time last as long as the first answer said, from now."""
        if call.ask(KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=seen.lease_id)).TTL <= 0:
            raise call.give_up("the lease ended while it was asked for again")

    def refused(self, call: Call, resource: str, seen: LeaseState) -> Refused:
        """Return the answer to somebody else who asks for it."""
        self._watch.refused(resource, seen.revision)
        left = call.ask(TIME_TO_LIVE, rpc.LeaseTimeToLiveRequest(ID=seen.lease_id))
        return Refused(seen.who(), (max(0, left.TTL) + 1) * SECOND + _NOTICED_NS)

    def look(self, call: Call, resource: str) -> LeaseState:
        """Read a resource's lease and holder."""
        return lease_from(call.ask(TXN, kv.transaction([], lease_reads(self._keys, resource))))

    def freeing(self, lease: Lease) -> Any:  # noqa: ANN401 - the client is not typed
        """Return the transaction that frees the resource, or looks who has it."""
        key = self._keys.lease(lease.resource)
        then = [kv.delete(key), kv.delete(self._keys.holder(lease.resource))]
        ours = [kv.same(key, lease.token.encode())]
        return kv.transaction(ours, then, lease_reads(self._keys, lease.resource))

    def freed(self, call: Call, lease: Lease, answer: Any) -> str:  # noqa: ANN401
        """Draw the conclusions of `_freeing`; return whose the live lease is, "" if there is none."""
        self.countdowns.forget(lease.token, freed=answer.succeeded)
        if answer.succeeded:
            self._watch.freed(lease.resource)
            return ""
        seen = lease_from(answer)
        if not seen.live and seen.holder.token == lease.token:  # it has expired, and now its holder says so
            key = self._keys.holder(lease.resource)
            call.ask(TXN, kv.transaction([kv.unchanged(key, seen.holder_revision)], [kv.delete(key)]))
        return seen.holder.owner if seen.live else ""
