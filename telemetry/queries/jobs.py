"""Write what is asked of jobs: how often they failed, for how long they owe a success, and what was due.

Pure. In a fleet every instance reports every job. The instance that ran the job
last knows most, and a failure on one instance is cleared by a later success on
any. Ages are those that the exporter computed at the scrape: compared with
`time()`, a timestamp would be older by the age of the scrape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.occurrence import NOT_OWED, Outcome
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.selector import aggregate, indented, on

if TYPE_CHECKING:
    from tickglass.telemetry.queries.selector import Selector

__all__ = [
    "due_here",
    "failures_in_a_row",
    "mean_lateness",
    "mean_run",
    "oldest_run",
    "on_time_share",
    "on_time_starts",
    "owed_for",
    "owed_long",
    "owed_since",
    "runs_ended",
]


def failures_in_a_row(scope: Selector) -> str:
    """Return each job's failures since its last success on any instance."""
    failing, latest = scope.series(catalogue.JOB_FAILING), scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    return aggregate("max", scope.by_job, f"{failing}\n{_unless_cleared(scope, latest)}")


def owed_for(scope: Selector) -> str:
    """Return for how many seconds each job has owed a success, by the instance that has waited longest.

    If another instance succeeded between an instance's first and latest failure, the job owes a success since then.
    """
    age, first = scope.series(catalogue.JOB_UNSUCCESSFUL_FOR), scope.series(catalogue.JOB_UNSUCCESSFUL)
    latest = scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    left = f"{on(scope.by_job)} group_left ()"
    again = f"({age} + {first}) - {left}\n{_succeeded(scope)}\nand\n(\n  {latest}\n  > {left}\n  {_succeeded(scope)}\n)"
    return aggregate(
        "max", scope.by_job, f"(\n  {age}\n{indented(_unless_cleared(scope, first))}\n)\nor\n(\n{indented(again)}\n)"
    )


def owed_since(scope: Selector) -> str:
    """Return since when each job owes a success, as `owed_for` has it: a timestamp, to be compared with others."""
    first, latest = scope.series(catalogue.JOB_UNSUCCESSFUL), scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    again = f"{_succeeded(scope)}\n< {on(scope.by_job)} group_right ()\n{latest}"
    return aggregate(
        "min", scope.by_job, f"(\n  {first}\n{indented(_unless_cleared(scope, first))}\n)\nor\n(\n{indented(again)}\n)"
    )


def owed_long(scope: Selector, owed: str, since: str, longer_than: str = "") -> str:
    """Return for how many seconds each job has owed a success, without the jobs that are excused.

    A job is excused after a single failure, until its next instant was due; and while a run is in progress that is
    well so far, because instants that fall due meanwhile are skipped.

    Args:
        owed: `owed_for(scope)`, or the series that records it.
        since: `owed_since(scope)`, or the series that records it.
        longer_than: only the jobs that owe it for longer: seconds by the labels of a job.
    """
    matching = on(scope.by_job)
    limit = f"> {matching}\n{longer_than}\n" if longer_than else ""
    return (
        f"{owed}\n{limit}"
        f"unless {matching}\n(\n{indented(_failed_once(scope, since))}\n)\n"
        f"unless {matching}\n(\n{indented(_runs_well(scope))}\n)"
    )


def oldest_run(scope: Selector) -> str:
    """Return for how many seconds the oldest run in progress of each job has been going on."""
    return scope.max_by(catalogue.JOB_RUNNING_FOR, *scope.by_job)


def runs_ended(scope: Selector, window: str, *labels: str) -> str:
    """Return how many runs ended in the window, of those whose code had started."""
    return scope.increase_by(catalogue.JOB_LATENESS, *labels, part="count", window=window)


def mean_run(scope: Selector, window: str) -> str:
    """Return how long a run of each job took on average, of those that ended in the window."""
    return _mean(scope, scope.increase_by(catalogue.JOB_RUN_SECONDS, *scope.by_job, window=window), window)


def mean_lateness(scope: Selector, window: str) -> str:
    """Return how late runs of each job started on average, of those that ended in the window."""
    return _mean(scope, scope.increase_by(catalogue.JOB_LATENESS, *scope.by_job, part="sum", window=window), window)


def due_here(scope: Selector, function: str, window: str, *labels: str) -> str:
    """Return how many due instants an instance had to start, or how many a second.

    Instants that another instance claimed do not count, nor do those that fell due while the job was still running, or
    while an operator had paused it.

    Args:
        function: `increase` or `rate`.
    """
    ended = scope.series(catalogue.JOB_OUTCOMES, outcome=f"!={Outcome.ELSEWHERE}")
    excused = scope.series(catalogue.JOB_SKIPS, reason=f"=~{'|'.join(NOT_OWED)}")
    return aggregate("sum", labels, f"{function}({ended}[{window}])\nor\n-{function}({excused}[{window}])")


def on_time_starts(scope: Selector, function: str, window: str, *labels: str) -> str:
    """Return how many due instants were started on time, or how many a second."""
    started = scope.series(catalogue.JOB_LATENESS, "bucket", le=scope.on_time_bound)
    return aggregate("sum", labels, f"{function}({started}[{window}])")


def on_time_share(scope: Selector, function: str, window: str, *labels: str) -> str:
    """Return the share of the due instants that were started on time; of which ones, see `due_here`."""
    matching = f" {on(labels)}" if labels else ""
    starts = on_time_starts(scope, function, window, *labels)
    return f"{starts}\n/{matching}\n{due_here(scope, function, window, *labels)}"


def _mean(scope: Selector, total: str, window: str) -> str:
    return f"{total}\n/ {on(scope.by_job)}\n({runs_ended(scope, window, *scope.by_job)} > 0)"


def _failed_once(scope: Selector, since: str) -> str:
    """Return the jobs that failed once before a pause, however long: their next instant was not due yet."""
    matching = on(scope.by_job)
    return (
        f"{scope.max_by(catalogue.JOB_UNSUCCESSFUL_LATEST, *scope.by_job)}\n- {matching}\n{since}\n"
        f"< {matching}\n{scope.max_by(catalogue.JOB_INTERVAL, *scope.by_job)}"
    )


def _runs_well(scope: Selector) -> str:
    """Return the jobs with a run that is within its timeout and that follows no failure."""
    running, matching = oldest_run(scope), on(scope.by_job)
    timeout = scope.max_by(catalogue.JOB_MAX_RUNTIME, *scope.by_job)
    limit = f"({timeout} or {matching} 0 * {running} + {thresholds.UNLIMITED_RUN_S})"
    return f"{running}\n<= {matching}\n{limit}\nunless {matching}\n{failures_in_a_row(scope)} > 0"


def _unless_cleared(scope: Selector, failed: str) -> str:
    """Return what takes away the instances whose failure was followed by a success on any instance."""
    return f"unless (\n  {failed}\n  <= {on(scope.by_job)} group_left ()\n  {_succeeded(scope)}\n)"


def _succeeded(scope: Selector) -> str:
    return scope.last_known(catalogue.JOB_LAST_SUCCESS, *scope.by_job)
