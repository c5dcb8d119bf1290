"""Say why not to count on this instance, and report when that changes.

`/readyz` asks at any time. The sweeper's thread reports changes, in order, to sinks: gauges, logs, a sidecar. A
request that finds another answer than the reported one has the change reported at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.recovery.sweeper import period_ns
from tickglass.sched.engine.timing.timeline import LONGEST_WAIT_NS
from tickglass.sched.events import ReadinessMoved
from tickglass.sched.lifecycle import SchedulerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.engine.leasing.write_health import WriteHealth
    from tickglass.sched.engine.planning.registrar import Registrar
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.engine.standing_orders import StandingOrders
    from tickglass.sched.engine.timing.clock_skew import SkewGuard
    from tickglass.sched.engine.timing.timeline import Timeline
    from tickglass.sched.lifecycle import SchedulerMachine

__all__ = ["LOOP_SILENT_MAX_NS", "Readiness"]

_LATE_RENEWALS: Final = 3  # not ready when something has been silent for so many
LOOP_SILENT_MAX_NS: Final = 2 * SECOND  # it is asked once a second


class Readiness:
    """All that must be right for a running scheduler to be counted on.

    Args:
        jobs: those of this instance.
        report_soon: has `report` called soon, on the thread that always calls it.
    """

    def __init__(
        self,
        context: EngineContext,
        life: SchedulerMachine,
        *,
        write_health: WriteHealth,
        timeline: Timeline,
        dispatcher: Dispatcher,
        skew: SkewGuard,
        registrar: Registrar,
        jobs: JobTable,
        orders: StandingOrders,
        report_soon: Callable[[], None],
    ) -> None:
        self._context = context
        self._life = life
        self._write_health = write_health
        self._timeline = timeline
        self._dispatcher = dispatcher
        self._skew = skew
        self._registrar = registrar
        self._jobs = jobs
        self._orders = orders
        self._report_soon = report_soon
        self._reported: frozenset[str] | None = None

    def unready(self) -> list[str]:
        """Return why not to count on this instance, a sentence each; empty when ready."""
        if self._life.state is not SchedulerState.RUNNING:
            return [f"the scheduler is {self._life.state}"]
        reasons = self._reasons()
        if reasons.keys() != self._reported:
            self._report_soon()
        return list(reasons.values())

    def report(self) -> None:
        """Report why this instance is not ready, if that has changed since the last report; called by one thread."""
        if self._life.state is not SchedulerState.RUNNING:
            return
        reasons = self._reasons()
        if reasons.keys() == self._reported:
            return
        self._reported = frozenset(reasons)
        self._context.sink.record(
            ReadinessMoved(
                owner=self._context.owner,
                service=self._context.service,
                error="\n".join(reasons.values()),
                wall_ns=self._context.clock.wall_ns(),
            )
        )

    def _reasons(self) -> dict[str, str]:
        """Return the sentences by subject: a number in a sentence that changes is no change to report."""
        now_ns = self._context.clock.monotonic_ns()
        silence_max_ns = _LATE_RENEWALS * max(period_ns(self._jobs), LONGEST_WAIT_NS)
        found: dict[str, str | None] = {
            "timeline": _late("the timeline has not turned", now_ns - self._timeline.ticked_ns, silence_max_ns),
            "store": self._write_health.reason(now_ns, silence_max_ns),
            "jobs": self._registrar.reason(),
            "event loop": self._event_loop(now_ns),
            "clock": self._skew.reason(),
            "orders": self._drained(),
        }
        return {about: sentence for about, sentence in found.items() if sentence is not None}

    def _drained(self) -> str | None:
        order = self._orders.drain
        return None if order is None else f"drained by {order.by}: {order.reason}"

    def _event_loop(self, now_ns: int) -> str | None:
        trouble = self._dispatcher.loop.trouble
        if trouble is not None:
            return trouble
        silent_ns = self._dispatcher.loop_lag.silent_ns(now_ns)
        return _late("the event loop of the coroutine jobs has not turned", silent_ns, LOOP_SILENT_MAX_NS)


def _late(what: str, silent_ns: int, max_ns: int) -> str | None:
    return f"{what} for {silent_ns / SECOND:.1f} s" if silent_ns > max_ns else None
