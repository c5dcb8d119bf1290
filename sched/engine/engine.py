"""Start, stop and watch the loops that make a scheduler of jobs and ports."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.claim_cache import RememberingStore
from tickglass.sched.engine.running.dispatcher import Crew
from tickglass.sched.engine.locking.manual_lock import Hands
from tickglass.sched.engine.membership.heartbeat import Heartbeat
from tickglass.sched.engine.planning.planner import Planner
from tickglass.sched.engine.readiness import Readiness
from tickglass.sched.engine.planning.registrar import Registrar
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.engine.recovery.sweeper import Sweeper, period_ns
from tickglass.sched.engine.timing.timeline import Timeline
from tickglass.sched.errors import ConfigError
from tickglass.sched.lease import check_ttl
from tickglass.sched.lifecycle import SchedulerEvent, SchedulerMachine, SchedulerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.engine.context import Gear
    from tickglass.sched.job import Job

__all__ = ["STOP_GRACE_NS", "Engine"]

STOP_GRACE_NS: Final = 5 * SECOND  # for a run to end after it was asked to


class Engine:
    """A scheduler's loops. Start once, stop once.

    Args:
        gear: the ports; its store is watched from here on.
        workers: size of the pool; None: CPU count x 1.5.
        skew: how far our clock may be from the store's, and what then.
        labels: those of this instance, as preferences name them.
    """

    def __init__(
        self,
        gear: Gear,
        *,
        workers: int | None = None,
        skew: SkewGuard | None = None,
        labels: frozenset[str] = frozenset(),
    ) -> None:
        self._store = RememberingStore(
            gear.store, owner=gear.owner, service=gear.service, clock=gear.clock, sink=gear.sink
        )
        self._gear = replace(gear, store=self._store)
        self._jobs: Mapping[str, Job] = {}  # replaced, never changed
        self._door = threading.Lock()
        self._skew = SkewGuard() if skew is None else skew
        self._timeline = Timeline(clock=gear.clock, sink=gear.sink, skew=self._skew, stepped=self._compare_clocks)
        max_ahead_ns = self._skew.max_ahead_ns if gear.store.own_clock else None
        self._crew = Crew(self._gear, workers=workers, labels=labels, max_ahead_ns=max_ahead_ns)
        self.hands = Hands(self._gear, self._crew.keeper, self._crew.presence, self._crew.doubts)
        self._planner = Planner(self._gear, self._timeline, self._crew, self._skew)
        self._registrar = Registrar(self._gear, self._planner)
        self._store.before_claim = self._registrar.catch_up
        self._life = SchedulerMachine(gear.owner, gear.service, gear.clock, gear.sink)
        self._readiness = Readiness(
            self._gear,
            self._life,
            writing=self._store.writing,
            timeline=self._timeline,
            crew=self._crew,
            skew=self._skew,
            registrar=self._registrar,
            jobs=self.jobs,
            hurry=self._do_chores,
        )
        self._heartbeat = Heartbeat(self._gear, self._store.writing)
        self._sweeper = Sweeper(
            self._gear,
            self._planner,
            self._crew,
            self._skew,
            self.jobs,
            chores=(self._registrar.catch_up, self._beat, self._readiness.tell),
            pressing=lambda: self._registrar.waits or self._store.writing.fails,
        )

    @property
    def state(self) -> SchedulerState:
        """Where this scheduler stands."""
        return self._life.state

    def jobs(self) -> Mapping[str, Job]:
        """Return the jobs, by name; never waits for an `add` that waits for the store."""
        return self._jobs

    def add(self, job: Job) -> None:
        """Add a job, before or after the start; running, it is registered as soon as the store can be reached.

        Raises:
            ConfigError: a job of that name is there already, or its leases are too short for this store's drift.
            StoreUnavailable: running, and the store answered with an error; nothing was added.
        """
        with self._door:
            if job.name in self._jobs:
                raise ConfigError(f"there is already a job named {job.name}", instead=('name="another"',))
            check_ttl(f"job {job.name}", job.ttl_ns, self._store.allowance_ns(job.ttl_ns))
            if self.state is SchedulerState.RUNNING:
                self._registrar.add([job])
            self._jobs = {**self._jobs, job.name: job}

    def start(self) -> None:
        """Register the jobs with the store and start all loops; a store that cannot be reached is waited for later.

        Raises:
            StoreUnavailable: the store answered with an error; nothing was started.
        """
        with self._door:
            if self.state is not SchedulerState.NEW:
                raise ConfigError(f"this scheduler is {self.state}; make a new one")
            self._life.fire(SchedulerEvent.START_ASKED)
            self._crew.start()
            try:
                self._sweeper.measure_skew()  # before anything is planned
                self._timeline.follow()
                self._registrar.add(list(self._jobs.values()))
            except BaseException:
                self._crew.stop(self._gear.clock.monotonic_ns() + STOP_GRACE_NS)
                self._life.fire(SchedulerEvent.START_FAILED)
                raise
            self._store.start()
            self._crew.presence.start()
            self._timeline.start()
            self._sweeper.start()
            self._life.fire(SchedulerEvent.STARTED)

    def stop(self, drain_ns: int) -> list[str]:
        """Claim nothing more, give the runs in hand so long, then ask them to stop.

        Leases of runs that do not end are left to expire, so that nobody else
        starts while they may still act; so are leases taken by hand.

        Returns:
            The names of jobs whose runs did not end; empty after a clean stop.
        """
        with self._door:
            if self.state is not SchedulerState.RUNNING:
                return []
            self._life.fire(SchedulerEvent.STOP_ASKED)
        self._timeline.stop()
        self._sweeper.stop()
        self._crew.presence.stop()  # nothing more is claimed here: nobody shall hold back for us
        self._store.stop()
        clock = self._gear.clock
        if not self._crew.drain(clock.monotonic_ns() + drain_ns):
            self._crew.ask_all_to_stop("shutdown")
            self._crew.drain(clock.monotonic_ns() + STOP_GRACE_NS)
        left = self.in_hand()
        self.hands.stop()
        self._crew.stop(clock.monotonic_ns() + (0 if left else STOP_GRACE_NS))
        self._life.fire(SchedulerEvent.STOPPED)
        return left

    def in_hand(self) -> list[str]:
        """Return the names of jobs whose runs have not ended, sorted."""
        return sorted(walk.job.name for walk in self._crew.in_hand())

    def hurry(self) -> None:
        """Cut a `stop` in progress short: first the drain, a second time the wait for runs that were asked to stop."""
        self._crew.hurry()

    def unready(self) -> list[str]:
        """Return why not to count on this instance, a sentence each; empty when ready."""
        return self._readiness.unready()

    def _do_chores(self) -> None:
        self._sweeper.hurry()

    def _compare_clocks(self) -> None:
        """Have our clock compared with the store's now, since it was set."""
        self._sweeper.sweep_now()

    def _beat(self) -> None:
        self._heartbeat.beat(period_ns(self.jobs().values()))
