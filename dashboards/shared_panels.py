"""Decide the expressions that several boards share: what is stuck, what is on time, who is in which state.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.dashboards.model import Kind, Link, Meaning, Panel, Query, above, below
from tickglass.dashboards.scope import RATE
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.telemetry import catalogue, thresholds

if TYPE_CHECKING:
    from tickglass.dashboards.scope import Scope
    from tickglass.telemetry.metric import Metric

__all__ = [
    "TO_INSTANCE",
    "TO_JOB",
    "TO_JOBS",
    "TO_LOCK",
    "TO_SCHEDULERS",
    "failing_jobs",
    "failures",
    "health_by_job",
    "held_of_limit",
    "on_time",
    "on_time_share",
    "owed_for",
    "quantiles",
    "scheduler_states",
    "stuck_locks",
    "waits",
]

TO_JOB: Final = Link("tickglass-jobs", "job_name", "job_name", "Show this job")
TO_LOCK: Final = Link("tickglass-locks", "resource", "resource", "Show this lock")
TO_JOBS: Final = Link("tickglass-jobs", "", "", "Show the jobs")
TO_LOCKS: Final = Link("tickglass-locks", "", "", "Show the locks")
TO_SCHEDULERS: Final = Link("tickglass-scheduler", "", "", "Show the schedulers")
TO_INSTANCE: Final = Link("tickglass-scheduler", "instance", "instance", "Show this instance")

WENT_WRONG: Final = f'outcome=~"{Outcome.FAILURE}|{Outcome.TIMEOUT}|{Outcome.LOST}|{Outcome.ORPHANED}"'
STAYED_AWAY: Final = f'outcome=~"{Outcome.MISSED}|{Outcome.SKIPPED}"'
_PLACES: Final = {state: place for place, state in enumerate(SchedulerState)}
_COLOURS: Final = {SchedulerState.RUNNING: "green", SchedulerState.DRAINING: "orange", SchedulerState.STOPPED: "red"}


def on_time_share(scope: Scope, over: str, by: str = "") -> str:
    """Return the share of the occurrences to be started that started in time.

    Those that others have do not count, nor those that fell due while the job was at work.
    """
    bound = repr(scope.on_time_s)  # as the exposition writes it
    in_time = scope.increase(catalogue.JOB_LATENESS, by, f'le="{bound}"', part="bucket", over=over)
    on = f"on ({by}) " if by else ""
    due = scope.increase(catalogue.JOB_OUTCOMES, by, f'outcome!="{Outcome.ELSEWHERE}"', over=over)
    overlapped = scope.increase(catalogue.JOB_SKIPS, by, f'reason="{SkipReason.OVERLAP}"', over=over)
    return f"{in_time} / {on}({due} - {on}{overlapped})"


def failures(scope: Scope) -> str:
    """Return each job's failures in a row, without those after which another instance succeeded: as the alert does."""
    return f"max by (job_name) ({scope.of(catalogue.JOB_FAILING)} {_unless_over(scope, _latest(scope))})"


def _owed_since(scope: Scope) -> str:
    """Return since when each job owes a success: as the alert does."""
    first, succeeded = scope.of(catalogue.JOB_UNSUCCESSFUL), scope.highest(catalogue.JOB_LAST_SUCCESS, "job_name")
    again = f"{succeeded} < on (job_name) group_right () {_latest(scope)}"
    return f"min by (job_name) (({first} {_unless_over(scope, first)}) or ({again}))"


def owed_for(scope: Scope) -> str:
    """Return for how long each job has owed a success: as the alert does.

    Without a single failure before a pause, and what fell due while a run that is well so far was at work.
    """
    owed, interval = _owed_since(scope), scope.highest(catalogue.JOB_INTERVAL, "job_name")
    latest = scope.highest(catalogue.JOB_UNSUCCESSFUL_LATEST, "job_name")
    one = f"{latest} - on (job_name) {owed} < on (job_name) {interval}"
    running = f"max by (job_name) (time() - {scope.of(catalogue.JOB_RUNNING_SINCE)})"
    timeout = scope.highest(catalogue.JOB_MAX_RUNTIME, "job_name")
    limit = f"({timeout} or on (job_name) 0 * {running} + {thresholds.UNLIMITED_RUN_S})"
    at_work = f"{running} <= on (job_name) {limit} unless on (job_name) {failures(scope)} > 0"
    return f"time() - {owed} unless on (job_name) ({one}) unless on (job_name) ({at_work})"


def _latest(scope: Scope) -> str:
    return scope.of(catalogue.JOB_UNSUCCESSFUL_LATEST)


def _unless_over(scope: Scope, failed: str) -> str:
    succeeded = scope.highest(catalogue.JOB_LAST_SUCCESS, "job_name")
    return f"unless ({failed} <= on (job_name) group_left () {succeeded})"


def held_of_limit(scope: Scope) -> str:
    """Return for how much of its limit each lock has been held; only for locks that are held and have one."""
    held, limit = scope.highest(catalogue.LOCK_HELD, "resource"), scope.highest(catalogue.LOCK_MAX_HOLD, "resource")
    return f"{held} / on (resource) {limit}"


def on_time(scope: Scope, over: str, width: int) -> Panel:
    """Return how punctual everything was."""
    return Panel(
        Kind.STAT,
        "On time",
        f"Share of the occurrences that started within {scope.on_time_s * 1000:g} ms of their due instant; those "
        "that were missed or skipped count against it; those that another instance has do not count, nor those that "
        "were skipped because the job was still at work. "
        "Red: the objective is not met; the board of the job says which part made it late.",
        "percentunit",
        (Query(on_time_share(scope, over), "on time"),),
        width=width,
        height=4,
        no_value="nothing was due",
        steps=below(thresholds.ON_TIME_OBJECTIVE),
        link=TO_JOBS,
    )


def stuck_locks(scope: Scope, width: int) -> Panel:
    """Return how many locks are held for too long."""
    return Panel(
        Kind.STAT,
        "Stuck locks",
        "Locks that have been held for longer than the longest timeout of their jobs. Red: a run ignores its "
        "timeout, or its holder stands still; who it is stands in the table of holders.",
        "short",
        (Query(f"count({held_of_limit(scope)} > {thresholds.HELD_OF_LIMIT:g}) or vector(0)", "stuck"),),
        width=width,
        height=4,
        no_value="0",
        steps=above(1),
        link=TO_LOCKS,
    )


def failing_jobs(scope: Scope, width: int) -> Panel:
    """Return how many jobs fail again and again."""
    return Panel(
        Kind.STAT,
        "Failing jobs",
        f"Jobs whose last {thresholds.FAILURES_IN_A_ROW} or more occurrences went wrong: failure, timeout, lost or "
        "orphaned. Red: the job itself is broken, or what it needs.",
        "short",
        (Query(f"count({failures(scope)} >= {thresholds.FAILURES_IN_A_ROW}) or vector(0)", "failing"),),
        width=width,
        height=4,
        no_value="0",
        steps=above(1),
        link=TO_JOBS,
    )


def health_by_job(scope: Scope, width: int) -> Panel:
    """Return how each job did over time."""
    wrong = scope.increase(catalogue.JOB_OUTCOMES, "job_name", WENT_WRONG, over=RATE)
    away = scope.increase(catalogue.JOB_OUTCOMES, "job_name", STAYED_AWAY, over=RATE)
    return Panel(
        Kind.STATUS_HISTORY,
        "How each job did",
        "The worst that happened in each stretch of time. Orange: an occurrence was missed or skipped, so work was "
        "not done and nothing failed. Red: a run failed, ran over its timeout, lost its lease or lost its claimant. "
        "A hole: nobody told anything.",
        "short",
        (Query(f"clamp_max(2 * ceil({wrong}) + (ceil({away}) > bool 0), 2)", "{{job_name}}"),),
        width=width,
        no_value="no job",
        steps=above(1, 2),
        meanings=(
            Meaning(0, "well", "green"),
            Meaning(1, "missed or skipped", "orange"),
            Meaning(2, "went wrong", "red"),
        ),
        link=TO_JOB,
    )


def scheduler_states(scope: Scope, width: int) -> Panel:
    """Return what each scheduler did over time."""

    def here(state: SchedulerState) -> str:
        return scope.total(catalogue.SCHEDULER_STATE, "instance, owner", f'state="{state}"')

    states = (f"{place} * {here(state)}" for state, place in _PLACES.items() if place)
    return Panel(
        Kind.STATE_TIMELINE,
        "Schedulers",
        "The state of each scheduler. A gap: it cannot be scraped, or its sidecar has lost it; others take over "
        "what it held when its leases run out. Orange for long: a run does not end, and the drain waits for it.",
        "short",
        (Query(" + ".join(states), "{{instance}} {{owner}}"),),
        width=width,
        no_value="no scheduler",
        meanings=tuple(Meaning(place, state.value, _COLOURS.get(state, "blue")) for state, place in _PLACES.items()),
        link=TO_INSTANCE,
    )


def quantiles(scope: Scope, metric: Metric, *, exemplar: bool) -> tuple[Query, ...]:
    """Return the usual three quantiles; each exemplar on them leads to the trace of one run."""
    return tuple(
        Query(scope.quantile(share, metric), f"p{share * 100:g}", exemplar=exemplar and share == highest)
        for highest in (0.99,)
        for share in (0.5, 0.95, highest)
    )


def waits(scope: Scope, width: int) -> Panel:
    """Return who waits for what."""
    return Panel(
        Kind.TIMESERIES,
        "Who waits",
        "Parties that wait for each lock, over all instances. A level that does not fall: the lock is held for "
        "longer than the work behind it takes to come in; the table of holders says by whom.",
        "short",
        (Query(scope.total(catalogue.LOCK_WAITERS, "resource"), "{{resource}}"),),
        width=width,
        no_value="nobody",
        stairs=True,
        link=TO_LOCK,
    )
