"""The board of telemetry itself: does the data of the other boards arrive, completely and in time? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import Board, Kind, Panel, Query, Row, above, below
from tickglass.dashboards.scope import RATE
from tickglass.dashboards.shared_panels import TO_INSTANCE
from tickglass.dashboards.sidecars import sidecar_event_panels, sidecar_instance_panels, sidecar_probe_panels
from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["health"]


def health(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-telemetry",
        "Tickglass / Telemetry health",
        "Does the data of the other boards arrive, completely and in time?",
        (
            Row("Scrapes", (_up(scope), _scrape_time(scope), _series(scope))),
            Row("Losses", (_dropped(scope), _sinks(scope), _overflow(scope))),
            Row("Sidecars: events", sidecar_event_panels(scope)),
            Row("Sidecars: stores", sidecar_probe_panels(scope)),
            Row("Sidecars: instances", sidecar_instance_panels(scope)),
        ),
    )


def _up(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Scrapes that succeed",
        "1 while Prometheus reaches the instance. 0: the process is gone, frozen, or too slow to answer, and the "
        "boards show old data of it.",
        "short",
        (Query(f"min by (instance) ({scope.named('up')})", "{{instance}}"),),
        no_value="no target",
        steps=below(1),
        stepped=True,
        link=TO_INSTANCE,
    )


def _scrape_time(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a scrape takes",
        "It grows with the number of series, which is normal. Near Prometheus's timeout: scrapes will soon fail. "
        "Inside a scheduler a long scrape makes starts late; a sidecar avoids that.",
        "s",
        (Query(f"max by (instance) ({scope.named('scrape_duration_seconds')})", "{{instance}}"),),
        no_value="no target",
        link=TO_INSTANCE,
    )


def _series(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Series",
        "Samples of each scrape. Climbing without new jobs: locks outside jobs are taken on an unbounded number of "
        "names; see the panel of names that share a series. Locks outside jobs that are idle for an hour are not "
        "among them.",
        "short",
        (
            Query(f"max by (instance) ({scope.named('scrape_samples_scraped')})", "{{instance}}"),
            Query(scope.sum_by(catalogue.LOCKS_IDLE, "instance"), "{{instance}} idle locks"),
        ),
        no_value="no target",
        link=TO_INSTANCE,
    )


def _dropped(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Dropped",
        "Telemetry that was recorded and could not be delivered. Queue full: it is recorded faster than it is sent. "
        "Export failed: the collector does not take it. Traces, or the data of the sidecar, have gaps.",
        "short",
        (Query(scope.increase_by(catalogue.DROPPED, "signal", "reason", window=RATE), "{{signal}} {{reason}}"),),
        no_value="none",
        steps=above(1),
    )


def _sinks(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Sinks that fail",
        "Events that a sink did not take, because it raised. Runs are not affected, but the data of that sink has "
        "gaps. The log has the exception, once a minute.",
        "short",
        (Query(scope.increase_by(catalogue.SINK_FAILURES, "sink", window=RATE), "{{sink}}"),),
        no_value="none",
        steps=above(1),
    )


def _overflow(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Names that share a series",
        "Values counted under __other__ because their label has reached its maximum number of values. Anything here: "
        "an unbounded number of names is in use, for example one lock per order. Forgotten: idle locks that made room "
        "for others; their counters begin at 0 if they are used again.",
        "short",
        (
            Query(scope.increase_by(catalogue.LABEL_OVERFLOW, "label", window=RATE), "{{label}}"),
            Query(scope.increase_by(catalogue.LOCKS_FORGOTTEN, window=RATE), "forgotten"),
        ),
        no_value="none",
        steps=above(1),
    )
