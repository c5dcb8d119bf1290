"""Decide when an operator is alerted about a job: it does not run, starts late, or does not end well.

Pure. A job's interval, grace and timeout are exported by job, so that no rule
here names a job. How a fleet's instances are summed up is decided in
telemetry/queries/jobs.py. Series that these rules read from records are
recorded in this group, before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.budget import burn, late_shares
from tickglass.alerts.rule import Alert, Board, Group, Record, Severity
from tickglass.sched.occurrence import DID_NOT_RUN, Outcome, SkipReason
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import failures_in_a_row, oldest_run, owed_for, owed_long, owed_since
from tickglass.telemetry.queries.selector import aggregate, indented, none_of, on, one_of

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["jobs"]

_OWED_FOR: Final = "service_job_name:tickglass_job_unsuccessful_seconds:max"
_OWED_SINCE: Final = "service_job_name:tickglass_job_unsuccessful_since_timestamp_seconds:min"
_LEFT_OUT: Final = (*DID_NOT_RUN, Outcome.ORPHANED)  # no instance did the work


def jobs(scope: RuleScope) -> Group:
    """Return the rules about jobs."""
    records = (
        Record(name=_OWED_FOR, expr=owed_for(scope)),
        Record(name=_OWED_SINCE, expr=owed_since(scope)),
        *late_shares(scope, "5m", "1h"),
    )
    rules = (_missed(scope), *_not_due(scope), *_failing(scope), *_late(scope), _contested(scope))
    return Group("tickglass.jobs", (*records, *rules))


def _missed(scope: RuleScope) -> Alert:
    """Return the rule about a due instant that no instance took up.

    A job is as late as the instance that planned furthest says. Only of a job whose instances are all gone, in a target
    that is still listed and cannot be scraped, the age follows from the clock of Prometheus: a target that is not
    listed any more was taken away, and a deploy may have removed its jobs.
    """
    matching = on(scope.by_job)
    overdue = aggregate("min", scope.by_job, scope.series(catalogue.JOB_OVERDUE))
    grace, started = (
        scope.max_last_hour(metric, *scope.by_job) for metric in (catalogue.JOB_GRACE, catalogue.JOB_LAST_START)
    )
    # Of schedulers that are scraped themselves: a sidecar that is down says nothing of its schedulers.
    own = f"last_over_time({scope.series(catalogue.JOB_NEXT, owner='', source='')}[1h])"
    was_due = aggregate("max", scope.by_job, f"{own}\nand on (job, instance)\n{scope.up()} == 0")
    gone = (
        f"time() - {was_due}\n> {matching}\n{grace}\n"
        f"unless {matching}\n{overdue}\n"
        f"unless {matching}\n(\n  {started}\n  >= {matching}\n{indented(was_due)}\n)"
    )
    return Alert(
        name="TickglassJobMissedRun",
        expr=f"{overdue}\n> {matching}\n{grace}\nor {matching}\n(\n{indented(gone)}\n)",
        pending="5m",  # its causes fire at least a minute before, and alert once instead of once a job
        keep_firing_for="5m",
        severity=Severity.CRITICAL,
        labels=scope.by_job,
        summary="A run is overdue, and no scheduler has started or skipped it.",
        description="Job {{ $labels.job_name }} has been due for {{ $value | humanizeDuration }}.",
        board=Board.JOBS,
    )


def _not_due(scope: RuleScope) -> tuple[Alert, ...]:
    by_job, matching = scope.by_job, on(scope.by_job)
    not_run = scope.series(catalogue.JOB_OUTCOMES, outcome=one_of(_LEFT_OUT))
    paused = scope.series(catalogue.JOB_SKIPS, reason=SkipReason.PAUSED)
    left_out = aggregate("sum", by_job, f"increase({not_run}[10m])\nor\n-increase({paused}[10m])")
    done = scope.increase_by(catalogue.JOB_OUTCOMES, *by_job, window="10m", outcome=none_of(_LEFT_OUT))
    recurs = aggregate("group", by_job, scope.series(catalogue.JOB_INTERVAL, source=""))
    is_next = aggregate("group", by_job, scope.series(catalogue.JOB_NEXT))
    return (
        Alert(
            name="TickglassJobLeftOut",
            expr=f"{left_out} > 0\nunless {matching}\n{done} > 0\nunless {matching}\n{oldest_run(scope)}",
            pending="5m",  # what the store or a full pool causes has been told by then
            severity=Severity.WARNING,
            labels=by_job,
            summary="A job was due, and no instance ran it.",
            description=(
                'Job {{ $labels.job_name }} was missed or skipped {{ $value | printf "%.0f" }} times in 10m,'
                " and not run once."
            ),
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobTriggerFailing",
            expr=f"{scope.increase_by(catalogue.JOB_TRIGGER_FAILURES, *by_job, window='10m')} > 0",
            severity=Severity.CRITICAL,
            labels=by_job,
            summary="A job's trigger raises, so the job is never due.",
            description='The trigger of {{ $labels.job_name }} raised {{ $value | printf "%.0f" }} times in 10m.',
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobTriggerEnded",
            expr=f"{recurs}\nunless {matching}\n{is_next}",
            pending="5m",
            severity=Severity.WARNING,
            labels=by_job,
            summary="A job that recurred will never be due again, and is still registered.",
            description="The trigger of {{ $labels.job_name }} names no instant any more.",
            board=Board.JOBS,
        ),
    )


def _contested(scope: RuleScope) -> Alert:
    """Return the rule about jobs that are in two programs: one alert a service, because they usually share several."""
    first = scope.first_label(scope.series(catalogue.JOB_CONTESTED), "service", "job_name", ", among them ")
    return Alert(
        name="TickglassJobContested",
        expr=f"{scope.max_by(catalogue.JOBS_CONTESTED, *scope.by_service)} > 0",
        keep_firing_for="15m",  # a scheduler that restarts has to find the rival again
        severity=Severity.WARNING,
        labels=scope.by_service,
        summary="Two programs share the name of a service and of a job, but the job differs.",
        description=f"{{{{ $value }}}} jobs of {{{{ $labels.service }}}} are in two programs{first}.",
        board=Board.JOBS,
    )


def _failing(scope: RuleScope) -> tuple[Alert, ...]:
    by_job, matching = scope.by_job, on(scope.by_job)
    owed, since = scope.recorded(_OWED_FOR), scope.recorded(_OWED_SINCE)
    nothing = f"or {matching} 0 * {owed}"  # 0 for a job without an interval, or without a timeout
    interval = f"({scope.max_by(catalogue.JOB_INTERVAL, *by_job)} {nothing})"
    runtime = f"({scope.max_by(catalogue.JOB_MAX_RUNTIME, *by_job)} {nothing})"
    longest = f"(\n  {thresholds.INTERVALS_WITHOUT_SUCCESS} * {interval}\n  + {matching}\n  {runtime}\n)"
    return (
        Alert(
            name="TickglassJobNotSucceeding",
            expr=owed_long(scope, owed, since, longer_than=longest),
            pending="3m",
            keep_firing_for="5m",
            severity=Severity.CRITICAL,
            labels=by_job,
            summary="A job has not succeeded for two intervals, though it was due.",
            description="Job {{ $labels.job_name }} has owed a success for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobFailing",
            expr=f"{failures_in_a_row(scope)}\n>= {thresholds.FAILURES_IN_A_ROW}",
            keep_firing_for="15m",  # a job that fails, succeeds and fails again is one alert
            severity=Severity.WARNING,
            labels=by_job,
            summary="A job failed twice in a row or more.",
            description='Job {{ $labels.job_name }} failed {{ $value | printf "%.0f" }} times in a row.',
            board=Board.JOBS,
        ),
        Alert(
            name="TickglassJobRunOverrun",
            expr=f"{oldest_run(scope)}\n> {matching}\n{scope.max_by(catalogue.JOB_MAX_RUNTIME, *by_job)}",
            pending="1m",
            severity=Severity.WARNING,
            labels=by_job,
            summary="A run has passed its timeout, was asked to stop, and has not stopped.",
            description="A run of {{ $labels.job_name }} has gone on for {{ $value | humanizeDuration }}.",
            board=Board.JOBS,
        ),
    )


def _late(scope: RuleScope) -> tuple[Alert, ...]:
    by_job, matching = scope.by_job, on(scope.by_job)
    late = scope.rate_by(catalogue.JOB_LATENESS, *by_job, part="sum", window="30m")
    starts = scope.rate_by(catalogue.JOB_LATENESS, *by_job, part="count", window="30m")
    counted = scope.increase_by(catalogue.JOB_LATENESS, *by_job, part="count", window="30m")
    grace = scope.max_by(catalogue.JOB_GRACE, *by_job)
    return (
        Alert(
            name="TickglassJobStartsLate",
            expr=(
                f"(\n  {late}\n  / {matching}\n  {starts}\n)\n"
                f"> {matching}\n{thresholds.LATENESS_OF_GRACE:g} * {grace}\n"
                f"and {matching}\n{counted} >= {thresholds.LATE_STARTS_MIN}"
            ),
            pending="5m",
            severity=Severity.WARNING,
            labels=by_job,
            summary="A job starts so late that its runs will soon be missed.",
            description="Job {{ $labels.job_name }} starts {{ $value | humanizeDuration }} late on average.",
            board=Board.JOBS,
        ),
        burn(
            scope,
            "Fast",
            ("1h", "5m"),
            thresholds.BUDGET_FAST_BURN,
            at_least=(thresholds.LATE_MIN, "1h"),
            pending="5m",
            severity=Severity.CRITICAL,
        ),
    )
