"""Put jobs on the timeline, and act on what admission says of each due instant.

Next instants are computed from the trigger and the due instant, never from "now", so no error accumulates.
Visits run on the timeline's thread.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.foreign_errors import is_program_exit
from tickglass.sched.engine.planning.misfires import COUNTED_MAX
from tickglass.sched.engine.planning.past_runs import without_claims_ahead
from tickglass.sched.errors import StoreUnavailable, failure_text
from tickglass.sched.events import JobRegistered, Streak, TriggerFailed
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine, Outcome
from tickglass.sched.policies import misfire
from tickglass.sched.policies.admission import Situation, admit
from tickglass.sched.policies.backoff import Backoff
from tickglass.sched.policies.verdict import Admit, Decline, Defer, TooLate
from tickglass.sched.ports import JobRecord
from tickglass.sched.triggers import LATEST_NS, InstantCount

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.misfires import Misfires
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.engine.timing.clock_skew import SkewGuard
    from tickglass.sched.engine.timing.timeline import Timeline
    from tickglass.sched.job import Job
    from tickglass.sched.policies.verdict import Verdict
    from tickglass.sched.registration import Registered
    from tickglass.sched.triggers import Trigger

__all__ = ["Planner"]

_log: Final = logging.getLogger(__name__)
_TRIGGER: Final = Backoff(SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND)


class _Plan:
    """A job's place on the timeline.

    Args:
        until_ns: the last instant of this plan, because another plan goes on from there; None: no end.
    """

    __slots__ = ("after_ns", "due_ns", "failures", "job", "until_ns")

    def __init__(self, job: Job, after_ns: int, until_ns: int | None = None) -> None:
        self.job = job
        self.until_ns = until_ns
        self.after_ns = after_ns  # the next instant is the first after this one
        self.due_ns: int | None = None
        self.failures = 0


class Planner:
    """Puts jobs on the timeline, and passes admitted occurrences to the dispatcher."""

    def __init__(
        self,
        context: EngineContext,
        timeline: Timeline,
        dispatcher: Dispatcher,
        skew: SkewGuard,
        misfires: Misfires,
    ) -> None:
        self._skew = skew
        self._misfires = misfires
        self._context = context
        self._timeline = timeline
        self._dispatcher = dispatcher
        timeline.after_visits(dispatcher.hand_over)

    def record_of(self, job: Job) -> JobRecord:
        """Return what a job is registered with."""
        now = self._context.clock.reading()
        next_due_ns, following_ns = self._next_two(job, now.monotonic_ns + self._skew.offset_ns(now))
        return JobRecord(
            name=job.name,
            trigger=str(job.trigger),
            resource=job.resource,
            owner=self._context.owner,
            service=self._context.service,
            ttl_ns=job.ttl_ns,
            grace_ns=job.grace_at(next_due_ns, following_ns),
            timeout_ns=job.timeout_ns,
            next_due_ns=next_due_ns,
        )

    def add(self, job: Job, registered: Registered, streak: Streak) -> None:
        """Report a job and put it on the timeline, from the first due instant on that it owes.

        Args:
            streak: how it has done lately, on any instance.
        """
        now_ns = self.now_ns(job)
        self._introduce(job, streak, now_ns)
        registered = self._without_claims_ahead(registered, now_ns)
        self._take_over(job, registered, now_ns)
        self._plan_next(_Plan(job, registered.owes_after_ns(now_ns)))

    def begin(self, job: Job, after_ns: int) -> None:
        """Report a job and put it on the timeline before it is registered; `make_up` follows.

        Args:
            after_ns: it owes its due instants from here on.
        """
        self._introduce(job, Streak(), self.now_ns(job))
        self._plan_next(_Plan(job, after_ns))

    def make_up(self, job: Job, registered: Registered, streak: Streak, until_ns: int) -> None:
        """Account for what a job owed before it began: that is known once it is registered.

        Args:
            until_ns: the instant after which it began.
        """
        now_ns = self.now_ns(job)
        self._introduce(job, streak, now_ns)
        registered = self._without_claims_ahead(registered, now_ns)
        began_ns = min(until_ns, now_ns)  # by a clock that was ahead it began later than now: not silent until then
        self._take_over(job, registered, began_ns)
        owed_ns = registered.owes_after_ns(began_ns)
        if owed_ns < until_ns:
            self._plan_next(_Plan(job, owed_ns, until_ns))

    def now_ns(self, job: Job) -> int:
        """Return the wall clock by which this job's due instants are planned."""
        return self._context.clock.monotonic_ns() + self._timeline.offset_ns(steady=job.trigger.fixed_rate)

    def _without_claims_ahead(self, registered: Registered, now_ns: int) -> Registered:
        return without_claims_ahead(registered, now_ns + self._skew.max_ahead_ns, self._context.store)

    def _introduce(self, job: Job, streak: Streak, now_ns: int) -> None:
        self._dispatcher.presence.watch_labels(job.prefer)
        next_due_ns, following_ns = self._next_two(job, now_ns)
        self._context.sink.record(
            JobRegistered(
                job=job.name,
                trigger=str(job.trigger),
                resource=job.resource,
                owner=self._context.owner,
                service=self._context.service,
                ttl_ns=job.ttl_ns,
                grace_ns=job.grace_at(next_due_ns, following_ns),
                interval_ns=None if next_due_ns is None or following_ns is None else following_ns - next_due_ns,
                timeout_ns=job.timeout_ns,
                next_due_ns=next_due_ns,
                wall_ns=self._context.clock.wall_ns(),
                streak=streak,
            )
        )

    def _take_over(self, job: Job, registered: Registered, now_ns: int) -> None:
        """Take over an announced instant that has passed: under another trigger, or within its grace.

        The registration has announced the next instant instead. The owed instant is announced again, so that the
        next instance finds it if this one ends before it has claimed it.
        """
        superseded_ns, before = registered.superseded_due_ns(now_ns), registered.before
        if superseded_ns is not None and before is not None:
            self._owe(job, superseded_ns, before.grace_ns)
        try:
            owed_ns = self._latest_in_grace(job, registered.owes_after_ns(now_ns), now_ns)
            if owed_ns is not None:
                self._context.store.register([replace(registered.job, next_due_ns=owed_ns)])
        except StoreUnavailable as error:
            _log.warning("other instances do not know that %s is about to run late: %s", job.name, error)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self._trigger_failed(job, error)

    def _latest_in_grace(self, job: Job, after_ns: int, now_ns: int) -> int | None:
        """Return the latest instant after this one that has passed and may still be run."""
        after_ns = max(after_ns, now_ns - misfire.grace_max_ns(job.grace_ns) - 1)
        passed_ns = job.trigger.count_between(after_ns, now_ns, COUNTED_MAX).latest_ns if after_ns < now_ns else None
        if passed_ns is None:
            return None
        grace_ns = job.grace_at(passed_ns, _asked(job.trigger, passed_ns))
        return None if misfire.is_too_late(now_ns - passed_ns, grace_ns) else passed_ns

    def _owe(self, job: Job, due_ns: int, grace_ns: int) -> None:
        """Account for one instant that the trigger does not name: run it within its grace, or report its end."""

        def visit(offset_ns: int) -> None:
            next_due_ns, _ = self._next_two(job, self.now_ns(job))
            occurrence = self._fell_due(job, due_ns, next_due_ns)
            self._act(job, occurrence, grace_ns=grace_ns, next_due_ns=next_due_ns, offset_ns=offset_ns)

        self._timeline.at(due_ns, visit, steady=job.trigger.fixed_rate)

    def rerun_orphan(self, job: Job, due_ns: int) -> None:
        """Run an occurrence again whose claimant died; one that cannot start now is found by the next sweep."""
        now_ns = self.now_ns(job)
        if due_ns > now_ns:
            return

        def visit(offset_ns: int) -> None:
            grace_ns = job.grace_at(due_ns, None)
            due_at_ns, monotonic_ns = due_ns - offset_ns, self._context.clock.monotonic_ns()
            if self._verdict(job, monotonic_ns - due_at_ns, grace_ns, rerun=True) != Admit():
                return
            occurrence = self._fell_due(job, due_ns, self._next_two(job, now_ns)[0])
            until_ns = monotonic_ns + grace_ns
            self._dispatcher.dispatch(
                job, occurrence, due_ns=due_at_ns, until_ns=until_ns, next_due_ns=None, rerun=True
            )

        self._timeline.at(due_ns, visit, steady=job.trigger.fixed_rate)

    def settle_orphan(self, job: Job, due_ns: int) -> None:
        """Account for an occurrence whose claimant died and which is not run again."""
        next_due_ns, _ = self._next_two(job, self.now_ns(job))
        self._fell_due(job, due_ns, next_due_ns).fire(OccurrenceEvent.ENDED, outcome=Outcome.ORPHANED)

    def _next_two(self, job: Job, now_ns: int) -> tuple[int | None, int | None]:
        try:
            first = _asked(job.trigger, now_ns)
            return first, None if first is None else _asked(job.trigger, first)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self._trigger_failed(job, error)
            return None, None

    def _plan_next(self, plan: _Plan) -> None:
        """Find the instant after `plan.after_ns` and have it visited a lead before."""
        job = plan.job
        try:
            plan.due_ns = _asked(job.trigger, plan.after_ns)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            plan.due_ns = None
            self._trigger_failed(job, error)
            plan.failures += 1
            pause_ns = _TRIGGER.after(plan.failures)
            again_ns = self._context.clock.monotonic_ns() + self._timeline.offset_ns(steady=True) + pause_ns
            self._timeline.at(again_ns, lambda _: self._plan_next(plan), steady=True)
            return
        plan.failures = 0
        if plan.due_ns is not None and (plan.until_ns is None or plan.due_ns <= plan.until_ns):
            self._visit_at(plan, plan.due_ns - self._dispatcher.lead_time.now_ns)

    def _visit_at(self, plan: _Plan, wall_ns: int) -> None:
        self._timeline.at(wall_ns, lambda offset_ns: self._visit(plan, offset_ns), steady=plan.job.trigger.fixed_rate)

    def _visit(self, plan: _Plan, offset_ns: int) -> None:
        """Decide on the planned occurrence, and plan the next; one that is deferred stays the planned one."""
        job, due_ns = plan.job, plan.due_ns
        if due_ns is None:
            return
        now_ns = self._context.clock.monotonic_ns() + offset_ns
        if self._verdict(job, now_ns - due_ns, misfire.grace_max_ns(job.grace_ns)) == Defer():
            self._visit_at(plan, due_ns)
            return
        due_ns = self._latest_passed(job, due_ns, now_ns if plan.until_ns is None else min(now_ns, plan.until_ns))
        plan.after_ns = due_ns
        self._plan_next(plan)
        occurrence = self._fell_due(job, due_ns, plan.due_ns)
        grace_ns = job.grace_at(due_ns, plan.due_ns)
        superseded = plan.until_ns is not None and plan.due_ns is not None and plan.due_ns <= now_ns
        self._act(
            job,
            occurrence,
            grace_ns=grace_ns,
            next_due_ns=plan.due_ns,
            offset_ns=offset_ns,
            superseded=superseded,
        )

    def _act(
        self,
        job: Job,
        occurrence: OccurrenceMachine,
        *,
        grace_ns: int,
        next_due_ns: int | None,
        offset_ns: int,
        superseded: bool = False,
    ) -> None:
        """Do with an occurrence that fell due as its job's policies say."""
        due_at_ns = occurrence.due_ns - offset_ns
        late_ns = self._context.clock.monotonic_ns() - due_at_ns
        match self._verdict(job, late_ns, grace_ns, superseded=superseded):
            case Admit():
                self._dispatcher.dispatch(
                    job, occurrence, due_ns=due_at_ns, until_ns=due_at_ns + grace_ns, next_due_ns=next_due_ns
                )
            case Defer():
                self._timeline.at(
                    occurrence.due_ns,
                    lambda offset_ns: self._act(
                        job, occurrence, grace_ns=grace_ns, next_due_ns=next_due_ns, offset_ns=offset_ns
                    ),
                    steady=job.trigger.fixed_rate,
                )
            case Decline(reason):
                occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=reason)
            case TooLate():
                self._misfires.too_late(occurrence, trigger=str(job.trigger))

    def _verdict(
        self, job: Job, late_ns: int, grace_ns: int, *, superseded: bool = False, rerun: bool = False
    ) -> Verdict:
        return admit(
            Situation(
                late_ns=late_ns,
                grace_ns=grace_ns,
                busy=self._dispatcher.busy(job.name),
                skewed=self._skew.refuses,
                superseded=superseded,
                rerun=rerun,
            )
        )

    def _latest_passed(self, job: Job, due_ns: int, now_ns: int) -> int:
        """Return the latest instant that has come; the ones before it are accounted for in misfires."""
        if now_ns < due_ns:
            return due_ns
        try:
            passed = job.trigger.count_between(due_ns, now_ns, COUNTED_MAX)
            if not isinstance(passed, InstantCount):
                raise TypeError(f"count_between returns an InstantCount, not {passed!r}")  # noqa: TRY301
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self._trigger_failed(job, error)
            return due_ns
        if passed.latest_ns is None:
            return due_ns
        # Counted are the planned one and all but the latest.
        self._misfires.span_passed(job, due_ns, passed.latest_ns, passed)
        return passed.latest_ns

    def _fell_due(self, job: Job, due_ns: int, next_due_ns: int | None) -> OccurrenceMachine:
        occurrence = OccurrenceMachine(
            job.name,
            due_ns,
            owner=self._context.owner,
            service=self._context.service,
            run_id=secrets.token_hex(16),
            clock=self._context.clock,
            sink=self._context.sink,
        )
        occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=next_due_ns)
        return occurrence

    def _trigger_failed(self, job: Job, error: BaseException) -> None:
        """Report it; an exit that is meant for the whole program is raised again."""
        if is_program_exit(error):
            raise error
        now_ns = self._context.clock.wall_ns()
        self._context.sink.record(TriggerFailed(job=job.name, error=failure_text(error), wall_ns=now_ns))


def _asked(trigger: Trigger, after_ns: int) -> int | None:
    """Return the trigger's next instant: it may be foreign code, and answer anything."""
    following = trigger.next_after_ns(after_ns)
    if following is None:
        return None
    if not isinstance(following, int):
        raise TypeError(f"next_after_ns({after_ns}) is whole nanoseconds or None, not {following!r}")
    if following <= after_ns:
        raise ValueError(f"next_after_ns({after_ns}) went back to {following}")
    return following if following <= LATEST_NS else None
