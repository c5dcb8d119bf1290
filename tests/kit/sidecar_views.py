"""A lookout over real state machines and a real store: what the sidecar would show of them, on a fake clock."""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import JobRegistered, Lateness, SchedulerMoved, TimelineTicked
from tickglass.sched.lease import Lease, LockEvent, LockMachine
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine, Outcome
from tickglass.sched.ports import ClaimAsk, Claimed, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.telemetry.sidecar.merge.merge import view_of
from tickglass.telemetry.sidecar.schedulers.history import History
from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot, probe_once
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import AuditRow, ControlRecord, EventSink, InstanceRecord, LeaseRecord, RunRecord
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.telemetry.sidecar.view import JobView, View

TTL_NS = 30 * SECOND
EVERY_NS = 10 * SECOND
GRACE_NS = 5 * SECOND
TRIGGER = 'every("10s")'


@dataclass
class FakeScheduler:
    """A scheduler that tells a sidecar its events, as `SchedulerSource` has it."""

    owner: str
    clock: FakeClock
    history: History
    service: str = "billing"
    version: str = "0.1.0"
    connected: bool = True
    connected_since_wall_ns: int | None = None
    last_heard_ns: int | None = None
    gaps: int = 0
    missed: int = 0
    last_gap_ns: int | None = None
    sink: EventSink | None = None  # where events go instead of straight to the history

    @property
    def _ear(self) -> EventSink:
        return self.history if self.sink is None else self.sink

    def start(self, *jobs: str, resource: str | None = None, timeout_ns: int | None = 25 * SECOND) -> None:
        """Register jobs and run."""
        for job in jobs:
            self._ear.record(self.registration(job, resource=resource, timeout_ns=timeout_ns))
        self.moved("starting", "started", "running")
        self.turn()

    def registration(
        self, job: str, *, resource: str | None = None, timeout_ns: int | None = 25 * SECOND
    ) -> JobRegistered:
        now_ns = self.clock.wall_ns()
        return JobRegistered(
            job=job,
            trigger=TRIGGER,
            resource=resource or job,
            owner=self.owner,
            service=self.service,
            ttl_ns=TTL_NS,
            grace_ns=GRACE_NS,
            interval_ns=EVERY_NS,
            timeout_ns=timeout_ns,
            next_due_ns=now_ns - now_ns % EVERY_NS + EVERY_NS,
            wall_ns=now_ns,
        )

    def moved(self, before: str, event: str, after: str) -> None:
        wall_ns = self.clock.wall_ns()
        self._ear.record(
            SchedulerMoved(
                owner=self.owner, service=self.service, before=before, event=event, after=after, wall_ns=wall_ns
            )
        )

    def turn(self) -> None:
        """Turn the timeline once."""
        self.last_heard_ns = self.clock.monotonic_ns()
        self._ear.record(TimelineTicked(lag_ns=0, duration_ns=1, handed=0))

    def leave(self) -> None:
        """End the connection."""
        self.connected = False
        self.history.gone()

    def occurrence(self, job: str, due_ns: int | None = None, run_id: str = "") -> OccurrenceMachine:
        return OccurrenceMachine(
            job,
            self.clock.wall_ns() if due_ns is None else due_ns,
            owner=self.owner,
            service=self.service,
            run_id=run_id or secrets.token_hex(16),
            clock=self.clock,
            sink=self._ear,
        )

    def lock(self, resource: str, job: str = "", run_id: str = "") -> LockMachine:
        return LockMachine(
            resource,
            owner=self.owner,
            service=self.service,
            job=job,
            run_id=run_id,
            ttl_ns=TTL_NS,
            blocking=True,
            clock=self.clock,
            sink=self._ear,
        )

    def begin(self, occurrence: OccurrenceMachine, *, next_due_ns: int | None = None) -> None:
        """Bring an occurrence to where its claim is asked for."""
        occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=next_due_ns or occurrence.due_ns + EVERY_NS)
        occurrence.fire(OccurrenceEvent.ADMITTED)
        occurrence.fire(OccurrenceEvent.TAKEN)

    def run_on(self, occurrence: OccurrenceMachine, lock: LockMachine, fence: int) -> None:
        """Bring an occurrence from the question for its claim to running, under its lock."""
        lock.fire(LockEvent.REQUESTED)
        lock.fire(LockEvent.GRANTED, fence=fence)
        occurrence.fence = fence
        occurrence.fire(OccurrenceEvent.CLAIMED)
        occurrence.fire(OccurrenceEvent.STARTED)

    def end(
        self, occurrence: OccurrenceMachine, outcome: Outcome = Outcome.SUCCESS, *, late_ns: int = MS, error: str = ""
    ) -> None:
        """End an occurrence that ran for a second."""
        lateness = Lateness(total_ns=late_ns, timer_ns=0, pool_ns=0, lock_ns=late_ns, start_ns=0)
        reason = {Outcome.TIMEOUT: "timeout", Outcome.LOST: "lost", Outcome.CANCELLED: "shutdown"}.get(outcome, "")
        occurrence.fire(
            OccurrenceEvent.ENDED, outcome=outcome, reason=reason, lateness=lateness, ran_ns=SECOND, error=error
        )


class SidecarRig:
    """Schedulers, a store that they may share, and the view of both."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.schedulers: list[FakeScheduler] = []
        self.snapshots: list[StoreSnapshot] = []
        self._count = itertools.count()

    def scheduler(self, owner: str = "host-1") -> FakeScheduler:
        scheduler = FakeScheduler(owner, self.clock, History(self.clock), connected_since_wall_ns=self.clock.wall_ns())
        self.schedulers.append(scheduler)
        return scheduler

    def register(self, job: str = "nightly", owner: str = "host-1", **changes: object) -> JobRecord:
        now_ns = self.clock.wall_ns()
        next_due_ns = now_ns - now_ns % EVERY_NS + EVERY_NS
        record = JobRecord(job, TRIGGER, job, owner, "billing", TTL_NS, GRACE_NS, 25 * SECOND, next_due_ns)
        record = replace(record, **changes)  # type: ignore[arg-type]
        self.store.register([record])
        return record

    def claim(
        self,
        job: str = "nightly",
        due_ns: int | None = None,
        owner: str = "host-1",
        resource: str = "",
        service: str = "billing",
        declaration: str = "",
    ) -> ClaimAsk:
        due_ns = self.clock.wall_ns() if due_ns is None else due_ns
        number = next(self._count)
        lease = LeaseAsk(resource or job, owner, service, f"token-{number}", TTL_NS, job, f"{number:032x}")
        ask = ClaimAsk(lease, due_ns, next_due_ns=due_ns + EVERY_NS, declaration=declaration)
        assert isinstance(self.store.claim(ask), Claimed)
        return ask

    def settle(self, ask: ClaimAsk, outcome: str = "success", *, detail: str = "", late_ns: int = MS) -> None:
        lease = Lease(ask.lease.resource, ask.lease.owner, ask.lease.token, 0, TTL_NS, 0)
        started_ns = ask.due_ns + late_ns
        which = (ask.lease.service, ask.lease.job, ask.due_ns, ask.lease.run_id)
        told = Settlement(lease, *which, outcome, detail, started_ns, late_ns)
        assert self.store.settle(told).recorded

    def probe(self) -> None:
        """Look into the store."""
        self.snapshots = [probe_once("memory://", self.store, self.clock)]

    def view(self) -> View:
        return view_of(self.schedulers, self.snapshots, self.clock.reading())

    def job(self, name: str = "nightly") -> JobView:
        (job,) = [job for job in self.view().jobs if job.name == name]
        return job


class ScriptedStore:
    """A store that does what the test says before it answers, and keeps a list of its calls."""

    def __init__(self, store: MemoryStore, before: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.before = before
        self.asked: list[str] = []
        self.found_missing: Sequence[MissingRecord] = ()
        self.was_asked = threading.Event()

    def _ask(self, what: str) -> MemoryStore:
        self.asked.append(what)
        self.was_asked.set()
        self.before()
        return self.store

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        return self._ask("leases").leases(limit)

    def jobs(self) -> Sequence[JobRecord]:
        return self._ask("jobs").jobs()

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        return self._ask(f"runs {job}").runs(job, limit, before_ns=before_ns)

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        return self._ask("abandoned").abandoned(limit)

    def instances(self) -> Sequence[InstanceRecord]:
        return self._ask("instances").instances()

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        return self._ask(f"job_set {fingerprint}").job_set(fingerprint)

    def control(self, known_version: int = -1) -> ControlRecord | None:
        return self._ask("control").control(known_version)

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        return self._ask("audit").audit(limit, before=before)

    def missing(self) -> Sequence[MissingRecord]:
        found, self.found_missing = self.found_missing, ()
        return found

    def time_ns(self) -> int:
        return self._ask("time").time_ns()
