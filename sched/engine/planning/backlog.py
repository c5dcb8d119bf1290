"""Keep due instants back while the pool has more to do than it can start soon.

An occurrence that waits in the pool until it is too late has cost as much as one that runs. So in overload plans wait
here, at the cost of one entry each, oldest first. When there is room, the latest instant of a plan is decided on, and
the ones before it are accounted for together.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.planning.plan import Plan
    from tickglass.sched.engine.timing.timeline import Timeline

__all__ = ["LOOKED_EVERY_NS", "Backlog"]

LOOKED_EVERY_NS: Final = MS  # whether there is room again


class Backlog:
    """Plans that wait until the pool has room; used on the timeline's thread alone.

    Args:
        saturated: returns whether the pool has no room.
    """

    def __init__(self, clock: Clock, timeline: Timeline, *, saturated: Callable[[], bool]) -> None:
        self._clock = clock
        self._timeline = timeline
        self._saturated = saturated
        self._plans: deque[Plan] = deque()
        self._looking = False

    def hold(self, plan: Plan) -> bool:
        """Hold a plan if the pool has no room, and return whether it is held; else it stays the caller's."""
        if not self._saturated():
            return False
        self._plans.append(plan)
        self._look_later()
        return True

    def taken(self) -> Sequence[Plan]:
        """Take all plans: the timeline has stopped."""
        plans, self._plans = self._plans, deque()
        return plans

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            steady_ns = self._clock.monotonic_ns() + self._timeline.offset_ns(steady=True)
            self._timeline.at(steady_ns + LOOKED_EVERY_NS, self._look, steady=True)

    def _look(self, _: int) -> None:
        self._looking = False
        while self._plans and not self._saturated():
            plan = self._plans.popleft()
            plan(self._timeline.offset_ns(steady=plan.job.trigger.fixed_rate))
        if self._plans:
            self._look_later()
