"""Start, stop and watch the loops that make a scheduler of jobs and ports."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from tickglass.sched.engine.control.cancels import Cancels
from tickglass.sched.engine.control.manual_runs import ManualRuns
from tickglass.sched.engine.control.order_watch import OrderWatch
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.engine.leasing.claim_cache import ClaimCachingStore
from tickglass.sched.engine.locking.manual_lock import ManualLocks
from tickglass.sched.engine.membership.own_record import OwnRecord
from tickglass.sched.engine.planning.enrolment import Enrolment
from tickglass.sched.engine.planning.misfires import Misfires
from tickglass.sched.engine.planning.planner import Planner
from tickglass.sched.engine.planning.registrar import Registrar
from tickglass.sched.engine.planning.rivals import Rivals
from tickglass.sched.engine.readiness import Readiness
from tickglass.sched.engine.recovery.sweeper import Sweeper, period_ns
from tickglass.sched.engine.running.dispatcher import Dispatcher
from tickglass.sched.engine.running.first_run import FirstRun
from tickglass.sched.engine.standing_orders import StandingOrders
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.engine.timing.timeline import Timeline
from tickglass.sched.errors import ConfigError
from tickglass.sched.lease import check_ttl
from tickglass.sched.lifecycle import STOP_GRACE_NS, SchedulerEvent, SchedulerMachine, SchedulerState
from tickglass.sched.ports import InstanceState

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.job import Job

__all__ = ["Engine"]


class Engine:
    """A scheduler's loops. Start once, stop once: a scheduler that starts again has a new engine.

    Args:
        context: the ports; from here on every call to its store is measured.
        workers: size of the pool; None: CPU count x 1.5.
        spin_ns: for how long a worker looks at the clock before a due instant, instead of sleeping.
        skew: how far our clock may be from the store's, and what happens beyond that.
        labels: the labels of this instance, as preferences name them.
        begins: where the scheduler stands: `STOPPED`, if another engine of it ran before.
        loop: the application's event loop, for coroutine jobs; None: one of our own.
    """

    def __init__(
        self,
        context: EngineContext,
        *,
        workers: int | None = None,
        spin_ns: int = 0,
        skew: SkewGuard | None = None,
        labels: frozenset[str] = frozenset(),
        begins: SchedulerState = SchedulerState.NEW,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._store = ClaimCachingStore(
            context.store, owner=context.owner, service=context.service, clock=context.clock, sink=context.sink
        )
        self._context = replace(context, store=self._store)
        self._jobs = JobTable()
        self._mutex = threading.Lock()
        self._skew = SkewGuard() if skew is None else skew
        self._timeline = Timeline(clock=context.clock, sink=context.sink, skew=self._skew, stepped=self._compare_clocks)
        self._misfires = Misfires(self._context)
        self._dispatcher = Dispatcher(
            self._context,
            workers=workers,
            spin_ns=spin_ns,
            misfires=self._misfires,
            first_run=FirstRun(context, _counted_from_ns(context.clock, begins)),
            freed=self._freed,
            labels=labels,
            max_ahead_ns=self._skew.max_ahead_ns if context.store.own_clock else None,
            loop=loop,
        )
        self.manual_locks = ManualLocks(
            self._context, self._dispatcher.renewer, self._dispatcher.presence, self._dispatcher.in_doubt
        )
        self._orders = StandingOrders(self._context)
        self._planner = Planner(
            self._context, self._timeline, self._dispatcher, self._skew, self._misfires, self._orders
        )
        enrolment = Enrolment(self._context, self._planner, self._skew, self._dispatcher.presence)
        self._registrar = Registrar(self._context, self._planner, enrolment)
        self._store.before_claim = self._registrar.catch_up
        self._life = SchedulerMachine(context.owner, context.service, context.clock, context.sink, begins=begins)
        self._begun = False
        self._readiness = Readiness(
            self._context,
            self._life,
            write_health=self._store.write_health,
            timeline=self._timeline,
            dispatcher=self._dispatcher,
            skew=self._skew,
            registrar=self._registrar,
            jobs=self._jobs,
            orders=self._orders,
            report_soon=self._do_chores,
        )
        self._own_record = OwnRecord(
            self._context, self._store.write_health, jobs=self._jobs, register_again=self._registrar.again
        )
        self._sweeper = self._made_sweeper()
        self._order_watch = self._made_order_watch()

    @property
    def state(self) -> SchedulerState:
        """The state of this scheduler."""
        return self._life.state

    def jobs(self) -> Mapping[str, Job]:
        """Return the jobs, by name, as they are at any time; they are read without waiting for an `add`."""
        return self._jobs

    def add(self, job: Job) -> None:
        """Add a job, before or after the start; running, it is registered as soon as the store can be reached.

        Raises:
            ConfigError: a job of that name is there already, or its leases are too short for this store's drift.
            StoreUnavailable: running, and the store answered with an error; nothing was added.
        """
        with self._mutex:
            if job.name in self._jobs:
                raise ConfigError(f"there is already a job named {job.name}", instead=('name="another"',))
            check_ttl(f"job {job.name}", job.ttl_ns, self._store.allowance_ns(job.ttl_ns))
            if self.state is SchedulerState.RUNNING:
                self._registrar.add([job])
            self._jobs.add(job)

    def start(self) -> None:
        """Register the jobs with the store and start all loops; with a store that cannot be reached, register later.

        Raises:
            StoreUnavailable: the store answered with an error; nothing was started.
        """
        with self._mutex:
            if self._begun:
                raise ConfigError(f"this engine is {self.state}; make a new one")
            self._begun = True
            self._life.fire(SchedulerEvent.START_ASKED)
            self._dispatcher.start()
            self._misfires.start()
            try:
                self._sweeper.measure_skew()  # before anything is planned
                self._timeline.follow()
                self._order_watch.look()  # likewise
                self._registrar.add(self._jobs.first(len(self._jobs)))
            except BaseException:
                self._dispatcher.stop(self._context.clock.monotonic_ns() + STOP_GRACE_NS)
                self._misfires.stop()
                self._life.fire(SchedulerEvent.START_FAILED)
                raise
            self._store.start()
            self._dispatcher.presence.start()
            self._timeline.start()
            self._life.fire(SchedulerEvent.STARTED)
            self._order_watch.start()
            self._sweeper.start()  # its first turn reports whether we are ready, which is asked of a running one only
        self._do_chores()  # the record of this instance says so soon

    def stop(self, drain_ns: int) -> list[str]:
        """Claim nothing more, wait so long for the runs to end, then ask them to stop.

        The leases of runs that do not end are left to expire, so that no other instance
        starts while they may still act; so are the leases of manual locks.

        Returns:
            The names of jobs whose runs did not end; empty after a clean stop.
        """
        with self._mutex:
            if self.state is not SchedulerState.RUNNING:
                return []
            self._life.fire(SchedulerEvent.STOP_ASKED)
        try:
            return self._wind_down(drain_ns)
        finally:
            self._life.fire(SchedulerEvent.STOPPED)  # also if a step raised: nothing of it is used any more

    def _wind_down(self, drain_ns: int) -> list[str]:
        self._order_watch.stop()
        self._timeline.stop()
        self._planner.stop()
        self._sweeper.stop()
        self._dispatcher.presence.stop()  # nothing more is claimed here: other instances need not hold back
        self._store.stop()
        self._own_record.leave(InstanceState.DRAINING)
        clock = self._context.clock
        if not self._dispatcher.drain(clock.monotonic_ns() + drain_ns):
            self._dispatcher.ask_all_to_stop("shutdown")
            self._dispatcher.drain(clock.monotonic_ns() + STOP_GRACE_NS)
        left = self.executions()
        self.manual_locks.stop()
        self._dispatcher.stop(clock.monotonic_ns() + (0 if left else STOP_GRACE_NS))
        self._misfires.stop()  # last: until then a worker may find that an occurrence came too late
        self._own_record.leave(InstanceState.LEFT)
        return left

    def executions(self) -> list[str]:
        """Return the names of jobs whose runs have not ended, sorted."""
        return sorted(assignment.job_name for assignment in self._dispatcher.assignments())

    def cut_short(self) -> None:
        """Cut a `stop` in progress short: first the drain, a second time the wait for runs that were asked to stop."""
        self._dispatcher.cut_short()

    def unready(self) -> list[str]:
        """Return why not to count on this instance, one sentence for each reason; empty when ready."""
        return self._readiness.unready()

    def _freed(self, job_name: str) -> None:
        self._planner.freed(job_name)

    def _made_sweeper(self) -> Sweeper:
        rivals = Rivals(self._context, self._jobs)
        return Sweeper(
            self._context,
            self._planner,
            self._dispatcher,
            self._skew,
            self._jobs,
            chores=(self._registrar.catch_up, self._beat, self._readiness.report, rivals.look),
            pressing=lambda: self._registrar.waits or self._store.write_health.fails,
        )

    def _made_order_watch(self) -> OrderWatch:
        cancels, manual_runs = Cancels(self._dispatcher), ManualRuns(self._context, self._planner, self._jobs)
        return OrderWatch(self._context, self._orders, self._jobs, obey=(cancels.obey, manual_runs.obey))

    def _do_chores(self) -> None:
        self._sweeper.cut_short()

    def _compare_clocks(self) -> None:
        """Have our clock compared with the store's now, because it was set."""
        self._sweeper.sweep_now()

    def _beat(self) -> None:
        if self._orders.drain is not None:
            state = InstanceState.DRAINING
        else:
            running = self.state is SchedulerState.RUNNING
            state = InstanceState.RUNNING if running else InstanceState.STARTING
        self._own_record.beat(state, period_ns(self._jobs))


def _counted_from_ns(clock: Clock, begins: SchedulerState) -> int:
    """Return what the time to the first run counts from: the start of the process, for its first scheduler start."""
    began_ns = clock.process_began_ns() if begins is SchedulerState.NEW else None
    return clock.monotonic_ns() if began_ns is None else began_ns
