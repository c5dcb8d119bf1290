"""Turn the events that belong to no job into series: pools, stores, timeline, clock, telemetry itself.

No I/O, no clock reads, but for the pauses of the garbage collector.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

from tickglass.sched.lifecycle import SchedulerState
from tickglass.telemetry import catalogue
from tickglass.telemetry.metric import OVERFLOW
from tickglass.telemetry.series import SeriesGroup, family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickglass.sched.clock import Clock, Reading
    from tickglass.sched.events import (
        ActSeen,
        ClockDisciplineRead,
        ClockStepped,
        EventLoopAsked,
        EventLoopTurned,
        FirstRunOnTime,
        OrdersStand,
        PoolMoved,
        ReadinessMoved,
        SchedulerMoved,
        SkewMeasured,
        SpoolMoved,
        StoreCalled,
        StoreRecordMissing,
        ThreadDelayed,
        TimelineTicked,
    )
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series import Counters, Histogram, SeriesFamily, Value

__all__ = ["GcMonitor", "GcPauses", "PoolGroup", "SchedulerGroup", "StoreGroup"]

_S: Final = 1e9


class PoolGroup(SeriesGroup):
    """One pool of workers."""

    def __init__(self, pool: str) -> None:
        super().__init__(pool)
        self._slots = self.gauge(catalogue.POOL_SLOTS)
        self._in_use = self.gauge(catalogue.POOL_IN_USE)
        self._queue = self.gauge(catalogue.POOL_QUEUE)
        self._wait = self.histogram(catalogue.POOL_WAIT)

    def moved(self, event: PoolMoved) -> None:
        """Take its present load."""
        with self.lock:
            self._slots.value = event.slots
            self._in_use.value = event.in_use
            self._queue.value = event.waiting
            if event.waited_ns is not None:
                for _ in range(event.taken):
                    self._wait.observe(event.waited_ns / _S)


class StoreGroup(SeriesGroup):
    """One store's calls, by operation; unknown operations fold into `OVERFLOW`."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._operations: dict[str, tuple[Histogram, Counters]] = {}
        for operation in catalogue.STORE_DURATION.labels[-1].values:
            self._add(operation)

    def called(self, event: StoreCalled) -> None:
        """Count one call."""
        with self.lock:
            known = self._operations.get(event.operation) or self._operations.get(OVERFLOW) or self._add(OVERFLOW)
            durations, errors = known
            durations.observe(event.duration_ns / _S)
            if event.error:
                errors[event.error].add()

    def _add(self, operation: str) -> tuple[Histogram, Counters]:
        series = (
            self.histogram(catalogue.STORE_DURATION, operation),
            self.counters(catalogue.STORE_ERRORS, operation),
        )
        self._operations[operation] = series
        return series


class SchedulerGroup(SeriesGroup):
    """The scheduler's timeline, its clock, and its telemetry."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self._tick_duration = self.histogram(catalogue.TICK_DURATION)
        self._tick_lag = self.histogram(catalogue.TICK_LAG)
        self._core_wait = self.histogram(catalogue.CORE_WAIT)
        self._interpreter_wait = self.histogram(catalogue.INTERPRETER_WAIT)
        self._steps = self.counters(catalogue.CLOCK_STEPS)
        self._offset = self.gauge(catalogue.CLOCK_OFFSET)
        self._offset_error = self.gauge(catalogue.CLOCK_ERROR)
        self._synchronised = self.gauge(catalogue.KERNEL_CLOCK_SYNCHRONISED)
        self._kernel_offset = self.gauge(catalogue.KERNEL_CLOCK_OFFSET)
        self._kernel_frequency = self.gauge(catalogue.KERNEL_CLOCK_FREQUENCY)
        self._kernel_max_error = self.gauge(catalogue.KERNEL_CLOCK_MAX_ERROR)
        self._kernel_error = self.gauge(catalogue.KERNEL_CLOCK_ERROR)
        self._states = self.counters(catalogue.SCHEDULER_STATE)  # one of them is 1
        self._ready = self.gauge(catalogue.SCHEDULER_READY)
        self._first_run = self.gauge(catalogue.FIRST_RUN)
        self._forgot = self.counter(catalogue.STORE_FORGOT)
        self._missing = self.counters(catalogue.STORE_MISSING)
        self._jobs_contested = self.gauge(catalogue.JOBS_CONTESTED, start=0)
        self._contested: set[str] = set()
        self._acts = self.counters(catalogue.CONTROL_ACTS)
        self._control_version = self.gauge(catalogue.CONTROL_VERSION)
        self._drained = self.gauge(catalogue.SCHEDULER_DRAINED, start=0)
        self._jobs_paused = self.gauge(catalogue.JOBS_PAUSED, start=0)
        self._spool = self.gauge(catalogue.SPOOL_DEPTH, start=0)
        self._spooled = self.counters(catalogue.SPOOL_OUTCOMES)
        self._dropped = {
            signal: self.counters(catalogue.DROPPED, signal) for signal in catalogue.DROPPED.labels[0].values
        }
        self.overflows = self.counters(catalogue.LABEL_OVERFLOW)
        self._locks_idle = self.gauge(catalogue.LOCKS_IDLE, start=0)
        self._locks_forgotten = self.counter(catalogue.LOCKS_FORGOTTEN)
        self.version = version
        self._who: tuple[str, str] | None = None  # owner and service, once known
        self._loop_asked_ns: int | None = None  # monotonic; None unless an answer is pending
        self._loop_lag_ns: int | None = None  # of its last answer

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:
        """Return the identity series, and how late the event loop is."""
        asked_ns = self._loop_asked_ns
        lag_ns = self._loop_lag_ns if asked_ns is None else max(0, now.monotonic_ns - asked_ns)
        if lag_ns is not None:
            yield catalogue.EVENT_LOOP_LAG, (), lag_ns / _S
        yield catalogue.BUILD_INFO, (self.version,), 1
        if self._who is not None:
            yield catalogue.SCHEDULER_INFO, self._who, 1

    def ticked(self, event: TimelineTicked) -> None:
        """Count one tick of the timeline."""
        with self.lock:
            self._tick_duration.observe(event.duration_ns / _S)
            self._tick_lag.observe(event.lag_ns / _S)

    def thread_delayed(self, event: ThreadDelayed) -> None:
        """Count what kept a thread from going on."""
        with self.lock:
            self._core_wait.observe(event.core_ns / _S)
            self._interpreter_wait.observe(event.interpreter_ns / _S)

    def stepped(self, event: ClockStepped) -> None:
        """Count one jump of the wall clock."""
        with self.lock:
            self._steps["forward" if event.step_ns > 0 else "back"].add()

    def measured(self, event: SkewMeasured) -> None:
        """Take the offset of our clock from the store's."""
        with self.lock:
            self._offset.value = event.skew_ns / _S
            self._offset_error.value = event.bound_ns / _S

    def disciplined(self, event: ClockDisciplineRead) -> None:
        """Take how the kernel keeps our clock."""
        with self.lock:
            self._synchronised.value = int(event.synchronised)
            self._kernel_offset.value = None if event.offset_ns is None else event.offset_ns / _S
            self._kernel_frequency.value = event.frequency_ratio
            self._kernel_max_error.value = event.max_error_ns / _S
            self._kernel_error.value = event.estimated_error_ns / _S

    def moved(self, event: SchedulerMoved) -> None:
        """Enter a state."""
        with self.lock:
            self._who = event.owner, event.service
            self._states[event.before].value = 0
            self._states[event.after].value = 1
            if event.after != SchedulerState.RUNNING:
                self._ready.value = 0
            if event.after == SchedulerState.STARTING:
                self._first_run.value = None
            if event.after == SchedulerState.STOPPED:
                self._loop_asked_ns = self._loop_lag_ns = None  # an answer that will not come is no lag
                self._count_contested(set())

    def readiness_moved(self, event: ReadinessMoved) -> None:
        """Take its readiness."""
        with self.lock:
            self._ready.value = int(not event.error)

    def first_run(self, event: FirstRunOnTime) -> None:
        """Take how long it took until a run was on time."""
        with self.lock:
            self._first_run.value = event.after_ns / _S

    def store_forgot(self) -> None:
        """Count a store that had lost the record of this instance."""
        with self.lock:
            self._forgot.add()

    def contested(self, job: str, *, is_so: bool) -> None:
        """Take that another program claims a job's instants, or does not."""
        with self.lock:
            self._count_contested(self._contested | {job} if is_so else self._contested - {job})

    def _count_contested(self, jobs: set[str]) -> None:
        self._contested = jobs
        self._jobs_contested.value = len(jobs)

    def act_seen(self, event: ActSeen) -> None:
        """Count an operator's act; one that only a later version knows is counted as any other."""
        with self.lock:
            self._acts[event.act].add()

    def orders_stand(self, event: OrdersStand) -> None:
        """Take what operators have asked of this instance."""
        with self.lock:
            self._control_version.value = event.version
            self._drained.value = float(event.draining)
            self._jobs_paused.value = event.jobs_paused

    def record_missing(self, event: StoreRecordMissing) -> None:
        """Count a record that the store lacks."""
        with self.lock:
            self._missing[event.kind].add()

    def loop_asked(self, event: EventLoopAsked) -> None:
        """Note that the event loop was asked to answer."""
        with self.lock:
            self._loop_asked_ns = event.at_ns

    def loop_turned(self, event: EventLoopTurned) -> None:
        """Take how long the answer took."""
        with self.lock:
            self._loop_asked_ns, self._loop_lag_ns = None, event.lag_ns

    def restored(self, version: str, owner: str, service: str) -> None:
        """Reset everything except the identity."""
        with self.lock:
            self.gone = False
            self.version, self._who = version, (owner, service)
            for state in self._states.values():
                state.value = 0
            self._spool.value = 0
            self._count_contested(set())
            self._offset.value = self._offset_error.value = self._ready.value = None
            self._first_run.value = None
            self._synchronised.value = self._kernel_offset.value = self._kernel_frequency.value = None
            self._kernel_max_error.value = self._kernel_error.value = None
            self._loop_asked_ns = self._loop_lag_ns = None

    def spool_restored(self, event: SpoolMoved) -> None:
        """Take the spool's depth, without counting the move."""
        with self.lock:
            self._spool.value = event.depth

    def spool_moved(self, event: SpoolMoved) -> None:
        """Take one move of an outcome in or out of the spool."""
        with self.lock:
            self._spool.value = event.depth
            self._spooled[event.move].add()

    def sink(self, name: str) -> Value:
        """Return a new counter of a sink's failures."""
        with self.lock:
            return self.counter(catalogue.SINK_FAILURES, name)

    def sink_failed(self, failures: Value) -> None:
        """Count one failure of a sink."""
        with self.lock:
            failures.add()

    def locks_idle(self, count: int) -> None:
        """Take how many locks are hidden at this scrape."""
        with self.lock:
            self._locks_idle.value = count

    def locks_forgotten(self, count: int) -> None:
        """Count locks that were forgotten to make room for others."""
        with self.lock:
            self._locks_forgotten.add(count)

    def dropped(self, signal: str, reason: str, count: int) -> None:
        """Count telemetry that could not be delivered."""
        with self.lock:
            self._dropped[signal][reason].add(count)


class GcMonitor:
    """Reports how long the garbage collector stopped this interpreter, at each collection.

    Args:
        paused: called with the generation and nanoseconds. It takes no lock: a
            collection may begin anywhere. Only one runs at a time.
    """

    def __init__(self, clock: Clock, paused: Callable[[str, int], None]) -> None:
        self._clock = clock
        self._paused = paused
        self._began_ns: int | None = None

    def install(self) -> None:
        """Start monitoring, until `remove`."""
        gc.callbacks.append(self._called)

    def remove(self) -> None:
        """Stop monitoring."""
        gc.callbacks.remove(self._called)

    def _called(self, phase: str, info: dict[str, int]) -> None:
        now_ns = self._clock.monotonic_ns()
        if phase == "start":
            self._began_ns = now_ns
        elif self._began_ns is not None:
            self._paused(str(info["generation"]), now_ns - self._began_ns)
            self._began_ns = None


class GcPauses:
    """How long the garbage collector stopped the interpreter; a collector of its own.

    Takes no lock: see `GcMonitor`.

    Args:
        labels: of every series.
    """

    def __init__(self, clock: Clock, **labels: str) -> None:
        self._clock = clock
        self._monitor = GcMonitor(clock, self.paused)
        self._group = SeriesGroup()
        self._group.label(tuple(labels.items()))
        self._pauses = {
            generation: self._group.histogram(catalogue.GC_PAUSE, generation)
            for generation in catalogue.GC_PAUSE.labels[0].values
        }

    def paused(self, generation: str, duration_ns: int) -> None:
        """Count one pause."""
        self._pauses[generation].observe(duration_ns / _S)

    def install(self) -> None:
        """Start monitoring, until `remove`."""
        self._monitor.install()

    def remove(self) -> None:
        """Stop monitoring."""
        self._monitor.remove()

    def describe(self) -> Iterable[SeriesFamily]:
        """Name the family, so that a second such collector in one registry is refused."""
        return [family(catalogue.GC_PAUSE)]

    def collect(self) -> Iterable[SeriesFamily]:
        """Return the histograms, by generation."""
        page = {catalogue.GC_PAUSE.name: family(catalogue.GC_PAUSE)}
        self._group.collect(page, self._clock.reading())
        return page.values()
