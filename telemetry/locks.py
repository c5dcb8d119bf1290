"""Turn the moves of one resource's locks, and the calls to one store, into their series.

No I/O, no clock reads: ages are computed from the reading that a scrape brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.lease import LockEvent, LockReason
from tickglass.telemetry import catalogue
from tickglass.telemetry.metric import OVERFLOW
from tickglass.telemetry.series import SeriesGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tickglass.sched.clock import Reading
    from tickglass.sched.events import JobRegistered, LockMoved, StoreCalled
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series import Counters, Histogram

__all__ = ["RENEWED_LATE_FRACTION", "LockGroup", "StoreGroup", "renewed_late"]

RENEWED_LATE_FRACTION: Final = 3  # with less than a third of the TTL left, one more failure loses the lease

_HOLDS_MAX: Final = 10_000  # of one resource, or of all resources beyond the cap: more only if events were lost
_LIMITS_MAX: Final = 1_000  # jobs that share a resource; of more, the first count

_S: Final = 1e9


def renewed_late(event: LockMoved) -> bool:
    """Return whether a renewal was confirmed with less than a third of the TTL left."""
    return event.margin_ns is not None and event.margin_ns * RENEWED_LATE_FRACTION < event.ttl_ns


@dataclass(slots=True)
class Hold:
    """A lock that is held; owner and service are label values, folded beyond the cap."""

    owner: str
    service: str
    since_ns: int
    since_wall_ns: int
    renewed_ns: int
    renewed_wall_ns: int
    ttl_ns: int
    renewing: bool


class LockGroup(SeriesGroup):
    """One resource: several runs and callers of this instance may wait for it, and one holds it.

    Args:
        owners, services: fold a name into a bounded label value.
    """

    def __init__(self, resource: str, owners: Mapping[str, str], services: Mapping[str, str]) -> None:
        super().__init__()
        self._resource = resource
        self._owners = owners
        self._services = services
        # Fences are unique per resource; under `OVERFLOW` several resources share this group.
        self._holds: dict[tuple[str, int], Hold] = {}
        self._limits: dict[str, int | None] = {}  # the timeouts of the jobs that share the resource
        self._transitions = self.counters(catalogue.LOCK_TRANSITIONS, resource)
        self._attempts = self.counters(catalogue.LOCK_ATTEMPTS, resource)
        self._failures = self.counters(catalogue.LOCK_FAILURES, resource)
        self._releases = self.counters(catalogue.LOCK_RELEASES, resource)
        self._renewals = self.counters(catalogue.LOCK_RENEWALS, resource)
        self._expirations = self.counter(catalogue.LOCK_EXPIRATIONS, resource)
        self._waiters = self.gauge(catalogue.LOCK_WAITERS, resource, start=0)
        self._ttl = self.gauge(catalogue.LOCK_TTL, resource)
        self._max_hold = self.gauge(catalogue.LOCK_MAX_HOLD, resource)
        self._fence = self.gauge(catalogue.LOCK_FENCE, resource)
        self._rejections = self.counter(catalogue.FENCING_REJECTIONS, resource)
        self._wait = self.histogram(catalogue.LOCK_WAIT, resource)
        self._hold = self.histogram(catalogue.LOCK_HOLD, resource)
        self._margin = self.histogram(catalogue.LOCK_MARGIN, resource)
        self._moves: dict[str, Callable[[LockMoved], None]] = {
            LockEvent.REQUESTED.value: self._requested,
            LockEvent.GRANTED.value: self._granted,
            LockEvent.REFUSED.value: self._refused,
            LockEvent.FAILED.value: self._failed,
            LockEvent.RENEWED.value: self._renewed,
            LockEvent.RENEWAL_FAILED.value: self._renewal_failed,
            LockEvent.EXPIRED.value: self._ended,
            LockEvent.LOST.value: self._ended,
            LockEvent.RELEASED.value: self._ended,
        }

    def declared(self, event: JobRegistered) -> None:
        """Take the registration of a job that uses this lock."""
        with self.lock:
            self._ttl.value = event.ttl_ns / _S
            if event.job in self._limits or len(self._limits) < _LIMITS_MAX:
                self._limits[event.job] = event.timeout_ns
            limits = [limit for limit in self._limits.values() if limit is not None]
            self._max_hold.value = max(limits) / _S if len(limits) == len(self._limits) else None

    def moved(self, event: LockMoved) -> None:
        """Count one move."""
        with self.lock:
            self._transitions[event.event].add()
            self._moves[event.event](event)

    def forget(self) -> None:
        """Forget the holder, the waiters, and the jobs that share the lock."""
        with self.lock:
            self._holds.clear()
            self._limits.clear()
            self._waiters.value = 0
            self._max_hold.value = None

    def restored(self, event: LockMoved) -> None:
        """Take over the live state without counting, because it was counted when it happened."""
        with self.lock:
            if event.event == LockEvent.REQUESTED:
                self._waiters.add()
            elif event.event == LockEvent.GRANTED:
                self._take(event)
            elif event.event == LockEvent.RENEWED:
                self._extend(event)

    def fencing_rejected(self) -> None:
        """Count one write under a stale fence."""
        with self.lock:
            self._rejections.add()

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:
        """Return holder, age and expiry; nothing while the lock is free."""
        holders: dict[tuple[str, str], Hold] = {}
        for hold in self._holds.values():
            oldest = holders.setdefault((hold.owner, hold.service), hold)
            if hold.since_ns < oldest.since_ns:
                holders[hold.owner, hold.service] = hold
        for (owner, service), hold in holders.items():
            values = self._resource, owner, service
            yield catalogue.LOCK_HELD, values, max(0, now.monotonic_ns - hold.since_ns) / _S
            yield catalogue.LOCK_ACQUIRED, values, hold.since_wall_ns / _S
        if holders:
            latest = max(self._holds.values(), key=lambda hold: hold.renewed_wall_ns)
            yield catalogue.LOCK_RENEWED, (self._resource,), latest.renewed_wall_ns / _S
            yield catalogue.LOCK_EXPIRY, (self._resource,), (latest.renewed_wall_ns + latest.ttl_ns) / _S
            if latest.renewing:
                yield catalogue.LOCK_UNRENEWED, (self._resource,), max(0, now.monotonic_ns - latest.renewed_ns) / _S

    def _requested(self, _: LockMoved) -> None:
        self._waiters.add()

    def _waited(self, event: LockMoved) -> None:
        self._waiters.add(-1)
        if event.blocking:
            self._wait.observe(event.stayed_ns / _S, event.run_id if event.sampled else "", event.wall_ns)

    def _granted(self, event: LockMoved) -> None:
        self._waited(event)
        self._attempts["acquired"].add()
        if event.other_owner:
            self._expirations.add()
        self._take(event)

    def _take(self, event: LockMoved) -> None:
        self._fence.value = event.fence
        self._ttl.value = event.ttl_ns / _S
        self._holds[event.resource, event.fence] = Hold(
            self._owners[event.owner],
            self._services[event.service],
            since_ns=event.at_ns,
            since_wall_ns=event.wall_ns,
            renewed_ns=event.at_ns,
            renewed_wall_ns=event.wall_ns,
            ttl_ns=event.ttl_ns,
            renewing=event.renewing,
        )
        while len(self._holds) > _HOLDS_MAX:
            del self._holds[next(iter(self._holds))]

    def _refused(self, event: LockMoved) -> None:
        self._waited(event)
        self._attempts["contended"].add()

    def _failed(self, event: LockMoved) -> None:
        self._waited(event)
        self._attempts["failed"].add()
        self._failures[event.reason or LockReason.STORE_ERROR.value].add()

    def _renewed(self, event: LockMoved) -> None:
        self._renewals["late" if renewed_late(event) else "ok"].add()
        if event.margin_ns is not None:
            self._margin.observe(event.margin_ns / _S)
        self._extend(event)

    def _extend(self, event: LockMoved) -> None:
        hold = self._holds.get((event.resource, event.fence))
        if hold is not None:
            hold.renewed_ns, hold.renewed_wall_ns = event.at_ns, event.wall_ns

    def _renewal_failed(self, _: LockMoved) -> None:
        self._renewals["error"].add()

    def _ended(self, event: LockMoved) -> None:
        if event.before == "lost":
            return  # the hold ended when the lease was lost
        if event.event == "lost":
            self._renewals["lost"].add()
        self._releases[event.event].add()  # events and reasons have the same names
        self._hold.observe(event.stayed_ns / _S, event.run_id if event.sampled else "", event.wall_ns)
        self._holds.pop((event.resource, event.fence), None)


class StoreGroup(SeriesGroup):
    """One store's calls, by operation; unknown operations fold into `OVERFLOW`."""

    def __init__(self, store: str) -> None:
        super().__init__()
        self._store = store
        self._operations: dict[str, tuple[Histogram, Counters]] = {}
        for operation in catalogue.STORE_DURATION.labels[-1].values:
            self._add(operation)

    def called(self, event: StoreCalled) -> None:
        """Count one call."""
        with self.lock:
            known = self._operations.get(event.operation) or self._operations.get(OVERFLOW) or self._add(OVERFLOW)
            durations, errors = known
            durations.observe(event.duration_ns / _S)
            if event.error:
                errors[event.error].add()

    def _add(self, operation: str) -> tuple[Histogram, Counters]:
        series = (
            self.histogram(catalogue.STORE_DURATION, self._store, operation),
            self.counters(catalogue.STORE_ERRORS, self._store, operation),
        )
        self._operations[operation] = series
        return series
