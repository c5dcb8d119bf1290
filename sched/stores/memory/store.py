"""Keep leases and ledger in this process: the reference that other stores are compared with.

No I/O. One lock makes every method atomic; nothing survives the process.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import (
    SCHEDULED,
    AlreadyClaimed,
    Claimed,
    ClaimWatch,
    Gone,
    Granted,
    Orphan,
    Released,
    Renewed,
    Settled,
)
from tickglass.sched.registration import Registered
from tickglass.sched.stores.memory.attempt_table import AttemptTable
from tickglass.sched.stores.memory.control_log import ControlLog
from tickglass.sched.stores.memory.instance_table import InstanceTable
from tickglass.sched.stores.memory.lease_table import LeaseTable
from tickglass.sched.stores.retention import PRUNE_EVERY_NS, ended_keep_ns
from tickglass.sched.stores.watchers import Watchers
from tickglass.sched.triggers import LATEST_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.identity import JobId
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        AuditRow,
        Beat,
        ClaimAnswer,
        ClaimAsk,
        ControlRecord,
        InstanceRecord,
        JobRecord,
        LeaseAsk,
        LeaseRecord,
        Refused,
        RunRecord,
        Settlement,
    )
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.stores.memory.attempt_table import Attempt

__all__ = ["MEMORY_KEEP_NS", "MemoryStore"]

MEMORY_KEEP_NS: Final = 3_600 * SECOND  # a job every 100 ms fills 36,000 rows in it


class MemoryStore:
    """A store for one process: tests, examples, and schedulers that need no memory of their past.

    Args:
        clock: leases expire by its monotonic side.
        keep_ns: how long the ledger remembers, see retention.py.
    """

    name = "memory"
    own_clock = False

    def __init__(self, clock: Clock, *, keep_ns: int = MEMORY_KEEP_NS) -> None:
        self._clock = clock
        self._keep_ns = keep_ns
        self._lock = threading.Lock()
        self._watchers = Watchers()
        self._claim_listeners: list[tuple[str, str, Callable[[str, int, str], None]]] = []
        self._leases = LeaseTable(clock)
        self._jobs: dict[JobId, JobRecord] = {}
        self._attempts = AttemptTable()
        self._control = ControlLog()
        self._instances = InstanceTable(clock)
        self._pruned_ns = clock.monotonic_ns()

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            held = self._leases.live(ask.resource, now_ns)
            if held is None:
                held = self._leases.grant(ask, now_ns)
            elif held.ask.token != ask.token:
                return held.refusal(now_ns)
            return Granted(held.fence, held.expired_owner)

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            held = self._leases.live(lease.resource, now_ns)
            if held is None:
                return Gone()
            if held.ask.token != lease.token:
                return Gone(held.ask.owner)
            held.ttl_ns = lease.ttl_ns
            held.expires_ns = now_ns + lease.ttl_ns
            return Renewed()

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`."""
        with self._lock:
            live = self._leases.live(lease.resource, self._clock.monotonic_ns())
            if self._leases.drop(lease.resource, lease.token) is None:
                return Gone("" if live is None else live.ask.owner)
        self._watchers.freed(lease.resource)
        return Gone() if live is None else Released()

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; every release is reported."""
        return self._watchers.add(resource, freed)

    def allowance_ns(self, ttl_ns: int) -> int:
        """See `LockStore`."""
        return drift_allowance_ns(ttl_ns)

    def time_ns(self) -> int:
        """See `LockStore`."""
        return self._clock.wall_ns()

    def close(self) -> None:
        """See `LockStore`; there is nothing to close."""

    # --- the ledger

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`."""
        with self._lock:
            wall_ns = self._clock.wall_ns()
            before = [self._jobs.get(job.job_id) for job in jobs]
            for job in jobs:
                self._jobs[job.job_id] = replace(job, seen_wall_ns=wall_ns)
            self._prune()
            return [
                Registered(
                    self._with_last_due(self._jobs[job.job_id]), None if old is None else self._with_last_due(old)
                )
                for job, old in zip(jobs, before, strict=True)
            ]

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`."""
        with self._lock:
            answer, won = self._claim(ask)
        if won:
            self._report_claim(ask)
        return answer

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer]:
        """See `Ledger`; all under one lock, and the listeners are called after it."""
        with self._lock:
            found = [self._claim(ask) for ask in asks]
        for ask, (_, won) in zip(asks, found, strict=True):
            if won:
                self._report_claim(ask)
        return [answer for answer, _ in found]

    def watch_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> ClaimWatch:
        """See `ClaimFeed`; every claim of other owners is reported."""
        listener = service, owner, on_claim
        with self._lock:
            self._claim_listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in self._claim_listeners:
                    self._claim_listeners.remove(listener)

        return ClaimWatch(end)

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`."""
        with self._lock:
            settled = self._settle(settlement)
        self._watchers.freed(settlement.lease.resource)
        return settled

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        """See `Ledger`; all under one lock, and waiters are woken after it."""
        with self._lock:
            settled = [self._settle(settlement) for settlement in settlements]
        for settlement in settlements:
            self._watchers.freed(settlement.lease.resource)
        return settled

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`."""
        wanted = frozenset(jobs)
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            if now_ns - self._pruned_ns >= PRUNE_EVERY_NS:
                self._prune()
            found = self._attempts.open(lambda it: it.job_id in wanted and not self._leases.is_live(it.held, now_ns))
            return [
                Orphan(*it.job_id, it.due_ns, it.attempt, it.ask.run_id, it.ask.owner, it.kind)
                for it in found[: max(0, limit)]
            ]

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`."""
        with self._lock:
            attempt = self._attempts.open_at(orphan.job_id, orphan.due_ns, orphan.attempt)
            if attempt is None or attempt.ask.run_id != orphan.run_id:
                return False
            if self._leases.is_live(attempt.held, self._clock.monotonic_ns()):
                return False
            self._attempts.end(attempt, "orphaned", self._clock.wall_ns())
            return True

    def forget(self, job: JobId) -> bool:
        """See `Ledger`."""
        with self._lock:
            known = self._jobs.pop(job, None) is not None
            return self._attempts.forget(job) or known

    # --- instances

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`."""
        with self._lock:
            self._instances.join(instance, jobs)

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        with self._lock:
            return self._instances.beat(instance)

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """See `Membership`."""
        with self._lock:
            return [job for job in jobs if job not in self._jobs]

    # --- control

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """See `ControlStore`."""
        with self._lock:
            return self._control.read(known_version)

    def write_control(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore`."""
        with self._lock:
            return self._control.write(record, entry, self._clock.wall_ns())

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """See `ControlStore`."""
        with self._lock:
            return self._control.latest(limit, before)

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`."""
        with self._lock:
            held = self._leases.live(resource, self._clock.monotonic_ns())
            if held is None or held.fence != fence:
                return False
            for attempt in self._attempts.open(lambda it: it.held is held):
                self._attempts.end(attempt, "orphaned", self._clock.wall_ns(), detail)
            self._leases.drop(resource, held.ask.token)
        self._watchers.freed(resource)
        return True

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`."""
        with self._lock:
            return self._leases.records(limit)

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        with self._lock:
            return [self._with_last_due(job) for _, job in sorted(self._jobs.items())]

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        if limit <= 0:
            return []
        with self._lock:
            return [it.record for it in self._attempts.newest(job, limit, before_ns)]

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            found = self._attempts.open(lambda it: not self._leases.is_live(it.held, now_ns))
            return [it.record for it in found[: max(0, limit)]]

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`."""
        with self._lock:
            return self._instances.all()

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`."""
        with self._lock:
            return self._instances.job_set(fingerprint)

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`; no other process can delete a part of it."""
        return ()

    # --- without the lock

    def _report_claim(self, ask: ClaimAsk) -> None:
        for service, owner, on_claim in tuple(self._claim_listeners):
            if service == ask.lease.service and owner != ask.lease.owner:
                on_claim(ask.lease.job, ask.due_ns, ask.lease.owner)

    # --- with the lock held

    def _claim(self, ask: ClaimAsk) -> tuple[ClaimAnswer, bool]:
        """Return the answer, and whether it is a claim that was not there before."""
        now_ns = self._clock.monotonic_ns()
        latest = self._attempts.latest(ask.job_id, ask.due_ns)
        if latest is not None:
            running = self._leases.is_live(latest.held, now_ns)
            if latest.outcome is None and running and latest.ask.run_id == ask.lease.run_id:
                return _claimed(latest), False
            if latest.outcome is not None or running or not ask.rerun:
                return AlreadyClaimed(latest.ask.owner, latest.outcome), False
        ahead = ask.ahead_at(self._clock.wall_ns())
        if ahead is not None:
            return ahead, False
        held = self._leases.live(ask.lease.resource, now_ns)
        if held is not None:
            return held.refusal(now_ns), False
        return _claimed(self._begin(ask, latest, now_ns)), True

    def _begin(self, ask: ClaimAsk, died: Attempt | None, now_ns: int) -> Attempt:
        job, wall_ns = ask.job_id, self._clock.wall_ns()
        if died is not None:
            self._attempts.end(died, "orphaned", wall_ns)
        if job in self._jobs and ask.kind == SCHEDULED:
            believed_ns = LATEST_NS if ask.max_ahead_ns is None else wall_ns + ask.max_ahead_ns
            last_due_ns = self._attempts.last_due_ns(job, believed_ns)
            if last_due_ns is None or last_due_ns < ask.due_ns:
                self._jobs[job] = replace(self._jobs[job], next_due_ns=ask.next_due_ns, seen_wall_ns=wall_ns)
        return self._attempts.begin(ask, self._leases.grant(ask.lease, now_ns), died, wall_ns)

    def _settle(self, settlement: Settlement) -> Settled:
        attempt = self._attempts.latest(settlement.job_id, settlement.due_ns)
        ours = attempt is not None and attempt.ask.run_id == settlement.run_id
        recorded = ours and attempt is not None and attempt.outcome is None
        earlier = ours and attempt is not None and attempt.outcome == settlement.outcome
        if attempt is not None and recorded:
            self._attempts.settle(attempt, settlement, self._clock.wall_ns())
        lease, now_ns = settlement.lease, self._clock.monotonic_ns()
        held = self._leases.drop(lease.resource, lease.token, settlement.run_id)
        return Settled(recorded, held is not None and now_ns < held.expires_ns, earlier)

    def _with_last_due(self, job: JobRecord) -> JobRecord:
        return replace(job, last_due_ns=self._attempts.last_due_ns(job.job_id, LATEST_NS))

    def _prune(self) -> None:
        self._pruned_ns = self._clock.monotonic_ns()
        self._leases.drop_expired(self._pruned_ns - ended_keep_ns(self._keep_ns))
        self._attempts.drop_old(self._clock.wall_ns() - self._keep_ns)


def _claimed(attempt: Attempt) -> Claimed:
    return Claimed(attempt.held.fence, attempt.attempt, attempt.previous_run_id, attempt.held.expired_owner)
