"""Take, renew and free one lease of an etcd store, inside a call that may do more in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aetcd import rpc

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import Refused
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.claim_state import ClaimWrites, lease_from, lease_reads
from tickglass.sched.stores.etcd.client import KEEP_ALIVE, TIME_TO_LIVE, TXN, LeaseNotFound
from tickglass.sched.stores.etcd.keys import HolderEntry
from tickglass.sched.stores.etcd.lease_pool import EtcdLeasePool, HeldLease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import LeaseAsk
    from tickglass.sched.stores.etcd.claim_state import LeaseState
    from tickglass.sched.stores.etcd.client import Call
    from tickglass.sched.stores.etcd.keys import Keys
    from tickglass.sched.stores.etcd.watch import EtcdWatch

__all__ = ["Locks"]

_EXPIRY_DELAY_NS: Final = 750 * MS  # etcd checks every 500 ms for ended leases, and then the members must agree


class Locks:
    """The leases under one prefix, as one process takes them.

    Args:
        watch: notes refusals and releases.
    """

    def __init__(self, keys: Keys, clock: Clock, watch: EtcdWatch) -> None:
        self.lease_pool = EtcdLeasePool()
        self._keys = keys
        self._clock = clock
        self._watch = watch

    def grant(
        self,
        call: Call,
        ask: LeaseAsk,
        current: LeaseState,
        reads: Sequence[Any],
        more: ClaimWrites = ClaimWrites(),  # noqa: B008 - an immutable value
    ) -> tuple[int, Any]:
        """Take the lease and write what goes with it, all or nothing.

        Returns:
            The fence and the reply; fence 0 if another client was faster: then the reply answers `reads`.
        """
        pooled = self.lease_pool.take(call, ask.ttl_ns)
        expired_owner, wall_ns = current.holder.owner, self._clock.wall_ns()
        holder_fields = (ask.token, ask.owner, ask.service, ask.ttl_ns, wall_ns, ask.job, ask.run_id, expired_owner)
        lease, holder = self._keys.lease(ask.resource), self._keys.holder(ask.resource)
        still = [kv.absent(lease), kv.unchanged(holder, current.holder_revision), *more.compares]
        then = [
            kv.put(lease, ask.token.encode(), pooled.lease_id),
            kv.put(holder, HolderEntry(*holder_fields)),
            *more.puts,
        ]
        if more.claim is not None:  # under the same etcd lease, so that owners of long ago leave nothing behind
            then.append(kv.put(self._keys.claim_by(ask.service, ask.owner), more.claim, pooled.lease_id))
        questions = [(TXN, kv.transaction(still, then, reads))]
        if not pooled.fresh:  # at the same time: it is enough that it is renewed after this call began
            questions.append((KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=pooled.lease_id)))
        try:
            written, *renewed = call.ask_all(*questions)
        except LeaseNotFound:  # a spare etcd lease that has ended by itself
            self.lease_pool.drop_spare(pooled.seconds)
            return 0, call.ask(TXN, kv.transaction([], reads))
        if not written.succeeded:
            if not call.repeated:  # else the key that prevented it may be our own
                self.lease_pool.give_back(pooled)
            return 0, written
        if renewed and renewed[0].TTL <= 0:
            raise call.give_up("the lease ended while it was taken")
        fence: int = written.header.revision
        self.lease_pool.remember(ask.token, HeldLease(pooled, fence, more.run))
        return fence, written

    def renew_again(self, call: Call, current: LeaseState) -> None:
        """Renew a lease that is asked for a second time: it lasts its whole TTL from now."""
        if call.ask(KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=current.lease_id)).TTL <= 0:
            raise call.give_up("the lease ended while it was asked for again")

    def refused(self, call: Call, resource: str, current: LeaseState) -> Refused:
        """Return the answer to another owner that asks for it."""
        self._watch.refused(resource, current.revision)
        left = call.ask(TIME_TO_LIVE, rpc.LeaseTimeToLiveRequest(ID=current.lease_id))
        return Refused(current.as_holder(), (max(0, left.TTL) + 1) * SECOND + _EXPIRY_DELAY_NS)

    def read_lease(self, call: Call, resource: str) -> LeaseState:
        """Read a resource's lease and holder."""
        return lease_from(call.ask(TXN, kv.transaction([], lease_reads(self._keys, resource))))

    def release_transaction(self, lease: Lease) -> Any:  # noqa: ANN401 - the client is not typed
        """Return the transaction that frees the resource, or reads its holder."""
        key = self._keys.lease(lease.resource)
        then = [kv.delete(key), kv.delete(self._keys.holder(lease.resource))]
        ours = [kv.same(key, lease.token.encode())]
        return kv.transaction(ours, then, lease_reads(self._keys, lease.resource))

    def freed(self, call: Call, lease: Lease, answer: Any) -> str:  # noqa: ANN401
        """Act on the answer to `release_transaction`; return the owner of the live lease, "" if there is none."""
        self.lease_pool.forget(lease.token, freed=answer.succeeded)
        if answer.succeeded:
            self._watch.freed(lease.resource)
            return ""
        current = lease_from(answer)
        if not current.live and current.holder.token == lease.token:  # it has expired, and its holder releases it now
            key = self._keys.holder(lease.resource)
            call.ask(TXN, kv.transaction([kv.unchanged(key, current.holder_revision)], [kv.delete(key)]))
        return current.holder.owner if current.live else ""
