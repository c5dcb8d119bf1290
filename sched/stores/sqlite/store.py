"""Keep leases and ledger in a database file, shared by the processes of one host.

Each method is one transaction. Clocks are read with the write lock held (by observers:
after their query), so nothing that was written before lies in the future.
Design: docs/stores.md.
"""

from __future__ import annotations

import uuid
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import (
    SCHEDULED,
    AlreadyClaimed,
    Claimed,
    ClaimWatch,
    Gone,
    Granted,
    JobRecord,
    Orphan,
    Refused,
    Released,
    Renewed,
    RunRecord,
    Settled,
)
from tickglass.sched.registration import Registered
from tickglass.sched.stores.retention import KEEP_NS, shown_detail
from tickglass.sched.stores.run_times import run_times_ns
from tickglass.sched.stores.sqlite import statements as sql
from tickglass.sched.stores.sqlite.claim_look import ClaimLook
from tickglass.sched.stores.sqlite.control import Control
from tickglass.sched.stores.sqlite.fairness import note_waiting, refusal_in_favour
from tickglass.sched.stores.sqlite.file import BUSY_TIMEOUT_NS, SqliteFile, Synchronous
from tickglass.sched.stores.sqlite.instances import Instances
from tickglass.sched.stores.sqlite.prune import Pruner
from tickglass.sched.stores.watchers import Watchers
from tickglass.sched.triggers import LATEST_NS

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.errors import StoreUnavailable
    from tickglass.sched.identity import JobId
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        AuditRow,
        Beat,
        ClaimAnswer,
        ClaimAsk,
        ControlRecord,
        InstanceRecord,
        LeaseAsk,
        LeaseRecord,
        Settlement,
    )
    from tickglass.sched.ports.missing import MissingRecord

__all__ = ["SqliteStore"]

_FORGOTTEN_AT_ONCE: Final = 200  # rows: about a millisecond


class SqliteStore:
    """A store for the processes of one host.

    Args:
        path: the database file; a missing file is created, a missing directory is not.
        clock: leases expire by its monotonic side, which all processes of a host share.
        synchronous: "normal" or "full", see `SqliteFile`.
        keep_ns: how long the ledger remembers, see retention.py.
        busy_timeout_ns: how long to wait for another process's write.

    Raises:
        ConfigError: the path is wrong, or the file is not ours to write.
        StoreUnavailable: the file is damaged.
    """

    name = "sqlite"
    own_clock = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Clock,
        *,
        synchronous: Synchronous = "normal",
        keep_ns: int = KEEP_NS,
        busy_timeout_ns: int = BUSY_TIMEOUT_NS,
    ) -> None:
        self._clock = clock
        self._file = SqliteFile(Path(path).absolute(), synchronous=synchronous, busy_timeout_ns=busy_timeout_ns)
        self._watchers = Watchers()
        self._pruner = Pruner(self._file, clock, keep_ns)
        self._instances = Instances(self._file, clock)
        self._control = Control(self._file, clock)
        self._party = uuid.uuid4().hex  # all waiters of this object count as one party among the processes

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`; a party that has waited for long goes first: others are refused even a free resource."""

        def work(connection: sqlite3.Connection) -> Granted | Refused:
            now_ns = self._clock.monotonic_ns()
            held = sql.held_of(connection, ask.resource)
            if held is not None and held.live_at(now_ns):
                if held.token == ask.token:
                    return Granted(held.fence, held.expired_owner)
                note_waiting(connection, ask, self._party, now_ns)
                return held.refusal(now_ns)
            refusal = refusal_in_favour(connection, ask.resource, self._party, now_ns)
            if refusal is not None:
                note_waiting(connection, ask, self._party, now_ns)
                return refusal
            return Granted(*self._grant(connection, ask, held, now_ns))

        return self._file.write("acquire", work)

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`."""

        def work(connection: sqlite3.Connection) -> Renewed | Gone:
            now_ns = self._clock.monotonic_ns()
            held = sql.held_of(connection, lease.resource)
            if held is None or not held.live_at(now_ns):
                return Gone()
            if held.token != lease.token:
                return Gone(held.owner)
            connection.execute(sql.RENEW, (lease.ttl_ns, now_ns, now_ns + lease.ttl_ns, lease.resource))
            return Renewed()

        return self._file.write("renew", work)

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`."""

        def work(connection: sqlite3.Connection) -> Released | Gone:
            held = sql.held_of(connection, lease.resource)
            live = held is not None and held.live_at(self._clock.monotonic_ns())
            if held is not None and held.token == lease.token:
                sql.delete_lease(connection, lease.resource)
                return Released() if live else Gone()
            return Gone(held.owner if held is not None and live else "")

        answer = self._file.write("release", work)
        self._watchers.freed(lease.resource)
        return answer

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; releases by other processes are not reported."""
        return self._watchers.add(resource, freed)

    def allowance_ns(self, ttl_ns: int) -> int:
        """See `LockStore`."""
        return drift_allowance_ns(ttl_ns)

    def time_ns(self) -> int:
        """See `LockStore`; all users of a file share one host's clock."""
        return self._clock.wall_ns()

    def close(self) -> None:
        """See `LockStore`."""
        self._file.close()

    # --- the ledger

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`."""

        def work(connection: sqlite3.Connection) -> list[Registered]:
            wall_ns = self._clock.wall_ns()
            before = [connection.execute(sql.JOB, job.job_id).fetchone() for job in jobs]
            connection.executemany(sql.REGISTER, [sql.job_row(job, wall_ns) for job in jobs])
            now = [connection.execute(sql.JOB, job.job_id).fetchone() for job in jobs]
            return [
                Registered(JobRecord(*row), None if old is None else JobRecord(*old))
                for row, old in zip(now, before, strict=True)
            ]

        self._pruner.prune()  # first: if it fails, nothing was registered
        return self._file.write("register", work)

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`."""
        return self._file.write("claim", lambda connection: self._claim(connection, ask))

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """See `Ledger`; one transaction."""
        return self._file.write_each("claim_many", self._claim, asks)

    def watch_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> ClaimWatch:
        """See `ClaimFeed`; claims are noticed by a look only, see claim_look.py."""
        look = ClaimLook(self._file, self._clock, service, owner, on_claim)
        return ClaimWatch(look.end, look.look)

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`."""
        answer = self._file.write("settle", lambda connection: self._settle(connection, settlement))
        self._watchers.freed(settlement.lease.resource)
        return answer

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        """See `Ledger`; one transaction."""
        answers = self._file.write_each("settle_many", self._settle, settlements)
        for settlement in settlements:
            self._watchers.freed(settlement.lease.resource)
        return answers

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`."""
        self._pruner.prune_now_and_then()
        wanted = frozenset(jobs)
        unsettled = self._file.read("orphans", lambda connection: connection.execute(sql.UNSETTLED).fetchall())
        now_ns = self._clock.monotonic_ns()
        found = [
            Orphan(service, job, due_ns, attempt, run_id, owner, kind)
            for service, job, due_ns, attempt, run_id, owner, kind, renewed_ns, expires_ns in unsettled
            if (service, job) in wanted and not sql.is_live(renewed_ns, expires_ns, now_ns)
        ]
        return found[: max(0, limit)]

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`."""

        def work(connection: sqlite3.Connection) -> bool:
            latest = connection.execute(sql.LATEST, (*orphan.job_id, orphan.due_ns)).fetchone()
            if latest is None:
                return False
            attempt, run_id, _, outcome, _, _, renewed_ns, expires_ns, _ = latest
            if (attempt, run_id, outcome) != (orphan.attempt, orphan.run_id, None):
                return False
            if sql.is_live(renewed_ns, expires_ns, self._clock.monotonic_ns()):
                return False
            connection.execute(sql.ORPHANED, (self._clock.wall_ns(), *orphan.job_id, orphan.due_ns, attempt))
            return True

        return self._file.write("abandon", work)

    def forget(self, job: JobId) -> bool:
        """See `Ledger`; many attempts are deleted in several transactions, the record in the last."""

        def attempts(connection: sqlite3.Connection) -> int:
            return connection.execute(sql.FORGET_ATTEMPTS, (*job, _FORGOTTEN_AT_ONCE)).rowcount

        def record(connection: sqlite3.Connection) -> int:
            return connection.execute(sql.FORGET_JOB, tuple(job)).rowcount

        deleted = total = self._file.write("forget", attempts)
        while deleted == _FORGOTTEN_AT_ONCE:
            deleted = self._file.write("forget", attempts)
            total += deleted
        return self._file.write("forget", record) + total > 0

    # --- instances

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`."""
        self._instances.join(instance, jobs)

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        return self._instances.beat(instance)

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """See `Membership`."""

        def work(connection: sqlite3.Connection) -> list[JobId]:
            return [job for job in jobs if connection.execute(sql.JOB, job).fetchone() is None]

        return self._file.read("unregistered", work)

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
        """See `ControlStore`; waiters in other processes find out when they ask again."""
        unlocked = self._control.unlock(resource, fence, detail)
        if unlocked:
            self._watchers.freed(resource)
        return unlocked

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`."""
        most = -1 if limit is None else max(0, limit)  # -1: all of them
        rows = self._file.read("leases", lambda connection: connection.execute(sql.LEASES, (most,)).fetchall())
        now = self._clock.reading()
        return [sql.lease_record(row, now) for row in rows]

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        rows = self._file.read("jobs", lambda connection: connection.execute(sql.JOBS).fetchall())
        return [JobRecord(*row) for row in rows]

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        asked: dict[str, object] = {} if job is None else {"service = ?": job.service, "job = ?": job.name}
        if before_ns is not None:
            asked["due_ns < ?"] = before_ns
        query = sql.RUNS.format(which=f"WHERE {' AND '.join(asked)}" if asked else "")
        named = (*asked.values(), max(0, limit))
        rows = self._file.read("runs", lambda connection: connection.execute(query, named).fetchall())
        return [RunRecord(*row) for row in rows]

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        rows = self._file.read("abandoned", lambda connection: connection.execute(sql.OPEN).fetchall())
        now_ns = self._clock.monotonic_ns()
        dead = (
            RunRecord(*run) for *run, renewed_ns, expires_ns in rows if not sql.is_live(renewed_ns, expires_ns, now_ns)
        )
        return list(islice(dead, max(0, limit)))

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`."""
        return self._instances.all()

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`."""
        return self._instances.job_set(fingerprint)

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`; no row names another, so that nothing shows that one was deleted."""
        return ()

    # --- inside a write transaction

    def _claim(self, connection: sqlite3.Connection, ask: ClaimAsk) -> ClaimAnswer:
        now_ns = self._clock.monotonic_ns()
        latest = connection.execute(sql.LATEST, (*ask.job_id, ask.due_ns)).fetchone()
        died, died_run_id = 0, ""
        if latest is not None:
            attempt, run_id, owner, outcome, previous, fence, renewed_ns, expires_ns, expired_owner = latest
            live = sql.is_live(renewed_ns, expires_ns, now_ns)
            if outcome is None and live and run_id == ask.lease.run_id:
                return Claimed(fence, attempt, previous, expired_owner)
            if outcome is not None or live or not ask.rerun:
                return AlreadyClaimed(owner, outcome)
            died, died_run_id = attempt, run_id
        ahead = ask.ahead_at(self._clock.wall_ns())
        if ahead is not None:
            return ahead
        held = sql.held_of(connection, ask.lease.resource)
        if held is not None and held.live_at(now_ns):
            return held.refusal(now_ns)
        fence, expired_owner = self._grant(connection, ask.lease, held, now_ns)
        self._begin(connection, ask, fence, died, died_run_id)
        return Claimed(fence, died + 1, died_run_id, expired_owner)

    def _settle(self, connection: sqlite3.Connection, settlement: Settlement) -> Settled:
        key = (*settlement.job_id, settlement.due_ns)
        claim = connection.execute(sql.CLAIM_OF, (*key, settlement.run_id)).fetchone()
        attempt, claimed_ns, outcome = claim or (0, 0, "")
        recorded, earlier = outcome is None, outcome == settlement.outcome
        if recorded:
            times = run_times_ns(settlement, claimed_ns, self._clock.wall_ns())
            told = (settlement.outcome, shown_detail(settlement.detail))
            took = (*times, settlement.lateness_ns, settlement.ran_ns)
            connection.execute(sql.SETTLE, (*told, *took, *key, attempt))
        held = sql.held_of(connection, settlement.lease.resource)
        if held is None or (held.token, held.run_id) != (settlement.lease.token, settlement.run_id):
            return Settled(recorded, released=False, earlier=earlier)
        sql.delete_lease(connection, settlement.lease.resource)
        return Settled(recorded, held.live_at(self._clock.monotonic_ns()), earlier)

    def _grant(
        self, connection: sqlite3.Connection, ask: LeaseAsk, expired: sql.Held | None, now_ns: int
    ) -> tuple[int, str]:
        wall_ns = self._clock.wall_ns()
        if not connection.execute(sql.RAISE_FENCE, (wall_ns // 1_000,)).rowcount:
            connection.execute(sql.RESTORE_FENCE, (wall_ns // 1_000,))
        (fence,) = connection.execute("SELECT latest FROM fence").fetchone()
        expired_owner = "" if expired is None else expired.owner
        who = (ask.resource, ask.token, ask.owner, ask.service, ask.job, ask.run_id, fence, expired_owner)
        when = (ask.ttl_ns, wall_ns, now_ns, now_ns, now_ns + ask.ttl_ns)
        connection.execute(sql.GRANT, who + when)
        return fence, expired_owner

    def _begin(self, connection: sqlite3.Connection, ask: ClaimAsk, fence: int, died: int, died_run_id: str) -> None:
        lease, wall_ns = ask.lease, self._clock.wall_ns()
        if died:
            connection.execute(sql.ORPHANED, (wall_ns, *ask.job_id, ask.due_ns, died))
        if ask.kind == SCHEDULED:
            believed_ns = LATEST_NS if ask.max_ahead_ns is None else wall_ns + ask.max_ahead_ns
            connection.execute(sql.NOTE_NEXT, (ask.next_due_ns, wall_ns, *ask.job_id, ask.due_ns, believed_ns))
        who = (lease.owner, lease.run_id, died_run_id, lease.resource)
        what = (fence, wall_ns, ask.declaration, ask.kind)
        connection.execute(sql.BEGIN, (*ask.job_id, ask.due_ns, died + 1, *who, *what))
