"""Keep leases and ledger in an etcd cluster, shared by hosts and regions.

Each method reads, then writes in one transaction that is guarded by the revisions that it read. On a conflict,
another client was faster, and it reads again. Design: docs/stores.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
from aetcd import rpc

from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import (
    MANUAL,
    AlreadyClaimed,
    Claimed,
    ClaimWatch,
    Gone,
    Granted,
    Refused,
    Released,
    Renewed,
    Settled,
)
from tickglass.sched.registration import Registered
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.claim_state import claim_from, claim_reads, lease_from, lease_reads
from tickglass.sched.stores.etcd.client import KEEP_ALIVE, RANGE, TXN, EtcdClient
from tickglass.sched.stores.etcd.control import Control
from tickglass.sched.stores.etcd.instances import Instances
from tickglass.sched.stores.etcd.keys import EndedRun, Keys, LastEntry, Opened
from tickglass.sched.stores.etcd.layout import REFUSAL, Layout
from tickglass.sched.stores.etcd.locks import Locks
from tickglass.sched.stores.etcd.observer import Observer, job_shown
from tickglass.sched.stores.etcd.prune import Pruner
from tickglass.sched.stores.etcd.server_time import ClusterClock, closest_ns, dated_ns
from tickglass.sched.stores.etcd.settings import PREFIX, TIMEOUT_NS
from tickglass.sched.stores.etcd.watch import EtcdWatch
from tickglass.sched.stores.retention import KEEP_NS, shown_detail
from tickglass.sched.stores.run_times import run_times_ns
from tickglass.sched.stores.side_by_side import side_by_side, touched_by_claim, touched_by_settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.errors import StoreUnavailable
    from tickglass.sched.identity import JobId
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        Ahead,
        AuditRow,
        Beat,
        ClaimAnswer,
        ClaimAsk,
        ControlRecord,
        InstanceRecord,
        JobRecord,
        LeaseAsk,
        LeaseRecord,
        Orphan,
        RunRecord,
        Settlement,
    )
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.stores.etcd.claim_state import ClaimState
    from tickglass.sched.stores.etcd.client import Call
    from tickglass.sched.stores.etcd.settings import Endpoint

__all__ = ["EtcdStore"]

_TRIES: Final = 16  # a try fails only where another client succeeds, so this many in a row are no accident
_JOBS_AT_ONCE: Final = 40  # three operations each; by default a cluster takes 128 in one transaction
_OVERTAKEN: Final = f"others were faster {_TRIES} times in a row"


class EtcdStore:
    """A store for many hosts.

    Args:
        endpoints: members of one cluster; when one fails, the next is asked.
        clock: dates what is written, corrected by the cluster's clock; leases expire by the cluster's clock.
        user: "" when the cluster needs no login.
        prefix: what all keys begin with; it does not end in "/".
        keep_ns: how long the ledger remembers, see retention.py.
        timeout_ns: how long one method may take.

    Nothing is connected before the first use.
    """

    name = "etcd"
    own_clock = True

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        clock: Clock,
        *,
        user: str = "",
        password: str = "",
        prefix: str = PREFIX,
        keep_ns: int = KEEP_NS,
        timeout_ns: int = TIMEOUT_NS,
    ) -> None:
        self._ours = clock
        self._clock = ClusterClock(clock, self._ask_the_time)
        self._keys = Keys(prefix)
        layout = Layout(self._keys)
        self._client = EtcdClient(endpoints, layout, user=user, password=password, timeout_ns=timeout_ns)
        self._observer = Observer(self._client, self._keys, self._clock)
        self._instances = Instances(self._client, self._keys, self._clock)
        self._pruner = Pruner(self._client, self._keys, self._clock, keep_ns)
        self._watch = EtcdWatch(self._client, self._keys)
        self._locks = Locks(self._keys, self._clock, self._watch)
        self._control = Control(self._client, self._keys, self._clock, self._locks, self._watch)

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`; two round trips, three if the pool has no etcd lease."""
        with self._client.call("acquire") as call:
            reads = lease_reads(self._keys, ask.resource)
            answer = call.ask(TXN, kv.transaction([], reads))
            for _ in range(_TRIES):
                current = lease_from(answer)
                if current.live and current.token == ask.token:
                    self._locks.renew_again(call, current)
                    return Granted(current.fence, current.holder.expired_owner)
                if current.live:
                    return self._locks.refused(call, ask.resource, current)
                fence, answer = self._locks.grant(call, ask, current, reads)
                if fence:
                    return Granted(fence, current.holder.owner)
            raise call.give_up(_OVERTAKEN)

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`; one round trip, two for a lease that another process took.

        It lasts for the TTL that it was granted with.
        """
        with self._client.call("renew") as call:
            held, asked_ns = self._locks.lease_pool.recall(lease.token), self._locks.lease_pool.now_ns()
            if held is None:
                current, left_s = self._locks.read_lease(call, lease.resource), 0
                if current.live and current.token == lease.token:
                    left_s = call.ask(KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=current.lease_id)).TTL
            else:
                lease_question = (TXN, kv.transaction([], lease_reads(self._keys, lease.resource)))
                question = (KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=held.pooled.lease_id))
                read_reply, renewed = call.ask_all(lease_question, question)
                current, left_s = lease_from(read_reply), renewed.TTL
            if current.live and current.token == lease.token and left_s > 0:
                self._locks.lease_pool.renewed(lease.token, asked_ns)
                return Renewed()
            self._locks.lease_pool.forget(lease.token, freed=False)
            return Gone(current.holder.owner if current.live and current.token != lease.token else "")

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`; one round trip."""
        with self._client.call("release") as call:
            answer = call.ask(TXN, self._locks.release_transaction(lease), again=False)
            owner = self._locks.freed(call, lease, answer)
        return Released() if answer.succeeded else Gone(owner)

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; all releases are reported, and expiries too, from the last refusal on."""
        return self._watch.add(resource, freed)

    def allowance_ns(self, ttl_ns: int) -> int:
        """See `LockStore`; a TTL is rounded up, so the cluster's lease is never shorter than the trust in it."""
        return drift_allowance_ns(ttl_ns)

    def time_ns(self) -> int:
        """See `LockStore`: our own wall clock, unless the cluster's contradicts it.

        etcd reports its time to the second only, so the answer is the instant closest to ours within that second:
        a skew shows from a second on, and is never overstated.
        """
        return self._clock.compare()

    def close(self) -> None:
        """See `LockStore`."""
        self._watch.close()
        self._locks.lease_pool.revoke_spare(self._client)
        self._client.close()

    # --- the ledger

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`; one round trip for 40 jobs."""
        self._pruner.prune()
        wall_ns = self._clock.wall_ns()
        records = [replace(job, last_due_ns=None, seen_wall_ns=wall_ns) for job in jobs]
        stored: list[Registered] = []
        with self._client.call("register") as call:
            for first in range(0, len(records), _JOBS_AT_ONCE):
                some = records[first : first + _JOBS_AT_ONCE]
                puts = [kv.put(self._keys.job(job.job_id), job, prev_kv=True) for job in some]
                reads = [kv.get(self._keys.last(job.job_id)) for job in some]
                refusals = [kv.put(self._keys.refusing_old(name), REFUSAL) for name in {job.name for job in some}]
                answer = call.ask(TXN, kv.transaction([], puts + reads + refusals))
                for number, job in enumerate(some):
                    before = kv.replaced(answer, number)
                    last = kv.read(answer, len(some) + number)
                    due_ns = None if last is None else msgspec.json.decode(last.value, type=LastEntry).due_ns
                    job_now = replace(job, last_due_ns=due_ns)
                    stored.append(Registered(job_now, None if before is None else job_shown(before, last)))
        return stored

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`; two round trips, three if the pool has no etcd lease, and one for a claim that is lost.

        Whether it comes too early is decided here, by what the cluster last reported of its clock.
        """
        ahead = self._ahead(ask)
        with self._client.call("claim") as call:
            reads = claim_reads(self._keys, ask)
            answer = call.ask(TXN, kv.transaction([], reads))
            for _ in range(_TRIES):
                found = claim_from(answer)
                taken = self._answer_if_taken(call, ask, found)
                if taken is not None:
                    return taken
                if ahead is not None:
                    return ahead
                if found.lease.live:
                    return self._locks.refused(call, ask.lease.resource, found.lease)
                run = found.next_attempt(ask, self._clock.wall_ns())
                writes = found.writes(self._keys, ask, run)
                fence, answer = self._locks.grant(call, ask.lease, found.lease, reads, writes)
                if fence:
                    return Claimed(fence, run.attempt, run.previous_run_id, found.lease.holder.owner)
            raise call.give_up(_OVERTAKEN)

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """See `Ledger`; single requests, some at once."""
        return side_by_side(self.claim, asks, touched_by_claim)

    def watch_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> ClaimWatch:
        """See `ClaimFeed`; while there is a connection, all claims of instances that have this method."""
        return ClaimWatch(self._watch.add_claims(service, owner, on_claim))

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`; one round trip, two for a claim of another process, and one more where nothing was recorded."""
        lease, due = settlement.lease, (settlement.job_id, settlement.due_ns)
        with self._client.call("settle") as call:
            claim = self._claim_of(call, settlement)
            parts = []
            if claim is not None:
                run = claim.run
                started_ns, ended_ns = run_times_ns(settlement, run.claimed_wall_ns, self._clock.wall_ns())
                told = (ended_ns, shown_detail(settlement.detail), started_ns, settlement.lateness_ns)
                ended = EndedRun(run, claim.fence, settlement.outcome, *told, settlement.ran_ns)
                move = [kv.put(self._keys.run(*due, run.attempt), ended), kv.delete(self._keys.open(*due))]
                parts = [kv.nested(kv.transaction([kv.unchanged(self._keys.open(*due), claim.revision)], move))]
            release_transaction = kv.nested(self._locks.release_transaction(lease))
            answer = call.ask(TXN, kv.transaction([], [release_transaction, *parts]), again=False)
            freed, *moved = (part.response_txn for part in answer.responses)
            self._locks.freed(call, lease, freed)
            recorded = bool(moved) and moved[0].succeeded
            earlier = not recorded and self._is_settled_as(call, settlement)
        return Settled(recorded, freed.succeeded, earlier)

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        """See `Ledger`; single requests, some at once."""
        return side_by_side(self.settle, settlements, touched_by_settlement)

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`; two round trips per thousand unsettled claims."""
        self._pruner.prune_now_and_then()
        return self._observer.orphans(frozenset(jobs), limit)

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`; two round trips."""
        with self._client.call("abandon") as call:
            key = self._keys.open(orphan.job_id, orphan.due_ns)
            found = self._opened(call, key)
            if found is None or (found.run.run_id, found.run.attempt) != (orphan.run_id, orphan.attempt):
                return False
            ended = EndedRun(found.run, found.fence, "orphaned", self._clock.wall_ns())
            lease = self._keys.lease(found.run.resource)
            still = [kv.unchanged(key, found.revision), kv.not_created(lease, found.fence)]
            move = [kv.put(self._keys.run(orphan.job_id, orphan.due_ns, found.run.attempt), ended), kv.delete(key)]
            return bool(call.ask(TXN, kv.transaction(still, move), again=False).succeeded)

    def forget(self, job: JobId) -> bool:
        """See `Ledger`; one round trip, in one transaction."""
        keys = self._keys
        ranges = [kv.delete(first, kv.after_prefix(first)) for first in (keys.opens_of(job), keys.runs_of(job))]
        singles = [keys.job(job), keys.last(job), keys.last(job, MANUAL)]
        with self._client.call("forget") as call:
            answer = call.ask(TXN, kv.transaction([], [*map(kv.delete, singles), *ranges]))
        return any(part.response_delete_range.deleted for part in answer.responses)

    # --- instances

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`; some five round trips, and one for each thousand jobs."""
        self._instances.join(instance, jobs)

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        return self._instances.beat(instance)

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """See `Membership`."""
        with self._client.call("unregistered") as call:
            reads = [kv.get(self._keys.job(job), keys_only=True) for job in jobs]
            answer = call.ask(TXN, kv.transaction([], reads))
        return [job for number, job in enumerate(jobs) if kv.read(answer, number) is None]

    # --- control

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """See `ControlStore`."""
        return self._control.read(known_version)

    def write_control(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore`."""
        return self._control.write(record, entry)

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """See `ControlStore`."""
        return self._control.audit(limit, before)

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`; all waiters see the key of the lease deleted."""
        return self._control.unlock(resource, fence, detail)

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`; ages are by wall clocks, remaining times are exact to half a second."""
        return self._observer.leases(limit)

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        return self._observer.jobs()

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._observer.runs(job, limit, before_ns)

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._observer.abandoned(limit)

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`; silence is counted by the cluster's clock."""
        return self._instances.all()

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`."""
        return self._instances.job_set(fingerprint)

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`: leases without the key that names their holder; no other key names another."""
        return self._observer.missing.take()

    # --- the cluster's clock

    def _ask_the_time(self) -> int:
        with self._client.call("time_ns") as call:
            call.ask(RANGE, rpc.RangeRequest(key=self._keys.leases))  # it answers, and the cluster has a leader
            endpoint = self._client.connection().endpoint
            asked = self._ours.reading()
            reported_ns = dated_ns(endpoint.host, endpoint.port, call.left_s)
            return closest_ns(asked, self._ours.monotonic_ns(), reported_ns)

    def _ahead(self, ask: ClaimAsk) -> Ahead | None:
        """Return the refusal of a claim that comes too early; before it is refused, the clocks are compared again."""
        if ask.max_ahead_ns is None:
            return None
        if self._clock.compared and ask.ahead_at(self._clock.wall_ns()) is None:
            return None
        return ask.ahead_at(self._clock.compare())

    # --- inside a call

    def _answer_if_taken(self, call: Call, ask: ClaimAsk, found: ClaimState) -> Claimed | AlreadyClaimed | None:
        """Return the answer for an occurrence that is not free; None if it is free."""
        begun, current = found.begun, found.lease
        if begun is None:
            ended = found.ended
            return None if ended is None else AlreadyClaimed(ended.claim.owner, ended.outcome)
        run = begun.run
        if run.resource != ask.lease.resource:
            current = self._locks.read_lease(call, run.resource)
        alive = current.fence == begun.fence
        if alive and run.run_id == ask.lease.run_id:
            self._locks.renew_again(call, current)
            return Claimed(current.fence, run.attempt, run.previous_run_id, current.holder.expired_owner)
        return AlreadyClaimed(run.owner, None) if alive or not ask.rerun else None

    def _claim_of(self, call: Call, settlement: Settlement) -> Opened | None:
        """Return the claim to settle; None if that run has none."""
        held = self._locks.lease_pool.recall(settlement.lease.token)
        if held is not None and held.claim is not None and held.claim.run_id == settlement.run_id:
            return Opened(held.claim, held.fence)
        found = self._opened(call, self._keys.open(settlement.job_id, settlement.due_ns))
        return found if found is not None and found.run.run_id == settlement.run_id else None

    def _is_settled_as(self, call: Call, settlement: Settlement) -> bool:
        """Whether this run was settled with this outcome before."""
        attempts = self._keys.runs_at(settlement.job_id, settlement.due_ns)
        found = call.ask(RANGE, rpc.RangeRequest(key=attempts, range_end=kv.after_prefix(attempts), limit=1)).kvs
        if not found:
            return False
        ended = msgspec.json.decode(found[0].value, type=EndedRun)
        return (ended.claim.run_id, ended.outcome) == (settlement.run_id, settlement.outcome)

    def _opened(self, call: Call, key: bytes) -> Opened | None:
        found = call.ask(RANGE, rpc.RangeRequest(key=key)).kvs
        return Opened.read(found[0]) if found else None
