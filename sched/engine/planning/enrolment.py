"""Report a job, and put it on the timeline from the first due instant on that it owes.

A trigger is asked for its next two instants once a registration, and again only if the first of them has passed since.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.planning.past_runs import without_claims_ahead
from tickglass.sched.engine.planning.trigger_calls import counted, next_due_ns
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import JobRegistered, Streak
from tickglass.sched.policies import misfire
from tickglass.sched.ports import JobRecord

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.membership.presence import Presence
    from tickglass.sched.engine.planning.planner import Planner
    from tickglass.sched.engine.planning.upcoming import Upcoming
    from tickglass.sched.engine.timing.clock_skew import SkewGuard
    from tickglass.sched.job import Job
    from tickglass.sched.registration import Registered

__all__ = ["Enrolment"]

_log: Final = logging.getLogger(__name__)


class Enrolment:
    """Enrols jobs with sinks and planner, as the store's answer to their registration says.

    Args:
        presence: is told of the labels that jobs prefer.
        planner: visits their due instants.
    """

    def __init__(self, context: EngineContext, planner: Planner, skew: SkewGuard, presence: Presence) -> None:
        self._context = context
        self._planner = planner
        self._skew = skew
        self._presence = presence
        self._triggers = planner.triggers

    def upcoming(self, job: Job) -> Upcoming:
        """Return the next two due instants of a job, by the clock that counts."""
        now = self._context.clock.reading()
        return self._triggers.upcoming(job, now.monotonic_ns + self._skew.offset_ns(now))

    def record_of(self, job: Job, upcoming: Upcoming) -> JobRecord:
        """Return what a job is registered with."""
        return JobRecord(
            name=job.name,
            trigger=str(job.trigger),
            resource=job.resource,
            owner=self._context.owner,
            service=self._context.service,
            ttl_ns=job.ttl_ns,
            grace_ns=job.grace_at(upcoming.first_ns, upcoming.second_ns),
            timeout_ns=job.timeout_ns,
            next_due_ns=upcoming.first_ns,
        )

    def add(self, job: Job, registered: Registered, streak: Streak, upcoming: Upcoming) -> None:
        """Report a job and put it on the timeline, from the first due instant on that it owes.

        Args:
            streak: how it has done lately, on any instance.
            upcoming: what it was registered with.
        """
        now_ns = self._planner.now_ns(job)
        upcoming = self._introduce(job, streak, now_ns, upcoming)
        registered = self._without_claims_ahead(registered, now_ns)
        self._take_over(job, registered, now_ns)
        self._planner.plan(job, registered.owes_after_ns(now_ns), upcoming=upcoming)

    def begin(self, job: Job, after_ns: int) -> None:
        """Report a job and put it on the timeline before it is registered; `make_up` follows.

        Args:
            after_ns: it owes its due instants from here on.
        """
        upcoming = self._introduce(job, Streak(), self._planner.now_ns(job), None)
        self._planner.plan(job, after_ns, upcoming=upcoming)

    def make_up(self, job: Job, registered: Registered, streak: Streak, until_ns: int) -> None:
        """Account for what a job owed before it began: that is known once it is registered.

        Args:
            until_ns: the instant after which it began.
        """
        now_ns = self._planner.now_ns(job)
        self._introduce(job, streak, now_ns, None)
        registered = self._without_claims_ahead(registered, now_ns)
        began_ns = min(until_ns, now_ns)  # by a clock that was ahead it began later than now: not silent until then
        self._take_over(job, registered, began_ns)
        owed_ns = registered.owes_after_ns(began_ns)
        if owed_ns < until_ns:
            self._planner.plan(job, owed_ns, until_ns)

    def _without_claims_ahead(self, registered: Registered, now_ns: int) -> Registered:
        return without_claims_ahead(registered, now_ns + self._skew.max_ahead_ns, self._context.store)

    def _introduce(self, job: Job, streak: Streak, now_ns: int, known: Upcoming | None) -> Upcoming:
        """Report a job, and return its next two instants; those that are known, if they are the next ones still."""
        upcoming = known
        if upcoming is None or not upcoming.names_next_after(now_ns):
            upcoming = self._triggers.upcoming(job, now_ns)
        if job.prefer is not None:
            self._presence.watch_labels(job.prefer)
        self._context.sink.record(
            JobRegistered(
                job=job.name,
                trigger=str(job.trigger),
                resource=job.resource,
                owner=self._context.owner,
                service=self._context.service,
                ttl_ns=job.ttl_ns,
                grace_ns=job.grace_at(upcoming.first_ns, upcoming.second_ns),
                interval_ns=upcoming.interval_ns,
                timeout_ns=job.timeout_ns,
                next_due_ns=upcoming.first_ns,
                wall_ns=self._context.clock.wall_ns(),
                streak=streak,
            )
        )
        return upcoming

    def _take_over(self, job: Job, registered: Registered, now_ns: int) -> None:
        """Take over an announced instant that has passed: under another trigger, or within its grace.

        The registration has announced the next instant instead. The owed instant is announced again, so that the
        next instance finds it if this one ends before it has claimed it.
        """
        superseded_ns, before = registered.superseded_due_ns(now_ns), registered.before
        if superseded_ns is not None and before is not None:
            self._planner.owe(job, superseded_ns, before.grace_ns)
        try:
            owed_ns = self._latest_in_grace(job, registered.owes_after_ns(now_ns), now_ns)
            if owed_ns is not None:
                self._context.store.register([replace(registered.job, next_due_ns=owed_ns)])
        except StoreUnavailable as error:
            _log.warning("other instances do not know that %s is about to run late: %s", job.name, error)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self._triggers.failed(job, error)

    def _latest_in_grace(self, job: Job, after_ns: int, now_ns: int) -> int | None:
        """Return the latest instant after this one that has passed and may still be run."""
        after_ns = max(after_ns, now_ns - misfire.grace_max_ns(job.grace_ns) - 1)
        passed_ns = counted(job.trigger, after_ns, now_ns).latest_ns if after_ns < now_ns else None
        if passed_ns is None:
            return None
        grace_ns = job.grace_at(passed_ns, next_due_ns(job.trigger, passed_ns))
        return None if misfire.is_too_late(now_ns - passed_ns, grace_ns) else passed_ns
