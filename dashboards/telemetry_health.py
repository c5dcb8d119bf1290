"""The board of telemetry itself: does what the other boards show arrive, all of it, and in time? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import Board, Kind, Panel, Query, Row, above, below
from tickglass.dashboards.scope import RATE
from tickglass.dashboards.shared_panels import TO_INSTANCE
from tickglass.dashboards.sidecars import sidecar_event_panels, sidecar_probe_panels
from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["health"]


def health(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-telemetry",
        "Tickglass / Telemetry health",
        "Does what the other boards show arrive, all of it, and in time?",
        (
            Row("Prometheus and us", (_up(scope), _scrape_time(scope), _series(scope))),
            Row("What gets lost", (_dropped(scope), _sinks(scope), _overflow(scope))),
            Row("Sidecars: what they hear", sidecar_event_panels(scope)),
            Row("Sidecars: what they read", sidecar_probe_panels(scope)),
        ),
    )


def _up(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Scrapes that succeed",
        "1 while Prometheus reaches the instance. 0: the process is gone, frozen, or too slow to answer; what the "
        "boards show of it is old.",
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
        "Climbing with the number of series, as it should. Near Prometheus's timeout: scrapes are about to fail; "
        "and inside a scheduler a long one makes starts late, which is what the sidecar is for.",
        "s",
        (Query(f"max by (instance) ({scope.named('scrape_duration_seconds')})", "{{instance}}"),),
        no_value="no target",
        link=TO_INSTANCE,
    )


def _series(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Series",
        "Samples of each scrape. Climbing without new jobs: locks on names without end are taken by hand; see the "
        "overflow.",
        "short",
        (Query(f"max by (instance) ({scope.named('scrape_samples_scraped')})", "{{instance}}"),),
        no_value="no target",
        link=TO_INSTANCE,
    )


def _dropped(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Dropped",
        "Telemetry that was made and could not be delivered. Queue full: more is made than leaves. Export failed: "
        "the collector does not take it. Traces, or what the sidecar shows, have holes.",
        "short",
        (Query(scope.increase_by(catalogue.DROPPED, "signal", "reason", window=RATE), "{{signal}} {{reason}}"),),
        no_value="none",
        steps=above(1),
    )


def _sinks(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Sinks that fail",
        "Events that a sink did not take; runs do not suffer, what that sink tells has holes. The log has the "
        "exception, once a minute.",
        "short",
        (Query(scope.increase_by(catalogue.SINK_FAILURES, "sink", window=RATE), "{{sink}}"),),
        no_value="none",
        steps=above(1),
    )


def _overflow(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Names that share a series",
        "Values folded into __other__ because their label has as many as it may. Anything here: names without end, "
        "locks of single orders say, have crowded out others.",
        "short",
        (Query(scope.increase_by(catalogue.LABEL_OVERFLOW, "label", window=RATE), "{{label}}"),),
        no_value="none",
        steps=above(1),
    )
