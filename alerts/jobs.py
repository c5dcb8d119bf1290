"""Decide when somebody is told about a job: that it does not run, not in time, not to the end.

Pure. A job's interval, grace and timeout are exported by job, so that no rule
here names one. In a fleet every instance reports every job: the instance that
did it last knows best, and what an instance failed at is over only if another
one succeeded after the latest of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.promql import by, indented
from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.telemetry import catalogue, thresholds

if TYPE_CHECKING:
    from tickglass.alerts.promql import Scope

__all__ = ["OWED_SINCE", "due_here", "jobs", "late_share", "owed_since"]

OWED_SINCE: Final = "job_name:tickglass_job_unsuccessful_since_timestamp_seconds:min"  # recorded
_JOB: Final = ("job_name",)
_NOT_RUN: Final = "missed|skipped|orphaned"


def jobs(scope: Scope) -> Group:
    """Return the rules about jobs."""
    return Group("tickglass.jobs", (*_not_run(scope), *_not_well(scope), *_not_in_time(scope)))


def _not_run(scope: Scope) -> tuple[Alert, ...]:
    due = scope.latest(catalogue.JOB_NEXT, "job_name")
    grace = scope.latest(catalogue.JOB_GRACE, "job_name")
    started = scope.latest(catalogue.JOB_LAST_START, "job_name")
    left_out = scope.grown(catalogue.JOB_OUTCOMES, "job_name", window="10m", outcome=f"=~{_NOT_RUN}")
    done = scope.grown(catalogue.JOB_OUTCOMES, "job_name", window="10m", outcome=f"!~{_NOT_RUN}")
    running = scope.most(catalogue.JOB_RUNNING, "job_name")
    return (
        Alert(
            name="TickglassJobMissedRun",
            expr=(
                f"(\n  time() - {due}\n  > on (job_name)\n  {grace}\n)\n"
                f"unless on (job_name)\n(\n  {started}\n  >= on (job_name)\n  {due}\n)"
            ),
            pending="3m",  # a minute more than what tells once that nobody is there
            severity=Severity.CRITICAL,
            carries=_JOB,
            summary="A run is overdue, and no scheduler has dealt with it.",
            description="Job {{ $labels.job_name }} has been due for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobLeftOut",
            expr=(f"{left_out} > 0\nunless on (job_name)\n{done} > 0\nunless on (job_name)\n{running} > 0"),
            severity=Severity.WARNING,
            carries=_JOB,
            summary="A job was due, and nobody ran it.",
            description=(
                'Job {{ $labels.job_name }} was missed or skipped {{ $value | printf "%.0f" }} times in 10m,'
                " and not run once."
            ),
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobTriggerFailing",
            expr=f"{scope.grown(catalogue.JOB_TRIGGER_FAILURES, 'job_name', window='10m')} > 0",
            severity=Severity.CRITICAL,
            carries=_JOB,
            summary="A job's trigger raises, so that the job is never due.",
            description='The trigger of {{ $labels.job_name }} raised {{ $value | printf "%.0f" }} times in 10m.',
            board=Board.JOBS,
        ),
    )


def _not_well(scope: Scope) -> tuple[Alert, ...]:
    owed = scope.recorded(OWED_SINCE)
    nothing = f"or on (job_name) 0 * {owed}"  # where there is no interval, or no timeout
    interval = f"({scope.most(catalogue.JOB_INTERVAL, 'job_name')} {nothing})"
    runtime = f"({scope.most(catalogue.JOB_MAX_RUNTIME, 'job_name')} {nothing})"
    failing, latest = scope.series(catalogue.JOB_FAILING), scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    failures = by("max", _JOB, f"{failing}\n{_unless_over(scope, latest)}")
    running = by("max", _JOB, f"time() - {scope.series(catalogue.JOB_RUNNING_SINCE)}")
    # One failure before a pause, however long: the next chance has not come.
    one = (
        f"{scope.most(catalogue.JOB_UNSUCCESSFUL_LATEST, 'job_name')}\n- on (job_name)\n{owed}\n"
        f"< on (job_name)\n{scope.most(catalogue.JOB_INTERVAL, 'job_name')}"
    )
    # A run that takes longer than the interval, and is well so far: what fell due meanwhile was skipped.
    limit = (
        f"({scope.most(catalogue.JOB_MAX_RUNTIME, 'job_name')}"
        f" or on (job_name) 0 * {running} + {thresholds.UNLIMITED_RUN_S})"
    )
    at_work = f"{running}\n<= on (job_name)\n{limit}\nunless on (job_name)\n{failures} > 0"
    return (
        Alert(
            name="TickglassJobNotSucceeding",
            expr=(
                f"time() - {owed}\n> on (job_name)\n(\n"
                f"  {thresholds.INTERVALS_WITHOUT_SUCCESS} * {interval}\n  + on (job_name)\n  {runtime}\n)\n"
                f"unless on (job_name)\n(\n{indented(one)}\n)\n"
                f"unless on (job_name)\n(\n{indented(at_work)}\n)"
            ),
            pending="1m",
            severity=Severity.CRITICAL,
            carries=_JOB,
            summary="A job has not succeeded for two intervals, though it was due.",
            description="Job {{ $labels.job_name }} has owed a success for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobFailing",
            expr=f"{failures}\n>= {thresholds.FAILURES_IN_A_ROW}",
            severity=Severity.WARNING,
            carries=_JOB,
            summary="A job fails again and again.",
            description='Job {{ $labels.job_name }} failed {{ $value | printf "%.0f" }} times in a row.',
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobRunOverrun",
            expr=f"{running}\n> on (job_name)\n{scope.most(catalogue.JOB_MAX_RUNTIME, 'job_name')}",
            pending="1m",
            severity=Severity.WARNING,
            carries=_JOB,
            summary="A run goes on past its timeout, though it was asked to stop.",
            description="A run of {{ $labels.job_name }} has gone on for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
    )


def _not_in_time(scope: Scope) -> tuple[Alert, ...]:
    late = scope.rate(catalogue.JOB_LATENESS, "job_name", part="sum", window="30m")
    starts = scope.rate(catalogue.JOB_LATENESS, "job_name", part="count", window="30m")
    counted = scope.grown(catalogue.JOB_LATENESS, "job_name", part="count", window="30m")
    grace = scope.most(catalogue.JOB_GRACE, "job_name")
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
            carries=_JOB,
            summary="A job starts so late that it will soon not start at all.",
            description="Job {{ $labels.job_name }} starts {{ $value | humanizeDuration }} late on average.",
            board=Board.JOBS,
        ),
        _burn(scope, "Fast", "1h", "5m", thresholds.BUDGET_FAST_BURN, pending="2m", severity=Severity.CRITICAL),
        _burn(scope, "Slow", "6h", "30m", thresholds.BUDGET_SLOW_BURN, pending="15m", severity=Severity.WARNING),
    )


def _burn(scope: Scope, pace: str, long: str, short: str, factor: float, *, pending: str, severity: Severity) -> Alert:
    share = f"{factor * (1 - thresholds.ON_TIME_OBJECTIVE):.6g}"
    due = due_here(scope, "increase", long)
    return Alert(
        name=f"TickglassOnTimeBudgetBurn{pace}",
        expr=(
            f"{scope.recorded(late_share(long))} > {share}\n"
            f"and on (job_name)\n{scope.recorded(late_share(short))} > {share}\n"
            f"and on (job_name)\n{due} >= {thresholds.DUE_MIN}"
        ),
        pending=pending,
        severity=severity,
        carries=_JOB,
        summary=f"A job's budget for late starts is spent {factor:g} times too fast.",
        description=(
            "{{ $value | humanizePercentage }} of the due instants of {{ $labels.job_name }}"
            f" in {long} did not start within {scope.on_time_s * 1000:g} ms."
        ),
        board=Board.JOBS,
        labels={"long": long, "short": short},
    )


def due_here(scope: Scope, function: str, window: str) -> str:
    """Return how many due instants each job had that somebody had to start, or how many a second.

    Not those that another instance had, nor those that fell due while the job was at work.

    Args:
        function: `increase` or `rate`.
    """
    ended = scope.series(catalogue.JOB_OUTCOMES, outcome="!=elsewhere")
    overlapped = scope.series(catalogue.JOB_SKIPS, reason="overlap")
    return by("sum", _JOB, f"{function}({ended}[{window}])\nor\n-{function}({overlapped}[{window}])")


def owed_since(scope: Scope) -> str:
    """Return since when each job owes a success, by the instance that has waited longest.

    Where another instance succeeded after an instance's first failure and before its latest one, that is since then.
    """
    first, latest = scope.series(catalogue.JOB_UNSUCCESSFUL), scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    again = f"{_succeeded(scope)}\n< on (job_name) group_right ()\n{latest}"
    return by("min", _JOB, f"(\n  {first}\n{indented(_unless_over(scope, first))}\n)\nor\n(\n{indented(again)}\n)")


def _unless_over(scope: Scope, failed: str) -> str:
    """Return what takes away those instances whose failure another instance's success came after."""
    return f"unless (\n  {failed}\n  <= on (job_name) group_left ()\n  {_succeeded(scope)}\n)"


def _succeeded(scope: Scope) -> str:
    return scope.latest(catalogue.JOB_LAST_SUCCESS, "job_name")


def late_share(window: str) -> str:
    """Return the name of the recorded share of due instants that did not start in time."""
    return f"job_name:tickglass_job_late:ratio_rate{window}"
