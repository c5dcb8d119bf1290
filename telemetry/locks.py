"""Turn the moves of one resource's locks into their series.

No I/O, no clock reads: ages are computed from the reading that a scrape brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import LockEvent, LockReason, LockState
from tickglass.telemetry import catalogue
from tickglass.telemetry.metric import OVERFLOW
from tickglass.telemetry.series import SeriesGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tickglass.sched.clock import Reading
    from tickglass.sched.events import JobRegistered, LockMoved
    from tickglass.sched.state_machine import LockMove
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series import Together

    _Move = LockMove | LockMoved  # the machine that moved, or the event that tells of it

__all__ = ["IDLE_NS", "RENEWED_LATE_FRACTION", "LockGroup", "renewed_late"]

RENEWED_LATE_FRACTION: Final = 3  # with less than a third of the TTL left, one more failure loses the lease

# After so long, a lock taken by hand that nobody asks for is not shown: longer than any window of a rule about locks.
IDLE_NS: Final = 3_600 * SECOND

_HOLDS_MAX: Final = 10_000  # of one resource, or of all resources beyond the cap: more only if events were lost
_LIMITS_MAX: Final = 1_000  # jobs that share a resource; of more, the first count

_S: Final = 1e9


def renewed_late(move: _Move) -> bool:
    """Return whether a renewal was confirmed with less than a third of the TTL left."""
    return move.margin_ns is not None and move.margin_ns * RENEWED_LATE_FRACTION < move.ttl_ns


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

    A lock that no job uses is hidden when nobody has asked for it for `IDLE_NS`. Its counts stay, so when somebody
    asks for it again, its counters continue. A retired group takes no more events, because it has been removed.

    Args:
        owners, services: fold a name into a bounded label value.
    """

    __slots__ = (
        "_active_ns",
        "_attempts",
        "_by_hand",
        "_expirations",
        "_failures",
        "_fence",
        "_hold",
        "_holds",
        "_in_hand",
        "_limits",
        "_longest_ns",
        "_margin",
        "_max_hold",
        "_owners",
        "_rejections",
        "_releases",
        "_renewals",
        "_retired",
        "_services",
        "_transitions",
        "_ttl",
        "_wait",
        "_waiters",
        "resource",
    )
    counts_changes = True

    def __init__(
        self, resource: str, owners: Mapping[str, str], services: Mapping[str, str], together: Together
    ) -> None:
        super().__init__(resource, together)
        self._retired = False
        self._in_hand: dict[str, int] = {}  # under `OVERFLOW`: by resource, how many wait for it or have it
        self._by_hand = resource != OVERFLOW  # as long as no job uses it
        self._active_ns: int | None = None  # monotonic; None: since the last scrape
        self.resource = resource
        self._owners = owners
        self._services = services
        # Fences are unique per resource; under `OVERFLOW` several resources share this group.
        self._holds: dict[tuple[str, int], Hold] = {}
        self._limits: dict[str, int | None] = {}  # the timeouts of the jobs that share the resource
        self._longest_ns: int | None = None  # of these; None: one of them has none
        self._transitions = self.counters(catalogue.LOCK_TRANSITIONS)
        self._attempts = self.counters(catalogue.LOCK_ATTEMPTS)
        self._failures = self.counters(catalogue.LOCK_FAILURES)
        self._releases = self.counters(catalogue.LOCK_RELEASES)
        self._renewals = self.counters(catalogue.LOCK_RENEWALS)
        self._expirations = self.counter(catalogue.LOCK_EXPIRATIONS)
        self._waiters = self.gauge(catalogue.LOCK_WAITERS, start=0)
        self._ttl = self.gauge(catalogue.LOCK_TTL)
        self._max_hold = self.gauge(catalogue.LOCK_MAX_HOLD)
        self._fence = self.gauge(catalogue.LOCK_FENCE)
        self._rejections = self.counter(catalogue.FENCING_REJECTIONS)
        self._wait = self.histogram(catalogue.LOCK_WAIT)
        self._hold = self.histogram(catalogue.LOCK_HOLD)
        self._margin = self.counter(catalogue.LOCK_MARGIN)

    def declared(self, event: JobRegistered) -> bool:
        """Take the registration of a job that uses this lock; return False if this group was retired."""
        with self.lock:
            self._changes += 1
            if self._retired:
                return False
            self._by_hand = False
            self._ttl.value = event.ttl_ns / _S
            self._take_limit(event.job, event.timeout_ns)
            self._max_hold.value = None if self._longest_ns is None else self._longest_ns / _S
            return True

    def moved(self, move: _Move) -> bool:
        """Count one move; return False if this group was retired."""
        with self.lock:
            self._changes += 1
            if self._retired:
                return False
            self._active_ns = move.at_ns
            if self.resource == OVERFLOW:
                self._take_in_hand(move.resource, (move.before == LockState.IDLE) - (move.after == LockState.IDLE))
            self._transitions[move.event].add()
            self._TAKEN_BY[move.event](self, move)
            return True

    def forget(self) -> None:
        """Forget the holder, the waiters, and the jobs that share the lock."""
        with self.lock:
            self._changes += 1
            self._holds.clear()
            self._in_hand.clear()
            self._limits.clear()
            self._waiters.value = 0
            self._max_hold.value = None

    def restored(self, event: LockMoved) -> bool:
        """Take over the live state without counting, because it was counted when it happened.

        Return False if this group was retired.
        """
        with self.lock:
            self._changes += 1
            if self._retired:
                return False
            self._active_ns = event.at_ns
            if event.event == LockEvent.REQUESTED:
                self._waiters.add()
                self._take_in_hand(event.resource, 1)
            elif event.event == LockEvent.GRANTED:
                self._take(event)
                self._take_in_hand(event.resource, 1)
            elif event.event == LockEvent.RENEWED:
                self._extend(event)
            return True

    def fencing_rejected(self) -> bool:
        """Count one write under a stale fence; return False if this group was retired."""
        with self.lock:
            self._changes += 1
            if self._retired:
                return False
            self._active_ns = None
            self._rejections.add()
            return True

    def has_in_hand(self, resource: str) -> bool:
        """Return whether somebody waits for that resource or has it, and is counted here under `OVERFLOW`."""
        return resource in self._in_hand

    def is_hidden(self, now: Reading) -> bool:
        """Return whether it was taken by hand and nobody has asked for it for `IDLE_NS`; called under the lock."""
        if self._active_ns is None:
            self._active_ns = now.monotonic_ns
        return (
            self._by_hand
            and not self._holds
            and not self._waiters.value
            and now.monotonic_ns - self._active_ns > IDLE_NS
        )

    def idle_since_ns(self, now: Reading) -> int | None:
        """Return since when, monotonic, nobody has asked for it, if it is hidden; does not wait for the lock."""
        if not self.lock.acquire(blocking=False):  # whoever has it uses the group
            return None
        try:
            return self._active_ns if self.is_hidden(now) else None
        finally:
            self.lock.release()

    def retire(self, now: Reading) -> bool:
        """Take no more events, if it is hidden; return whether that is so. Does not wait for the lock."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            self._retired = self._retired or self.is_hidden(now)
            return self._retired
        finally:
            self.lock.release()

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:
        """Return holder, age and expiry; nothing while the lock is free."""
        holders: dict[tuple[str, str], Hold] = {}
        for hold in self._holds.values():
            oldest = holders.setdefault((hold.owner, hold.service), hold)
            if hold.since_ns < oldest.since_ns:
                holders[hold.owner, hold.service] = hold
        for (owner, service), hold in holders.items():
            values = owner, service
            yield catalogue.LOCK_HELD, values, max(0, now.monotonic_ns - hold.since_ns) / _S
            yield catalogue.LOCK_ACQUIRED, values, hold.since_wall_ns / _S
        if holders:
            latest = max(self._holds.values(), key=lambda hold: hold.renewed_wall_ns)
            yield catalogue.LOCK_RENEWED, (), latest.renewed_wall_ns / _S
            yield catalogue.LOCK_EXPIRY, (), (latest.renewed_wall_ns + latest.ttl_ns) / _S
            if latest.renewing:
                yield catalogue.LOCK_UNRENEWED, (), max(0, now.monotonic_ns - latest.renewed_ns) / _S

    def _take_limit(self, job: str, limit_ns: int | None) -> None:
        """Note how long this job may hold the lock; go through all jobs only if it has said otherwise before."""
        if job in self._limits:
            if self._limits[job] != limit_ns:
                self._limits[job] = limit_ns
                self._longest_ns = reduce(_longer, self._limits.values())
        elif len(self._limits) < _LIMITS_MAX:
            self._longest_ns = _longer(self._longest_ns, limit_ns) if self._limits else limit_ns
            self._limits[job] = limit_ns

    def _take_in_hand(self, resource: str, more: int) -> None:
        if self.resource != OVERFLOW or not more:
            return
        count = self._in_hand.pop(resource, 0) + more
        if count > 0 and len(self._in_hand) < _HOLDS_MAX:
            self._in_hand[resource] = count

    def _requested(self, _: _Move) -> None:
        self._waiters.add()

    def _waited(self, move: _Move) -> None:
        self._waiters.add(-1)
        if move.blocking:
            self._wait.observe(move.stayed_ns / _S, move.run_id if move.sampled else "", move.wall_ns)

    def _granted(self, move: _Move) -> None:
        self._waited(move)
        self._attempts["acquired"].add()
        if move.other_owner:
            self._expirations.add()
        self._take(move)

    def _take(self, move: _Move) -> None:
        self._fence.value = move.fence
        self._ttl.value = move.ttl_ns / _S
        self._holds[move.resource, move.fence] = Hold(
            self._owners[move.owner],
            self._services[move.service],
            since_ns=move.at_ns,
            since_wall_ns=move.wall_ns,
            renewed_ns=move.at_ns,
            renewed_wall_ns=move.wall_ns,
            ttl_ns=move.ttl_ns,
            renewing=move.renewing,
        )
        while len(self._holds) > _HOLDS_MAX:
            del self._holds[next(iter(self._holds))]

    def _refused(self, move: _Move) -> None:
        self._waited(move)
        self._attempts["contended"].add()

    def _failed(self, move: _Move) -> None:
        self._waited(move)
        self._attempts["failed"].add()
        self._failures[move.reason or LockReason.STORE_ERROR.value].add()

    def _renewed(self, move: _Move) -> None:
        self._renewals["late" if renewed_late(move) else "ok"].add()
        if move.margin_ns is not None:
            self._margin.add(max(0, move.margin_ns) / _S)
        self._extend(move)

    def _extend(self, move: _Move) -> None:
        hold = self._holds.get((move.resource, move.fence))
        if hold is not None:
            hold.renewed_ns, hold.renewed_wall_ns = move.at_ns, move.wall_ns

    def _renewal_failed(self, _: _Move) -> None:
        self._renewals["error"].add()

    def _ended(self, move: _Move) -> None:
        if move.before == "lost":
            return  # the hold ended when the lease was lost
        if move.event == "lost":
            self._renewals["lost"].add()
        self._releases[move.event].add()  # events and reasons have the same names
        self._hold.observe(move.stayed_ns / _S, move.run_id if move.sampled else "", move.wall_ns)
        self._holds.pop((move.resource, move.fence), None)

    _TAKEN_BY: ClassVar[Mapping[str, Callable[[LockGroup, _Move], None]]] = {
        LockEvent.REQUESTED: _requested,
        LockEvent.GRANTED: _granted,
        LockEvent.REFUSED: _refused,
        LockEvent.FAILED: _failed,
        LockEvent.RENEWED: _renewed,
        LockEvent.RENEWAL_FAILED: _renewal_failed,
        LockEvent.EXPIRED: _ended,
        LockEvent.LOST: _ended,
        LockEvent.RELEASED: _ended,
    }


def _longer(one_ns: int | None, other_ns: int | None) -> int | None:
    """Return the longer of two limits; None is no limit."""
    return None if one_ns is None or other_ns is None else max(one_ns, other_ns)
