"""Keep due instants back while the pool has more to do than it can start soon.

An occurrence that waits in the pool until it is too late has cost as much as one that runs. So in overload plans wait
here, at the cost of one entry each, oldest first. When there is room, the latest instant of a plan is decided on, and
the ones before it are accounted for together. If that instant would be too late before the pool can start it, the plan
rests until its next one. Meanwhile what has passed is accounted for once a second, however long the pool is full.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.planning.plan import Plan
    from tickglass.sched.engine.timing.timeline import Timeline

__all__ = ["LOOKED_AT_LEAST_NS", "LOOKED_EVERY_NS", "SOON_NS", "TOLD_EVERY_NS", "Backlog"]

LOOKED_EVERY_NS: Final = MS  # whether there is room again
LOOKED_AT_LEAST_NS: Final = 10 * MS  # while nothing moves in the pool: it may hang, and each look is a tick
SOON_NS: Final = 5 * MS  # what would wait for longer in the pool may be kept back, because its next instant may come
_SHARE: Final = 4  # it may wait in the pool for a fourth of its grace, if that is longer
TOLD_EVERY_NS: Final = SECOND  # what has passed of the plans that wait
_RESTED_AT_ONCE: Final = 16  # plans found to be too late, so that a look does not go through all there are


class Backlog:
    """Plans that wait until the pool has room; used on the timeline's thread alone.

    Args:
        wait_ns: returns how long what is dispatched now would wait for its start; 0 while the pool keeps up.
        account: accounts for what has passed of a plan; returns whether an instant of it still waits. Otherwise the
            plan is the caller's, who may have it `rest`.
        decide: decides on a plan for which there is room; given the plan and the timeline's offset.
    """

    def __init__(
        self,
        clock: Clock,
        timeline: Timeline,
        *,
        wait_ns: Callable[[], int],
        account: Callable[[Plan], bool],
        decide: Callable[[Plan, int], None],
    ) -> None:
        self._clock = clock
        self._timeline = timeline
        self._wait_ns = wait_ns
        self._account = account
        self._decide = decide
        self._plans: deque[Plan] = deque()
        self._resting: list[tuple[int, int, Plan]] = []  # a heap by the monotonic instant at which they go on
        self._order = count()
        self._pause_ns = LOOKED_EVERY_NS  # until the next look
        self._waited_ns = 0  # as `wait_ns` said at the last look
        self._look_at_ns: int | None = None  # monotonic, the next look; there may be others after it
        self._telling = False  # whether what has passed will be accounted for

    def hold(self, plan: Plan, early_ns: int) -> bool:
        """Hold a plan if the pool has no room, and return whether it is held; else it stays the caller's.

        Args:
            early_ns: how long before its due instant it comes; negative after that.
        """
        if not self._plans and self._has_room(plan, max(0, early_ns)):
            return False
        self._plans.append(plan)
        self._tell_later()
        self._look_by(self._clock.monotonic_ns() + LOOKED_EVERY_NS)
        return True

    def too_late(self, start_by_ns: int) -> bool:
        """Return whether the pool could not start by this monotonic instant what is dispatched now."""
        wait_ns = self._wait_ns()
        return wait_ns > 0 and self._clock.monotonic_ns() + wait_ns > start_by_ns

    def rest(self, plan: Plan, until_ns: int) -> None:
        """Hold a plan until a monotonic instant; then it comes before those that began to wait after it."""
        heapq.heappush(self._resting, (until_ns, next(self._order), plan))
        self._tell_later()
        self._look_by(until_ns)

    def taken(self) -> Sequence[Plan]:
        """Take all plans: the timeline has stopped."""
        plans = [*self._plans, *(plan for _, _, plan in self._resting)]
        self._plans.clear()
        self._resting.clear()
        return plans

    def _has_room(self, plan: Plan, early_ns: int) -> bool:
        """Return whether the pool could start it soon; what has a long grace, or a long interval, may wait there."""
        late_ns = self._wait_ns() - early_ns
        return late_ns <= SOON_NS or late_ns * _SHARE <= plan.job.grace_at(plan.after_ns, plan.due_ns)

    def _look_by(self, at_ns: int) -> None:
        if self._look_at_ns is None or at_ns < self._look_at_ns:
            self._look_at_ns = at_ns
            self._timeline.at(at_ns + self._timeline.offset_ns(steady=True), self._look, steady=True)

    def _tell_later(self) -> None:
        if not self._telling:
            self._telling = True
            at_ns = self._clock.monotonic_ns() + TOLD_EVERY_NS
            self._timeline.at(at_ns + self._timeline.offset_ns(steady=True), self._tell, steady=True)

    def _tell(self, _: int) -> None:
        self._telling = False
        if not (self._plans or self._resting):
            return
        self._tell_later()
        plans, self._plans = self._plans, deque()
        resting, self._resting = self._resting, []
        self._plans.extend(plan for plan in plans if self._account(plan))
        for entry in sorted(resting):
            if self._account(entry[2]):
                heapq.heappush(self._resting, entry)

    def _look(self, _: int) -> None:
        self._look_at_ns = None
        now_ns = self._clock.monotonic_ns()
        rested = []
        while self._resting and self._resting[0][0] <= now_ns:
            rested.append(heapq.heappop(self._resting)[2])
        self._plans.extendleft(reversed(rested))
        wait_ns = self._wait_ns()
        moved, self._waited_ns = wait_ns != self._waited_ns, wait_ns
        self._pause_ns = LOOKED_EVERY_NS if moved else min(2 * self._pause_ns, LOOKED_AT_LEAST_NS)
        if wait_ns == 0:
            self._let_go()
        if self._plans:
            self._look_by(now_ns + self._pause_ns)
        elif self._resting:
            self._look_by(self._resting[0][0])

    def _let_go(self) -> None:
        """Decide on plans until the pool has enough to do.

        It begins only when little waits there, and then admits many, because threads that compute side by side wait
        for each other.
        """
        resting_most = len(self._resting) + _RESTED_AT_ONCE
        while self._plans and self._has_room(self._plans[0], 0) and len(self._resting) < resting_most:
            plan = self._plans.popleft()
            self._decide(plan, self._timeline.offset_ns(steady=plan.job.trigger.fixed_rate))
