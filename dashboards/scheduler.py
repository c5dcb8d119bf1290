"""The board of the schedulers and their pools: does the timeline tick, are workers free, is the clock right? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import GOOD, Board, Column, Kind, Panel, Query, Row, Step, ValueMapping, above
from tickglass.dashboards.scope import RATE
from tickglass.dashboards.shared_panels import TO_INSTANCE, scheduler_states
from tickglass.telemetry import catalogue, thresholds

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope
    from tickglass.telemetry.metric import Metric

__all__ = ["scheduler"]

_WHO = ("instance", "owner")  # a sidecar is one instance with the series of many owners
_NAME = "{{instance}} {{owner}}"


def scheduler(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-scheduler",
        "Tickglass / Scheduler & pools",
        "Does the timeline tick, are workers free, is the clock right, and does the process get enough CPU?",
        (
            Row("Now", (_instances(scope), scheduler_states(scope, 12))),
            Row("Readiness", (_ready(scope), _first_run(scope), _loop_lag(scope), _forgot(scope))),
            Row("Timeline", (_lag(scope), _delays(scope), _tick(scope), _heartbeat(scope))),
            Row("Pools", (_busy(scope), _queue(scope), _queue_wait(scope))),
            Row(
                "Clock", (_offset(scope), _steps(scope), _synchronised(scope), _kernel_error(scope), _frequency(scope))
            ),
            Row("Outages", (_spool(scope), _spooled(scope))),
            Row("Process", (_cpu(scope), _memory(scope), _pauses(scope))),
        ),
    )


def _instances(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TABLE,
        "Instances",
        "Which schedulers run, where, and in which version. Several versions for long: a roll-out is stuck.",
        "short",
        (
            Query(
                scope.max_by(catalogue.SCHEDULER_INFO, "instance", "owner", "service"),
                column=Column("Schedulers"),
            ),
            Query(
                scope.max_by(catalogue.BUILD_INFO, "instance", "owner", "service", "version"), column=Column("Builds")
            ),
        ),
        width=12,
        no_value="-",
        keys=(("instance", "Instance"), ("owner", "Owner"), ("service", "Service"), ("version", "Version")),
        link=TO_INSTANCE,
    )


def _ready(scope: BoardScope) -> Panel:
    return Panel(
        Kind.STATE_TIMELINE,
        "Ready",
        "Whether each scheduler can start runs on time. Red: it runs and cannot claim, or one of its threads stands "
        "still; its /readyz and its log say which.",
        "short",
        (Query(scope.sum_by(catalogue.SCHEDULER_READY, *_WHO), _NAME),),
        width=6,
        no_value="no scheduler",
        mappings=(ValueMapping(0, "not ready", "red"), ValueMapping(1, "ready", GOOD)),
        link=TO_INSTANCE,
    )


def _first_run(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Time to the first run on time",
        "How long it took from the start of each process until a run of a job started on time: what a deployment or a "
        "restart costs. It includes the wait for the first due instant. Nothing: no run has been on time yet.",
        "s",
        (Query(scope.max_by(catalogue.FIRST_RUN, *_WHO), _NAME),),
        width=6,
        no_value="no run on time yet",
        link=TO_INSTANCE,
    )


def _loop_lag(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How late the event loop is",
        "How long the event loop of the coroutine jobs took for its last answer, or has not answered. Seconds: a "
        "coroutine blocks the loop, and no other coroutine can start or end.",
        "s",
        (Query(scope.max_by(catalogue.EVENT_LOOP_LAG, *_WHO), _NAME),),
        width=6,
        no_value="no coroutine yet",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _lag(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How late the timeline wakes",
        "p99 of its lag, by instance. Climbing: the panel beside says whether the machine or the interpreter is "
        "busy. The lead time hides a small lag; a larger one makes starts late.",
        "s",
        (Query(scope.quantile(0.99, catalogue.TICK_LAG, *_WHO), _NAME),),
        width=6,
        no_value="it stands still",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _delays(scope: BoardScope) -> Panel:
    def mean(metric: Metric) -> str:
        total, count = (scope.rate_by(metric, *_WHO, part=part, window=RATE) for part in ("sum", "count"))
        return f"{total} / ({count} > 0)"

    return Panel(
        Kind.TIMESERIES,
        "What keeps threads waiting",
        "Mean wait of a thread that could go on. For a core: the machine is overloaded, or the container's limit of "
        "CPU is too low. For the interpreter lock: another thread of this process computes, most often a job.",
        "s",
        (
            Query(mean(catalogue.CORE_WAIT), f"{_NAME} core"),
            Query(mean(catalogue.INTERPRETER_WAIT), f"{_NAME} interpreter lock"),
        ),
        width=6,
        no_value="not known here",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _tick(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a tick takes",
        "p99 of one tick of the timeline. Climbing: many jobs fall due at one instant, or a trigger of your own is "
        "slow.",
        "s",
        (Query(scope.quantile(0.99, catalogue.TICK_DURATION, *_WHO), _NAME),),
        width=6,
        no_value="it stands still",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _heartbeat(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Heartbeat",
        "Ticks of the timeline per second: at least one, even if nothing is due. Zero: the timeline stands still, and "
        "nothing is started.",
        "ops",
        (Query(scope.rate_by(catalogue.TICK_DURATION, *_WHO, part="count", window=RATE), _NAME),),
        width=6,
        no_value="it stands still",
        link=TO_INSTANCE,
    )


def _busy(scope: BoardScope) -> Panel:
    used = scope.sum_by(catalogue.POOL_IN_USE, *_WHO, "pool")
    slots = scope.sum_by(catalogue.POOL_SLOTS, *_WHO, "pool")
    return Panel(
        Kind.TIMESERIES,
        "Workers in use",
        "Share of the workers that are busy. Above the line while occurrences wait: the pool is too small, or runs "
        "have become slow.",
        "percentunit",
        (Query(f"{used} / {slots}", f"{_NAME} {{{{pool}}}}"),),
        no_value="no pool",
        steps=above(thresholds.POOL_BUSY_SHARE),
        stepped=True,
        maximum=1,
        link=TO_INSTANCE,
    )


def _queue(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Waiting for a worker",
        "Occurrences that wait for a free worker. A level that does not fall to zero: the pool has too few workers.",
        "short",
        (Query(scope.sum_by(catalogue.POOL_QUEUE, *_WHO, "pool"), f"{_NAME} {{{{pool}}}}"),),
        no_value="none",
        steps=above(1),
        stepped=True,
        link=TO_INSTANCE,
    )


def _queue_wait(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long the wait for a worker takes",
        "p99 of the wait. The part that the lead time does not hide is the pool's part of the lateness.",
        "s",
        (Query(scope.quantile(0.99, catalogue.POOL_WAIT, *_WHO), _NAME),),
        no_value="no waits",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _forgot(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Stores that forgot",
        "How often a store had lost the record of a running instance, with all leases and claims: restarted empty, "
        "emptied, or restored. The instance has registered its jobs again. Missing: single records that a person "
        "deleted by hand; the log names each.",
        "short",
        (
            Query(scope.increase_by(catalogue.STORE_FORGOT, *_WHO, window=RATE), _NAME),
            Query(
                scope.increase_by(catalogue.STORE_MISSING, *_WHO, "kind", window=RATE), f"{_NAME} missing: {{{{kind}}}}"
            ),
        ),
        width=6,
        no_value="none",
        steps=above(1),
        link=TO_INSTANCE,
    )


def _offset(scope: BoardScope) -> Panel:
    offset = scope.max_by(catalogue.CLOCK_OFFSET, *_WHO)
    error = scope.max_by(catalogue.CLOCK_ERROR, *_WHO)
    return Panel(
        Kind.TIMESERIES,
        "Clock against the store's",
        "The instance's wall clock minus the store's, and the error of that measurement. Beyond the line: instances "
        "disagree about what is due. Check the host's time synchronization.",
        "s",
        (Query(offset, _NAME), Query(error, f"{_NAME} error")),
        width=8,
        no_value="not measured",
        steps=(Step(None, "red"), Step(-thresholds.CLOCK_OFFSET_S, GOOD), Step(thresholds.CLOCK_OFFSET_S, "red")),
        link=TO_INSTANCE,
    )


def _steps(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Clock steps",
        "How often the wall clock jumped. Forward: cron jobs may have missed instants. Back: cron jobs repeat none, "
        "but the times in logs are out of order.",
        "short",
        (
            Query(
                scope.increase_by(catalogue.CLOCK_STEPS, *_WHO, "direction", window=RATE), f"{_NAME} {{{{direction}}}}"
            ),
        ),
        width=8,
        no_value="none",
        steps=above(1),
        link=TO_INSTANCE,
    )


def _synchronised(scope: BoardScope) -> Panel:
    return Panel(
        Kind.STATE_TIMELINE,
        "Synchronised",
        "Whether a time service keeps the machine's clock right, says its kernel. Red after green: the service has "
        "ended or has lost its sources, and the clock drifts from now on. Red for ever: the machine has no service.",
        "short",
        (Query(scope.max_by(catalogue.KERNEL_CLOCK_SYNCHRONISED, *_WHO), _NAME),),
        width=8,
        no_value="the kernel does not say",
        mappings=(ValueMapping(0, "not synchronised", "red"), ValueMapping(1, "synchronised", GOOD)),
        link=TO_INSTANCE,
    )


def _kernel_error(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How far the clock may be off",
        "The kernel's maximum error of its wall clock, the estimate of the time service, and what is still to be "
        "corrected. A maximum error that climbs by half a millisecond a second: no service corrects the clock.",
        "s",
        (
            Query(scope.max_by(catalogue.KERNEL_CLOCK_MAX_ERROR, *_WHO), f"{_NAME} at most"),
            Query(scope.max_by(catalogue.KERNEL_CLOCK_ERROR, *_WHO), f"{_NAME} estimated"),
            Query(scope.max_by(catalogue.KERNEL_CLOCK_OFFSET, *_WHO), f"{_NAME} to correct"),
        ),
        width=12,
        no_value="the kernel does not say",
        steps=above(thresholds.CLOCK_OFFSET_S),
        link=TO_INSTANCE,
    )


def _frequency(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Correction of the clock's rate",
        "By how much the kernel makes the clock run faster than its oscillator. A level is normal, and so are slow "
        "waves with the temperature. Jumps: the time service follows a bad source, or the machine was moved.",
        "ppm",
        (Query(f"1e6 * {scope.max_by(catalogue.KERNEL_CLOCK_FREQUENCY, *_WHO)}", _NAME),),
        width=12,
        no_value="the kernel does not say",
        link=TO_INSTANCE,
    )


def _spool(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Outcomes that wait for the store",
        "How many outcomes the spool holds. Above zero: the store did not take them. Not falling when the store is "
        "back: its errors say why.",
        "short",
        (Query(scope.sum_by(catalogue.SPOOL_DEPTH, *_WHO), _NAME),),
        width=12,
        no_value="none",
        steps=above(1),
        stepped=True,
        link=TO_INSTANCE,
    )


def _spooled(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "What became of spooled outcomes",
        "Outcomes by what happened to them in the spool. Overtaken: another instance has run the occurrence again. "
        "Dropped: the ledger will never have the outcome; the log has it.",
        "short",
        (Query(scope.increase_by(catalogue.SPOOL_OUTCOMES, "move", window=RATE), "{{move}}"),),
        width=12,
        no_value="none",
        stacked=True,
    )


def _cpu(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "CPU",
        "Cores that the process uses. Near one for long: the interpreter is saturated, and starts become late.",
        "short",
        (Query(f"sum by (instance) (rate({scope.named('process_cpu_seconds_total')}[{RATE}]))", "{{instance}}"),),
        no_value="unknown",
        link=TO_INSTANCE,
    )


def _memory(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Memory",
        "Resident memory of the process. Climbing without end: a leak, most often in a job.",
        "bytes",
        (Query(f"max by (instance) ({scope.named('process_resident_memory_bytes')})", "{{instance}}"),),
        no_value="unknown",
        link=TO_INSTANCE,
    )


def _pauses(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Garbage collection",
        "Share of the time for which the collector stopped the interpreter, by generation. Generation 2 above one "
        "percent: the process has too many objects, and the pauses make starts late.",
        "percentunit",
        (
            Query(
                scope.rate_by(catalogue.GC_PAUSE, *_WHO, "generation", part="sum", window=RATE),
                f"{_NAME} generation {{{{generation}}}}",
            ),
        ),
        no_value="none",
        link=TO_INSTANCE,
    )
