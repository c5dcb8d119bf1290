"""Decide when an operator is alerted about a scheduler, its clock, its pool, its spool, or its telemetry.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import due_here, on_time_starts
from tickglass.telemetry.queries.selector import aggregate, indented, on

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["scheduler"]

# A sidecar's series name the scheduler. Of a scheduler that is scraped itself, only the address is known.
_WHO: Final = "{{ with $labels.owner }}{{ . }} at {{ end }}{{ $labels.instance }}"


def scheduler(scope: RuleScope) -> Group:
    """Return the rules about schedulers."""
    return Group(
        "tickglass.scheduler",
        (*_life(scope), _store(scope), *_pool(scope), *_clock(scope), *_spool(scope), *_telemetry(scope)),
    )


def _life(scope: RuleScope) -> tuple[Alert, ...]:
    by_instance, of_service = scope.by_instance, on(scope.by_service)
    ticks = scope.rate_by(catalogue.TICK_DURATION, *by_instance, part="count", window="2m")
    running = scope.max_by(catalogue.SCHEDULER_STATE, *by_instance, state="running")
    stalled = f"{ticks} == 0\nand {on(by_instance)}\n{running} == 1"
    another = aggregate("group", scope.by_service, f"{ticks} > 0")
    unready = scope.max_by(catalogue.SCHEDULER_READY, *by_instance)
    drained = scope.max_by(catalogue.SCHEDULER_DRAINED, *by_instance)
    return (
        Alert(
            name="TickglassSchedulerStalled",
            expr=f"{stalled}\nunless {of_service}\n{another}",
            pending="1m",
            severity=Severity.CRITICAL,
            labels=by_instance,
            summary="A running scheduler's timeline has stopped, and no other of its service ticks.",
            description=f"The timeline of {_WHO} has not ticked for two minutes.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassReplicaStalled",
            expr=f"{stalled}\nand {of_service}\n{another}",
            pending="1m",
            severity=Severity.WARNING,
            labels=by_instance,
            summary="A running scheduler's timeline has stopped; another of its service does the work.",
            description=f"The timeline of {_WHO} has not ticked for two minutes.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassSchedulerNotReady",
            expr=(
                f"{unready} == 0\nand {on(by_instance)}\n{running} == 1\n"
                f"unless {on(by_instance)}\n{drained} == 1"  # an operator wants it so
            ),
            pending="5m",
            keep_firing_for="5m",
            severity=Severity.WARNING,  # what it keeps from being done has alerts of its own
            labels=by_instance,
            summary="A running scheduler says that it is not ready.",
            description=f"{_WHO} has not been ready for five minutes; its /readyz says why.",
            board=Board.SCHEDULER,
        ),
    )


def _store(scope: RuleScope) -> Alert:
    forgot = scope.increase_by(catalogue.STORE_FORGOT, *scope.by_instance, window="10m")
    return Alert(
        name="TickglassStoreForgot",
        expr=f"{forgot} > 0",
        severity=Severity.WARNING,
        labels=scope.by_instance,
        summary="A store has lost what it held: leases, claims and the records of jobs.",
        description=f"The store of {_WHO} had lost the record of this instance; its jobs are registered again.",
        board=Board.SCHEDULER,
    )


def _pool(scope: RuleScope) -> tuple[Alert, ...]:
    keys = (*scope.by_instance, "pool")

    def busy(window: str) -> str:
        in_use = aggregate("max", keys, f"avg_over_time({scope.series(catalogue.POOL_IN_USE)}[{window}])")
        return f"{in_use}\n/ {on(keys)}\n{scope.max_by(catalogue.POOL_SLOTS, *keys)}"

    def queued(over_time: str, window: str) -> str:
        queue = aggregate("max", keys, f"{over_time}{scope.series(catalogue.POOL_QUEUE)}[{window}])")
        return f"and {on(keys)}\n{queue} > 0"

    # What is found too late is given up, so the queue of a full pool of frequent jobs is empty until their next
    # instants are due: in a fifth of the scrapes, where eleven jobs of 0.9 s each second share a worker.
    mostly, always = "quantile_over_time(0.5, ", "min_over_time("
    due = due_here(scope, "increase", "2m", *scope.by_instance)
    on_time = on_time_starts(scope, "increase", "2m", *scope.by_instance)
    late = f"{due}\n- {on(scope.by_instance)}\n{on_time}"
    # Where no run ends, its job's instants overlap, and nothing starts late.
    ended = scope.series(catalogue.JOB_OUTCOMES, outcome=f"!={Outcome.ELSEWHERE}")
    ends = aggregate("sum", scope.by_instance, f"increase({ended}[2m])")
    started = scope.series(catalogue.JOB_LAST_START)
    since_start = aggregate("min", scope.by_instance, f"timestamp({started}) - {started}")  # at the scrape
    stuck = f"{ends} >= {thresholds.LATE_MIN}\nunless {on(scope.by_instance)}\n{since_start} < {thresholds.NO_START_S}"
    description = f"Pool {{{{ $labels.pool }}}} of {_WHO} is {{{{ $value | humanizePercentage }}}} busy, with a queue"
    return (
        Alert(
            name="TickglassPoolDelaysJobs",
            # A worker between two runs is not busy when it is scraped; while all wait, the queue says enough.
            expr=(
                f"{busy('2m')}\n{queued(mostly, '2m')}\n"
                f"and {on(scope.by_instance)}\n(\n"
                f"  (\n{indented(indented(late))}\n  ) >= {thresholds.LATE_MIN}\n"
                f"  or {on(scope.by_instance)}\n  (\n{indented(indented(stuck))}\n  )\n)"
            ),
            pending="2m",
            keep_firing_for="10m",  # as long as the windows of the jobs that it delays
            severity=Severity.CRITICAL,
            labels=keys,
            summary="A full pool keeps jobs from starting on time.",
            description=f"{description}, and jobs start late or not at all.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassPoolSaturated",
            expr=f"{busy('10m')}\n> {thresholds.POOL_BUSY_SHARE:g}\n{queued(always, '10m')}",
            pending="5m",
            severity=Severity.WARNING,
            labels=keys,
            summary="A pool has been full for ten minutes, and occurrences wait for a worker.",
            description=f"{description}.",
            board=Board.SCHEDULER,
        ),
    )


def _clock(scope: RuleScope) -> tuple[Alert, ...]:
    steps = scope.increase_by(catalogue.CLOCK_STEPS, *scope.by_instance, "direction", window="10m")
    offset = f"abs({scope.series(catalogue.CLOCK_OFFSET)}) - {scope.series(catalogue.CLOCK_ERROR)}"
    synchronised = scope.max_by(catalogue.KERNEL_CLOCK_SYNCHRONISED, *scope.by_instance)
    was_synchronised = aggregate(
        "max", scope.by_instance, f"max_over_time({scope.series(catalogue.KERNEL_CLOCK_SYNCHRONISED)}[24h])"
    )
    return (
        Alert(
            name="TickglassClockStepped",
            expr=f"{steps} > 0",
            severity=Severity.WARNING,
            labels=(*scope.by_instance, "direction"),
            summary="The wall clock of a scheduler was set.",
            description=(
                f"The clock of {_WHO} was set {{{{ $labels.direction }}}}"
                ' {{ $value | printf "%.0f" }} times in 10m.'
            ),
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassClockSkewed",
            expr=f"{aggregate('max', scope.by_instance, offset)} > {thresholds.CLOCK_OFFSET_S:g}",
            pending="1m",
            severity=Severity.WARNING,
            labels=scope.by_instance,
            summary="A scheduler's clock differs from the store's.",
            description=f"The clock of {_WHO} is at least {{{{ $value | humanizeDuration }}}} from the store's.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassClockUnsynchronised",
            # Where no time service has ever kept the clock, as in some test machines, that is how it is meant to be.
            expr=f"{synchronised} == 0\nand {on(scope.by_instance)}\n{was_synchronised} == 1",
            pending="10m",
            severity=Severity.WARNING,
            labels=scope.by_instance,
            summary="No time service keeps a scheduler's clock right any more.",
            description=f"The kernel of {_WHO} says that its clock is not synchronised; within a day it was.",
            board=Board.SCHEDULER,
        ),
    )


def _spool(scope: RuleScope) -> tuple[Alert, ...]:
    depth = scope.max_by(catalogue.SPOOL_DEPTH, *scope.by_instance)
    drained = scope.increase_by(catalogue.SPOOL_OUTCOMES, *scope.by_instance, window="10m", move="=~written|overtaken")
    dropped = scope.increase_by(catalogue.SPOOL_OUTCOMES, *scope.by_instance, window="10m", move="dropped")
    return (
        Alert(
            name="TickglassSpoolNotDraining",
            expr=f"{depth} > 0\nunless {on(scope.by_instance)}\n{drained} > 0",
            pending="10m",
            severity=Severity.WARNING,
            labels=scope.by_instance,
            summary="Outcomes wait in the spool, and none reaches the store.",
            description=f"{{{{ $value }}}} outcomes wait in the spool of {_WHO}.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassOutcomesDropped",
            expr=f"{dropped} > 0",
            severity=Severity.CRITICAL,
            labels=scope.by_instance,
            summary="Outcomes of runs were lost, and the ledger will never have them.",
            description=f'{_WHO} dropped {{{{ $value | printf "%.0f" }}}} outcomes in 10m.',
            board=Board.SCHEDULER,
        ),
    )


def _telemetry(scope: RuleScope) -> tuple[Alert, ...]:
    dropped = scope.increase_by(catalogue.DROPPED, *scope.by_instance, "signal", "reason", window="10m")
    failed = scope.increase_by(catalogue.SINK_FAILURES, *scope.by_instance, "sink", window="10m")
    return (
        Alert(
            name="TickglassTelemetryDropping",
            expr=f"{dropped} > 0",
            severity=Severity.WARNING,
            labels=(*scope.by_instance, "signal", "reason"),
            summary="Telemetry was recorded and could not be delivered.",
            description=(
                f'{_WHO} lost {{{{ $value | printf "%.0f" }}}} {{{{ $labels.signal }}}} in 10m:'
                " {{ $labels.reason }}."
            ),
            board=Board.TELEMETRY,
        ),
        Alert(
            name="TickglassTelemetrySinkFailing",
            expr=f"{failed} > 0",
            severity=Severity.WARNING,
            labels=(*scope.by_instance, "sink"),
            summary="A telemetry sink raises and misses events.",
            description=(
                f'Sink {{{{ $labels.sink }}}} of {_WHO} failed {{{{ $value | printf "%.0f" }}}} times in 10m.'
            ),
            board=Board.TELEMETRY,
        ),
        Alert(
            name="TickglassWatchdog",
            expr="vector(1)",
            severity=Severity.NONE,
            summary="It always fires, which proves that alerts arrive.",
            description="It fires as long as Prometheus evaluates these rules. If it stops, alerting is broken.",
            board=Board.OVERVIEW,
        ),
    )
