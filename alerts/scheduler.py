"""Decide when somebody is told about a scheduler, its clock, its pool, its spool, or its telemetry.

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
# A scheduler that a sidecar reports on has a name; one that is scraped itself has its address.
_WHO: Final = "{{ with $labels.owner }}{{ . }} at {{ end }}{{ $labels.instance }}"


def scheduler(scope: RuleScope) -> Group:
    """Return the rules about schedulers."""
    return Group(
        "tickglass.scheduler", (*_life(scope), _pool(scope), *_clock(scope), *_spool(scope), *_telemetry(scope))
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
            summary="No scheduler can be scraped.",
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
            summary="A service cannot be scraped any more, beside one that can.",
            description="None of the targets of {{ $labels.job }} is up, or there are none left.",
            board=Board.OVERVIEW,
        ),
        Alert(
            name="TickglassSchedulerStalled",
            expr=f"{ticks} == 0\nand {_ON}\n{running} == 1",
            pending="1m",
            severity=Severity.CRITICAL,
            labels=INSTANCE,
            summary="A scheduler that should run does not turn.",
            description=f"The timeline of {_WHO} has not turned for two minutes.",
            board=Board.SCHEDULER,
        ),
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
        summary="A pool has been full for long, and work waits for it.",
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
            summary="Somebody set the wall clock of a scheduler.",
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
            summary="A scheduler's clock and the store's disagree.",
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
            summary="Outcomes wait for the store, and none gets there.",
            description=f"{{{{ $value }}}} outcomes wait in the spool of {_WHO}.",
            board=Board.SCHEDULER,
        ),
        Alert(
            name="TickglassOutcomesDropped",
            expr=f"{dropped} > 0",
            severity=Severity.CRITICAL,
            labels=INSTANCE,
            summary="Outcomes of runs were lost: the ledger will never have them.",
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
            summary="Telemetry is made and not delivered.",
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
            summary="A telemetry sink raises, and misses events.",
            description=(
                f'Sink {{{{ $labels.sink }}}} of {_WHO} failed {{{{ $value | printf "%.0f" }}}} times in 10m.'
            ),
            board=Board.TELEMETRY,
        ),
        Alert(
            name="TickglassWatchdog",
            expr="vector(1)",
            severity=Severity.NONE,
            summary="Always firing: it proves that alerts arrive.",
            description="This alert fires as long as Prometheus evaluates these rules; its absence is the alarm.",
            board=Board.OVERVIEW,
        ),
    )
