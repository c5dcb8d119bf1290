"""Write what is asked of jobs: how often they failed, since when they owe a success, and what was due.

Pure. In a fleet every instance reports every job. The instance that ran the job
last knows most, and a failure on one instance is cleared by a later success on
any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.selector import aggregate, indented

if TYPE_CHECKING:
    from tickglass.telemetry.queries.selector import Selector

__all__ = [
    "due_here",
    "failures_in_a_row",
    "mean_lateness",
    "mean_run",
    "oldest_run",
    "on_time_share",
    "owed_for",
    "owed_since",
    "runs_ended",
]

_JOB: Final = ("job_name",)


def failures_in_a_row(scope: Selector) -> str:
    """Return each job's failures since its last success on any instance."""
    failing, latest = scope.series(catalogue.JOB_FAILING), scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    return aggregate("max", _JOB, f"{failing}\n{_unless_cleared(scope, latest)}")


def owed_since(scope: Selector) -> str:
    """Return since when each job owes a success, by the instance that has waited longest.

    If another instance succeeded between an instance's first and latest failure, the job owes a success since then.
    """
    first, latest = scope.series(catalogue.JOB_UNSUCCESSFUL), scope.series(catalogue.JOB_UNSUCCESSFUL_LATEST)
    again = f"{_succeeded(scope)}\n< on (job_name) group_right ()\n{latest}"
    return aggregate(
        "min", _JOB, f"(\n  {first}\n{indented(_unless_cleared(scope, first))}\n)\nor\n(\n{indented(again)}\n)"
    )


def owed_for(scope: Selector, since: str, longer_than: str = "") -> str:
    """Return for how many seconds each job has owed a success, without the jobs that are excused.

    A job is excused after a single failure, until its next instant was due; and while a run is in progress that is
    well so far, because instants that fall due meanwhile are skipped.

    Args:
        since: `owed_since(scope)`, or the series that records it.
        longer_than: only the jobs that owe it for longer: seconds by `job_name`.
    """
    limit = f"> on (job_name)\n{longer_than}\n" if longer_than else ""
    return (
        f"time() - {since}\n{limit}"
        f"unless on (job_name)\n(\n{indented(_failed_once(scope, since))}\n)\n"
        f"unless on (job_name)\n(\n{indented(_runs_well(scope))}\n)"
    )


def oldest_run(scope: Selector) -> str:
    """Return for how many seconds the oldest run in progress of each job has been going on."""
    return aggregate("max", _JOB, f"time() - {scope.series(catalogue.JOB_RUNNING_SINCE)}")


def runs_ended(scope: Selector, window: str, *labels: str) -> str:
    """Return how many runs ended in the window, of those whose code had started."""
    return scope.increase_by(catalogue.JOB_LATENESS, *labels, part="count", window=window)


def mean_run(scope: Selector, window: str) -> str:
    """Return how long a run of each job took on average, of those that ended in the window."""
    return _mean(scope, scope.increase_by(catalogue.JOB_RUN_SECONDS, "job_name", window=window), window)


def mean_lateness(scope: Selector, window: str) -> str:
    """Return how late runs of each job started on average, of those that ended in the window."""
    return _mean(scope, scope.increase_by(catalogue.JOB_LATENESS, "job_name", part="sum", window=window), window)


def due_here(scope: Selector, function: str, window: str, *labels: str) -> str:
    """Return how many due instants an instance had to start, or how many a second.

    Instants that another instance claimed do not count, nor do those that fell due while the job was still running.

    Args:
        function: `increase` or `rate`.
    """
    ended = scope.series(catalogue.JOB_OUTCOMES, outcome=f"!={Outcome.ELSEWHERE}")
    overlapped = scope.series(catalogue.JOB_SKIPS, reason=SkipReason.OVERLAP)
    return aggregate("sum", labels, f"{function}({ended}[{window}])\nor\n-{function}({overlapped}[{window}])")


def on_time_share(scope: Selector, function: str, window: str, *labels: str) -> str:
    """Return the share of the due instants that were started on time; of which ones, see `due_here`."""
    started = scope.series(catalogue.JOB_LATENESS, "bucket", le=scope.on_time_bound)
    on_time = aggregate("sum", labels, f"{function}({started}[{window}])")
    matching = f" on ({', '.join(labels)})" if labels else ""
    return f"{on_time}\n/{matching}\n{due_here(scope, function, window, *labels)}"


def _mean(scope: Selector, total: str, window: str) -> str:
    return f"{total}\n/ on (job_name)\n({runs_ended(scope, window, 'job_name')} > 0)"


def _failed_once(scope: Selector, since: str) -> str:
    """Return the jobs that failed once before a pause, however long: their next instant was not due yet."""
    return (
        f"{scope.max_by(catalogue.JOB_UNSUCCESSFUL_LATEST, 'job_name')}\n- on (job_name)\n{since}\n"
        f"< on (job_name)\n{scope.max_by(catalogue.JOB_INTERVAL, 'job_name')}"
    )


def _runs_well(scope: Selector) -> str:
    """Return the jobs with a run that is within its timeout and that follows no failure."""
    running = oldest_run(scope)
    timeout = scope.max_by(catalogue.JOB_MAX_RUNTIME, "job_name")
    limit = f"({timeout} or on (job_name) 0 * {running} + {thresholds.UNLIMITED_RUN_S})"
    return f"{running}\n<= on (job_name)\n{limit}\nunless on (job_name)\n{failures_in_a_row(scope)} > 0"


def _unless_cleared(scope: Selector, failed: str) -> str:
    """Return what takes away the instances whose failure was followed by a success on any instance."""
    return f"unless (\n  {failed}\n  <= on (job_name) group_left ()\n  {_succeeded(scope)}\n)"


def _succeeded(scope: Selector) -> str:
    return scope.last_known(catalogue.JOB_LAST_SUCCESS, "job_name")
