"""Decide what is recorded of long windows, and when an operator is alerted about what happens slowly.

Pure. Six hours, a day and a week are not computed from the counters of all instances at every evaluation: what a job
did in two minutes, or in an hour, is recorded by job, and the long windows are sums of that. The alerts stand in the
group of their records, behind them, because a series that another group records is up to an interval older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.budget import burn, late_share, late_shares
from tickglass.alerts.rule import Alert, Board, Group, Record, Severity
from tickglass.sched.occurrence import FAILURES, Outcome
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import due_here, on_time_starts
from tickglass.telemetry.queries.selector import indented, on, one_of

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["hourly", "slow"]

_DUE: Final = "service_job_name:tickglass_job_due:increase2m"
_LATE: Final = "service_job_name:tickglass_job_late:increase2m"
_RUNS: Final = "service_job_name:tickglass_job_runs:increase1h"
_FAILED: Final = "service_job_name:tickglass_job_failed:increase1h"
_RAN: Final = (Outcome.SUCCESS, *FAILURES)


def hourly(scope: RuleScope) -> Group:
    """Return what is recorded once an hour: how many runs a job had, and how many failed."""

    def counted(outcomes: tuple[Outcome, ...]) -> str:
        return scope.increase_by(catalogue.JOB_OUTCOMES, *scope.by_job, window="1h", outcome=one_of(outcomes))

    return Group(
        "tickglass.hourly",
        (Record(name=_RUNS, expr=counted(_RAN)), Record(name=_FAILED, expr=counted(FAILURES))),
        every="1h",
    )


def slow(scope: RuleScope) -> Group:
    """Return the rules over six hours, a day and a week."""
    # Twice the step, halved: two scrapes a minute apart must both be within the window.
    due = due_here(scope, "increase", "4m", *scope.by_job)
    on_time = on_time_starts(scope, "increase", "4m", *scope.by_job)
    late_6h, due_6h = (f"sum_over_time({scope.recorded(name)}[6h])" for name in (_LATE, _DUE))
    return Group(
        "tickglass.slow",
        (
            Record(name=_DUE, expr=f"{due} / 2"),
            Record(name=_LATE, expr=f"(\n{indented(due)}\n- {on(scope.by_job)}\n{indented(on_time)}\n) / 2"),
            Record(name=late_share("6h"), expr=f"{late_6h}\n/\n{due_6h}"),
            *late_shares(scope, "30m"),
            burn(
                scope,
                "Slow",
                ("6h", "30m"),
                thresholds.BUDGET_SLOW_BURN,
                at_least=(thresholds.LATE_MIN_SLOW, "30m"),
                pending="15m",
                severity=Severity.WARNING,
            ),
            _fails_often(scope),
        ),
        every="2m",
    )


def _fails_often(scope: RuleScope) -> Alert:
    def over(window: str) -> str:
        failed, runs = (f"sum_over_time({scope.recorded(name)}[{window}])" for name in (_FAILED, _RUNS))
        return (
            f"{failed} / {runs} > {thresholds.FAILED_SHARE:g}\n"
            f"and {on(scope.by_job)}\nround({failed}) >= {thresholds.FAILED_MIN}"
        )

    return Alert(
        name="TickglassJobFailsOften",
        expr=f"(\n{indented(over('1d'))}\n)\nor {on(scope.by_job)}\n(\n{indented(over('7d'))}\n)",
        severity=Severity.WARNING,
        labels=scope.by_job,
        summary="A job fails often, over a day or a week, though not always.",
        description=(
            "{{ $value | humanizePercentage }} of the runs of job {{ $labels.job_name }} fail, over a day or a week."
        ),
        board=Board.JOBS,
    )
