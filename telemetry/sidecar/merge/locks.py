"""Decide who holds which lock, from the reports of schedulers and the leases in stores.

A connected scheduler's report of its own hold is newer than any probe of the store. But only the store knows that a
lease has ended, or that another owner has the resource under a newer fence. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.telemetry.sidecar.view import LockView
from tickglass.telemetry.thresholds import LEASE_ENDED_LATELY_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tickglass.sched.clock import Reading
    from tickglass.sched.ports import LeaseRecord
    from tickglass.telemetry.sidecar.merge.scheduler_status import SchedulerStatus
    from tickglass.telemetry.sidecar.schedulers.lock_history import Hold
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["LOCKS_SHOWN", "locks_of"]

LOCKS_SHOWN: Final = 1_000
_LATELY_NS: Final = round(LEASE_ENDED_LATELY_S * SECOND)


@dataclass(frozen=True, slots=True)
class _ReadLease:
    """A lease as one probe read it."""

    lease: LeaseRecord
    source: str
    taken: Reading


def locks_of(statuses: Sequence[SchedulerStatus], snapshots: Sequence[StoreSnapshot], now: Reading) -> list[LockView]:
    """Return the locks that are held, expired or waited for, by resource.

    Of more than `LOCKS_SHOWN`, those that are stuck, waited for or held for long come before those that ended long ago.

    Args:
        snapshots: fresh ones.
    """
    holds: dict[str, list[Hold]] = defaultdict(list)
    waiters: dict[str, int] = defaultdict(int)
    for one in statuses:
        if one.connected:
            for hold in one.snapshot.holds:
                holds[hold.resource].append(hold)
            for resource, count in one.snapshot.waiters.items():
                waiters[resource] += count
    seen: dict[str, list[_ReadLease]] = defaultdict(list)
    for it in _seen(statuses, snapshots):
        seen[it.lease.resource].append(it)
    limits = _limits(statuses, snapshots)
    locks = []
    for resource in holds.keys() | seen.keys() | waiters.keys():
        waiting, allowed_ns = waiters.get(resource, 0), limits.get(resource)
        found = _pairs(holds.get(resource, []), seen.get(resource, []), now)
        if not found:
            locks.append(LockView(resource=resource, state="free", waiters=waiting, allowed_ns=allowed_ns))
        locks += [_lock(hold, lease, waiting, allowed_ns, now) for hold, lease in found]
    if len(locks) > LOCKS_SHOWN:
        locks.sort(key=lambda it: (it.stuck, it.waiters, it.state != "expired", it.held_ns or 0), reverse=True)
    return sorted(locks[:LOCKS_SHOWN], key=lambda it: (it.resource, it.source))


def _seen(statuses: Sequence[SchedulerStatus], snapshots: Sequence[StoreSnapshot]) -> list[_ReadLease]:
    """Return the leases in the stores, except those whose holders have reported the end since."""
    ends = {(one.source.owner, *key): at_ns for one in statuses for key, at_ns in one.snapshot.ends.items()}
    return [
        _ReadLease(lease, snapshot.source, snapshot.taken)
        for snapshot in snapshots
        if snapshot.taken is not None
        for lease in snapshot.leases
        if ends.get((lease.owner, lease.resource, lease.fence), 0) <= snapshot.taken.monotonic_ns
    ]


def _pairs(
    holds: Sequence[Hold], seen: Sequence[_ReadLease], now: Reading
) -> list[tuple[Hold | None, _ReadLease | None]]:
    """Match holds with leases: one lock for each store that has the resource.

    The store of a scheduler is not known. Its hold is the lease with the same owner and fence. Without such a
    lease, the hold began after the probe, or its store is not read, or the scheduler does not know of its end yet.
    """
    pairs: list[tuple[Hold | None, _ReadLease | None]] = []
    alone = list(holds)
    for it in seen:
        hold = next((hold for hold in alone if (hold.owner, hold.fence) == (it.lease.owner, it.lease.fence)), None)
        if hold is not None:
            alone.remove(hold)
        pairs.append((hold, it))
    for hold in alone:
        same = pairs[0] if len(seen) == 1 and pairs[0][0] is None else None
        if same is None or same[1] is None:
            pairs.append((hold, None))
        elif hold.fence > same[1].lease.fence:
            pairs[0] = (hold, None)
        elif hold.renewed_ns + hold.ttl_ns > now.monotonic_ns:
            pairs.append((hold, None))
    return pairs


def _lock(hold: Hold | None, seen: _ReadLease | None, waiters: int, allowed_ns: int | None, now: Reading) -> LockView:
    expired = seen is not None and seen.lease.remaining_ns <= 0
    held_ns, since_wall_ns = _age(hold, seen, now)
    remaining_ns = _remaining_ns(hold, seen, now, expired=expired)
    ended_lately = expired and remaining_ns is not None and -remaining_ns < _LATELY_NS
    who = hold if hold is not None else seen.lease if seen is not None else None
    if who is None:
        raise ValueError("a lock has a hold or a lease")
    return LockView(
        resource=who.resource,
        state="expired" if expired else "held",
        owner=who.owner,
        service=who.service,
        job=who.job,
        run_id=who.run_id,
        since_wall_ns=since_wall_ns,
        held_ns=held_ns,
        allowed_ns=allowed_ns,
        ttl_ns=who.ttl_ns,
        remaining_ns=remaining_ns,
        fence=who.fence,
        waiters=waiters,
        stuck=ended_lately or (not expired and allowed_ns is not None and held_ns > allowed_ns),
        source="" if seen is None else seen.source,
    )


def _age(hold: Hold | None, seen: _ReadLease | None, now: Reading) -> tuple[int, int]:
    """Return how long it has been held, and since when."""
    if hold is not None:
        return max(0, now.monotonic_ns - hold.since_ns), hold.since_wall_ns
    if seen is None:
        return 0, now.wall_ns
    held_ns = max(0, seen.lease.held_ns + now.monotonic_ns - seen.taken.monotonic_ns)
    return held_ns, now.wall_ns - held_ns


def _remaining_ns(hold: Hold | None, seen: _ReadLease | None, now: Reading, *, expired: bool) -> int | None:
    """Return what is left; None if the lease should have ended since the probe, because it may have been renewed."""
    left = [hold.renewed_ns + hold.ttl_ns - now.monotonic_ns] if hold is not None else []
    if seen is not None:
        left.append(seen.lease.remaining_ns - (now.monotonic_ns - seen.taken.monotonic_ns))
        if expired:
            return left[-1]
    longest_ns = max(left, default=0)
    return longest_ns if longest_ns > 0 else None


def _limits(statuses: Sequence[SchedulerStatus], snapshots: Sequence[StoreSnapshot]) -> Mapping[str, int | None]:
    """Return the longest that jobs may hold a resource; a scheduler's registration overrides the ledger."""
    limits: dict[str, int | None] = {}
    reported: set[str] = set()
    for one in statuses:
        for resource, limit_ns in one.snapshot.limits.items():
            limits[resource] = limit_ns if resource not in reported else _longest(limits[resource], limit_ns)
            reported.add(resource)
    read: set[str] = set()
    for snapshot in snapshots:
        for job in snapshot.jobs:
            if job.resource not in reported:
                limits[job.resource] = (
                    job.timeout_ns if job.resource not in read else _longest(limits[job.resource], job.timeout_ns)
                )
                read.add(job.resource)
    return limits


def _longest(one_ns: int | None, other_ns: int | None) -> int | None:
    return None if one_ns is None or other_ns is None else max(one_ns, other_ns)
