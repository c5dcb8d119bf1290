"""Build the panels that several boards share: what is stuck, what is on time, in which state schedulers are.

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
    "SOME_TOGETHER",
    "TOGETHER",
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

# For panels of what is counted for all jobs or all locks together at compact detail: see docs/telemetry.md.
TOGETHER: Final = "At compact detail this is known only of all together, under the name __other__."
SOME_TOGETHER: Final = "At compact detail most of these are known only of all together, under the name __other__."
TO_JOB: Final = Link("tickglass-jobs", "job_name", "job_name", "Show this job")
TO_LOCK: Final = Link("tickglass-locks", "resource", "resource", "Show this lock")
TO_JOBS: Final = Link("tickglass-jobs", "", "", "Show the jobs")
TO_LOCKS: Final = Link("tickglass-locks", "", "", "Show the locks")
TO_SCHEDULERS: Final = Link("tickglass-scheduler", "", "", "Show the schedulers")
TO_INSTANCE: Final = Link("tickglass-scheduler", "instance", "instance", "Show this instance")

_PLACES: Final = {state: place for place, state in enumerate(SchedulerState)}
_COLOURS: Final = {SchedulerState.RUNNING: "green", SchedulerState.DRAINING: "orange", SchedulerState.STOPPED: "red"}


def on_time(scope: BoardScope, window: str, width: int) -> Panel:
    """Return a panel of the share of starts that were on time."""
    return Panel(
        Kind.STAT,
        "On time",
        f"Share of the occurrences that started within {scope.on_time_s * 1000:g} ms of their due instant. Missed and "
        "skipped occurrences count against it. Occurrences that another instance claimed do not count, nor those that "
        "were skipped because the job was still running. "
        "Red: the objective is not met. The board of jobs shows what made them late.",
        "percentunit",
        (Query(on_time_share(scope, "increase", window), "on time"),),
        width=width,
        height=4,
        no_value="nothing was due",
        steps=below(thresholds.ON_TIME_OBJECTIVE),
        link=TO_JOBS,
    )


def stuck_locks(scope: BoardScope, width: int) -> Panel:
    """Return a panel of how many locks are held for too long."""
    return Panel(
        Kind.STAT,
        "Stuck locks",
        "Locks that have been held for longer than the longest timeout of their jobs. Red: a run ignores its "
        "timeout, or the holder's process stands still. The table of holders names it.",
        "short",
        (Query(f"count({held_of_limit(scope)} > {thresholds.HELD_OF_LIMIT:g}) or vector(0)", "stuck"),),
        width=width,
        height=4,
        no_value="0",
        steps=above(1),
        link=TO_LOCKS,
    )


def failing_jobs(scope: BoardScope, width: int) -> Panel:
    """Return a panel of how many jobs failed several times in a row."""
    return Panel(
        Kind.STAT,
        "Failing jobs",
        f"Jobs whose last {thresholds.FAILURES_IN_A_ROW} or more occurrences ended as failure, timeout, lost or "
        "orphaned. Red: the job is broken, or something that it needs is.",
        "short",
        (Query(f"count({failures_in_a_row(scope)} >= {thresholds.FAILURES_IN_A_ROW}) or vector(0)", "failing"),),
        width=width,
        height=4,
        no_value="0",
        steps=above(1),
        link=TO_JOBS,
    )


def health_by_job(scope: BoardScope, width: int) -> Panel:
    """Return a panel of the worst outcome of each job over time."""
    wrong = scope.increase_by(catalogue.JOB_OUTCOMES, *scope.by_job, outcome=one_of(FAILURES), window=RATE)
    away = scope.increase_by(catalogue.JOB_OUTCOMES, *scope.by_job, outcome=one_of(DID_NOT_RUN), window=RATE)
    return Panel(
        Kind.STATUS_HISTORY,
        "Worst outcome by job",
        "The worst outcome in each interval. Orange: an occurrence was missed or skipped, so work was not done, but "
        "nothing failed. Red: a run failed, ran over its timeout, lost its lease, or its claimant died. A gap: no "
        "data.",
        "short",
        (Query(f"clamp_max(2 * ceil({wrong}) + (ceil({away}) > bool 0), 2)", "{{service}} {{job_name}}"),),
        width=width,
        no_value="no job",
        steps=above(1, 2),
        mappings=(
            ValueMapping(0, "ok", "green"),
            ValueMapping(1, "missed or skipped", "orange"),
            ValueMapping(2, "failed", "red"),
        ),
        link=TO_JOB,
    )


def scheduler_states(scope: BoardScope, width: int) -> Panel:
    """Return a panel of the state of each scheduler over time."""

    def here(state: SchedulerState) -> str:
        return scope.sum_by(catalogue.SCHEDULER_STATE, "instance", "owner", state=state)

    states = (f"{place} * {here(state)}" for state, place in _PLACES.items() if place)
    return Panel(
        Kind.STATE_TIMELINE,
        "Schedulers",
        "The state of each scheduler. A gap: it cannot be scraped, or its sidecar has no connection to it. Other "
        "instances take over its jobs when its leases have ended. Orange for long: a run does not end, and the drain "
        "waits for it.",
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
    """Return a panel of how many wait for each lock."""
    return Panel(
        Kind.TIMESERIES,
        "Waiters by lock",
        "How many wait for each lock, over all instances. A level that does not fall: new waiters arrive faster than "
        "the lock becomes free. The table of holders says which instance holds it.",
        "short",
        (Query(scope.sum_by(catalogue.LOCK_WAITERS, *scope.by_resource), "{{resource}}"),),
        width=width,
        no_value="no waiters",
        stepped=True,
        link=TO_LOCK,
    )
