"""Build one view from several schedulers and stores.

A connected scheduler overrides a store where both know something; the stores know the rest. A snapshot that is not
fresh is ignored: locks and jobs that only it knows are left out, and the view says so. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.control.orders import Cancel, Drain, Pause, RunNow, Skip
from tickglass.sched.durations import SECOND, span_text
from tickglass.sched.ports import InstanceState
from tickglass.telemetry.sidecar.merge.jobs import jobs_of
from tickglass.telemetry.sidecar.merge.locks import locks_of
from tickglass.telemetry.sidecar.merge.scheduler_status import SchedulerStatus, statuses_of
from tickglass.telemetry.sidecar.view import (
    InstanceView,
    LockMark,
    OccurrenceView,
    OrderView,
    SchedulerView,
    StoreView,
    View,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickglass.sched.clock import Reading
    from tickglass.telemetry.sidecar.merge.scheduler_status import SchedulerSource
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["TIMELINE_NS", "view_of"]

KINDS: Final = {Pause: "pause", Skip: "skip", RunNow: "run", Cancel: "cancel", Drain: "drain"}
TIMELINE_NS: Final = 300 * SECOND  # what the timeline shows


def view_of(sources: Iterable[SchedulerSource], snapshots: Sequence[StoreSnapshot], now: Reading) -> View:
    """Return the view of this instant.

    Args:
        sources: the schedulers that are connected, or were.
        snapshots: what `Probe.snapshots` returns.
    """
    statuses = statuses_of(sources, now)
    fresh = [snapshot for snapshot in snapshots if snapshot.is_fresh(now)]
    locks = locks_of(statuses, fresh, now)
    jobs, occurrences = jobs_of(statuses, fresh, locks, now)
    since_ns = now.wall_ns - TIMELINE_NS
    return View(
        at_wall_ns=now.wall_ns,
        schedulers=[
            _scheduler(one, now) for one in sorted(statuses, key=lambda it: (it.source.service, it.source.owner))
        ],
        stores=[_store(snapshot, now) for snapshot in snapshots],
        jobs=jobs,
        locks=locks,
        runs=[run for run in occurrences if _is_late_enough(run, since_ns)],
        marks=_marks(statuses, since_ns),
        instances=[view for snapshot in fresh for view in _instances(snapshot, now)],
        orders=[view for snapshot in fresh for view in _orders(snapshot, now)],
        unready=_unready(statuses, snapshots, now),
    )


def _is_late_enough(run: OccurrenceView, since_ns: int) -> bool:
    """Return whether an occurrence ended after an instant, or is open on some scheduler."""
    in_hand = not run.outcome and run.state not in ("left", "abandoned", "overdue")
    return in_hand or max(run.due_ns, run.started_wall_ns or 0, run.ended_wall_ns or 0) >= since_ns


def _scheduler(one: SchedulerStatus, now: Reading) -> SchedulerView:
    source, snapshot = one.source, one.snapshot
    open_occurrences = [view for job in snapshot.jobs for view in job.open_occurrences]
    slots = [slots for slots, _ in snapshot.pools.values()]
    in_use = [used for _, used in snapshot.pools.values()]
    return SchedulerView(
        owner=source.owner,
        service=source.service,
        version=source.version,
        state=snapshot.state,
        connected=one.connected,
        since_wall_ns=source.connected_since_wall_ns,
        silent_ns=one.silent_ns,
        stalled=one.stalled,
        unready=list(one.unready),
        gaps=source.gaps,
        missed=source.missed,
        gap_age_ns=None if source.last_gap_ns is None else max(0, now.monotonic_ns - source.last_gap_ns),
        pool_slots=sum(slots) if slots else None,
        pool_in_use=sum(in_use) if in_use else None,
        running=sum(view.state in ("running", "stopping") for view in open_occurrences),
        pending=len(open_occurrences),
    )


def _store(snapshot: StoreSnapshot, now: Reading) -> StoreView:
    seen = snapshot.taken is not None
    return StoreView(
        source=snapshot.source,
        ok=not snapshot.error and snapshot.is_fresh(now),
        error=snapshot.error,
        age_ns=snapshot.age_ns(now),
        took_ns=snapshot.took_ns,
        skew_ns=snapshot.skew_ns,
        skew_bound_ns=snapshot.skew_bound_ns,
        leases=len(snapshot.leases) if seen else None,
        jobs=len(snapshot.jobs) if seen else None,
        truncated=snapshot.truncated,
    )


def _instances(snapshot: StoreSnapshot, now: Reading) -> list[InstanceView]:
    """Return the instances of a store that have not left; silence goes on since it was read."""
    age_ns = snapshot.age_ns(now) or 0
    return [
        InstanceView(
            source=snapshot.source,
            service=it.service,
            owner=it.owner,
            incarnation=it.incarnation,
            state=it.state if it.living else "silent",
            version=it.version,
            silent_ns=it.silent_ns + age_ns,
            difference=snapshot.roster.difference(it),
        )
        for it in snapshot.roster.instances
        if it.state != InstanceState.LEFT
    ]


def _orders(snapshot: StoreSnapshot, now: Reading) -> list[OrderView]:
    """Return what stands in a store, by its own clock as far as that is known."""
    store_ns = now.wall_ns - (snapshot.skew_ns or 0)
    return [
        OrderView(
            source=snapshot.source,
            kind=KINDS[type(it)],
            number=it.number,
            by=it.by,
            reason=it.reason,
            since_wall_ns=it.since_ns,
            until_wall_ns=it.until_ns,
            service=it.service,
            job="" if isinstance(it, Drain) else it.job,
            due_ns=it.due_ns if isinstance(it, Skip | RunNow) else None,
            run_id=it.run_id if isinstance(it, Cancel) else "",
            owner=it.owner if isinstance(it, Drain) else "",
        )
        for it in snapshot.orders.standing(store_ns)
    ]


def _marks(statuses: Iterable[SchedulerStatus], since_ns: int) -> list[LockMark]:
    marks = [mark for one in statuses for mark in one.snapshot.marks if mark.at_wall_ns >= since_ns]
    return sorted(marks, key=lambda mark: mark.at_wall_ns)


def _unready(statuses: Sequence[SchedulerStatus], snapshots: Sequence[StoreSnapshot], now: Reading) -> list[str]:
    """Return why the view is incomplete."""
    reasons = [] if statuses or snapshots else ["no scheduler has connected yet, and no store is read"]
    for snapshot in snapshots:
        age_ns = snapshot.age_ns(now)
        if age_ns is None:
            reasons.append(
                f"{snapshot.source} has not been read yet" + (f": {snapshot.error}" if snapshot.error else "")
            )
        elif not snapshot.is_fresh(now):
            cause = f": {snapshot.error}" if snapshot.error else ""
            reasons.append(f"{snapshot.source} has not answered for {span_text(age_ns)}, and is left out{cause}")
        if snapshot.truncated:
            reasons.append(f"{snapshot.source} holds more than one probe reads")
    for one in statuses:
        if one.stalled:
            reasons.append(f"the timeline of {one.source.owner} does not tick")
        if one.snapshot.left_out:
            reasons.append(f"{one.source.owner} has more jobs than are kept")
    return reasons
