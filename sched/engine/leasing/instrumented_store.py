"""Report every call to a store: how long it took, whether it failed, what it found missing, whether writes work.

Adds nothing else: answers and errors pass through as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

from tickglass.sched.engine.leasing.write_health import WRITES, WriteHealth
from tickglass.sched.errors import StoreUnavailable, failure_text
from tickglass.sched.events import StoreCalled, StoreRecordMissing
from tickglass.sched.ports import Beat, Claimed, Granted
from tickglass.sched.ports.missing import MissingOnce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.identity import JobId
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        AuditRow,
        ClaimAnswer,
        ClaimAsk,
        ControlRecord,
        EventSink,
        Gone,
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
        Store,
    )
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.registration import Registered

__all__ = ["InstrumentedStore"]

Answer = TypeVar("Answer")
Asked = TypeVarTuple("Asked")

_BATCHES: Final = frozenset({"claim_many", "settle_many"})
_GRANTS: Final = (Claimed, Granted)
_BEATS: Final = (Beat.KNOWN, Beat.PARTLY)


class InstrumentedStore:
    """A `Store` around a store."""

    def __init__(self, store: Store, *, clock: Clock, sink: EventSink) -> None:
        self.name = store.name
        self.own_clock = store.own_clock
        self._store = store
        self._clock = clock
        self._sink = sink
        self._missing = MissingOnce()
        self.write_health = WriteHealth(store.name, clock.monotonic_ns())

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """See `LockStore`."""
        return self._call("acquire", self._store.acquire, ask)

    def renew(self, lease: Lease) -> Renewed | Gone:
        """See `LockStore`."""
        return self._call("renew", self._store.renew, lease)

    def release(self, lease: Lease) -> Released | Gone:
        """See `LockStore`."""
        return self._call("release", self._store.release, lease)

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """See `LockStore`; not a request, so it is not reported."""
        return self._store.watch(resource, freed)

    def allowance_ns(self, ttl_ns: int) -> int:
        """See `LockStore`; it does not ask the store."""
        return self._store.allowance_ns(ttl_ns)

    def time_ns(self) -> int:
        """See `LockStore`."""
        return self._call("time", self._store.time_ns)

    def close(self) -> None:
        """See `LockStore`."""
        self._store.close()

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """See `Ledger`."""
        return self._telling("register", self._store.register, jobs)

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`."""
        return self._call("claim", self._store.claim, ask)

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """See `Ledger`; one call, which failed if the store failed on an item."""
        return self._call("claim_many", self._store.claim_many, asks) if asks else []

    def settle(self, settlement: Settlement) -> Settled:
        """See `Ledger`."""
        return self._call("settle", self._store.settle, settlement)

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        """See `Ledger`; one call, which failed if the store failed on an item."""
        return self._call("settle_many", self._store.settle_many, settlements) if settlements else []

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`."""
        return self._telling("orphans", self._store.orphans, jobs, limit)

    def abandon(self, orphan: Orphan) -> bool:
        """See `Ledger`."""
        return self._call("abandon", self._store.abandon, orphan)

    def forget(self, job: JobId) -> bool:
        """See `Ledger`."""
        return self._call("forget", self._store.forget, job)

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`."""
        self._call("join", self._store.join, instance, jobs)

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        return self._call("beat", self._store.beat, instance)

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """See `Membership`."""
        return self._call("unregistered", self._store.unregistered, jobs)

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """See `ControlStore`."""
        return self._call("control", lambda: self._store.control(known_version))

    def write_control(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore`."""
        return self._call("write_control", lambda: self._store.write_control(record, entry))

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """See `ControlStore`."""
        return self._call("audit", lambda: self._store.audit(limit, before=before))

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`."""
        return self._call("unlock", lambda: self._store.unlock(resource, fence, detail))

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`."""
        return self._telling("leases", self._store.leases, limit)

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        return self._telling("jobs", self._store.jobs)

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._telling("runs", lambda: self._store.runs(job, limit, before_ns=before_ns))

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._telling("abandoned", self._store.abandoned, limit)

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`."""
        return self._call("instances", self._store.instances)

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`."""
        return self._call("job_set", self._store.job_set, fingerprint)

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`; the calls of this object have reported it already."""
        return ()

    def _telling(self, operation: str, ask: Callable[[*Asked], Answer], *asked: *Asked) -> Answer:
        """Make a call that reads lists, and report what it found missing."""
        try:
            return self._call(operation, ask, *asked)
        finally:
            now = self._clock.reading()
            for record in self._missing.fresh(self._store.missing(), now.monotonic_ns):
                self._sink.record(
                    StoreRecordMissing(store=self.name, kind=record.kind, name=record.name, wall_ns=now.wall_ns)
                )

    def _call(self, operation: str, ask: Callable[[*Asked], Answer], *asked: *Asked) -> Answer:
        asked_ns = self._clock.monotonic_ns()
        try:
            answer = ask(*asked)
        except BaseException as error:
            self._failed(operation, asked_ns, error)
            raise
        now_ns = self._clock.monotonic_ns()
        failure = ""
        if operation in _BATCHES and isinstance(answer, list):
            failure = self._note_batch(operation, answer, now_ns)
        elif operation in WRITES and self.write_health.answered(operation, now_ns):
            self._prove(operation, answer, now_ns)
        self._report(operation, now_ns - asked_ns, failure)
        return answer

    def _failed(self, operation: str, asked_ns: int, error: BaseException) -> None:
        """Note and report a call that raised."""
        now = self._clock.reading()
        kind, detail = (
            (error.kind, error.detail) if isinstance(error, StoreUnavailable) else ("error", failure_text(error))
        )
        if operation in WRITES:
            self.write_health.failed(operation, detail, kind, now)
        self._report(operation, now.monotonic_ns - asked_ns, kind)

    def _note_batch(self, operation: str, answers: Sequence[object], now_ns: int) -> str:
        """Note how a batch went, which has been answered if one of its items has; return the first failure, or ""."""
        failures = [it for it in answers if isinstance(it, StoreUnavailable)]
        if failures and len(failures) == len(answers):
            self.write_health.failed(operation, failures[0].detail, failures[0].kind, self._clock.reading())
        else:
            granted = next((it for it in answers if isinstance(it, _GRANTS)), None)
            if self.write_health.answered(operation, now_ns):
                self._prove(operation, granted, now_ns)
        return failures[0].kind if failures else ""

    def _prove(self, operation: str, answer: object, now_ns: int) -> None:
        """Note that the store takes writes, if this answer shows it."""
        if operation == "join" or isinstance(answer, _GRANTS) or answer in _BEATS:
            self.write_health.proved(now_ns)

    def _report(self, operation: str, duration_ns: int, error: str) -> None:
        wall_ns = self._clock.wall_ns()
        self._sink.record(
            StoreCalled(store=self.name, operation=operation, duration_ns=duration_ns, error=error, wall_ns=wall_ns)
        )
