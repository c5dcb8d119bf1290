"""Decide when an operator is alerted about a scheduler, its clock, its pool, its spool, or its telemetry.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.alerts.scope import literally
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.selector import INSTANCE, aggregate

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["scheduler"]

_ON: Final = f"on ({', '.join(INSTANCE)})"
# A sidecar's series name the scheduler. Of a scheduler that is scraped itself, only the address is known.
_WHO: Final = "{{ with $labels.owner }}{{ . }} at {{ end }}{{ $labels.instance }}"


def scheduler(scope: RuleScope) -> Group:
    """Return the rules about schedulers."""
    return Group(
        "tickglass.scheduler",
        (*_life(scope), _store(scope), _pool(scope), *_clock(scope), *_spool(scope), *_telemetry(scope)),
    )


def _life(scope: RuleScope) -> tuple[Alert, ...]:
    ticks = scope.rate_by(catalogue.TICK_DURATION, *INSTANCE, part="count", window="2m")
    running = scope.max_by(catalogue.SCHEDULER_STATE, *INSTANCE, state="running")
    return (
        Alert(
            name="TickglassSchedulerDown",
            expr=f"absent({scope.up()} == 1)",
            pending="2m",
            severity=Severity.CRITICAL,
            summary="Prometheus can scrape no scheduler.",
            description=f"None of the targets {literally(scope.up())} is up.",
            board=Board.OVERVIEW,
        ),
        Alert(
            name="TickglassTargetsDown",
            expr=(
                f"group by (job) (last_over_time({scope.up()}[1h]))\n"
                f"unless on (job)\n{scope.up()} == 1\nand on ()\n{scope.up()} == 1"
            ),
            pending="2m",
            severity=Severity.CRITICAL,
            labels=("job",),
            summary="Prometheus can no longer scrape a service, but it can scrape another.",
            description="None of the targets of {{ $labels.job }} is up, or there are none left.",
            board=Board.OVERVIEW,
        ),
        Alert(
            name="TickglassSchedulerStalled",
            expr=f"{ticks} == 0\nand {_ON}\n{running} == 1",
            pending="1m",
            severity=Severity.CRITICAL,
            labels=INSTANCE,
            summary="A running scheduler's timeline has stopped.",
            description=f"The timeline of {_WHO} has not ticked for two minutes.",
            board=Board.SCHEDULER,
        ),
    )


def _store(scope: RuleScope) -> Alert:
    forgot = scope.increase_by(catalogue.STORE_FORGOT, *INSTANCE, window="10m")
    return Alert(
        name="TickglassStoreForgot",
        expr=f"{forgot} > 0",
        severity=Severity.WARNING,
        labels=INSTANCE,
        summary="A store has lost what it held: leases, claims and the records of jobs.",
        description=f"The store of {_WHO} had lost the record of this instance; its jobs are registered again.",
        board=Board.SCHEDULER,
    )


def _pool(scope: RuleScope) -> Alert:
    keys = (*INSTANCE, "pool")
    on = f"on ({', '.join(keys)})"
    busy = aggregate("max", keys, f"avg_over_time({scope.series(catalogue.POOL_IN_USE)}[10m])")
    queue = aggregate("max", keys, f"min_over_time({scope.series(catalogue.POOL_QUEUE)}[10m])")
    return Alert(
        name="TickglassPoolSaturated",
        expr=(
            f"{busy}\n/ {on}\n{scope.max_by(catalogue.POOL_SLOTS, *keys)}\n> {thresholds.POOL_BUSY_SHARE:g}\n"
            f"and {on}\n{queue} > 0"
        ),
        pending="5m",
        severity=Severity.WARNING,
        labels=keys,
        summary="A pool has been full for ten minutes, and occurrences wait for a worker.",
        description=(
            f"Pool {{{{ $labels.pool }}}} of {_WHO} is {{{{ $value | humanizePercentage }}}} busy, with a queue."
        ),
        board=Board.SCHEDULER,
    )


def _clock(scope: RuleScope) -> tuple[Alert, ...]:
    steps = scope.increase_by(catalogue.CLOCK_STEPS, *INSTANCE, "direction", window="10m")
    offset = f"abs({scope.series(catalogue.CLOCK_OFFSET)}) - {scope.series(catalogue.CLOCK_ERROR)}"
    return (
        Alert(
            name="TickglassClockStepped",
            expr=f"{steps} > 0",
            severity=Severity.WARNING,
            labels=(*INSTANCE, "direction"),
            summary="The wall clock of a scheduler was set.",
            description=(
                f"The clock of {_WHO} was set {{{{ $labels.direction }}}}"
                ' {{ $value | printf "%.0f" }} times in 10m.'
            ),
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassClockSkewed",
            expr=f"{aggregate('max', INSTANCE, offset)} > {thresholds.CLOCK_OFFSET_S:g}",
            pending="1m",
            severity=Severity.WARNING,
            labels=INSTANCE,
            summary="A scheduler's clock differs from the store's.",
            description=f"The clock of {_WHO} is at least {{{{ $value | humanizeDuration }}}} from the store's.",
            board=Board.SCHEDULER,
        ),
    )


def _spool(scope: RuleScope) -> tuple[Alert, ...]:
    drained = scope.increase_by(catalogue.SPOOL_OUTCOMES, *INSTANCE, window="10m", move="=~written|overtaken")
    dropped = scope.increase_by(catalogue.SPOOL_OUTCOMES, *INSTANCE, window="10m", move="dropped")
    return (
        Alert(
            name="TickglassSpoolNotDraining",
            expr=f"{scope.max_by(catalogue.SPOOL_DEPTH, *INSTANCE)} > 0\nunless {_ON}\n{drained} > 0",
            pending="10m",
            severity=Severity.WARNING,
            labels=INSTANCE,
            summary="Outcomes wait in the spool, and none reaches the store.",
            description=f"{{{{ $value }}}} outcomes wait in the spool of {_WHO}.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassOutcomesDropped",
            expr=f"{dropped} > 0",
            severity=Severity.CRITICAL,
            labels=INSTANCE,
            summary="Outcomes of runs were lost, and the ledger will never have them.",
            description=f'{_WHO} dropped {{{{ $value | printf "%.0f" }}}} outcomes in 10m.',
            board=Board.SCHEDULER,
        ),
    )


def _telemetry(scope: RuleScope) -> tuple[Alert, ...]:
    dropped = scope.increase_by(catalogue.DROPPED, *INSTANCE, "signal", "reason", window="10m")
    failed = scope.increase_by(catalogue.SINK_FAILURES, *INSTANCE, "sink", window="10m")
    return (
        Alert(
            name="TickglassTelemetryDropping",
            expr=f"{dropped} > 0",
            severity=Severity.WARNING,
            labels=(*INSTANCE, "signal", "reason"),
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
            labels=(*INSTANCE, "sink"),
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
