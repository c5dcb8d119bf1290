"""The board to begin with: is anything wrong, since when, and which board shows more? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import Board, Column, Kind, Panel, Query, Row, above, below
from tickglass.dashboards.scope import SPAN
from tickglass.dashboards.shared_panels import (
    TO_JOB,
    TO_JOBS,
    TO_LOCK,
    TO_SCHEDULERS,
    failing_jobs,
    health_by_job,
    on_time,
    scheduler_states,
    stuck_locks,
    waits,
)
from tickglass.sched.lifecycle import SchedulerState
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import (
    failures_in_a_row,
    mean_lateness,
    on_time_share,
    owed_for,
    owed_long,
    owed_since,
)
from tickglass.telemetry.queries.locks import held_of_limit
from tickglass.telemetry.queries.selector import on

if TYPE_CHECKING:
    from tickglass.dashboards.model import Link
    from tickglass.dashboards.scope import BoardScope

__all__ = ["overview"]

_WORST = 10


def overview(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-overview",
        "Tickglass / Overview",
        "Is anything wrong, since when, and which board shows more?",
        (
            Row("Is anything wrong?", (_firing(), _running(scope), *_promises(scope))),
            Row("Since when?", (health_by_job(scope, 12), scheduler_states(scope, 12))),
            Row("Worst first", (_failing_most(scope), _latest(scope), _longest_without(scope))),
            Row("Locks", (_nearest_limit(scope), waits(scope, 12))),
        ),
    )


def _firing() -> Panel:
    ours = 'alertstate="firing", severity!="none", alertname=~"Tickglass.*|DistributedLock.*"'
    return Panel(
        Kind.STAT,
        "Alerts",
        "Alerts of Tickglass that fire now, without the watchdog, which always fires. Red: Prometheus and Alertmanager "
        "list the alerts, each with its runbook.",
        "short",
        (Query(f"count(ALERTS{{{ours}}}) or vector(0)", "firing"),),
        width=4,
        height=4,
        no_value="0",
        steps=above(1),
    )


def _running(scope: BoardScope) -> Panel:
    running = scope.sum_by(catalogue.SCHEDULER_STATE, state=SchedulerState.RUNNING)
    return Panel(
        Kind.STAT,
        "Schedulers running",
        "Schedulers whose state is running. Red: there is none, and nothing will be started.",
        "short",
        (Query(running, "running"),),
        width=4,
        height=4,
        no_value="0",
        steps=below(1),
        link=TO_SCHEDULERS,
    )


def _promises(scope: BoardScope) -> tuple[Panel, ...]:
    budget = 1 - thresholds.ON_TIME_OBJECTIVE
    left = Panel(
        Kind.STAT,
        "Budget left",
        f"How much is left of the {budget:.0%} of occurrences that may start late or not run, over the time that is "
        "shown. Red: the budget is spent. Make no changes until the cause is known.",
        "percentunit",
        (Query(f"1 - (1 - {on_time_share(scope, 'increase', SPAN)}) / {budget:g}", "left"),),
        width=4,
        height=4,
        no_value="nothing was due",
        steps=below(0),
        link=TO_JOBS,
    )
    return on_time(scope, SPAN, 4), left, stuck_locks(scope, 4), failing_jobs(scope, 4)


def _table(title: str, description: str, query: Query, keys: tuple[tuple[str, str], ...], link: Link) -> Panel:
    column = query.column
    assert column is not None  # noqa: S101 - for the type checker: all of them are tables
    return Panel(
        Kind.TABLE,
        title,
        description,
        column.unit,
        (query,),
        keys=keys,
        sort_by=column.title,
        no_value="-",
        steps=column.steps,
        link=link,
    )


def _worst(expr: str, column: Column) -> Query:
    return Query(f"topk({_WORST}, {expr})", column=column)


def _failing_most(scope: BoardScope) -> Panel:
    return _table(
        "Jobs that fail",
        "Failures in a row since the last success. Red: the job has failed repeatedly. The job's board has the "
        "outcomes and the traces.",
        _worst(
            failures_in_a_row(scope),
            Column("Failures in a row", steps=above(1, thresholds.FAILURES_IN_A_ROW)),
        ),
        (("job_name", "Job"), ("service", "Service")),
        TO_JOB,
    )


def _latest(scope: BoardScope) -> Panel:
    grace = scope.max_by(catalogue.JOB_GRACE, *scope.by_job)
    return _table(
        "Jobs that start late",
        "How much of its misfire grace a start uses up on average, over the time that is shown. Red: if starts get "
        "much later, occurrences will be missed. The job's board says whether the timer, the pool, the lock or the "
        "start itself took the time.",
        _worst(
            f"{mean_lateness(scope, SPAN)} / {on(scope.by_job)} {grace}",
            Column("Of the grace", "percentunit", above(thresholds.LATENESS_OF_GRACE, 1), gauge=True),
        ),
        (("job_name", "Job"), ("service", "Service")),
        TO_JOB,
    )


def _longest_without(scope: BoardScope) -> Panel:
    owed = owed_long(scope, owed_for(scope), owed_since(scope))
    interval = scope.max_by(catalogue.JOB_INTERVAL, *scope.by_job)
    return _table(
        "Jobs that owe a success",
        "For how many of its intervals each job has not succeeded, although it was due more than once. Red: the job "
        "is not doing its work: it fails, is skipped, or is not started at all.",
        _worst(
            f"({owed}) / {on(scope.by_job)} {interval}",
            Column("Intervals", "short", above(thresholds.INTERVALS_WITHOUT_SUCCESS), gauge=False),
        ),
        (("job_name", "Job"), ("service", "Service")),
        TO_JOB,
    )


def _nearest_limit(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TABLE,
        "Locks nearest to their limit",
        "How long each lock has been held, as a share of the longest timeout of its jobs. Red: the lock is stuck. The "
        "board of the lock says which instance holds it and how many wait.",
        "percentunit",
        (
            _worst(
                held_of_limit(scope),
                Column(
                    "Of the limit",
                    "percentunit",
                    above(thresholds.HELD_OF_LIMIT / 2, thresholds.HELD_OF_LIMIT),
                    gauge=True,
                ),
            ),
        ),
        width=12,
        keys=(("resource", "Lock"), ("service", "Service")),
        sort_by="Of the limit",
        no_value="-",
        steps=above(thresholds.HELD_OF_LIMIT),
        link=TO_LOCK,
    )
