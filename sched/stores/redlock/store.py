"""Keep leases and ledger by majority over several independent Redis servers.

Each server holds what a store of its own would hold (redis/, same scripts); this asks all of
them at once, and counts. What that guarantees and what it does not: docs/stores.md.

Source: the Redlock algorithm, redis.io/docs, with fences: M. Kleppmann, "How to do
distributed locking", 2016, says why a lease alone does not protect data.
"""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import Beat, Claimed, Granted, Refused, Released, Renewed
from tickglass.sched.stores.redis import instances as members
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redis.store import RedisStore
from tickglass.sched.stores.redis.topology import Direct
from tickglass.sched.stores.redlock.ballot import BY_HAND, Ballot, Occurrence, Won
from tickglass.sched.stores.redlock.control import RedlockControl
from tickglass.sched.stores.redlock.ledger import RedlockLedger
from tickglass.sched.stores.redlock.leftovers import Leftovers
from tickglass.sched.stores.redlock.quorum import Quorum
from tickglass.sched.stores.redlock.votes import (
    beat_of,
    gone_of,
    merged_instances,
    merged_jobs,
    merged_leases,
    merged_registration,
    merged_runs,
    whole_pages,
)
from tickglass.sched.stores.retention import KEEP_NS
from tickglass.sched.stores.side_by_side import side_by_side, touched_by_claim, touched_by_settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        AuditRow,
        ClaimAnswer,
        ClaimAsk,
        ControlRecord,
        Gone,
        InstanceRecord,
        JobRecord,
        LeaseAsk,
        LeaseRecord,
        Orphan,
        RunRecord,
        Settled,
        Settlement,
    )
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.registration import Registered
    from tickglass.sched.stores.redis.control import StoredAct
    from tickglass.sched.stores.redis.topology import Credentials, Server

__all__ = ["RedlockStore"]

T = TypeVar("T")

_ABANDON_ROUNDS: Final = 24
_REGISTER_PAGE: Final = 500


class RedlockStore:
    """A store over an odd number of servers that know nothing of each other.

    Args:
        servers: three or more; a minority of them may fail.
        credentials: with the timeout of one request to one server.
        drift_ns: how long before its end a lease is not trusted any more, if that is more than usual.
        timeout_given: whether that timeout holds for short leases too.

    Raises:
        ConfigError: redis-py is not installed, or the number of servers gives no majority.
    """

    name = "redlock"
    own_clock = True

    def __init__(
        self,
        servers: Sequence[Server],
        credentials: Credentials,
        *,
        prefix: str = "tickglass",
        keep_ns: int = KEEP_NS,
        drift_ns: int = 0,
        timeout_given: bool = True,
    ) -> None:
        if len(servers) < 3 or len(servers) % 2 == 0:
            raise ConfigError(f"redlock needs an odd number of servers, three or more, not {len(servers)}")
        self._quorum = Quorum(servers, f"{{{prefix}}}", credentials)
        self._nodes = [RedisStore(Direct(server), credentials, prefix=prefix, keep_ns=keep_ns) for server in servers]
        self._leftovers = Leftovers(self._quorum)
        self._ledger = RedlockLedger(self._quorum, self._leftovers)
        self._drift_ns = drift_ns
        self._ballot = Ballot(
            self._quorum, self._ledger, self._leftovers, credentials, self.allowance_ns, timeout_given=timeout_given
        )
        self._control = RedlockControl(self._quorum, self._acts, self._ballot.pause)
        self._client_id = uuid.uuid4().hex
        self._count = itertools.count()

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`."""
        won = self._ballot.hold("acquire", lua.ACQUIRE, lambda fence: lua.acquire_args(ask, fence), ask, BY_HAND)
        if isinstance(won, Won):
            return Granted(won.fence, won.expired_owner)
        assert isinstance(won, Refused)  # noqa: S101 - an acquisition has no other answer
        return won

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`.

        Raises:
            StoreUnavailable: also when so many servers are away that neither answer is certain.
        """
        timeout_ns = self._ballot.timeout_ns(lease.ttl_ns)
        replies = self._quorum.ask("renew", lua.RENEW, lua.renew_args(lease), timeout_ns=timeout_ns)
        renewed = sum(reply[0] == "renewed" for reply in replies.values())
        if renewed >= self._quorum.needed:
            return Renewed()
        if len(replies) - renewed <= self._quorum.size - self._quorum.needed:
            detail = f"{renewed} servers renewed it, {len(replies) - renewed} have it no more, the others are silent"
            raise StoreUnavailable(self.name, "renew", detail)
        return gone_of(replies.values(), self._quorum.needed)

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`; `Gone` only if a majority did not have it any more, even counting the silent servers."""
        args = lua.release_args(lease, self._ballot.question(lease.fence))
        replies = self._leftovers.ask((lease.token,), "release", lua.RELEASE, args)
        released = sum(reply[0] == "released" for reply in replies.values())
        may_have = released + self._quorum.size - len(replies)
        return Released() if may_have >= self._quorum.needed else gone_of(replies.values(), self._quorum.needed)

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; each server publishes it, so `freed` is called up to once for each."""
        ends = [node.watch(resource, freed) for node in self._nodes]

        def end() -> None:
            for end_one in ends:
                end_one()

        return end

    def allowance_ns(self, ttl_ns: int) -> int:
        """See `LockStore`; several clocks count down, and the `drift` of the URL may be larger."""
        return max(self._drift_ns, drift_allowance_ns(ttl_ns))

    def time_ns(self) -> int:
        """See `LockStore`: the median of those that answer."""
        times = sorted(self._views("time", RedisStore.time_ns))
        return times[len(times) // 2]

    def close(self) -> None:
        """See `LockStore`."""
        self._quorum.close()
        for node in self._nodes:
            node.close()

    # --- the ledger

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`; pages of many jobs, each on a majority at least."""
        self._quorum.check_rights("register")
        stored: list[Registered] = []
        for start in range(0, len(jobs), _REGISTER_PAGE):
            page = [word for job in jobs[start : start + _REGISTER_PAGE] for word in lua.job_args(job)]
            replies = self._quorum.ask("register", lua.REGISTER, page)
            views = [[lua.registered(row) for row in rows] for rows in replies.values()]
            stored += [merged_registration(rows) for rows in zip(*views, strict=True)]
        for node in self._nodes:
            node.prune()
        return stored

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`."""
        occurrence = Occurrence(str(ask.job_id), lua.due_text(ask.due_ns))
        won = self._ballot.hold("claim", lua.CLAIM, lambda fence: lua.claim_args(ask, fence), ask.lease, occurrence)
        if isinstance(won, Won):
            return Claimed(won.fence, won.attempt, won.previous_run_id, won.expired_owner)
        if isinstance(won, Refused) and not won.holder.job:
            return replace(won, holder=replace(won.holder, job=ask.lease.job)) if won.holder.run_id else won
        return won

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """See `Ledger`; single requests, some at once."""
        return side_by_side(self.claim, asks, touched_by_claim)

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`; recorded if a majority has it, released if a majority freed it, or may have."""
        return self._ledger.settle(settlement, self._call_id())

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        """See `Ledger`; single requests, some at once."""
        return side_by_side(self.settle, settlements, touched_by_settlement)

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`: claims that a majority reports as abandoned, or some servers do and none contradicts."""
        if limit <= 0:
            return []
        views = self._views("orphans", lambda node: node.orphans(jobs, limit))
        return self._ledger.abandoned(views)[:limit]

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`."""
        for round_ in range(_ABANDON_ROUNDS):
            won = self._ledger.abandon(orphan, self._call_id())
            if won is not None:
                return won
            self._ballot.pause(round_)
        return False

    def forget(self, job: JobId) -> bool:
        """See `Ledger`; on a majority at least: a server that was away still has it, and is asked next time."""
        known, more = False, True
        while more:
            replies = self._quorum.ask("forget", lua.FORGET, (str(job), _REGISTER_PAGE)).values()
            known = known or any(found for found, _ in replies)
            more = any(left for _, left in replies)
        return known

    # --- instances

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`; on a majority at least."""
        self._quorum.ask("join", members.JOIN, members.join_args(instance, jobs))

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`; forgotten if a majority has forgotten it."""
        replies = self._quorum.ask("beat", members.BEAT, members.beat_args(instance))
        return beat_of([Beat(reply) for reply in replies.values()], self._quorum.needed)

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """See `Membership`: those that a server has no record of, because a registration writes to all servers."""
        found = set().union(*self._views("unregistered", lambda node: node.unregistered(jobs)))
        return [job for job in jobs if job in found]

    # --- control

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """See `ControlStore`; what a majority has."""
        return self._control.read(known_version)

    def write_control(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore`; on a majority at least, and what has less is never shown."""
        return self._control.write(record, entry)

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """See `ControlStore`; the acts that made what a majority has."""
        return self._control.audit(limit, before)

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`; a majority had the lease, or may have. Each server publishes it."""
        return self._control.unlock(resource, fence, detail, self._call_id())

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`; what a majority has, or may have."""
        views = whole_pages(self._views("leases", lambda node: node.leases(limit)), limit)
        return merged_leases(views, self._quorum.needed, self._quorum.size)

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        return merged_jobs(self._views("jobs", RedisStore.jobs))

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`; what is settled, or what a majority has, or may have."""
        if limit <= 0:
            return []
        views = self._views("runs", lambda node: node.runs(job, limit, before_ns=before_ns))
        return merged_runs(views, self._quorum.needed, self._quorum.size)[:limit]

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`; claims that a majority reports as abandoned, or may."""
        views = self._views("abandoned", lambda node: node.abandoned(limit))
        return merged_runs(views, self._quorum.needed, self._quorum.size)[::-1][: max(0, limit)]

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`; each as it was heard of last."""
        return merged_instances(self._views("instances", RedisStore.instances))

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`; of any server, because the same fingerprint means the same names."""
        views = self._views("job_set", lambda node: node.job_set(fingerprint))
        return next((names for names in views if names is not None), None)

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`; of any server, each once."""
        return list(dict.fromkeys(record for node in self._nodes for record in node.missing()))

    # --- inside

    def _call_id(self) -> str:
        return f"{self._client_id}-{next(self._count)}"

    def _acts(self, limit: int, before: int) -> list[Sequence[StoredAct]]:
        return self._views("audit", lambda node: node.acts(limit, before))

    def _views(self, operation: str, read: Callable[[RedisStore], T]) -> list[T]:
        """Read from each server; a minority may be away.

        Raises:
            StoreUnavailable: more than a minority is away.
        """
        self._quorum.check_usable(operation)
        views, failures = [], []
        for node in self._nodes:
            try:
                views.append(read(node))
            except StoreUnavailable as error:
                failures.append(error)
        if len(views) < self._quorum.needed:
            detail = f"{len(views)} of {len(self._nodes)} servers answered ({failures[0].detail})"
            kinds = {failure.kind for failure in failures}
            kind = "error" if kinds == {"error"} else "unavailable"
            raise StoreUnavailable(self.name, operation, detail, kind=kind) from failures[0]
        return views
