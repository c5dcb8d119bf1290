"""Put one view together from several schedulers and stores.

What a live scheduler says beats what a store showed, where both know; the stores know about the rest. A look that
is too old is not believed: what only it knew is left out, and the view says so. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND, span_text
from tickglass.telemetry.sidecar.merge.jobs import jobs_of
from tickglass.telemetry.sidecar.merge.locks import locks_of
from tickglass.telemetry.sidecar.merge.scheduler_status import SchedulerStatus, heard_of
from tickglass.telemetry.sidecar.view import LockMark, OccurrenceView, SchedulerView, StoreView, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickglass.sched.clock import Reading
    from tickglass.telemetry.sidecar.merge.scheduler_status import SchedulerSource
    from tickglass.telemetry.sidecar.stores.probe import StoreSight

__all__ = ["TIMELINE_NS", "view_of"]

TIMELINE_NS: Final = 300 * SECOND  # what the timeline shows


def view_of(sources: Iterable[SchedulerSource], sights: Sequence[StoreSight], now: Reading) -> View:
    """Return all that is known at this instant.

    Args:
        sources: the schedulers that are connected, or were.
        sights: what `Probe.sights` returns.
    """
    heard = heard_of(sources, now)
    fresh = [sight for sight in sights if sight.is_fresh(now)]
    locks = locks_of(heard, fresh, now)
    jobs, occurrences = jobs_of(heard, fresh, locks, now)
    since_ns = now.wall_ns - TIMELINE_NS
    return View(
        at_wall_ns=now.wall_ns,
        schedulers=[_scheduler(one, now) for one in sorted(heard, key=lambda it: (it.source.service, it.source.owner))],
        stores=[_store(sight, now) for sight in sights],
        jobs=jobs,
        locks=locks,
        runs=[run for run in occurrences if _is_late_enough(run, since_ns)],
        marks=_marks(heard, since_ns),
        unready=_unready(heard, sights, now),
    )


def _is_late_enough(run: OccurrenceView, since_ns: int) -> bool:
    """Whether an occurrence was still in sight after an instant: one that is in hand is, if anybody has it."""
    in_hand = not run.outcome and run.state not in ("left", "abandoned", "overdue")
    return in_hand or max(run.due_ns, run.started_wall_ns or 0, run.ended_wall_ns or 0) >= since_ns


def _scheduler(one: SchedulerStatus, now: Reading) -> SchedulerView:
    source, sight = one.source, one.sight
    hands = [view for job in sight.jobs for view in job.hands]
    slots = [slots for slots, _ in sight.pools.values()]
    in_use = [used for _, used in sight.pools.values()]
    return SchedulerView(
        owner=source.owner,
        service=source.service,
        version=source.version,
        state=sight.state,
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
        running=sum(view.state in ("running", "stopping") for view in hands),
        pending=len(hands),
    )


def _store(sight: StoreSight, now: Reading) -> StoreView:
    seen = sight.taken is not None
    return StoreView(
        source=sight.source,
        ok=not sight.error and sight.is_fresh(now),
        error=sight.error,
        age_ns=sight.age_ns(now),
        took_ns=sight.took_ns,
        skew_ns=sight.skew_ns,
        skew_bound_ns=sight.skew_bound_ns,
        leases=len(sight.leases) if seen else None,
        jobs=len(sight.jobs) if seen else None,
        truncated=sight.truncated,
    )


def _marks(heard: Iterable[SchedulerStatus], since_ns: int) -> list[LockMark]:
    marks = [mark for one in heard for mark in one.sight.marks if mark.at_wall_ns >= since_ns]
    return sorted(marks, key=lambda mark: mark.at_wall_ns)


def _unready(heard: Sequence[SchedulerStatus], sights: Sequence[StoreSight], now: Reading) -> list[str]:
    """Say why this may not be all of it."""
    told = [] if heard or sights else ["no scheduler has connected yet, and no store is looked into"]
    for sight in sights:
        age_ns = sight.age_ns(now)
        if age_ns is None:
            told.append(f"{sight.source} has not been seen yet" + (f": {sight.error}" if sight.error else ""))
        elif not sight.is_fresh(now):
            cause = f": {sight.error}" if sight.error else ""
            told.append(f"{sight.source} has not answered for {span_text(age_ns)}, and is left out{cause}")
        if sight.truncated:
            told.append(f"{sight.source} holds more than one look reads")
    for one in heard:
        if one.stalled:
            told.append(f"the timeline of {one.source.owner} does not turn")
        if one.sight.left_out:
            told.append(f"{one.source.owner} has more jobs than are kept")
    return told
