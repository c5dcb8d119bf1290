"""The board of the jobs: what became of each occurrence, how late, how long, and why not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.lateness import lateness_panels
from tickglass.dashboards.model import GOOD, Board, Column, Kind, Panel, Query, Row, above
from tickglass.dashboards.scope import RATE, SPAN
from tickglass.dashboards.shared_panels import (
    SOME_TOGETHER,
    TO_JOB,
    TOGETHER,
    failing_jobs,
    health_by_job,
    on_time,
)
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import failures_in_a_row, mean_run, oldest_run, runs_ended
from tickglass.telemetry.queries.selector import aggregate, on

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope
    from tickglass.telemetry.metric import Metric

__all__ = ["jobs"]

_OUTCOMES = (
    (Outcome.SUCCESS, GOOD),
    (Outcome.ELSEWHERE, "blue"),
    (Outcome.SKIPPED, "yellow"),
    (Outcome.MISSED, "orange"),
    (Outcome.CANCELLED, "light-purple"),
    (Outcome.FAILURE, "red"),
    (Outcome.TIMEOUT, "dark-red"),
    (Outcome.LOST, "purple"),
    (Outcome.ORPHANED, "dark-purple"),
)


def jobs(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-jobs",
        "Tickglass / Jobs",
        "What became of each occurrence, how late did it start, how long did it take, and why did it not run?",
        (
            Row("Now", (*_counts(scope), _each_job(scope))),
            Row("Outcomes", (health_by_job(scope, 12), _outcomes(scope), _skips(scope), _overrun(scope))),
            Row("How late", lateness_panels(scope)),
            Row("How long", (_duration_map(scope), _duration(scope))),
            Row("Accounts", (_account(scope), _odd(scope), _contested(scope), _saved(scope), _abandoned(scope))),
            Row("Operators", (_paused(scope), _drained(scope))),
        ),
    )


def _counts(scope: BoardScope) -> tuple[Panel, ...]:
    def count(title: str, description: str, expr: str, bad: float | None) -> Panel:
        steps = () if bad is None else above(bad)
        return Panel(
            Kind.STAT, title, description, "short", (Query(expr, title),), width=4, height=4, no_value="0", steps=steps
        )

    late = aggregate("min", scope.by_job, scope.series(catalogue.JOB_OVERDUE))
    grace = scope.max_by(catalogue.JOB_GRACE, *scope.by_job)
    runs = runs_ended(scope, SPAN)
    return (
        count(
            "Running",
            "Jobs with a run in progress, in each instance. No number of them is bad.",
            f"count({scope.series(catalogue.JOB_RUNNING_FOR)})",
            None,
        ),
        count(
            "Pending",
            "Occurrences that fell due and have not ended: they wait for a worker or a lock, or they run. Far more "
            "of them than of runs: see the pool and the locks.",
            scope.sum_by(catalogue.JOB_PENDING),
            None,
        ),
        count("Runs", "Runs that ended, over the time that is shown. No number of them is bad.", f"ceil({runs})", None),
        count(
            "Overdue",
            "Jobs whose next due instant has passed by more than their misfire grace. Red: the scheduler that "
            "should have started them is stuck or gone.",
            f"count(({late}) > {on(scope.by_job)} {grace}) or vector(0)",
            1,
        ),
        failing_jobs(scope, 4),
        on_time(scope, SPAN, 4),
    )


def _each_job(scope: BoardScope) -> Panel:
    def highest(metric: Metric, factor: str = "") -> str:
        return scope.max_by(metric, *scope.by_job) + factor

    return Panel(
        Kind.TABLE,
        "Every job",
        "One line for each job. A next instant in the past: no scheduler is there to start it. An instant "
        "that was not done after the last success: the job fails, or is skipped or missed.",
        "short",
        (
            Query(highest(catalogue.JOB_NEXT, " * 1000"), column=Column("Next", "dateTimeFromNow")),
            Query(highest(catalogue.JOB_LAST_START, " * 1000"), column=Column("Last start", "dateTimeFromNow")),
            Query(highest(catalogue.JOB_LAST_SUCCESS, " * 1000"), column=Column("Last success", "dateTimeFromNow")),
            Query(
                highest(catalogue.JOB_UNSUCCESSFUL_LATEST, " * 1000"),
                column=Column("Last not done", "dateTimeFromNow"),
            ),
            Query(
                failures_in_a_row(scope),
                column=Column("Failures in a row", steps=above(1, thresholds.FAILURES_IN_A_ROW)),
            ),
            Query(aggregate("count", scope.by_job, scope.series(catalogue.JOB_RUNNING_FOR)), column=Column("Running")),
            Query(scope.sum_by(catalogue.JOB_PENDING, *scope.by_job), column=Column("Pending")),
            Query(highest(catalogue.JOB_INTERVAL), column=Column("Interval", "s")),
            Query(highest(catalogue.JOB_MAX_RUNTIME), column=Column("Timeout", "s")),
        ),
        width=24,
        height=9,
        no_value="-",
        keys=(("job_name", "Job"), ("service", "Service")),
        sort_by="Failures in a row",
        steps=above(thresholds.FAILURES_IN_A_ROW),
        link=TO_JOB,
    )


def _outcomes(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Outcomes",
        "Occurrences that ended per second, by outcome. Elsewhere is normal in a fleet: another instance claimed the "
        "occurrence. Missed: no instance could start it in time. Orphaned: the claimant died.",
        "ops",
        (Query(scope.rate_by(catalogue.JOB_OUTCOMES, "outcome", window=RATE), "{{outcome}}"),),
        width=12,
        no_value="nothing was due",
        stacked=True,
        colours=_OUTCOMES,
    )


def _skips(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Skipped, by reason",
        "Overlap: the previous run had not ended. Lock held: another holder had the resource for all of the grace. "
        "Store unavailable, store error: the claim failed, so the job was not run. Skew: the instance's clock "
        f"cannot be trusted. Stopping: the scheduler was stopping. {SOME_TOGETHER}",
        "ops",
        (Query(scope.rate_by(catalogue.JOB_SKIPS, "reason", window=RATE), "{{reason}}"),),
        width=12,
        no_value="none",
        stacked=True,
    )


def _overrun(scope: BoardScope) -> Panel:
    limit = scope.max_by(catalogue.JOB_MAX_RUNTIME, *scope.by_job)
    return Panel(
        Kind.TIMESERIES,
        "Of the timeout",
        "The age of the oldest run of each job, as a share of the job's timeout. Above the line: the run was asked to "
        "stop, and has not stopped.",
        "percentunit",
        (Query(f"{oldest_run(scope)} / {on(scope.by_job)} {limit}", "{{service}} {{job_name}}"),),
        width=12,
        no_value="nothing runs",
        steps=above(1),
        link=TO_JOB,
    )


def _duration_map(scope: BoardScope) -> Panel:
    return Panel(
        Kind.HEATMAP,
        "Durations",
        "How long runs took. A band that climbs: the work grows, or a service that it calls becomes slow. The dots "
        f"are exemplars: each leads to the trace of the slow run. {TOGETHER}",
        "s",
        (Query(scope.buckets(catalogue.JOB_DURATION), "{{le}}", exemplar=True),),
        width=12,
        no_value="nothing ran",
    )


def _duration(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a run takes, by job",
        "The mean of the runs of each job. Close to the job's interval: occurrences will be skipped for overlap.",
        "s",
        (Query(mean_run(scope, RATE), "{{job_name}}"),),
        width=12,
        no_value="nothing ran",
        link=TO_JOB,
    )


def _account(scope: BoardScope) -> Panel:
    due = scope.sum_by(catalogue.JOB_DUE, *scope.by_job)
    ended = scope.sum_by(catalogue.JOB_OUTCOMES, *scope.by_job)
    pending = scope.sum_by(catalogue.JOB_PENDING, *scope.by_job)
    return Panel(
        Kind.TIMESERIES,
        "Unaccounted for",
        "Occurrences that fell due, minus those that ended, minus those that are pending. It is always zero. Anything "
        "else is a defect of Tickglass, or several exporters report the same scheduler.",
        "short",
        (Query(f"{due} - {ended} - {pending}", "{{service}} {{job_name}}"),),
        width=8,
        no_value="no job",
        steps=above(1),
        link=TO_JOB,
    )


def _odd(scope: BoardScope) -> Panel:
    def often(metric: Metric, legend: str) -> Query:
        return Query(
            scope.increase_by(metric, *scope.by_job, window=RATE), f"{{{{service}}}} {{{{job_name}}}} {legend}"
        )

    return Panel(
        Kind.TIMESERIES,
        "What should not happen",
        "Orphans: claims whose claimant died. Unclaimed: runs that were started during an outage of the store, "
        "perhaps on several instances at once. Trigger failures: the trigger raised instead of returning an instant. "
        f"Undercounts: so many instants were missed that counting stopped. {TOGETHER}",
        "short",
        (
            often(catalogue.JOB_ORPHANS, "orphaned"),
            often(catalogue.JOB_UNCLAIMED, "unclaimed"),
            often(catalogue.JOB_TRIGGER_FAILURES, "trigger failed"),
            often(catalogue.JOB_UNDERCOUNTS, "undercounted"),
        ),
        width=8,
        no_value="none",
        steps=above(1),
        link=TO_JOB,
    )


def _contested(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Jobs in two programs",
        "Jobs of a service whose due instants another program claims too: it has the same service and name for a "
        "job with another trigger or function. The log and `tickglass why` name them.",
        "short",
        (Query(scope.max_by(catalogue.JOBS_CONTESTED, *scope.by_service), "{{service}}"),),
        width=8,
        no_value="none",
        steps=above(1),
        stepped=True,
    )


def _paused(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Paused jobs",
        "Jobs of a service that operators have paused: their due instants are skipped. `tickglass orders` names them.",
        "short",
        (Query(scope.max_by(catalogue.JOBS_PAUSED, *scope.by_service), "{{service}}"),),
        width=12,
        no_value="none",
        stepped=True,
    )


def _drained(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Drained instances",
        "Instances of a service that operators have start nothing more. `tickglass orders` names them.",
        "short",
        (Query(scope.sum_by(catalogue.SCHEDULER_DRAINED, *scope.by_service), "{{service}}"),),
        width=12,
        no_value="none",
        stepped=True,
    )


def _abandoned(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Abandoned claims",
        "Claims without an outcome whose lease has ended, as a sidecar finds them in the store. The next sweep of a "
        "scheduler settles them. If they stay, no scheduler of that job is running.",
        "short",
        (Query(scope.max_by(catalogue.JOB_ABANDONED, *scope.by_job), "{{service}} {{job_name}}"),),
        width=12,
        no_value="none",
        steps=above(1),
        stepped=True,
        link=TO_JOB,
        sidecar=True,
    )


def _saved(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Claims known without a request",
        "Occurrences that an instance knew to be claimed elsewhere, so it did not ask the store. Each saves a round "
        "trip. None in a fleet: each instance asks the store for every occurrence. "
        f"{TOGETHER}",
        "ops",
        (Query(scope.rate_by(catalogue.JOB_REMEMBERED, *scope.by_job, window=RATE), "{{service}} {{job_name}}"),),
        width=12,
        no_value="none",
        link=TO_JOB,
    )
