"""The board of the schedulers and their pools: does the timeline turn, are there workers, is the clock right? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import GOOD, Board, Column, Kind, Panel, Query, Row, Step, ValueMapping, above
from tickglass.dashboards.scope import RATE
from tickglass.dashboards.shared_panels import TO_INSTANCE, scheduler_states
from tickglass.telemetry import catalogue, thresholds

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["scheduler"]

_WHO = ("instance", "owner")  # a sidecar is one instance, and has many owners
_NAME = "{{instance}} {{owner}}"


def scheduler(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-scheduler",
        "Tickglass / Scheduler & pools",
        "Does the timeline turn, are there workers, is the clock right, and does the process get its time?",
        (
            Row("Now", (_instances(scope), scheduler_states(scope, 12))),
            Row("Readiness", (_ready(scope), _loop_lag(scope))),
            Row("Timeline", (_lag(scope), _tick(scope), _heartbeat(scope))),
            Row("Pools", (_busy(scope), _queue(scope), _queue_wait(scope))),
            Row("Clock and outages", (_offset(scope), _steps(scope), _spool(scope), _spooled(scope))),
            Row("Process", (_cpu(scope), _memory(scope), _pauses(scope))),
        ),
    )


def _instances(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TABLE,
        "Instances",
        "Who runs where, and what. Several versions for long: a roll-out is stuck.",
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
        "Whether each scheduler can be counted on. Red: it runs and cannot claim, or something of it stands still; "
        "its /readyz and its log say what.",
        "short",
        (Query(scope.sum_by(catalogue.SCHEDULER_READY, *_WHO), _NAME),),
        width=12,
        no_value="no scheduler",
        mappings=(ValueMapping(0, "not ready", "red"), ValueMapping(1, "ready", GOOD)),
        link=TO_INSTANCE,
    )


def _loop_lag(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How late the event loop is",
        "How long the event loop of the coroutine jobs has owed an answer, or took for its last one. Seconds: a "
        "coroutine blocks it, and no other starts or ends.",
        "s",
        (Query(scope.max_by(catalogue.EVENT_LOOP_LAG, *_WHO), _NAME),),
        width=12,
        no_value="no coroutine yet",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _lag(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How late the timeline wakes",
        "p99 of its lag, by instance. Climbing: the machine is overloaded, or a computing thread keeps the "
        "interpreter. The lead hides a little of it; what it does not hide makes starts late.",
        "s",
        (Query(scope.quantile(0.99, catalogue.TICK_LAG, *_WHO), _NAME),),
        no_value="it stands still",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _tick(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a turn takes",
        "p99 of one turn of the timeline. Climbing: many jobs fall due in one instant, or a trigger of your own is "
        "slow.",
        "s",
        (Query(scope.quantile(0.99, catalogue.TICK_DURATION, *_WHO), _NAME),),
        no_value="it stands still",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _heartbeat(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Heartbeat",
        "Turns of the timeline a second: one at least, however little there is to do. Zero: it stands still, and "
        "nothing is started.",
        "ops",
        (Query(scope.rate_by(catalogue.TICK_DURATION, *_WHO, part="count", window=RATE), _NAME),),
        no_value="it stands still",
        link=TO_INSTANCE,
    )


def _busy(scope: BoardScope) -> Panel:
    used = scope.sum_by(catalogue.POOL_IN_USE, *_WHO, "pool")
    slots = scope.sum_by(catalogue.POOL_SLOTS, *_WHO, "pool")
    return Panel(
        Kind.TIMESERIES,
        "Workers in use",
        "Share of the workers that are busy. Above the line, with work waiting: the pool is too small, or runs have "
        "become slow.",
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
        "Occurrences that wait for a free worker. A level that does not fall to zero: there are too few.",
        "short",
        (Query(scope.sum_by(catalogue.POOL_QUEUE, *_WHO, "pool"), f"{_NAME} {{{{pool}}}}"),),
        no_value="nobody",
        steps=above(1),
        stepped=True,
        link=TO_INSTANCE,
    )


def _queue_wait(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long the wait for a worker takes",
        "p99 of the wait. It is the pool's part of the lateness, as far as the lead does not hide it.",
        "s",
        (Query(scope.quantile(0.99, catalogue.POOL_WAIT, *_WHO), _NAME),),
        no_value="nobody waited",
        steps=above(scope.on_time_s),
        link=TO_INSTANCE,
    )


def _offset(scope: BoardScope) -> Panel:
    offset = scope.max_by(catalogue.CLOCK_OFFSET, *_WHO)
    error = scope.max_by(catalogue.CLOCK_ERROR, *_WHO)
    return Panel(
        Kind.TIMESERIES,
        "Clock against the store's",
        "Our wall clock minus the store's, and the error of that measurement. Beyond the line: instances disagree "
        "about what is due; look at the machine's time synchronization.",
        "s",
        (Query(offset, _NAME), Query(error, f"{_NAME} error")),
        width=6,
        no_value="not measured",
        steps=(Step(None, "red"), Step(-thresholds.CLOCK_OFFSET_S, GOOD), Step(thresholds.CLOCK_OFFSET_S, "red")),
        link=TO_INSTANCE,
    )


def _steps(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Clock steps",
        "Times that the wall clock jumped. Forward: cron may have missed instants. Back: cron may repeat none, but "
        "logs do not sort.",
        "short",
        (
            Query(
                scope.increase_by(catalogue.CLOCK_STEPS, *_WHO, "direction", window=RATE), f"{_NAME} {{{{direction}}}}"
            ),
        ),
        width=6,
        no_value="none",
        steps=above(1),
        link=TO_INSTANCE,
    )


def _spool(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Outcomes that wait for the store",
        "How many the spool holds. Above zero: the store is out. Not falling when it is back: its errors say why.",
        "short",
        (Query(scope.sum_by(catalogue.SPOOL_DEPTH, *_WHO), _NAME),),
        width=6,
        no_value="none",
        steps=above(1),
        stepped=True,
        link=TO_INSTANCE,
    )


def _spooled(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "What became of them",
        "Moves of outcomes through the spool. Overtaken: another instance ran the occurrence again meanwhile. "
        "Dropped: the ledger will never know; the log does.",
        "short",
        (Query(scope.increase_by(catalogue.SPOOL_OUTCOMES, "move", window=RATE), "{{move}}"),),
        width=6,
        no_value="none",
        stacked=True,
    )


def _cpu(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "CPU",
        "Cores that the process uses. Near one for long: Python has no more to give, and starts get late.",
        "short",
        (Query(f"sum by (instance) (rate({scope.named('process_cpu_seconds_total')}[{RATE}]))", "{{instance}}"),),
        no_value="unknown",
        link=TO_INSTANCE,
    )


def _memory(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Memory",
        "Resident memory of the process. Climbing without end: something leaks, most often a job.",
        "bytes",
        (Query(f"max by (instance) ({scope.named('process_resident_memory_bytes')})", "{{instance}}"),),
        no_value="unknown",
        link=TO_INSTANCE,
    )


def _pauses(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Garbage collection",
        "Share of the time for which the collector stopped the interpreter, by generation. Generation 2 above a "
        "percent: there are too many objects; its pauses make starts late.",
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
