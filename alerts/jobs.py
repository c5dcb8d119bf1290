"""Decide when an operator is alerted about a job: it does not run, starts late, or does not end well.

Pure. A job's interval, grace and timeout are exported by job, so that no rule
here names a job. How a fleet's instances are summed up is decided in
telemetry/queries/jobs.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.sched.occurrence import DID_NOT_RUN, Outcome
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import due_here, failures_in_a_row, oldest_run, owed_for
from tickglass.telemetry.queries.selector import none_of, one_of

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["OWED_SINCE", "jobs", "late_share"]

OWED_SINCE: Final = "job_name:tickglass_job_unsuccessful_since_timestamp_seconds:min"  # recorded
_JOB: Final = ("job_name",)
_LEFT_OUT: Final = (*DID_NOT_RUN, Outcome.ORPHANED)  # no instance did the work


def jobs(scope: RuleScope) -> Group:
    """Return the rules about jobs."""
    return Group("tickglass.jobs", (*_missed(scope), *_failing(scope), *_late(scope)))


def _missed(scope: RuleScope) -> tuple[Alert, ...]:
    due = scope.max_last_hour(catalogue.JOB_NEXT, "job_name")
    grace = scope.max_last_hour(catalogue.JOB_GRACE, "job_name")
    started = scope.max_last_hour(catalogue.JOB_LAST_START, "job_name")
    left_out = scope.increase_by(catalogue.JOB_OUTCOMES, "job_name", window="10m", outcome=one_of(_LEFT_OUT))
    done = scope.increase_by(catalogue.JOB_OUTCOMES, "job_name", window="10m", outcome=none_of(_LEFT_OUT))
    running = scope.max_by(catalogue.JOB_RUNNING, "job_name")
    return (
        Alert(
            name="TickglassJobMissedRun",
            expr=(
                f"(\n  time() - {due}\n  > on (job_name)\n  {grace}\n)\n"
                f"unless on (job_name)\n(\n  {started}\n  >= on (job_name)\n  {due}\n)"
            ),
            pending="3m",  # a minute more than TickglassSchedulerDown, which alerts once instead of once a job
            severity=Severity.CRITICAL,
            labels=_JOB,
            summary="A run is overdue, and no scheduler has started or skipped it.",
            description="Job {{ $labels.job_name }} has been due for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobLeftOut",
            expr=(f"{left_out} > 0\nunless on (job_name)\n{done} > 0\nunless on (job_name)\n{running} > 0"),
            severity=Severity.WARNING,
            labels=_JOB,
            summary="A job was due, and no instance ran it.",
            description=(
                'Job {{ $labels.job_name }} was missed or skipped {{ $value | printf "%.0f" }} times in 10m,'
                " and not run once."
            ),
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobTriggerFailing",
            expr=f"{scope.increase_by(catalogue.JOB_TRIGGER_FAILURES, 'job_name', window='10m')} > 0",
            severity=Severity.CRITICAL,
            labels=_JOB,
            summary="A job's trigger raises, so the job is never due.",
            description='The trigger of {{ $labels.job_name }} raised {{ $value | printf "%.0f" }} times in 10m.',
            board=Board.JOBS,
        ),
    )


def _failing(scope: RuleScope) -> tuple[Alert, ...]:
    owed = scope.recorded(OWED_SINCE)
    nothing = f"or on (job_name) 0 * {owed}"  # 0 for a job without an interval, or without a timeout
    interval = f"({scope.max_by(catalogue.JOB_INTERVAL, 'job_name')} {nothing})"
    runtime = f"({scope.max_by(catalogue.JOB_MAX_RUNTIME, 'job_name')} {nothing})"
    longest = f"(\n  {thresholds.INTERVALS_WITHOUT_SUCCESS} * {interval}\n  + on (job_name)\n  {runtime}\n)"
    return (
        Alert(
            name="TickglassJobNotSucceeding",
            expr=owed_for(scope, owed, longer_than=longest),
            pending="1m",
            severity=Severity.CRITICAL,
            labels=_JOB,
            summary="A job has not succeeded for two intervals, though it was due.",
            description="Job {{ $labels.job_name }} has owed a success for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobFailing",
            expr=f"{failures_in_a_row(scope)}\n>= {thresholds.FAILURES_IN_A_ROW}",
            severity=Severity.WARNING,
            labels=_JOB,
            summary="A job failed twice in a row or more.",
            description='Job {{ $labels.job_name }} failed {{ $value | printf "%.0f" }} times in a row.',
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobRunOverrun",
            expr=f"{oldest_run(scope)}\n> on (job_name)\n{scope.max_by(catalogue.JOB_MAX_RUNTIME, 'job_name')}",
            pending="1m",
            severity=Severity.WARNING,
            labels=_JOB,
            summary="A run has passed its timeout, was asked to stop, and has not stopped.",
            description="A run of {{ $labels.job_name }} has gone on for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
    )


def _late(scope: RuleScope) -> tuple[Alert, ...]:
    late = scope.rate_by(catalogue.JOB_LATENESS, "job_name", part="sum", window="30m")
    starts = scope.rate_by(catalogue.JOB_LATENESS, "job_name", part="count", window="30m")
    counted = scope.increase_by(catalogue.JOB_LATENESS, "job_name", part="count", window="30m")
    grace = scope.max_by(catalogue.JOB_GRACE, "job_name")
    return (
        Alert(
            name="TickglassJobStartsLate",
            expr=(
                f"(\n  {late}\n  / on (job_name)\n  {starts}\n)\n"
                f"> on (job_name)\n{thresholds.LATENESS_OF_GRACE:g} * {grace}\n"
                f"and on (job_name)\n{counted} >= {thresholds.LATE_STARTS_MIN}"
            ),
            pending="5m",
            severity=Severity.WARNING,
            labels=_JOB,
            summary="A job starts so late that its runs will soon be missed.",
            description="Job {{ $labels.job_name }} starts {{ $value | humanizeDuration }} late on average.",
            board=Board.JOBS,
        ),
        _burn(scope, "Fast", "1h", "5m", thresholds.BUDGET_FAST_BURN, pending="2m", severity=Severity.CRITICAL),
        _burn(scope, "Slow", "6h", "30m", thresholds.BUDGET_SLOW_BURN, pending="15m", severity=Severity.WARNING),
    )


def _burn(
    scope: RuleScope, pace: str, long: str, short: str, factor: float, *, pending: str, severity: Severity
) -> Alert:
    share = f"{factor * (1 - thresholds.ON_TIME_OBJECTIVE):.6g}"
    due = due_here(scope, "increase", long, "job_name")
    return Alert(
        name=f"TickglassOnTimeBudgetBurn{pace}",
        expr=(
            f"{scope.recorded(late_share(long))} > {share}\n"
            f"and on (job_name)\n{scope.recorded(late_share(short))} > {share}\n"
            f"and on (job_name)\n{due} >= {thresholds.DUE_MIN}"
        ),
        pending=pending,
        severity=severity,
        labels=_JOB,
        summary=f"A job spends its budget of late starts {factor:g} times too fast.",
        description=(
            "{{ $value | humanizePercentage }} of the due instants of {{ $labels.job_name }}"
            f" in {long} did not start within {scope.on_time_s * 1000:g} ms."
        ),
        board=Board.JOBS,
        static_labels={"long": long, "short": short},
    )


def late_share(window: str) -> str:
    """Return the name of the recorded share of due instants that did not start in time."""
    return f"job_name:tickglass_job_late:ratio_rate{window}"
