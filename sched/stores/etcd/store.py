"""Keep leases and ledger in an etcd cluster, shared by hosts and regions.

Each method reads what it decides by, then writes in one transaction that holds only if nothing of that has
changed; if something has, somebody else went ahead, and it reads again. Design: docs/stores.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
from aetcd import rpc

from tickglass.sched.ahead import ahead_of
from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import AlreadyClaimed, Claimed, Gone, Granted, Refused, Released, Renewed, Settled
from tickglass.sched.registration import Registered
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.claim_state import claim_from, claim_reads, lease_from, lease_reads
from tickglass.sched.stores.etcd.client import KEEP_ALIVE, RANGE, TXN, EtcdClient
from tickglass.sched.stores.etcd.keys import EndedRun, Keys, LastEntry, OpenRun
from tickglass.sched.stores.etcd.locks import Locks
from tickglass.sched.stores.etcd.observer import Observer, job_shown
from tickglass.sched.stores.etcd.prune import Pruner
from tickglass.sched.stores.etcd.server_time import ClusterClock, closest_ns, dated_ns
from tickglass.sched.stores.etcd.settings import PREFIX, TIMEOUT_NS
from tickglass.sched.stores.etcd.watch import LeaseWatch
from tickglass.sched.stores.retention import KEEP_NS, shown_detail
from tickglass.sched.stores.run_times import run_times_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.ahead import Ahead
    from tickglass.sched.clock import Clock
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        ClaimAsk,
        JobRecord,
        LeaseAsk,
        LeaseRecord,
        Orphan,
        RunRecord,
        Settlement,
    )
    from tickglass.sched.stores.etcd.claim_state import ClaimState
    from tickglass.sched.stores.etcd.client import Call
    from tickglass.sched.stores.etcd.settings import Endpoint

__all__ = ["EtcdStore"]

_TRIES: Final = 16  # a try that fails is another's success, so this many in a row are no accident
_JOBS_AT_ONCE: Final = 60  # two operations each; a cluster takes 128 in one transaction, unless told otherwise
_OVERTAKEN: Final = f"others were faster {_TRIES} times in a row"


class EtcdStore:
    """A store for many hosts.

    Args:
        endpoints: members of one cluster; the next is asked when one fails.
        clock: corrected by what the cluster says of its own, it dates what is written; leases expire by the cluster's.
        user: "" when the cluster asks for no names.
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
        self._wire = EtcdClient(endpoints, user=user, password=password, timeout_ns=timeout_ns)
        self._observer = Observer(self._wire, self._keys, self._clock)
        self._pruner = Pruner(self._wire, self._keys, self._clock, keep_ns)
        self._watch = LeaseWatch(self._wire, self._keys)
        self._locks = Locks(self._keys, self._clock, self._watch)

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`; two round trips, three if no etcd lease is at hand."""
        with self._wire.call("acquire") as call:
            looks = lease_reads(self._keys, ask.resource)
            answer = call.ask(TXN, kv.transaction([], looks))
            for _ in range(_TRIES):
                seen = lease_from(answer)
                if seen.live and seen.token == ask.token:
                    self._locks.renew_again(call, seen)
                    return Granted(seen.fence, seen.holder.expired_owner)
                if seen.live:
                    return self._locks.refused(call, ask.resource, seen)
                fence, answer = self._locks.grant(call, ask, seen, looks)
                if fence:
                    return Granted(fence, seen.holder.owner)
            raise call.give_up(_OVERTAKEN)

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`; one round trip, two for a lease that another process took.

        It lasts for the TTL that it was granted for.
        """
        with self._wire.call("renew") as call:
            mine = self._locks.countdowns.recall(lease.token)
            if mine is None:
                seen, left_s = self._locks.look(call, lease.resource), 0
                if seen.live and seen.token == lease.token:
                    left_s = call.ask(KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=seen.lease_id)).TTL
            else:
                look = (TXN, kv.transaction([], lease_reads(self._keys, lease.resource)))
                question = (KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=mine.countdown.lease_id))
                looked, renewed = call.ask_all(look, question)
                seen, left_s = lease_from(looked), renewed.TTL
            if seen.live and seen.token == lease.token and left_s > 0:
                return Renewed()
            self._locks.countdowns.forget(lease.token, freed=False)
            return Gone(seen.holder.owner if seen.live and seen.token != lease.token else "")

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`; one round trip."""
        with self._wire.call("release") as call:
            answer = call.ask(TXN, self._locks.freeing(lease), again=False)
            owner = self._locks.freed(call, lease, answer)
        return Released() if answer.succeeded else Gone(owner)

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; everybody is told, of expiry too, from the moment of the last refusal on."""
        return self._watch.add(resource, freed)

    def allowance_ns(self, ttl_ns: int) -> int:
        """See `LockStore`; a TTL is rounded up, so the cluster only ever waits longer than we trust."""
        return drift_allowance_ns(ttl_ns)

    def time_ns(self) -> int:
        """See `LockStore`: our own wall clock, as far as the cluster's does not contradict it.

        etcd tells the time to the second only, so what is returned is the instant closest to ours that it may
        have meant: a skew shows from a second on, and is never overstated.
        """
        return self._clock.compare()

    def close(self) -> None:
        """See `LockStore`."""
        self._watch.close()
        self._locks.countdowns.revoke_spare(self._wire)
        self._wire.close()

    # --- the ledger

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`; one round trip for 60 jobs."""
        self._pruner.prune()
        wall_ns = self._clock.wall_ns()
        records = [replace(job, last_due_ns=None, seen_wall_ns=wall_ns) for job in jobs]
        stored: list[Registered] = []
        with self._wire.call("register") as call:
            for first in range(0, len(records), _JOBS_AT_ONCE):
                some = records[first : first + _JOBS_AT_ONCE]
                puts = [kv.put(self._keys.job(job.name), job, prev_kv=True) for job in some]
                looks = [kv.get(self._keys.last(job.name)) for job in some]
                answer = call.ask(TXN, kv.transaction([], puts + looks))
                for number, job in enumerate(some):
                    before = kv.replaced(answer, number)
                    last = kv.read(answer, len(some) + number)
                    due_ns = None if last is None else msgspec.json.decode(last.value, type=LastEntry).due_ns
                    job_now = replace(job, last_due_ns=due_ns)
                    stored.append(Registered(job_now, None if before is None else job_shown(before, last)))
        return stored

    def claim(self, ask: ClaimAsk) -> Claimed | AlreadyClaimed | Refused | Ahead:
        """See `Ledger`; two round trips, three if no etcd lease is at hand, and one for a claim that is lost.

        Whether it comes too early is judged here, by what the cluster last said of its clock.
        """
        ahead = self._ahead(ask)
        with self._wire.call("claim") as call:
            looks = claim_reads(self._keys, ask)
            answer = call.ask(TXN, kv.transaction([], looks))
            for _ in range(_TRIES):
                place = claim_from(answer)
                taken = self._taken(call, ask, place)
                if taken is not None:
                    return taken
                if ahead is not None:
                    return ahead
                if place.seen.live:
                    return self._locks.refused(call, ask.lease.resource, place.seen)
                run = place.next_attempt(ask, self._clock.wall_ns())
                writing = place.writing(self._keys, ask, run)
                fence, answer = self._locks.grant(call, ask.lease, place.seen, looks, *writing, run)
                if fence:
                    return Claimed(fence, run.attempt, run.previous_run_id, place.seen.holder.owner)
            raise call.give_up(_OVERTAKEN)

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`; one round trip, two for a claim of another process, and one more where nothing was recorded."""
        lease, due = settlement.lease, (settlement.job, settlement.due_ns)
        with self._wire.call("settle") as call:
            run, fence = self._claim_of(call, settlement)
            parts = []
            if run is not None:
                started_ns, ended_ns = run_times_ns(settlement, run.claimed_wall_ns, self._clock.wall_ns())
                told = (ended_ns, shown_detail(settlement.detail), started_ns, settlement.lateness_ns)
                ended = EndedRun(run, fence, settlement.outcome, *told)
                move = [kv.put(self._keys.run(*due, run.attempt), ended), kv.delete(self._keys.open(*due))]
                parts = [kv.nested(kv.transaction([kv.unchanged(self._keys.open(*due), fence)], move))]
            freeing = kv.nested(self._locks.freeing(lease))
            answer = call.ask(TXN, kv.transaction([], [freeing, *parts]), again=False)
            freed, *moved = (part.response_txn for part in answer.responses)
            self._locks.freed(call, lease, freed)
            recorded = bool(moved) and moved[0].succeeded
            earlier = not recorded and self._ended_so(call, settlement)
        return Settled(recorded, freed.succeeded, earlier)

    def orphans(self, jobs: Sequence[str], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`; two round trips per thousand unsettled claims."""
        self._pruner.prune_now_and_then()
        return self._observer.orphans(frozenset(jobs), limit)

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`; two round trips."""
        with self._wire.call("abandon") as call:
            key = self._keys.open(orphan.job, orphan.due_ns)
            run, fence = self._begun(call, key)
            if run is None or (run.run_id, run.attempt) != (orphan.run_id, orphan.attempt):
                return False
            ended = EndedRun(run, fence, "orphaned", self._clock.wall_ns())
            still = [kv.unchanged(key, fence), kv.not_created(self._keys.lease(run.resource), fence)]
            move = [kv.put(self._keys.run(orphan.job, orphan.due_ns, run.attempt), ended), kv.delete(key)]
            return bool(call.ask(TXN, kv.transaction(still, move), again=False).succeeded)

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`; ages are by wall clocks, rests are true to half a second."""
        return self._observer.leases(limit)

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        return self._observer.jobs()

    def runs(self, job: str | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._observer.runs(job, limit, before_ns)

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._observer.abandoned(limit)

    # --- the cluster's clock

    def _ask_the_time(self) -> int:
        with self._wire.call("time_ns") as call:
            call.ask(RANGE, rpc.RangeRequest(key=self._keys.leases))  # it answers, and has a leader
            endpoint = self._wire.line().endpoint
            asked_ns = self._ours.wall_ns()
            told_ns = dated_ns(endpoint.host, endpoint.port, call.left_s)
            return closest_ns(self._ours, asked_ns, told_ns)

    def _ahead(self, ask: ClaimAsk) -> Ahead | None:
        """Return the refusal of a claim that comes too early, by a comparison made for it: an old one may be wrong."""
        if ask.max_ahead_ns is None:
            return None
        if self._clock.compared and ahead_of(ask, self._clock.wall_ns()) is None:
            return None
        return ahead_of(ask, self._clock.compare())

    # --- inside a call

    def _taken(self, call: Call, ask: ClaimAsk, place: ClaimState) -> Claimed | AlreadyClaimed | None:
        """Return the answer for an occurrence that is not free, None for one that is."""
        run, seen = place.begun, place.seen
        if run is None:
            ended = place.ended
            return None if ended is None else AlreadyClaimed(ended.claim.owner, ended.outcome)
        if run.resource != ask.lease.resource:
            seen = self._locks.look(call, run.resource)
        alive = seen.fence == place.begun_fence
        if alive and run.run_id == ask.lease.run_id:
            self._locks.renew_again(call, seen)
            return Claimed(seen.fence, run.attempt, run.previous_run_id, seen.holder.expired_owner)
        return AlreadyClaimed(run.owner, None) if alive or not ask.rerun else None

    def _claim_of(self, call: Call, settlement: Settlement) -> tuple[OpenRun | None, int]:
        """Return the claim to settle and its fence, None if there is none of that run."""
        mine = self._locks.countdowns.recall(settlement.lease.token)
        if mine is not None and mine.claim is not None and mine.claim.run_id == settlement.run_id:
            return mine.claim, mine.fence
        run, fence = self._begun(call, self._keys.open(settlement.job, settlement.due_ns))
        return (run, fence) if run is not None and run.run_id == settlement.run_id else (None, 0)

    def _ended_so(self, call: Call, settlement: Settlement) -> bool:
        """Whether this run has been settled, and so, before."""
        attempts = self._keys.runs_at(settlement.job, settlement.due_ns)
        found = call.ask(RANGE, rpc.RangeRequest(key=attempts, range_end=kv.after_prefix(attempts), limit=1)).kvs
        if not found:
            return False
        ended = msgspec.json.decode(found[0].value, type=EndedRun)
        return (ended.claim.run_id, ended.outcome) == (settlement.run_id, settlement.outcome)

    def _begun(self, call: Call, key: bytes) -> tuple[OpenRun | None, int]:
        found = call.ask(RANGE, rpc.RangeRequest(key=key)).kvs
        if not found:
            return None, 0
        return msgspec.json.decode(found[0].value, type=OpenRun), found[0].mod_revision
