"""Decide what is shown of lateness: how late starts are, of which jobs, and what made them late. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import Kind, Panel, Query, above, below
from tickglass.dashboards.scope import RATE
from tickglass.dashboards.shared_panels import TO_JOB, TOGETHER, quantiles
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.jobs import mean_lateness, on_time_share
from tickglass.telemetry.queries.selector import on

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["lateness_panels"]


def lateness_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels."""
    return _lateness_map(scope), _lateness(scope), _parts(scope), _on_time_over_time(scope), _grace(scope)


def _lateness_map(scope: BoardScope) -> Panel:
    return Panel(
        Kind.HEATMAP,
        "Lateness",
        "Start minus due. A second band above the first: some starts wait for a lock or a worker. The dots are "
        "exemplars: each leads to the trace of the late run.",
        "s",
        (Query(scope.buckets(catalogue.JOB_LATENESS), "{{le}}", exemplar=True),),
        width=12,
        no_value="nothing started",
    )


def _lateness(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How late starts are",
        "Quantiles of start minus due. Above the line: too late to count as on time.",
        "s",
        quantiles(scope, catalogue.JOB_LATENESS, exemplar=True),
        width=12,
        no_value="nothing started",
        steps=above(scope.on_time_s),
    )


def _parts(scope: BoardScope) -> Panel:
    total = scope.rate_by(catalogue.JOB_LATENESS_PART, "part", window=RATE)
    count = scope.rate_by(catalogue.JOB_LATENESS, part="count", window=RATE)
    return Panel(
        Kind.TIMESERIES,
        "What made starts late",
        "Mean lateness, split by cause. Timer: the timeline woke late, because the process gets too little CPU. Pool: "
        "all workers are busy. Lock: claims are slow, or another holder has the resource. Start: telemetry, or the "
        f"interpreter. {TOGETHER}",
        "s",
        (Query(f"{total} / on () group_left () {count}", "{{part}}"),),
        no_value="nothing started",
        stacked=True,
    )


def _on_time_over_time(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "On time, by job",
        "Share of the occurrences that started in time. Below the line: the objective is not met.",
        "percentunit",
        (Query(on_time_share(scope, "increase", RATE, *scope.by_job), "{{service}} {{job_name}}"),),
        no_value="nothing was due",
        steps=below(thresholds.ON_TIME_OBJECTIVE),
        maximum=1,
        link=TO_JOB,
    )


def _grace(scope: BoardScope) -> Panel:
    grace = scope.max_by(catalogue.JOB_GRACE, *scope.by_job)
    return Panel(
        Kind.TIMESERIES,
        "Of the misfire grace",
        "How much of its grace a start of each job uses up on average. Above the line: if starts get much later, they "
        "will be missed.",
        "percentunit",
        (Query(f"{mean_lateness(scope, RATE)} / {on(scope.by_job)} {grace}", "{{service}} {{job_name}}"),),
        no_value="nothing started",
        steps=above(thresholds.LATENESS_OF_GRACE),
        link=TO_JOB,
    )
