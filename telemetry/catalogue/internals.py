"""Declare the metrics of the scheduler itself: pool, timeline, clock, spool, telemetry, store."""

from __future__ import annotations

from typing import Final

from tickglass.sched.events import SpoolMove
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.ports.missing import MissingKind
from tickglass.telemetry.catalogue.declare import (
    BY_CALL,
    BY_POOL,
    CALLS_S,
    PAUSES_S,
    TICKS_S,
    WAITS_S,
    counter,
    gauge,
    histogram,
)
from tickglass.telemetry.label_values import ClockDirection, DropReason, Generation, Signal, StoreErrorKind
from tickglass.telemetry.metric import Declared, Label

__all__ = [
    "BUILD_INFO",
    "CLOCK_ERROR",
    "CLOCK_OFFSET",
    "CLOCK_STEPS",
    "CORE_WAIT",
    "DROPPED",
    "EVENT_LOOP_LAG",
    "GC_PAUSE",
    "INTERPRETER_WAIT",
    "KERNEL_CLOCK_ERROR",
    "KERNEL_CLOCK_FREQUENCY",
    "KERNEL_CLOCK_MAX_ERROR",
    "KERNEL_CLOCK_OFFSET",
    "KERNEL_CLOCK_SYNCHRONISED",
    "LABEL_OVERFLOW",
    "LOCKS_FORGOTTEN",
    "LOCKS_IDLE",
    "POOL_IN_USE",
    "POOL_QUEUE",
    "POOL_SLOTS",
    "POOL_WAIT",
    "SCHEDULER_INFO",
    "SCHEDULER_READY",
    "SCHEDULER_STATE",
    "SINK_FAILURES",
    "SPOOL_DEPTH",
    "SPOOL_OUTCOMES",
    "STORE_DURATION",
    "STORE_ERRORS",
    "STORE_FORGOT",
    "STORE_MISSING",
    "TICK_DURATION",
    "TICK_LAG",
]

STORE_DURATION: Final = histogram(
    "distributed_lock_store_operation_duration_seconds", "How long the store took to answer.", CALLS_S, *BY_CALL
)
STORE_ERRORS: Final = counter(
    "distributed_lock_store_errors_total",
    "Calls that the store did not answer, or answered with an error.",
    *BY_CALL,
    Label("kind", StoreErrorKind),
)
STORE_FORGOT: Final = counter(
    "tickglass_store_forgot_total",
    "Times that the store had lost the record of this running instance, and its jobs were registered again.",
)
STORE_MISSING: Final = counter(
    "tickglass_store_missing_records_total",
    "Records that were found missing in the store, because a person deleted them by hand: those that a list in the "
    "store names, and those of this instance's jobs, which are registered again. Each is counted once an hour at most.",
    Label("kind", MissingKind),
)
POOL_SLOTS: Final = gauge("tickglass_pool_slots", "Workers of the pool.", BY_POOL)
POOL_IN_USE: Final = gauge("tickglass_pool_slots_in_use", "Workers of the pool that are busy.", BY_POOL)
POOL_QUEUE: Final = gauge(
    "tickglass_pool_queue_depth",
    "Work that waits for a worker of the pool; without due instants that the timeline keeps back until there is room: "
    "those are overdue.",
    BY_POOL,
)
POOL_WAIT: Final = histogram(
    "tickglass_pool_queue_wait_seconds",
    "How long work waited for a worker of the pool, from when it was queued; before that the timeline may have kept it "
    "back.",
    WAITS_S,
    BY_POOL,
)
TICK_DURATION: Final = histogram(
    "tickglass_scheduler_tick_duration_seconds",
    "How long one tick of the timeline took; the count is a heartbeat.",
    TICKS_S,
)
TICK_LAG: Final = histogram(
    "tickglass_scheduler_tick_lag_seconds",
    "How late the timeline woke: the error of the timer, the wait for a core and the wait for the interpreter lock.",
    TICKS_S,
)
CORE_WAIT: Final = histogram(
    "tickglass_core_wait_seconds",
    "How long a thread of this process that could go on waited for a free core, as the kernel counts it. Sampled at "
    "each sweep, on Linux only.",
    TICKS_S,
)
INTERPRETER_WAIT: Final = histogram(
    "tickglass_interpreter_wait_seconds",
    "How long a thread that could go on, and had a core, waited for the interpreter lock; a tenth of a millisecond is "
    "the error of the timer. Sampled at each sweep, on Linux only.",
    TICKS_S,
)
SCHEDULER_STATE: Final = gauge(
    "tickglass_scheduler_state",
    "1 for the state that the scheduler is in, 0 for the others.",
    Label("state", SchedulerState),
)
SCHEDULER_READY: Final = gauge(
    "tickglass_scheduler_ready",
    "1 while the scheduler is ready, 0 while it is not (/readyz says why); absent before it starts.",
)
FIRST_RUN: Final = gauge(
    "tickglass_scheduler_first_run_on_time_seconds",
    "How long it took from the start of the process to the first run that started on time, at most 8 ms after its due "
    "instant. Absent until such a run has ended. Counted from the start of the scheduler where the machine does not "
    "say when the process began, and after a stop and another start.",
)
EVENT_LOOP_LAG: Final = gauge(
    "tickglass_event_loop_lag_seconds",
    "How long the event loop of the coroutine jobs has not answered; or, if it has answered, how long its last "
    "answer took. It is asked once a second. Absent before the first coroutine.",
)
SCHEDULER_INFO: Final = gauge(
    "tickglass_scheduler_info",
    "Always 1; its labels name this scheduler, for joins with series that do not, "
    "such as the service chosen on a board.",
    Label("owner", Declared.OWNER),
    Label("service", Declared.SERVICE),
)
CLOCK_OFFSET: Final = gauge("tickglass_clock_offset_seconds", "Our wall clock minus the store's.")
CLOCK_ERROR: Final = gauge(
    "tickglass_clock_offset_error_seconds", "Bound of the error of that offset: half a round trip to the store."
)
CLOCK_STEPS: Final = counter(
    "tickglass_clock_steps_total",
    "Times the wall clock jumped against the monotonic one.",
    Label("direction", ClockDirection),
)
# Linux only: elsewhere, and where the kernel does not answer, these five are absent.
KERNEL_CLOCK_SYNCHRONISED: Final = gauge(
    "tickglass_kernel_clock_synchronised",
    "1 while the kernel says that a time service keeps the wall clock of this machine right, 0 while it says that "
    "none does. Absent where it does not say.",
)
KERNEL_CLOCK_OFFSET: Final = gauge(
    "tickglass_kernel_clock_offset_seconds",
    "What the kernel has still to correct on the wall clock, slowly; positive: the clock is behind. Always 0 with "
    "services that correct the rate alone, such as chrony.",
)
KERNEL_CLOCK_FREQUENCY: Final = gauge(
    "tickglass_kernel_clock_frequency_correction_ratio",
    "By how much the kernel makes its clocks run faster than their oscillator: 1e-6 is a microsecond a second.",
)
KERNEL_CLOCK_MAX_ERROR: Final = gauge(
    "tickglass_kernel_clock_max_error_seconds",
    "How far the wall clock may be off, says the kernel. It grows by 0.5 ms a second while no time service corrects "
    "the clock; at 16 s the clock counts as not synchronised.",
)
KERNEL_CLOCK_ERROR: Final = gauge(
    "tickglass_kernel_clock_estimated_error_seconds",
    "How far the wall clock is off, in the estimate of the time service.",
)
SPOOL_DEPTH: Final = gauge("tickglass_spool_depth", "Outcomes that are spooled until the store answers.")
SPOOL_OUTCOMES: Final = counter(
    "tickglass_spool_outcomes_total",
    "Outcomes that could not be written to the store at once: spooled, written later, overtaken by another "
    "instance, dropped.",
    Label("move", SpoolMove),
)
SINK_FAILURES: Final = counter(
    "tickglass_telemetry_sink_failures_total",
    "Events for which a sink raised an exception.",
    Label("sink", Declared.SINK),
)
DROPPED: Final = counter(
    "tickglass_telemetry_dropped_total",
    "Telemetry that could not be delivered.",
    Label("signal", Signal),
    Label("reason", DropReason),
)
LABEL_OVERFLOW: Final = counter(
    "tickglass_label_overflow_total",
    "Label values folded into __other__ because their label has reached its limit of values.",
    Label("label", Declared),
)
LOCKS_IDLE: Final = gauge(
    "tickglass_locks_idle",
    "Locks taken by hand that nobody has asked for in the last hour: their series are absent until somebody does, "
    "and their counters then continue.",
)
LOCKS_FORGOTTEN: Final = counter(
    "tickglass_locks_forgotten_total",
    "Idle locks that were forgotten because the label resource had reached its limit: if somebody asks for them "
    "again, their counters begin at 0.",
)
GC_PAUSE: Final = histogram(
    "tickglass_gc_pause_seconds",
    "How long the garbage collector stopped the interpreter.",
    PAUSES_S,
    Label("generation", Generation),
)
BUILD_INFO: Final = gauge(
    "tickglass_build_info", "Always 1; its labels say what runs here.", Label("version", Declared.VERSION)
)
