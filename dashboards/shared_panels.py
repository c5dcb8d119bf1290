"""Decide the expressions that several boards share: what is stuck, what is on time, who is in which state.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.dashboards.model import Kind, Link, Panel, Query, ValueMapping, above, below
from tickglass.dashboards.scope import RATE
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import DID_NOT_RUN, FAILURES
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import failures_in_a_row, on_time_share
from tickglass.telemetry.queries.locks import held_of_limit
from tickglass.telemetry.queries.selector import one_of

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope
    from tickglass.telemetry.metric import Metric

__all__ = [
    "TO_INSTANCE",
    "TO_JOB",
    "TO_JOBS",
    "TO_LOCK",
    "TO_SCHEDULERS",
    "failing_jobs",
    "health_by_job",
    "on_time",
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

_PLACES: Final = {state: place for place, state in enumerate(SchedulerState)}
_COLOURS: Final = {SchedulerState.RUNNING: "green", SchedulerState.DRAINING: "orange", SchedulerState.STOPPED: "red"}


def on_time(scope: BoardScope, window: str, width: int) -> Panel:
    """Return how punctual everything was."""
    return Panel(
        Kind.STAT,
        "On time",
        f"Share of the occurrences that started within {scope.on_time_s * 1000:g} ms of their due instant; those "
        "that were missed or skipped count against it; those that another instance has do not count, nor those that "
        "were skipped because the job was still at work. "
        "Red: the objective is not met; the board of the job says which part made it late.",
        "percentunit",
        (Query(on_time_share(scope, "increase", window), "on time"),),
        width=width,
        height=4,
        no_value="nothing was due",
        steps=below(thresholds.ON_TIME_OBJECTIVE),
        link=TO_JOBS,
    )


def stuck_locks(scope: BoardScope, width: int) -> Panel:
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


def failing_jobs(scope: BoardScope, width: int) -> Panel:
    """Return how many jobs fail again and again."""
    return Panel(
        Kind.STAT,
        "Failing jobs",
        f"Jobs whose last {thresholds.FAILURES_IN_A_ROW} or more occurrences went wrong: failure, timeout, lost or "
        "orphaned. Red: the job itself is broken, or what it needs.",
        "short",
        (Query(f"count({failures_in_a_row(scope)} >= {thresholds.FAILURES_IN_A_ROW}) or vector(0)", "failing"),),
        width=width,
        height=4,
        no_value="0",
        steps=above(1),
        link=TO_JOBS,
    )


def health_by_job(scope: BoardScope, width: int) -> Panel:
    """Return how each job did over time."""
    wrong = scope.increase_by(catalogue.JOB_OUTCOMES, "job_name", outcome=one_of(FAILURES), window=RATE)
    away = scope.increase_by(catalogue.JOB_OUTCOMES, "job_name", outcome=one_of(DID_NOT_RUN), window=RATE)
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
        mappings=(
            ValueMapping(0, "well", "green"),
            ValueMapping(1, "missed or skipped", "orange"),
            ValueMapping(2, "went wrong", "red"),
        ),
        link=TO_JOB,
    )


def scheduler_states(scope: BoardScope, width: int) -> Panel:
    """Return what each scheduler did over time."""

    def here(state: SchedulerState) -> str:
        return scope.sum_by(catalogue.SCHEDULER_STATE, "instance", "owner", state=state)

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
        mappings=tuple(
            ValueMapping(place, state.value, _COLOURS.get(state, "blue")) for state, place in _PLACES.items()
        ),
        link=TO_INSTANCE,
    )


def quantiles(scope: BoardScope, metric: Metric, *, exemplar: bool) -> tuple[Query, ...]:
    """Return the usual three quantiles; each exemplar on them leads to the trace of one run."""
    return tuple(
        Query(scope.quantile(share, metric), f"p{share * 100:g}", exemplar=exemplar and share == highest)
        for highest in (0.99,)
        for share in (0.5, 0.95, highest)
    )


def waits(scope: BoardScope, width: int) -> Panel:
    """Return who waits for what."""
    return Panel(
        Kind.TIMESERIES,
        "Who waits",
        "Parties that wait for each lock, over all instances. A level that does not fall: the lock is held for "
        "longer than the work behind it takes to come in; the table of holders says by whom.",
        "short",
        (Query(scope.sum_by(catalogue.LOCK_WAITERS, "resource"), "{{resource}}"),),
        width=width,
        no_value="nobody",
        stepped=True,
        link=TO_LOCK,
    )
