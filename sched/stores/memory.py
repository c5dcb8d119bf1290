"""Keep leases and ledger in this process: the reference that other stores are compared with.

No I/O. One lock makes every method atomic; nothing survives the process.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.lease import drift_allowance_ns
from tickglass.sched.ports import (
    AlreadyClaimed,
    Claimed,
    ClaimWatch,
    Gone,
    Granted,
    Holder,
    JobRecord,
    LeaseRecord,
    Orphan,
    Refused,
    Released,
    Renewed,
    RunRecord,
    Settled,
)
from tickglass.sched.registration import Registered
from tickglass.sched.stores.instance_table import InstanceTable
from tickglass.sched.stores.retention import KEEP_MIN_NS, LATEST_KEPT, PRUNE_EVERY_NS, ended_keep_ns, shown_detail
from tickglass.sched.stores.run_times import run_times_ns
from tickglass.sched.stores.watchers import Watchers
from tickglass.sched.triggers import LATEST_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.identity import JobId
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import Beat, ClaimAnswer, ClaimAsk, InstanceRecord, LeaseAsk, Settlement
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.stores.url import StoreUrl

__all__ = ["MEMORY_KEEP_NS", "MemoryStore", "check_memory_exists", "read_memory"]

MEMORY_KEEP_NS: Final = 3_600 * SECOND  # a job every 100 ms fills 36,000 rows in it
_due: Final = attrgetter("due_ns")
_age: Final = attrgetter("due_ns", "job_id", "attempt")


@dataclass(slots=True)
class _Held:
    """A lease, live or expired; it is dropped when it is released, or when another owner takes it."""

    ask: LeaseAsk
    fence: int
    expired_owner: str
    ttl_ns: int
    acquired_ns: int
    acquired_wall_ns: int
    expires_ns: int

    @property
    def holder(self) -> Holder:
        return Holder(self.ask.owner, self.ask.service, self.ask.job, self.ask.run_id, self.fence)


@dataclass(slots=True)
class _Attempt:
    """One attempt at one occurrence, and the lease it was claimed with."""

    ask: LeaseAsk
    held: _Held
    job_id: JobId
    due_ns: int
    attempt: int
    previous_run_id: str
    claimed_wall_ns: int
    declaration: str
    started_wall_ns: int | None = None
    ended_wall_ns: int | None = None
    outcome: str | None = None
    detail: str = ""
    lateness_ns: int | None = None
    ran_ns: int | None = None

    @property
    def record(self) -> RunRecord:
        ask = self.ask
        who = (ask.owner, ask.service, ask.run_id, ask.resource, self.held.fence)
        when = (self.claimed_wall_ns, self.started_wall_ns, self.ended_wall_ns)
        how = (self.outcome, self.detail, self.lateness_ns)
        return RunRecord(
            ask.job, self.due_ns, self.attempt, *who, *when, *how, ran_ns=self.ran_ns, declaration=self.declaration
        )


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
        self._fence = 0
        self._leases: dict[str, _Held] = {}
        self._jobs: dict[JobId, JobRecord] = {}
        self._attempts: dict[JobId, list[_Attempt]] = {}  # of each job, by due instant and attempt
        self._unsettled: dict[tuple[JobId, int, int], _Attempt] = {}
        self._instances = InstanceTable(clock)
        self._pruned_ns = clock.monotonic_ns()

    # --- locks

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            held = self._live(ask.resource, now_ns)
            if held is None:
                held = self._grant(ask, now_ns)
            elif held.ask.token != ask.token:
                return Refused(held.holder, held.expires_ns - now_ns)
            return Granted(held.fence, held.expired_owner)

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            held = self._live(lease.resource, now_ns)
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
            live = self._live(lease.resource, self._clock.monotonic_ns())
            held = self._leases.get(lease.resource)
            if held is None or held.ask.token != lease.token:
                return Gone("" if live is None else live.ask.owner)
            del self._leases[lease.resource]
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
            found = [it for it in self._unsettled.values() if it.job_id in wanted and not self._runs(it, now_ns)]
            found.sort(key=_age)
            return [
                Orphan(*it.job_id, it.due_ns, it.attempt, it.ask.run_id, it.ask.owner) for it in found[: max(0, limit)]
            ]

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`."""
        with self._lock:
            attempt = self._unsettled.get((orphan.job_id, orphan.due_ns, orphan.attempt))
            if (
                attempt is None
                or attempt.ask.run_id != orphan.run_id
                or self._runs(attempt, self._clock.monotonic_ns())
            ):
                return False
            self._end(attempt, "orphaned")
            return True

    def forget(self, job: JobId) -> bool:
        """See `Ledger`."""
        with self._lock:
            known = job in self._jobs or job in self._attempts
            self._jobs.pop(job, None)
            for attempt in self._attempts.pop(job, ()):
                self._unsettled.pop((job, attempt.due_ns, attempt.attempt), None)
            return known

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

    # --- observers

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            return [
                LeaseRecord(
                    resource,
                    held.ask.owner,
                    held.ask.service,
                    held.ask.job,
                    held.ask.run_id,
                    held.fence,
                    held.ttl_ns,
                    held.acquired_wall_ns,
                    now_ns - held.acquired_ns,
                    held.expires_ns - now_ns,
                )
                for resource, held in sorted(self._leases.items())[:limit]
            ]

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        with self._lock:
            return [self._with_last_due(job) for _, job in sorted(self._jobs.items())]

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        if limit <= 0:
            return []
        with self._lock:
            of_jobs = self._attempts.values() if job is None else [self._attempts.get(job, [])]
            if before_ns is not None:
                ends = [(rows, bisect_left(rows, before_ns, key=_due)) for rows in of_jobs]
                of_jobs = [rows[max(0, end - limit) : end] for rows, end in ends]
            latest = sorted((it for rows in of_jobs for it in rows[-limit:]), key=_age, reverse=True)[:limit]
            return [it.record for it in latest]

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            found = sorted((it for it in self._unsettled.values() if not self._runs(it, now_ns)), key=_age)
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

    def _live(self, resource: str, now_ns: int) -> _Held | None:
        held = self._leases.get(resource)
        return held if held is not None and now_ns < held.expires_ns else None

    def _runs(self, attempt: _Attempt, now_ns: int) -> bool:
        """Whether the attempt's own lease is live."""
        return self._live(attempt.ask.resource, now_ns) is attempt.held

    def _grant(self, ask: LeaseAsk, now_ns: int) -> _Held:
        expired, wall_ns = self._leases.get(ask.resource), self._clock.wall_ns()
        self._fence = max(self._fence + 1, wall_ns // 1_000)  # so that they go on growing in the next process
        held = self._leases[ask.resource] = _Held(
            ask=ask,
            fence=self._fence,
            expired_owner="" if expired is None else expired.ask.owner,
            ttl_ns=ask.ttl_ns,
            acquired_ns=now_ns,
            acquired_wall_ns=wall_ns,
            expires_ns=now_ns + ask.ttl_ns,
        )
        return held

    def _claim(self, ask: ClaimAsk) -> tuple[ClaimAnswer, bool]:
        """Return the answer, and whether it is a claim that was not there before."""
        now_ns = self._clock.monotonic_ns()
        latest = self._latest(ask.job_id, ask.due_ns)
        if latest is not None:
            if latest.outcome is None and self._runs(latest, now_ns) and latest.ask.run_id == ask.lease.run_id:
                return self._claimed(latest), False
            if latest.outcome is not None or self._runs(latest, now_ns) or not ask.rerun:
                return AlreadyClaimed(latest.ask.owner, latest.outcome), False
        ahead = ask.ahead_at(self._clock.wall_ns())
        if ahead is not None:
            return ahead, False
        held = self._live(ask.lease.resource, now_ns)
        if held is not None:
            return Refused(held.holder, held.expires_ns - now_ns), False
        return self._claimed(self._begin(ask, latest, now_ns)), True

    def _begin(self, ask: ClaimAsk, died: _Attempt | None, now_ns: int) -> _Attempt:
        job = ask.job_id
        if died is not None:
            self._end(died, "orphaned")
        rows, wall_ns = self._attempts.setdefault(job, []), self._clock.wall_ns()
        believed_ns = LATEST_NS if ask.max_ahead_ns is None else wall_ns + ask.max_ahead_ns
        latest = bisect_right(rows, believed_ns, key=_due) - 1
        if job in self._jobs and (latest < 0 or rows[latest].due_ns < ask.due_ns):
            self._jobs[job] = replace(self._jobs[job], next_due_ns=ask.next_due_ns, seen_wall_ns=wall_ns)
        attempt = _Attempt(
            ask=ask.lease,
            held=self._grant(ask.lease, now_ns),
            job_id=job,
            due_ns=ask.due_ns,
            attempt=1 if died is None else died.attempt + 1,
            previous_run_id="" if died is None else died.ask.run_id,
            claimed_wall_ns=wall_ns,
            declaration=ask.declaration,
        )
        insort(rows, attempt, key=_age)
        self._unsettled[job, ask.due_ns, attempt.attempt] = attempt
        return attempt

    def _claimed(self, attempt: _Attempt) -> Claimed:
        return Claimed(attempt.held.fence, attempt.attempt, attempt.previous_run_id, attempt.held.expired_owner)

    def _latest(self, job: JobId, due_ns: int) -> _Attempt | None:
        rows = self._attempts.get(job, [])
        position = bisect_right(rows, due_ns, key=_due) - 1
        return rows[position] if position >= 0 and rows[position].due_ns == due_ns else None

    def _end(self, attempt: _Attempt, outcome: str, detail: str = "") -> None:
        attempt.outcome, attempt.detail = outcome, detail
        attempt.ended_wall_ns = self._clock.wall_ns()
        del self._unsettled[attempt.job_id, attempt.due_ns, attempt.attempt]

    def _free(self, settlement: Settlement) -> bool:
        """Drop the run's own lease, and no other; return whether it was live."""
        held = self._leases.get(settlement.lease.resource)
        if held is None or (held.ask.token, held.ask.run_id) != (settlement.lease.token, settlement.run_id):
            return False
        del self._leases[settlement.lease.resource]
        return self._clock.monotonic_ns() < held.expires_ns

    def _settle(self, settlement: Settlement) -> Settled:
        attempt = self._latest(settlement.job_id, settlement.due_ns)
        ours = attempt is not None and attempt.ask.run_id == settlement.run_id
        recorded = ours and attempt is not None and attempt.outcome is None
        earlier = ours and attempt is not None and attempt.outcome == settlement.outcome
        if attempt is not None and recorded:
            now_ns = self._clock.wall_ns()
            self._end(attempt, settlement.outcome, shown_detail(settlement.detail))
            attempt.started_wall_ns, attempt.ended_wall_ns = run_times_ns(settlement, attempt.claimed_wall_ns, now_ns)
            attempt.lateness_ns, attempt.ran_ns = settlement.lateness_ns, settlement.ran_ns
        return Settled(recorded, self._free(settlement), earlier)

    def _with_last_due(self, job: JobRecord) -> JobRecord:
        rows = self._attempts.get(job.job_id)
        return replace(job, last_due_ns=rows[-1].due_ns if rows else None)

    def _prune(self) -> None:
        self._pruned_ns = self._clock.monotonic_ns()
        ended_ns = self._pruned_ns - ended_keep_ns(self._keep_ns)
        for resource in [name for name, held in self._leases.items() if held.expires_ns < ended_ns]:
            del self._leases[resource]
        oldest_ns = self._clock.wall_ns() - self._keep_ns
        for rows in self._attempts.values():
            if len(rows) > LATEST_KEPT:
                old = bisect_left(rows, min(oldest_ns, rows[-LATEST_KEPT].due_ns), key=_due)
                rows[:old] = [it for it in rows[:old] if it.ended_wall_ns is None or it.ended_wall_ns >= oldest_ns]


def read_memory(url: StoreUrl) -> Callable[[Clock], MemoryStore]:
    """Read `memory://?keep=1h`; return what opens one store, the same one each time."""
    if url.body:
        problem = "memory:// has no path: nothing of it is kept"
        raise url.refusal(problem, url.body, "memory://", f"sqlite:///{url.shown_body}")
    keep_ns = url.duration_ns("keep", MEMORY_KEEP_NS, min_ns=KEEP_MIN_NS)
    stores: list[MemoryStore] = []

    def opened(clock: Clock) -> MemoryStore:
        if not stores:
            stores.append(MemoryStore(clock, keep_ns=keep_ns))
        return stores[0]

    return opened


def check_memory_exists(url: StoreUrl) -> None:
    """Refuse it: each process that opens such a store has a new one.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        "a store in memory is inside its scheduler's process; no other process can look into it",
        given=url.text,
        instead=("sqlite:///jobs.db",),
    )
