"""Put jobs on the timeline, and act on what admission says of each due instant.

Next instants are computed from the trigger and the due instant, never from "now", so no error accumulates.
Visits run on the timeline's thread.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.planning.backlog import Backlog
from tickglass.sched.engine.planning.overlaps import Overlaps
from tickglass.sched.engine.planning.passed_instants import PassedInstants
from tickglass.sched.engine.planning.plan import Plan
from tickglass.sched.engine.planning.trigger_calls import TriggerCalls, counted, next_due_ns
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine, Outcome, SkipReason
from tickglass.sched.policies.admission import Situation, admit
from tickglass.sched.policies.backoff import Backoff
from tickglass.sched.policies.verdict import Admit, Decline, Defer, TooLate
from tickglass.sched.ports import MANUAL, SCHEDULED

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.misfires import Misfires
    from tickglass.sched.engine.planning.upcoming import Upcoming
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.engine.standing_orders import StandingOrders
    from tickglass.sched.engine.timing.clock_skew import SkewGuard
    from tickglass.sched.engine.timing.timeline import Timeline
    from tickglass.sched.job import Job
    from tickglass.sched.policies.verdict import Verdict
    from tickglass.sched.triggers import InstantCount

__all__ = ["Planner"]

_MANUAL_AGAIN_NS: Final = 100 * MS  # a run that was asked for looks so often whether the one before it has ended
_FRESH_NS: Final = SECOND // 2  # what is due so lately is not accounted for yet: in most overloads its turn comes soon
_KEPT_BACK: Final = "pool"  # the reason of what is missed because no worker was free
_TRIGGER: Final = Backoff(SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND)


class Planner:
    """Puts jobs on the timeline, and passes admitted occurrences to the dispatcher."""

    def __init__(
        self,
        context: EngineContext,
        timeline: Timeline,
        dispatcher: Dispatcher,
        skew: SkewGuard,
        misfires: Misfires,
        orders: StandingOrders,
    ) -> None:
        self._orders = orders
        self._skew = skew
        self.triggers = TriggerCalls(context)
        self._passed_instants = PassedInstants(context, misfires, orders, self.triggers)
        self._context = context
        self._timeline = timeline
        self._dispatcher = dispatcher
        timeline.after_visits(dispatcher.hand_over)
        self._backlog = Backlog(
            context.clock,
            timeline,
            wait_ns=dispatcher.wait_ns,
            account=self._account,
            decide=lambda plan, offset_ns: self._decide(plan, offset_ns, reason=_KEPT_BACK),
        )
        self._overlaps = Overlaps(
            context, timeline, self.triggers, busy=dispatcher.busy, advance=self._advance, go_on=self._go_on
        )

    def now_ns(self, job: Job) -> int:
        """Return the wall clock by which this job's due instants are planned."""
        return self._context.clock.monotonic_ns() + self._timeline.offset_ns(steady=job.trigger.fixed_rate)

    def plan(self, job: Job, after_ns: int, until_ns: int | None = None, *, upcoming: Upcoming | None = None) -> None:
        """Visit the due instants of a job.

        Args:
            after_ns: those after this one.
            until_ns: up to this one, if it is not None.
            upcoming: what its trigger is known to answer.
        """
        plan = Plan(job, self._visit, after_ns, until_ns)
        if upcoming is not None and upcoming.names_next_after(after_ns):
            plan.due_ns = upcoming.first_ns
        elif not self._advance(plan):
            return
        self._visit_in_time(plan)

    def freed(self, job_name: str) -> None:
        """Go on with a job whose occurrence has ended; from any thread."""
        self._overlaps.freed(job_name)

    def stop(self) -> None:
        """Account for what has passed while jobs were in hand, or the pool had no room; the timeline has stopped."""
        self._overlaps.stop()
        for plan in self._backlog.taken():
            now_ns = self.now_ns(plan.job)
            last_ns = now_ns if plan.until_ns is None else min(now_ns, plan.until_ns)
            if plan.next_ns is not None and plan.next_ns <= last_ns:
                passed = self._passed(plan.job, plan.next_ns, last_ns)
                due_ns = self._latest_of(plan.job, plan.next_ns, passed, reason=_KEPT_BACK)
                self._fell_due(plan.job, due_ns, None).fire(
                    OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.STOPPING
                )

    def owe(self, job: Job, due_ns: int, grace_ns: int) -> None:
        """Account for one instant that the trigger does not name: run it within its grace, or report its end."""

        def visit(offset_ns: int) -> None:
            next_due_ns = self.triggers.upcoming(job, self.now_ns(job)).first_ns
            occurrence = self._fell_due(job, due_ns, next_due_ns)
            self._act(job, occurrence, grace_ns=grace_ns, next_due_ns=next_due_ns, offset_ns=offset_ns)

        self._timeline.at(due_ns, visit, steady=job.trigger.fixed_rate)

    def run_manually(self, job: Job, due_ns: int, grace_ns: int) -> None:
        """Run an instant that an operator asked for, within its grace; an occurrence that is in hand is waited for.

        It is late from when this instance knew of it, and could begin.
        """

        def visit(offset_ns: int) -> None:
            monotonic_ns = self._context.clock.monotonic_ns()
            left_ns = due_ns + grace_ns - offset_ns - monotonic_ns
            if self._dispatcher.busy(job.name) and left_ns >= 0:
                self._timeline.at(monotonic_ns + offset_ns + _MANUAL_AGAIN_NS, visit, steady=False)
                return
            next_due_ns = self.triggers.upcoming(job, self.now_ns(job)).first_ns
            occurrence = self._fell_due(job, due_ns, next_due_ns, kind=MANUAL)
            known_ns = due_ns - monotonic_ns  # as if it fell due now
            self._act(job, occurrence, grace_ns=left_ns, next_due_ns=next_due_ns, offset_ns=known_ns)

        self._timeline.at(due_ns, visit, steady=False)

    def rerun_orphan(self, job: Job, due_ns: int, kind: str = SCHEDULED) -> None:
        """Run an occurrence again whose claimant died; one that cannot start now is found by the next sweep."""
        now_ns = self.now_ns(job)
        if due_ns > now_ns:
            return
        found_ns = self._context.clock.monotonic_ns()

        def visit(offset_ns: int) -> None:
            grace_ns = job.grace_at(due_ns, None)
            due_at_ns, monotonic_ns = due_ns - offset_ns, self._context.clock.monotonic_ns()
            late_ns, manual = monotonic_ns - due_at_ns, kind == MANUAL
            if self._verdict(job, due_ns, late_ns, grace_ns, rerun=True, manual=manual) != Admit():
                return
            self._dispatcher.dispatch(
                job,
                self._fell_due(job, due_ns, self.triggers.upcoming(job, now_ns).first_ns, kind=kind),
                due_ns=due_at_ns,
                until_ns=monotonic_ns + grace_ns,
                next_due_ns=None,
                visited_ns=monotonic_ns,
                found_ns=found_ns,
            )

        self._timeline.at(due_ns, visit, steady=job.trigger.fixed_rate)

    def settle_orphan(self, job: Job, due_ns: int, kind: str = SCHEDULED) -> None:
        """Account for an occurrence whose claimant died and which is not run again."""
        next_due_ns = self.triggers.upcoming(job, self.now_ns(job)).first_ns
        self._fell_due(job, due_ns, next_due_ns, kind=kind).fire(OccurrenceEvent.ENDED, outcome=Outcome.ORPHANED)

    def _advance(self, plan: Plan) -> bool:
        """Find the instant after `plan.after_ns`; False: the trigger raised, and the plan goes on when it does not."""
        try:
            plan.due_ns = next_due_ns(plan.job.trigger, plan.after_ns)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            plan.due_ns = None
            self.triggers.failed(plan.job, error)
            plan.failures += 1
            pause_ns = _TRIGGER.after(plan.failures)
            again_ns = self._context.clock.monotonic_ns() + self._timeline.offset_ns(steady=True) + pause_ns
            self._timeline.at(again_ns, lambda _: self._try_again(plan), steady=True)
            return False
        plan.failures = 0
        return True

    def _try_again(self, plan: Plan) -> None:
        if self._advance(plan):
            self._visit_in_time(plan)

    def _visit_in_time(self, plan: Plan) -> None:
        """Have the next instant decided on a lead before it is due."""
        if plan.next_ns is not None:
            self._visit_at(plan, plan.next_ns - self._dispatcher.lead_time.now_ns)

    def _go_on(self, plan: Plan) -> None:
        """Have the next instant decided on, once the job is not in hand: at its due instant, if the lead has begun."""
        due_ns = plan.next_ns
        if due_ns is None or self._overlaps.hold(plan):
            return
        early_ns = due_ns - self._dispatcher.lead_time.now_ns
        self._visit_at(plan, early_ns if early_ns > self.now_ns(plan.job) else due_ns)

    def _visit_at(self, plan: Plan, wall_ns: int) -> None:
        self._timeline.at(wall_ns, plan, steady=plan.job.trigger.fixed_rate)

    def _visit(self, plan: Plan, offset_ns: int) -> None:
        """Decide on the planned occurrence; while the job is in hand before it is due, or the pool is full, wait."""
        if plan.due_ns is None:
            return
        plan.visited_ns = self._context.clock.monotonic_ns()
        early_ns = plan.due_ns - plan.visited_ns - offset_ns
        if (early_ns > 0 and self._overlaps.hold(plan)) or self._backlog.hold(plan, early_ns):
            return
        self._decide(plan, offset_ns)

    def _decide(self, plan: Plan, offset_ns: int, *, reason: str = "") -> None:
        """Decide on the latest instant of a plan that has come, and plan the next; `reason`: of what was missed."""
        job, first_ns = plan.job, plan.due_ns
        now_ns = self._context.clock.monotonic_ns() + offset_ns
        if first_ns is None or (now_ns < first_ns and self._overlaps.hold(plan)):
            return
        passed = self._passed(job, first_ns, now_ns if plan.until_ns is None else min(now_ns, plan.until_ns))
        due_ns = first_ns if passed is None or passed.latest_ns is None else passed.latest_ns
        plan.after_ns = due_ns
        advanced = self._advance(plan)
        grace_ns = job.grace_at(due_ns, plan.due_ns)
        if plan.next_ns is not None and self._backlog.too_late(due_ns + grace_ns - offset_ns):
            self._rest(plan, plan.next_ns, now_ns)
            plan.due_ns = first_ns
            return
        self._latest_of(job, first_ns, passed, reason=reason)
        try:
            self._act(
                job,
                self._fell_due(job, due_ns, plan.due_ns),
                grace_ns=grace_ns,
                next_due_ns=plan.due_ns,
                offset_ns=offset_ns,
                visited_ns=plan.visited_ns,
                reason=reason,
                superseded=plan.until_ns is not None and plan.due_ns is not None and plan.due_ns <= now_ns,
            )
        finally:
            if advanced and not self._overlaps.hold(plan):
                self._visit_in_time(plan)

    def _rest(self, plan: Plan, next_ns: int, now_ns: int) -> None:
        """Have a plan wait for its next instant, because the latest one cannot be started in time any more."""
        early_ns = next_ns - self._dispatcher.lead_time.now_ns
        wait_ns = (early_ns if early_ns > now_ns else next_ns) - now_ns
        self._backlog.rest(plan, self._context.clock.monotonic_ns() + wait_ns)

    def _account(self, plan: Plan) -> bool:
        """Account for what has passed while a plan was kept back; False: no instant of it waits any more.

        Its latest instant is not decided on before its grace has passed.
        """
        job, first_ns, now_ns = plan.job, plan.next_ns, self.now_ns(plan.job)
        if first_ns is None or now_ns - first_ns < _FRESH_NS:
            return first_ns is not None
        passed = self._passed(job, first_ns, now_ns if plan.until_ns is None else min(now_ns, plan.until_ns))
        plan.due_ns = due_ns = self._latest_of(job, first_ns, passed, reason=_KEPT_BACK)
        next_due_ns = self.triggers.upcoming(job, due_ns).first_ns
        if now_ns <= due_ns + job.grace_at(due_ns, next_due_ns):
            if next_due_ns is not None:
                plan.after_ns = due_ns - (next_due_ns - due_ns)  # an interval before it, as of a plan that was not held
            return True
        plan.after_ns = due_ns
        self._passed_instants.too_late(job, self._fell_due(job, due_ns, next_due_ns), reason=_KEPT_BACK)
        if self._advance(plan) and plan.next_ns is not None:
            self._rest(plan, plan.next_ns, now_ns)
        return False

    def _act(
        self,
        job: Job,
        occurrence: OccurrenceMachine,
        *,
        grace_ns: int,
        next_due_ns: int | None,
        offset_ns: int,
        visited_ns: int | None = None,
        reason: str = "",
        superseded: bool = False,
    ) -> None:
        """Do with an occurrence that fell due as its job's policies say.

        Args:
            visited_ns: when the timeline first came to it; None: now.
            reason: why, if it is missed.
        """
        due_at_ns, now_ns = occurrence.due_ns - offset_ns, self._context.clock.monotonic_ns()
        late_ns, manual = now_ns - due_at_ns, occurrence.kind == MANUAL
        match self._verdict(job, occurrence.due_ns, late_ns, grace_ns, superseded=superseded, manual=manual):
            case Admit():
                self._dispatcher.dispatch(
                    job,
                    occurrence,
                    due_ns=due_at_ns,
                    until_ns=due_at_ns + grace_ns,
                    next_due_ns=next_due_ns,
                    visited_ns=now_ns if visited_ns is None else visited_ns,
                )
            case Defer():
                self._timeline.at(
                    occurrence.due_ns,
                    lambda offset_ns: self._act(
                        job, occurrence, grace_ns=grace_ns, next_due_ns=next_due_ns, offset_ns=offset_ns
                    ),
                    steady=job.trigger.fixed_rate,
                )
            case Decline(because):
                why = self._orders.words(job.name, occurrence.due_ns) if because is SkipReason.PAUSED else ""
                occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=because, error=why)
            case TooLate():
                self._passed_instants.too_late(job, occurrence, reason=reason)

    def _verdict(
        self,
        job: Job,
        due_ns: int,
        late_ns: int,
        grace_ns: int,
        *,
        superseded: bool = False,
        rerun: bool = False,
        manual: bool = False,
    ) -> Verdict:
        return admit(
            Situation(
                late_ns=late_ns,
                grace_ns=grace_ns,
                busy=self._dispatcher.busy(job.name),
                skewed=self._skew.refuses,
                superseded=superseded,
                rerun=rerun,
                paused=self._orders.pauses(job.name, due_ns, manual=manual),
            )
        )

    def _passed(self, job: Job, due_ns: int, now_ns: int) -> InstantCount | None:
        """Return what has come after that instant; None: nothing, or the trigger raised."""
        if now_ns < due_ns:
            return None
        try:
            return counted(job.trigger, due_ns, now_ns)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self.triggers.failed(job, error)
            return None

    def _latest_of(self, job: Job, due_ns: int, passed: InstantCount | None, *, reason: str) -> int:
        """Return the latest instant that has come; the ones before it are accounted for."""
        if passed is None or passed.latest_ns is None:
            return due_ns
        # Counted are the planned one and all but the latest.
        self._passed_instants.span(job, due_ns, passed.latest_ns, passed, reason=reason)
        return passed.latest_ns

    def _fell_due(self, job: Job, due_ns: int, next_due_ns: int | None, *, kind: str = SCHEDULED) -> OccurrenceMachine:
        occurrence = OccurrenceMachine(
            job.name,
            due_ns,
            owner=self._context.owner,
            service=self._context.service,
            run_id=secrets.token_hex(16),
            clock=self._context.clock,
            sink=self._context.sink,
            kind=kind,
        )
        occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=next_due_ns)
        return occurrence
