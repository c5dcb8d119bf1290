"""Count the due instants that pass while their job is in hand here: they are skipped, and the store is not asked.

A job that is in hand has no entry on the timeline. Its plan is held here until its run has ended, so an instant that
overlaps costs an addition, and no visit. What has passed is told once a second, and at the end of the run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.planning.trigger_calls import counted
from tickglass.sched.events import InstantsSkipped
from tickglass.sched.occurrence import SkipReason
from tickglass.sched.triggers import InstantCount

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.plan import Plan
    from tickglass.sched.engine.planning.trigger_calls import TriggerCalls
    from tickglass.sched.engine.timing.timeline import Timeline

__all__ = ["TOLD_EVERY_NS", "Overlaps"]

TOLD_EVERY_NS: Final = SECOND
# Beyond that the timeline did not turn, or the wall clock was set. Then another instance may have run what passed.
_STALL_NS: Final = 5 * SECOND


class Overlaps:
    """Holds the plans of jobs in hand.

    Args:
        busy: returns whether a job is in hand; when it no longer is, `freed` is called.
        advance: finds the next instant of a plan, after `after_ns`; False: it took the plan over, to try again later.
        go_on: takes back a plan whose job is not in hand any more.
    """

    def __init__(
        self,
        context: EngineContext,
        timeline: Timeline,
        triggers: TriggerCalls,
        *,
        busy: Callable[[str], bool],
        advance: Callable[[Plan], bool],
        go_on: Callable[[Plan], None],
    ) -> None:
        self._context = context
        self._timeline = timeline
        self._triggers = triggers
        self._busy = busy
        self._advance = advance
        self._go_on = go_on
        self._held: dict[str, list[Plan]] = {}  # by job; a plan that is taken out belongs to the thread that took it
        self._mutex = threading.Lock()
        self._beating = False
        self._stopped = False

    def hold(self, plan: Plan) -> bool:
        """Hold a plan if its job is in hand, and return whether it is held; else it stays the caller's."""
        name = plan.job.name
        if not self._busy(name):
            return False
        with self._mutex:
            self._held.setdefault(name, []).append(plan)
            beat, self._beating = not self._beating, True
        if beat:
            self._beat_later()
        if self._busy(name):
            return True
        return not self._take_back(plan)  # the run may have ended before it was held: then `freed` found nothing

    def freed(self, job_name: str) -> None:
        """Count what passed while that job was in hand, and let its plans go on; from any thread, after the end."""
        with self._mutex:
            plans = self._held.pop(job_name, None)
        for plan in plans or ():
            now_ns = self._now_ns(plan)
            if self._stalled(plan, now_ns) or self._told(plan, now_ns):
                self._go_on(plan)

    def stop(self) -> None:
        """Count what has passed, and hold nothing any more: the timeline has stopped."""
        with self._mutex:
            held, self._held, self._stopped = self._held, {}, True
        for plans in held.values():
            for plan in plans:
                self._told(plan, self._now_ns(plan))

    # --- on the timeline's thread

    def _beat_later(self) -> None:
        steady_ns = self._context.clock.monotonic_ns() + self._timeline.offset_ns(steady=True)
        self._timeline.at(steady_ns + TOLD_EVERY_NS, self._beat, steady=True)

    def _beat(self, _: int) -> None:
        with self._mutex:
            held = [plan for plans in self._held.values() for plan in plans]
            self._beating = bool(held)
        if held:
            self._beat_later()
        for plan in held:
            now_ns = self._now_ns(plan)  # before `busy`: only this thread takes jobs in hand, so it was busy until then
            if plan.next_ns is None or plan.next_ns > now_ns or not self._busy(plan.job.name):
                continue
            if not self._take_back(plan):
                continue
            if self._stalled(plan, now_ns):
                plan(self._offset_ns(plan))  # a visit asks the store what became of the instants
            elif self._told(plan, now_ns):
                self._go_on(plan)

    # --- on any thread

    def _now_ns(self, plan: Plan) -> int:
        return self._context.clock.monotonic_ns() + self._offset_ns(plan)

    def _offset_ns(self, plan: Plan) -> int:
        return self._timeline.offset_ns(steady=plan.job.trigger.fixed_rate)

    def _take_back(self, plan: Plan) -> bool:
        """Return whether the plan was held; it is not any more."""
        with self._mutex:
            plans = self._held.get(plan.job.name, [])
            if plan not in plans:
                return False
            plans.remove(plan)
            if not plans:
                del self._held[plan.job.name]
            return True

    def _stalled(self, plan: Plan, now_ns: int) -> bool:
        return plan.next_ns is not None and now_ns - plan.next_ns > _STALL_NS and not self._stopped

    def _told(self, plan: Plan, now_ns: int) -> bool:
        """Report what has passed as skipped; return whether the plan is still the caller's, see `advance`."""
        first_ns = plan.next_ns
        if first_ns is None or first_ns > now_ns:
            return True
        passed = self._counted(plan, first_ns, now_ns if plan.until_ns is None else min(now_ns, plan.until_ns))
        latest_ns = first_ns if passed.latest_ns is None else passed.latest_ns
        plan.after_ns = latest_ns
        advanced = self._advance(plan)
        self._context.sink.record(
            InstantsSkipped(
                job=plan.job.name,
                reason=SkipReason.OVERLAP,
                count=passed.count,
                exact=passed.exact,
                first_due_ns=first_ns,
                latest_due_ns=latest_ns,
                next_due_ns=plan.due_ns,
                wall_ns=self._context.clock.wall_ns(),
            )
        )
        return advanced

    def _counted(self, plan: Plan, first_ns: int, until_ns: int) -> InstantCount:
        """Return what the trigger counts in [first_ns, until_ns]; that instant alone, if it raises."""
        try:
            passed = counted(plan.job.trigger, first_ns - 1, until_ns)
            if passed.latest_ns is not None:
                return passed
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self._triggers.failed(plan.job, error)
        return InstantCount(1, first_ns, exact=True)
