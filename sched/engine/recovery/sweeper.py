"""Look after what was left behind, from time to time: claims in doubt, unwritten outcomes, orphans; and the clocks.

Every third of the shortest TTL, at most every 10 s, it reports how the operating system keeps this instance's clock and
how late threads go on, compares the clock with the store's, settles claims that the store may have granted though no
answer came, writes the outcomes of the spool, looks for orphans, and does the chores that it was given.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.recovery.orphans import Orphans
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClockDisciplineRead, SkewMeasured, ThreadDelayed
from tickglass.sched.lease import RENEWALS_PER_TTL
from tickglass.sched.threads.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.engine.planning.planner import Planner
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.engine.timing.clock_skew import SkewGuard

__all__ = ["Sweeper", "period_ns"]

_log: Final = logging.getLogger(__name__)
_MIN_NS: Final = 100 * MS
_MAX_NS: Final = 10 * SECOND
_PRESSING_NS: Final = SECOND
_PROBE_AGAIN_NS: Final = SECOND  # a probe of the threads is a wake-up more


def period_ns(jobs: JobTable) -> int:
    """Return how often to sweep: as often as the most short-lived lease is renewed."""
    shortest_ns = RENEWALS_PER_TTL * _MAX_NS if jobs.shortest_ttl_ns is None else jobs.shortest_ttl_ns
    return max(_MIN_NS, min(_MAX_NS, shortest_ns // RENEWALS_PER_TTL))


class Sweeper:
    """One thread, one sweep a period.

    Args:
        dispatcher: has the claims in doubt and the outbox.
        skew: is given every measurement.
        jobs: those of this instance.
        chores: what else to do at each sweep, in this order.
        pressing: returns whether the chores are to be done once a second meanwhile.
    """

    def __init__(
        self,
        context: EngineContext,
        planner: Planner,
        dispatcher: Dispatcher,
        skew: SkewGuard,
        jobs: JobTable,
        *,
        chores: Sequence[Callable[[], object]] = (),
        pressing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._chores = chores
        self._pressing = pressing
        self._context = context
        self._orphans = Orphans(context, planner, dispatcher)
        self._dispatcher = dispatcher
        self._skew = skew
        self._jobs = jobs
        self._sweep_asked = False
        self._probe_at_ns = context.clock.monotonic_ns()
        self._sweep_at_ns = context.clock.monotonic_ns()
        self._loop = Loop("sweeper", context.clock, self._step)

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread; returns when a sweep in progress has ended."""
        self._loop.stop()

    def cut_short(self) -> None:
        """Have the chores done now; from any thread."""
        self._loop.wake()

    def sweep_now(self) -> None:
        """Have the next sweep come now, for example because our clock was set; from any thread."""
        self._sweep_asked = True
        self._loop.wake()

    def sweep(self) -> None:
        """Do everything once; a part that fails does not keep the others from being done."""
        self._attempt(self._read_discipline)
        self._attempt(self._probe_threads)
        self.measure_skew()
        self._attempt(self._dispatcher.in_doubt.settle_all)
        self._attempt(self._flush_outbox)
        self._attempt(lambda: self._orphans.adopt(self._jobs))
        self._do_chores()

    def measure_skew(self) -> None:
        """Compare our clock with the store's; without an answer the last comparison holds."""
        self._attempt(self._measure_skew)

    def _attempt(self, task: Callable[[], object]) -> None:
        if self._loop.stopping:
            return
        try:
            task()
        except StoreUnavailable as error:  # reported with the call, and asked again
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 - reported; the others and the next sweep must come
            _log.exception("a sweep raised")

    def _do_chores(self) -> None:
        for chore in self._chores:
            self._attempt(chore)

    def _flush_outbox(self) -> None:
        self._dispatcher.outbox.flush(lambda: self._loop.stopping)

    def _measure_skew(self) -> None:
        asked = self._context.clock.reading()
        store_ns = self._context.store.time_ns()
        bound_ns = (self._context.clock.monotonic_ns() - asked.monotonic_ns) // 2
        skew_ns = asked.wall_ns + bound_ns - store_ns
        own_clock = self._context.store.own_clock
        self._skew.note(skew_ns, bound_ns, offset_ns=asked.offset_ns if own_clock else None)
        self._context.sink.record(SkewMeasured(skew_ns=skew_ns, bound_ns=bound_ns, wall_ns=asked.wall_ns))

    def _read_discipline(self) -> None:
        clock = self._context.clock
        discipline = clock.discipline()
        if discipline is not None:
            self._context.sink.record(ClockDisciplineRead(**discipline._asdict(), wall_ns=clock.wall_ns()))

    def _probe_threads(self) -> None:
        clock = self._context.clock
        if clock.monotonic_ns() < self._probe_at_ns:
            return
        self._probe_at_ns = clock.monotonic_ns() + _PROBE_AGAIN_NS
        delay = clock.thread_delay()
        if delay is not None:
            self._context.sink.record(ThreadDelayed(core_ns=delay.core_ns, interpreter_ns=delay.interpreter_ns))

    def _step(self) -> int:
        """Sweep if it is time to, or was asked for; else do the chores. Return when to do so again."""
        clock = self._context.clock
        if self._sweep_asked or clock.monotonic_ns() >= self._sweep_at_ns:
            self._sweep_asked = False
            self.sweep()
            self._sweep_at_ns = clock.monotonic_ns() + period_ns(self._jobs)
        else:
            self._do_chores()
        return min(self._sweep_at_ns, clock.monotonic_ns() + _PRESSING_NS) if self._pressing() else self._sweep_at_ns
