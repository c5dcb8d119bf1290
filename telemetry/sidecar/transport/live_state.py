"""Keep the live state of a scheduler as the fewest events that lead to it.

Pure. Folded from the scheduler's events, and replayed to a sidecar that did not receive them. What has ended
(a run that ended, a lock that was released) leaves nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tickglass.sched.events import (
    ClockDisciplineRead,
    EventLoopAsked,
    EventLoopTurned,
    FirstRunOnTime,
    InstantsSkipped,
    JobContested,
    JobRegistered,
    LockMoved,
    OccurrenceMoved,
    OrdersStand,
    PoolMoved,
    ReadinessMoved,
    SchedulerMoved,
    SkewMeasured,
    SpoolMoved,
)
from tickglass.sched.lease import LockEvent, LockState
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import OccurrenceEvent
from tickglass.sched.ports import SCHEDULED
from tickglass.sched.streak import prolonged, prolonged_by_span
from tickglass.telemetry.interval import IntervalTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.events import Event, Streak

__all__ = ["LiveState"]


class LiveState:
    """The live state: an event sink whose size does not grow with time."""

    def __init__(self) -> None:
        self._latest: dict[type[Event], Event] = {}  # state, readiness, event loop, clock, spool
        self._jobs: dict[str, JobRegistered] = {}
        self._contested: dict[str, JobContested] = {}
        self._interval_trackers: dict[str, IntervalTracker] = {}
        self._streaks: dict[str, Streak] = {}
        self._pools: dict[str, PoolMoved] = {}
        self._open_occurrences: dict[tuple[str, int, str], list[OccurrenceMoved]] = {}
        self._waiting: dict[tuple[str, str], list[LockMoved]] = {}
        self._holds: dict[tuple[str, int], list[LockMoved]] = {}  # granted, and then the latest renewal
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            JobRegistered: self._registered,
            JobContested: self._job_contested,
            LockMoved: self._lock_moved,
            OccurrenceMoved: self._occurrence_moved,
            InstantsSkipped: self._instants_skipped,
            PoolMoved: self._pool_moved,
            SchedulerMoved: self._scheduler_moved,
            ReadinessMoved: self._keep,
            FirstRunOnTime: self._keep,
            EventLoopAsked: self._keep,
            EventLoopTurned: self._loop_turned,
            SkewMeasured: self._keep,
            ClockDisciplineRead: self._keep,
            SpoolMoved: self._keep,
            OrdersStand: self._keep,
        }

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`."""
        handle = self._handlers.get(type(event))
        if handle is not None:
            handle(event)

    def events(self) -> list[Event]:
        """Return the events that lead to the present: the state, jobs, pools, then occurrences, then locks."""
        found: list[Event] = list(self._latest.values())
        for name, job in self._jobs.items():
            tracker = self._interval_trackers[name]
            latest = {
                "next_due_ns": tracker.next_due_ns,
                "interval_ns": tracker.interval_ns,
                "streak": self._streaks[name],
            }
            found.append(msgspec.structs.replace(job, **latest))
        found += self._contested.values()
        found += [msgspec.structs.replace(pool, waited_ns=None) for pool in self._pools.values()]
        for moves in self._open_occurrences.values():
            found += moves
        for granted, *renewed in self._holds.values():
            found += [msgspec.structs.replace(granted, other_owner=""), *renewed]  # the previous owner is history
        for waits in self._waiting.values():  # after the holds: a grant ends a wait
            found += waits
        return found

    def _keep(self, event: Event) -> None:
        self._latest[type(event)] = event

    def _scheduler_moved(self, event: SchedulerMoved) -> None:
        self._keep(event)
        if event.after != SchedulerState.RUNNING:
            self._latest.pop(ReadinessMoved, None)
        if event.after == SchedulerState.STARTING:
            self._latest.pop(FirstRunOnTime, None)

    def _loop_turned(self, event: EventLoopTurned) -> None:
        self._latest.pop(EventLoopAsked, None)
        self._keep(event)

    def _registered(self, event: JobRegistered) -> None:
        self._jobs[event.job] = event
        self._interval_trackers[event.job] = IntervalTracker(event.next_due_ns, event.interval_ns)
        self._streaks[event.job] = event.streak

    def _job_contested(self, event: JobContested) -> None:
        if event.since_wall_ns is None:
            self._contested.pop(event.job, None)
        else:
            self._contested[event.job] = event

    def _pool_moved(self, event: PoolMoved) -> None:
        self._pools[event.pool] = event

    def _occurrence_moved(self, event: OccurrenceMoved) -> None:
        key = event.job, event.due_ns, event.run_id
        if event.event == OccurrenceEvent.ENDED:
            self._open_occurrences.pop(key, None)
            if event.job in self._streaks:
                streak = self._streaks[event.job]
                self._streaks[event.job] = prolonged(
                    streak, event.outcome or "", event.due_ns, event.wall_ns, reason=event.reason
                )
            return
        self._open_occurrences.setdefault(key, []).append(event)
        if event.event == OccurrenceEvent.FELL_DUE and event.kind == SCHEDULED:
            self._interval_trackers.setdefault(event.job, IntervalTracker()).fell_due(event.due_ns, event.next_due_ns)

    def _instants_skipped(self, event: InstantsSkipped) -> None:
        tracker = self._interval_trackers.setdefault(event.job, IntervalTracker())
        tracker.fell_due(event.latest_due_ns, event.next_due_ns)
        if event.job in self._streaks:
            self._streaks[event.job] = prolonged_by_span(self._streaks[event.job], event)

    def _lock_moved(self, event: LockMoved) -> None:
        if event.event == LockEvent.REQUESTED:
            self._waiting.setdefault((event.resource, event.run_id), []).append(event)
        elif event.before == LockState.WAITING:
            self._waited(event)
        key = event.resource, event.fence
        if event.event == LockEvent.GRANTED:
            self._holds[key] = [event]
        elif event.event == LockEvent.RENEWED and key in self._holds:
            self._holds[key] = [self._holds[key][0], event]
        elif event.after != LockState.HELD and event.before == LockState.HELD:
            self._holds.pop(key, None)

    def _waited(self, event: LockMoved) -> None:
        """Remove one waiter of this run; waiters for locks taken by hand share the empty run id."""
        key = event.resource, event.run_id
        waits = self._waiting.get(key)
        if waits:
            waits.pop(0)
        if not waits:
            self._waiting.pop(key, None)
