"""Look after what was left behind: abandoned claims, unwritten outcomes, and the store's own clock.

Every third of the shortest TTL (at most 10 s) it asks the store for its time,
settles claims that may have been granted unheard, tells it what waits in the spool,
asks for claims whose lease has ended without a settlement, and does what else must be
done from time to time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.leasing.holders import holder_of
from tickglass.sched.engine.loop import Loop
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClaimOrphaned, SkewMeasured
from tickglass.sched.lease import RENEWALS_PER_TTL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.planner import Planner
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.engine.timing.clock_skew import SkewGuard
    from tickglass.sched.job import Job
    from tickglass.sched.ports import Orphan

__all__ = ["Sweeper", "period_ns"]

_log: Final = logging.getLogger(__name__)
_MIN_NS: Final = 100 * MS
_MAX_NS: Final = 10 * SECOND
_PRESSING_NS: Final = SECOND
ATTEMPTS_MAX: Final = 3  # a job that takes its process down with it must not do so for ever


def period_ns(jobs: Iterable[Job]) -> int:
    """Return how often to sweep: as often as the most short-lived lease is renewed."""
    shortest_ns = min((job.ttl_ns for job in jobs), default=RENEWALS_PER_TTL * _MAX_NS)
    return max(_MIN_NS, min(_MAX_NS, shortest_ns // RENEWALS_PER_TTL))


class Sweeper:
    """One thread, one look at the store a period.

    Args:
        dispatcher: its spool is replayed; what it has in hand is not abandoned.
        skew: told every measurement.
        jobs: returns the jobs registered here, by name.
        chores: what else to do at each sweep, in this order.
        pressing: returns whether the chores must be done once a second, and not wait for the next sweep.
    """

    def __init__(
        self,
        context: EngineContext,
        planner: Planner,
        dispatcher: Dispatcher,
        skew: SkewGuard,
        jobs: Callable[[], Mapping[str, Job]],
        *,
        chores: Sequence[Callable[[], object]] = (),
        pressing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._chores = chores
        self._pressing = pressing
        self._context = context
        self._planner = planner
        self._dispatcher = dispatcher
        self._skew = skew
        self._jobs = jobs
        self._sweep_asked = False
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
        """Have the next sweep come now, because our clock was set, say; from any thread."""
        self._sweep_asked = True
        self._loop.wake()

    def sweep(self) -> None:
        """Look once; what fails does not keep the rest from being done."""
        self.measure_skew()
        self._attempt(self._dispatcher.in_doubt.settle_all)
        self._attempt(self._flush_outbox)
        self._attempt(self._look_for_orphans)
        self._do_chores()

    def measure_skew(self) -> None:
        """Compare our clock with the store's; without an answer the last comparison holds."""
        self._attempt(self._measure_skew)

    def _attempt(self, task: Callable[[], object]) -> None:
        if self._loop.stopping:
            return
        try:
            task()
        except StoreUnavailable as error:  # it has reported itself, and is asked again
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 - reported; the others and the next sweep must come
            _log.exception("a sweep raised")

    def _do_chores(self) -> None:
        for chore in self._chores:
            self._attempt(chore)

    def _flush_outbox(self) -> None:
        self._dispatcher.outbox.flush(lambda: self._loop.stopping)

    def _look_for_orphans(self) -> None:
        jobs = self._jobs()
        orphans = self._context.store.orphans(list(jobs))
        busy = {orphan.job for orphan in orphans if self._dispatcher.busy(orphan.job)}
        spooled = (
            self._dispatcher.outbox.run_ids() if orphans else set()
        )  # read last: what is not busy any more is in it
        for orphan in orphans:
            job = jobs[orphan.job]
            if orphan.run_id in spooled or self._dispatcher.in_doubt.settle(orphan.run_id):
                continue  # it did not die: how it ended is known here, and will be, or is, written
            if not job.rerun or orphan.attempt >= ATTEMPTS_MAX:
                self._settle_orphan(job, orphan)
            elif orphan.job in busy or holder_of(job.resource, self._context):
                continue  # it would be due again, and skipped, at every sweep
            else:
                self._planner.rerun_orphan(job, orphan.due_ns)

    def _settle_orphan(self, job: Job, orphan: Orphan) -> None:
        if not self._context.store.abandon(orphan):
            return
        self._context.sink.record(
            ClaimOrphaned(
                job=orphan.job,
                due_ns=orphan.due_ns,
                attempt=orphan.attempt,
                run_id=orphan.run_id,
                claimant=orphan.owner,
                wall_ns=self._context.clock.wall_ns(),
            )
        )
        self._planner.settle_orphan(job, orphan.due_ns)

    def _measure_skew(self) -> None:
        asked = self._context.clock.reading()
        store_ns = self._context.store.time_ns()
        bound_ns = (self._context.clock.monotonic_ns() - asked.monotonic_ns) // 2
        skew_ns = asked.wall_ns + bound_ns - store_ns
        own_clock = self._context.store.own_clock
        self._skew.note(skew_ns, bound_ns, offset_ns=asked.offset_ns if own_clock else None)
        self._context.sink.record(SkewMeasured(skew_ns=skew_ns, bound_ns=bound_ns, wall_ns=asked.wall_ns))

    def _step(self) -> int:
        """Sweep if it is time to, or was asked for; else do the chores. Return when to do so again."""
        clock = self._context.clock
        if self._sweep_asked or clock.monotonic_ns() >= self._sweep_at_ns:
            self._sweep_asked = False
            self.sweep()
            self._sweep_at_ns = clock.monotonic_ns() + period_ns(self._jobs().values())
        else:
            self._do_chores()
        return min(self._sweep_at_ns, clock.monotonic_ns() + _PRESSING_NS) if self._pressing() else self._sweep_at_ns
