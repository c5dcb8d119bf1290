"""Keep leases and ledger in Redis, shared by all processes that reach it.

Each method is one script, atomic on the server and one round trip (observers: one per
page). All time is the server's. Design: docs/stores.md; keys: common.lua.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import Beat, ClaimWatch
from tickglass.sched.stores.missing_log import MissingLog
from tickglass.sched.stores.redis import instances as members
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redis.connections import RedisConnections
from tickglass.sched.stores.redis.control import RedisControl
from tickglass.sched.stores.redis.watch import RedisWatch
from tickglass.sched.stores.retention import KEEP_NS, LATEST_KEPT, PRUNE_EVERY_NS, ended_keep_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        AuditRow,
        ClaimAnswer,
        ClaimAsk,
        ControlRecord,
        Gone,
        Granted,
        InstanceRecord,
        JobRecord,
        LeaseAsk,
        LeaseRecord,
        Orphan,
        Refused,
        Released,
        Renewed,
        RunRecord,
        Settled,
        Settlement,
    )
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.registration import Registered
    from tickglass.sched.stores.redis.control import StoredAct
    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Credentials, ServerLocator

__all__ = ["RedisStore"]

_PAGE: Final = 500  # rows: the server does nothing else for about a millisecond
_PRUNE_JOBS: Final = 100
_PRUNE_ROWS: Final = 200  # in all: the server does nothing else for some 3 ms
_PRUNE_AT_MAX_NS: Final = 500 * MS  # the rest next time: the caller waits for this
_PRUNE_LEASES_AT_MAX_NS: Final = 100 * MS  # of it
_CHECK_OPEN_EVERY_NS: Final = 600 * SECOND  # a list is seldom deleted, and each job costs the server some 20 us
_CHECK_OPEN_AT_MAX_NS: Final = 100 * MS
_CHECK_OPEN_JOBS: Final = 50
_CHECK_OPEN_ROWS: Final = 4  # of each job: what has no end is among its latest attempts


class RedisStore:
    """A store for a fleet. No connection is made before the first call.

    Args:
        locator: finds the server: the one that the URL names, or through Sentinel or a Cluster.
        prefix: what all keys begin with, in braces; stores with different ones do not see each other.
        keep_ns: how long the ledger remembers, see retention.py.

    Raises:
        ConfigError: redis-py is not installed.
    """

    name = "redis"
    own_clock = True

    def __init__(
        self, locator: ServerLocator, credentials: Credentials, *, prefix: str = "tickglass", keep_ns: int = KEEP_NS
    ) -> None:
        self._connections = RedisConnections(self.name, f"{{{prefix}}}", locator, credentials)
        self._watch = RedisWatch(self._connections)
        self._control = RedisControl(self._connections)
        self._keep_ns = keep_ns
        self._real = SystemClock()
        self._pruned_ns = self._real.monotonic_ns()
        self._pruned_to = ""
        self._leases_pruned_to = ""
        self._open_checked_ns = self._pruned_ns
        self._open_checked_to = ""
        self._missing = MissingLog()
        self._client_id = uuid.uuid4().hex
        self._count = itertools.count()

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`."""
        return lua.acquired(self._connections.run("acquire", lua.ACQUIRE, *lua.acquire_args(ask)))

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`."""
        return lua.renewed(self._connections.run("renew", lua.RENEW, *lua.renew_args(lease)))

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`; never sent twice, because the second answer would be `Gone`."""
        args = lua.release_args(lease, lease.fence)
        return lua.released(self._connections.run("release", lua.RELEASE, *args, again=False))

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; releases by all processes are reported."""
        return self._watch.add(resource, freed)

    allowance_ns = staticmethod(drift_allowance_ns)

    def time_ns(self) -> int:
        """See `LockStore`."""
        seconds, microseconds = self._connections.ask("time", "TIME")
        return (int(seconds) * 1_000_000 + int(microseconds)) * 1_000

    def close(self) -> None:
        """See `LockStore`."""
        self._watch.close()
        self._connections.close()

    # --- the ledger

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`; many jobs are written in pages, each page at once.

        Raises:
            StoreUnavailable: also when the user lacks a right, including the rights to subscribe.
        """
        self._connections.check_rights("register", {job.service for job in jobs})
        stored = []
        for start in range(0, len(jobs), _PAGE):
            page = [word for job in jobs[start : start + _PAGE] for word in lua.job_args(job)]
            stored += self._connections.run("register", lua.REGISTER, *page)
        self.prune()
        return [lua.registered(row) for row in stored]

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`."""
        return lua.claimed(self._connections.run("claim", lua.CLAIM, *lua.claim_args(ask)))

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """See `Ledger`; one script, in a Cluster too, because all keys of a store share a slot."""
        replies = self._batch("claim_many", lua.CLAIM_MANY, [lua.claim_args(ask) for ask in asks])
        return [reply if isinstance(reply, StoreUnavailable) else lua.claimed(reply) for reply in replies]

    def watch_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> ClaimWatch:
        """See `ClaimFeed`; while there is a connection, all claims but those of owners with the same seat."""
        return ClaimWatch(self._watch.add_claims(service, owner, on_claim))

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`."""
        args = lua.settle_args(settlement, self._call_id())
        return lua.settled(self._connections.run("settle", lua.SETTLE, *args), settlement)

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        """See `Ledger`; one script. Each settlement has a call id of its own."""
        args = [lua.settle_args(settlement, self._call_id()) for settlement in settlements]
        return [
            reply if isinstance(reply, StoreUnavailable) else lua.settled(reply, settlement)
            for reply, settlement in zip(self._batch("settle_many", lua.SETTLE_MANY, args), settlements, strict=True)
        ]

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`."""
        wanted, found = frozenset(map(str, jobs)), []
        if wanted and limit > 0:
            ours = (row for row in self._pages("orphans", lua.ORPHANS) if row[0] in wanted or not lua.is_whole(row))
            rows = list(itertools.islice(ours, limit))
            found = [lua.orphan(row) for row in rows if lua.is_whole(row)]
            self._drop("orphans", [row for row in rows if not lua.is_whole(row)])
        if self._real.monotonic_ns() - self._pruned_ns >= PRUNE_EVERY_NS:
            self.prune()
        return found

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`."""
        return bool(self._connections.run("abandon", lua.ABANDON, *lua.abandon_args(orphan, self._call_id())) == 1)

    def forget(self, job: JobId) -> bool:
        """See `Ledger`; many attempts are deleted by several scripts, the record by the last."""
        found, more = self._connections.run("forget", lua.FORGET, str(job), _PRUNE_ROWS)
        while more:
            _, more = self._connections.run("forget", lua.FORGET, str(job), _PRUNE_ROWS)
        return bool(found)

    # --- instances

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`."""
        self._connections.run("join", members.JOIN, *members.join_args(instance, jobs))

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        return Beat(self._connections.run("beat", members.BEAT, *members.beat_args(instance)))

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """See `Membership`."""
        return list(map(JobId.read, self._connections.run("unregistered", lua.UNREGISTERED, *map(str, jobs))))

    # --- control

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """See `ControlStore`."""
        return self._control.read(known_version)

    def write_control(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore`."""
        return self._control.write(record, entry)

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """See `ControlStore`."""
        return [act.row for act in self.acts(limit, before)]

    def acts(self, limit: int, before: int | None) -> Sequence[StoredAct]:
        """Return what `audit` does, as it is stored."""
        return self._control.audit(limit, before)

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`; published as a release is."""
        return self._control.unlock(resource, fence, detail, self._call_id())

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`."""
        rows = self._whole(self._pages("leases", lua.LEASES), lua.missing_lease)
        return [lua.lease_record(row) for row in itertools.islice(rows, limit)]

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        rows = self._whole(self._pages("jobs", lua.JOBS), lua.missing_job)
        return sorted((lua.job_record(row) for row in rows), key=lambda job: job.job_id)

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        if limit <= 0:
            return []
        of_one, newest = int(job is not None), "" if before_ns is None else lua.due_text(before_ns)
        rows = self._pages(
            "runs", lua.RUNS, of_one, "" if job is None else str(job), count=min(limit, _PAGE), after=newest
        )
        return [lua.run_record(row) for row in itertools.islice(self._whole(rows, lua.missing_attempt), limit)]

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        rows = self._whole(self._pages("abandoned", lua.ORPHANS), lua.missing_attempt)
        return [lua.run_record(row) for row in itertools.islice(rows, max(0, limit))]

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`."""
        return members.instances_in(self._connections.run("instances", members.INSTANCES))

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`."""
        return members.names_in(self._connections.run("job_set", members.JOB_SET, fingerprint))

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`."""
        return self._missing.take()

    def prune(self) -> None:
        """Delete what need not be kept, in small scripts, for half a second at most; the rest next time.

        An unreachable server is ignored: pruning must not fail the call that triggered it.
        """
        now_ns = self._pruned_ns = self._real.monotonic_ns()
        with contextlib.suppress(StoreUnavailable):
            self._prune_leases(now_ns + _PRUNE_LEASES_AT_MAX_NS)
            self._prune_runs(now_ns + _PRUNE_AT_MAX_NS)
            if now_ns - self._open_checked_ns >= _CHECK_OPEN_EVERY_NS:
                self._check_open(now_ns + _PRUNE_AT_MAX_NS + _CHECK_OPEN_AT_MAX_NS)

    # --- inside

    def _prune_leases(self, stop_ns: int) -> None:
        keep_us, more = ended_keep_ns(self._keep_ns) // 1_000, 1
        while more and self._real.monotonic_ns() < stop_ns:
            args = (self._leases_pruned_to, _PAGE, keep_us)
            self._leases_pruned_to, more, gone = self._connections.run("prune", lua.PRUNE_LEASES, *args)
            self._missing.add(map(lua.missing_lease, gone))

    def _prune_runs(self, stop_ns: int) -> None:
        more = 1
        while more and self._real.monotonic_ns() < stop_ns:
            args = (self._pruned_to, _PRUNE_JOBS, self._keep_ns // 1_000, LATEST_KEPT, _PRUNE_ROWS)
            self._pruned_to, more, gone = self._connections.run("prune", lua.PRUNE, *args)
            self._missing.add(lua.missing_attempt(*row) for row in gone)

    def _check_open(self, stop_ns: int) -> None:
        while self._real.monotonic_ns() < stop_ns:
            args = (self._open_checked_to, _CHECK_OPEN_JOBS, _CHECK_OPEN_ROWS)
            self._open_checked_to, added, gone = self._connections.run("prune", lua.CHECK_OPEN, *args)
            self._missing.add(lua.missing_open(*row) for row in added)
            self._missing.add(lua.missing_attempt(*row) for row in gone)
            if not self._open_checked_to:
                self._open_checked_ns = self._real.monotonic_ns()
                return

    def _drop(self, operation: str, attempts: Sequence[Sequence[str]]) -> None:
        """Drop attempts from the lists whose rows are missing, and note them."""
        for start in range(0, len(attempts), _PRUNE_ROWS):
            words = itertools.chain.from_iterable(attempts[start : start + _PRUNE_ROWS])
            dropped = self._connections.run(operation, lua.DROP_MISSING, *words)
            self._missing.add(lua.missing_attempt(*row) for row in dropped)

    def _call_id(self) -> str:
        """Return an id for this call, by which a script recognises it when it is sent again."""
        return f"{self._client_id}-{next(self._count)}"

    def _batch(self, operation: str, script: Script, items: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """Run a script on a batch; return an answer of the script, or a `StoreUnavailable`, for each item."""
        if not items:
            return []
        try:
            replies = self._connections.run(operation, script, *lua.batch_args(items))
        except StoreUnavailable as error:
            sendable = [lua.can_be_sent(item) for item in items]
            if all(sendable) or not any(sendable):
                raise
            # Some words are no text, which was found before anything was sent.
            rest = iter(self._batch(operation, script, list(itertools.compress(items, sendable))))
            return [next(rest) if fits else error for fits in sendable]
        failures = map(lua.failure_in, replies)
        return [
            reply if failure is None else self._connections.error_in(operation, failure)
            for reply, failure in zip(replies, failures, strict=True)
        ]

    def _whole(self, rows: Iterable[Any], missing: Callable[..., MissingRecord]) -> Iterator[Any]:
        """Yield the rows of what is there, and note the others."""
        for row in rows:
            if lua.is_whole(row):
                yield row
            else:
                self._missing.add([missing(*row)])

    def _pages(
        self, operation: str, script: Script, *args: Argument, count: int = _PAGE, after: str = ""
    ) -> Iterator[Any]:
        """Yield the rows of all pages; a change between two pages may be missed."""
        while True:
            after, *rows = self._connections.run(operation, script, after, count, *args)
            yield from rows
            if not after:
                return
