"""A rig: the engine's parts on a clock that stands still until a test moves it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.engine.context import EngineContext, NoSpool, NoTracer
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.engine.planning.enrolment import Enrolment
from tickglass.sched.engine.planning.misfires import Misfires
from tickglass.sched.engine.planning.planner import Planner
from tickglass.sched.engine.running.dispatcher import Dispatcher
from tickglass.sched.engine.running.first_run import FirstRun
from tickglass.sched.engine.standing_orders import StandingOrders
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.engine.timing.timeline import Timeline
from tickglass.sched.events import InstantsMissed, LockMoved, OccurrenceMoved, StoreCalled, Streak
from tickglass.sched.job import declare
from tickglass.sched.ports import ClaimAsk, Gone, Refused, Renewed
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.telemetry.metrics import MetricSink
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.errors import StoreUnavailable
    from tickglass.sched.identity import JobId
    from tickglass.sched.job import Job
    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import (
        AuditRow,
        Beat,
        ClaimAnswer,
        ControlRecord,
        EventSink,
        Granted,
        InstanceRecord,
        JobRecord,
        LeaseAsk,
        Orphan,
        Released,
        RunRecord,
        Settled,
        Settlement,
        Spool,
    )
    from tickglass.sched.registration import Registered
    from tickglass.sched.triggers import Trigger

T = TypeVar("T")


class BreakableStore(MemoryStore):
    """The reference store, which fails the operations that a test names.

    Those of `broken` before they are done, those of `unheard` after; those of `slow` let so many nanoseconds pass.
    A batch fails, and takes its time, as "claim" or "settle" does.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.let_pass: Callable[[int], None] = lambda _: None
        self.broken: dict[str, StoreUnavailable] = {}
        self.unheard: dict[str, StoreUnavailable] = {}
        self.slow: dict[str, int] = {}
        self.asks: list[LeaseAsk] = []
        self.beats: list[InstanceRecord] = []
        self.gone = False

    def _check(self, operation: str) -> None:
        if operation in self.broken:
            raise self.broken[operation]

    def _answer(self, operation: str, answer: T) -> T:
        if operation in self.slow:
            self.let_pass(self.slow[operation])
        if operation in self.unheard:
            raise self.unheard[operation]
        return answer

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        self._check("register")
        return super().register(jobs)

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        self._check("runs")
        return self._answer("runs", super().runs(job, limit, before_ns=before_ns))

    def time_ns(self) -> int:
        self._check("time")
        return super().time_ns()

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        self._check("orphans")
        return super().orphans(jobs, limit)

    def control(self, known_version: int = -1) -> ControlRecord | None:
        self._check("control")
        return super().control(known_version)

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        self._check("audit")
        return super().audit(limit, before=before)

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        self.asks.append(ask)
        self._check("acquire")
        return self._answer("acquire", super().acquire(ask))

    def release(self, lease: Lease) -> Released | Gone:
        self._check("release")
        return self._answer("release", super().release(lease))

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        self._check("join")
        super().join(instance, jobs)

    def beat(self, instance: InstanceRecord) -> Beat:
        self._check("beat")
        self.beats.append(instance)
        return super().beat(instance)

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        self._check("claim")
        return self._answer("claim", super().claim(ask))

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer]:
        self._check("claim")
        return self._answer("claim", super().claim_many(asks))

    def renew(self, lease: Lease) -> Renewed | Gone:
        self._check("renew")
        if self.gone:
            return Gone("somebody")
        return self._answer("renew", super().renew(lease))

    def settle(self, settlement: Settlement) -> Settled:
        self._check("settle")
        return self._answer("settle", super().settle(settlement))

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        self._check("settle")
        return self._answer("settle", super().settle_many(settlements))


class Rig:
    """Everything but the timeline's thread: a test takes its steps, after moving the clock."""

    def __init__(
        self,
        *,
        workers: int = 3,
        sinks: dict[str, EventSink] | None = None,
        labels: frozenset[str] = frozenset(),
        store: Callable[[FakeClock], BreakableStore] = BreakableStore,
        refuse_skew: bool = True,
    ) -> None:
        self.clock = FakeClock()
        self.sink = ListSink()
        self.store = store(self.clock)
        self.store.let_pass = self.clock.advance
        self.refuse_skew = refuse_skew
        self.workers = workers
        self.labels = labels
        self._spool: Spool = NoSpool()
        self._freed: Counter[str] = Counter()  # occurrences that were in hand, by job
        self._sinks = sinks or {}
        self._instances: list[tuple[Dispatcher, Misfires]] = []
        self.jobs: dict[str, Job] = {}
        self.start()

    def start(self, owner: str = "a") -> None:
        """Make an instance; a second call makes another one on the same store."""
        self.metrics = MetricSink(self.clock)
        broadcast = Broadcast({"list": self.sink, "metrics": self.metrics, **self._sinks}, self.clock)
        store = InstrumentedStore(self.store, clock=self.clock, sink=broadcast)
        self.context = EngineContext(self.clock, store, broadcast, NoTracer(), owner, "svc", self._spool)
        self.skew = SkewGuard(refuse=self.refuse_skew)
        self.skew.note(0, 0)
        self.timeline = Timeline(clock=self.clock, sink=broadcast, skew=self.skew)
        max_ahead_ns = self.skew.max_ahead_ns if store.own_clock else None
        self.misfires = Misfires(self.context)

        def freed(job_name: str) -> None:
            planner.freed(job_name)
            self._freed[job_name] += 1

        self.dispatcher = Dispatcher(
            self.context,
            workers=self.workers,
            misfires=self.misfires,
            first_run=FirstRun(self.context, self.clock.monotonic_ns()),
            freed=freed,
            labels=self.labels,
            max_ahead_ns=max_ahead_ns,
        )
        self.dispatcher.start()
        self.misfires.start()
        self.dispatcher.presence.start()
        self._instances.append((self.dispatcher, self.misfires))
        self.orders = StandingOrders(self.context)
        self.planner = planner = Planner(
            self.context, self.timeline, self.dispatcher, self.skew, self.misfires, self.orders
        )
        self.enrolment = Enrolment(self.context, self.planner, self.skew, self.dispatcher.presence)

    def use_spool(self, spool: Spool) -> None:
        """Begin again, with a place for outcomes that the store does not take."""
        self.stop()
        self._spool = spool
        self.start()

    def add(self, function: Callable[..., Any], trigger: Trigger, **policies: Any) -> None:  # noqa: ANN401 - see `declare`
        job = declare(function, trigger, service="svc", **policies)
        self.jobs[job.name] = job
        upcoming = self.enrolment.upcoming(job)
        (registered,) = self.store.register([self.enrolment.record_of(job, upcoming)])
        self.enrolment.add(job, registered, Streak(), upcoming)

    def register(self, job: Job) -> Registered:
        """Register a job with the store, and do no more."""
        (registered,) = self.store.register([self.enrolment.record_of(job, self.enrolment.upcoming(job))])
        return registered

    def advance(self, by_ns: int) -> None:
        """Move time and turn the timeline once."""
        self.clock.advance(by_ns)
        self.timeline.tick()

    def moves(self, job: str, event: str) -> list[OccurrenceMoved]:
        return [move for move in self.sink.of(OccurrenceMoved) if move.job == job and move.event == event]

    def free(self, job: str) -> None:
        """Wait until no occurrence of a job is in hand: each has ended and is settled, and the job is planned again."""
        wait_until(lambda: not self.dispatcher.busy(job) and self._freed[job] >= len(self.moves(job, "admitted")))

    def waits_for_the_loop(self, job: str) -> None:
        """Wait until the event loop has been asked to start a coroutine job, and has not."""

        def waits() -> bool:
            for assignment in self.dispatcher.assignments():
                execution = assignment._execution
                if assignment.job_name == job and execution is not None:
                    with execution._mutex:
                        return execution._unstarted
            return False

        wait_until(waits)

    def asleep(self, after_operation: str, count: int = 1) -> None:
        """Wait until the store was asked so often, and it was noted when to ask again."""
        self.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == after_operation, count=count)
        if after_operation == "claim":
            wait_until(lambda: any(assignment._pending.parked for assignment in self.dispatcher.assignments()))
        else:
            self.clock.wait_for_sleepers(2)  # the timers, and who asked

    def ended(self, job: str, count: int = 1) -> list[OccurrenceMoved]:
        """Wait until so many occurrences of a job have ended, and return them."""
        self.sink.wait_for(
            lambda event: isinstance(event, OccurrenceMoved) and event.job == job and event.event == "ended",
            count=count,
        )
        return self.moves(job, "ended")

    def ended_after_turning(self, job: str) -> OccurrenceMoved:
        """Turn the timeline once, and wait for the first occurrence of a job to end."""
        self.timeline.tick()
        return self.ended(job)[0]

    def missed(self, job: str) -> InstantsMissed:
        """Wait until instants of a job have passed unattended, and nobody else was there; return the first of them."""
        found = self.sink.wait_for(lambda event: isinstance(event, InstantsMissed) and event.job == job)
        assert isinstance(found, InstantsMissed)
        return found

    def started(self, job: str, count: int = 1) -> None:
        self.sink.wait_for(
            lambda event: isinstance(event, OccurrenceMoved) and event.job == job and event.event == "started",
            count=count,
        )

    def lock_event(self, event: str, count: int = 1) -> LockMoved:
        found = self.sink.wait_for(lambda e: isinstance(e, LockMoved) and e.event == event, count=count)
        assert isinstance(found, LockMoved)
        return found

    def stop(self) -> None:
        """End the present instance: its runs in hand are asked to stop, and do."""
        dispatcher, misfires = self.dispatcher, self.misfires
        self.planner.stop()
        for assignment in dispatcher.assignments():
            assignment.stop_claiming()
            assignment.ask_to_stop("shutdown")

        def emptied() -> bool:
            empty = not dispatcher.assignments()
            if not empty:
                self.clock.advance(SECOND)  # what waits for an instant shall see it
            return empty

        wait_until(emptied)
        dispatcher.stop(self.clock.monotonic_ns() + SECOND)
        misfires.stop()
        self._instances.remove((dispatcher, misfires))

    def close(self) -> None:
        while self._instances:
            self.dispatcher, self.misfires = self._instances[-1]
            self.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    patience = SystemClock()
    until_ns = patience.monotonic_ns() + 10 * SECOND
    while not condition():
        assert patience.monotonic_ns() < until_ns, "it does not come true"
        patience.wait(patience.monotonic_ns() + MS, Wake())
