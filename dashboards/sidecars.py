"""Decide what is shown of sidecars: whom they hear, what they missed, and whether they still see the store. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import GOOD, Kind, Panel, Query, Step, ValueMapping, above
from tickglass.dashboards.scope import RATE
from tickglass.telemetry import catalogue, thresholds

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["sidecar_event_panels", "sidecar_probe_panels"]

_WHO = ("owner", "service")


def sidecar_event_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about the schedulers that talk to sidecars."""
    return _connected(scope), _heard(scope), _events(scope), _missing(scope), _refused(scope)


def sidecar_probe_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about the stores that sidecars read."""
    return _last_probe(scope), _probe_time(scope), _probe_errors(scope), _offset(scope)


def _panel(
    title: str, description: str, unit: str, *queries: Query, steps: tuple[Step, ...] = (), width: int = 8
) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        title,
        description,
        unit,
        queries,
        width=width,
        no_value="no sidecar",
        steps=steps,
        sidecar=True,
    )


def _connected(scope: BoardScope) -> Panel:
    return Panel(
        Kind.STATE_TIMELINE,
        "Connected",
        "Whether each scheduler talks to its sidecar. Gone: the process has ended, was killed, or cannot reach the "
        "socket; what is live of it is not shown any more, what the store knows of it still is.",
        "short",
        (Query(scope.max_by(catalogue.SIDECAR_CONNECTED, *_WHO), "{{owner}} {{service}}"),),
        width=12,
        no_value="no sidecar",
        mappings=(ValueMapping(0, "gone", "red"), ValueMapping(1, "connected", GOOD)),
        sidecar=True,
    )


def _heard(scope: BoardScope) -> Panel:
    return _panel(
        "Last heard",
        "Time since the last event of each scheduler. Climbing beyond a few seconds although it is connected: it "
        "stands still, for its timeline turns once a second at least.",
        "s",
        Query(f"time() - {scope.max_by(catalogue.SIDECAR_LAST_EVENT, *_WHO)}", "{{owner}} {{service}}"),
        width=12,
    )


def _events(scope: BoardScope) -> Panel:
    return _panel(
        "Events heard",
        "Events a second of each scheduler. None: nothing happens there, or nothing arrives.",
        "ops",
        Query(scope.rate_by(catalogue.SIDECAR_EVENTS, *_WHO, window=RATE), "{{owner}} {{service}}"),
    )


def _missing(scope: BoardScope) -> Panel:
    gaps, missed = (
        scope.increase_by(metric, *_WHO, window=RATE) for metric in (catalogue.SIDECAR_GAPS, catalogue.SIDECAR_MISSED)
    )
    return _panel(
        "Events missed",
        "Events that a scheduler made and that its sidecar never got, and how often that happened. Anything here: the "
        "counters of that scheduler are too low by what is missing.",
        "short",
        Query(gaps, "{{owner}} {{service}} gaps"),
        Query(missed, "{{owner}} {{service}} events"),
        steps=above(1),
    )


def _refused(scope: BoardScope) -> Panel:
    return _panel(
        "Connections refused",
        "Connections that sidecars ended, by reason. Version: scheduler and sidecar are of different releases. "
        "Anything else: somebody who is not a scheduler talks to the socket.",
        "short",
        Query(scope.increase_by(catalogue.SIDECAR_REFUSED, "reason", window=RATE), "{{reason}}"),
        steps=above(1),
    )


def _last_probe(scope: BoardScope) -> Panel:
    return _panel(
        "Since the store was read",
        "Time since a sidecar last read each store. Above the line: the sidecar is blind, and what it shows of "
        "holders that cannot speak is old.",
        "s",
        Query(f"time() - {scope.max_by(catalogue.SIDECAR_LAST_PROBE, 'source')}", "{{source}}"),
        steps=above(thresholds.PROBE_SILENT_S),
        width=6,
    )


def _probe_time(scope: BoardScope) -> Panel:
    return _panel(
        "How long reading takes",
        "p99 of reading each store. Climbing: the store is slow, or there is much in it.",
        "s",
        Query(scope.quantile(0.99, catalogue.SIDECAR_PROBE_DURATION, "source"), "{{source}}"),
        width=6,
    )


def _probe_errors(scope: BoardScope) -> Panel:
    return _panel(
        "Readings that fail",
        "Times that a store could not be read. Unavailable: it could not be reached in time. Error: it was reached "
        "and failed.",
        "short",
        Query(scope.increase_by(catalogue.SIDECAR_PROBE_ERRORS, "source", "kind", window=RATE), "{{source}} {{kind}}"),
        steps=above(1),
        width=6,
    )


def _offset(scope: BoardScope) -> Panel:
    limit = thresholds.CLOCK_OFFSET_S
    return _panel(
        "Sidecar's clock against the store's",
        "The sidecar's wall clock minus the store's, and the error of that measurement. Beyond the line: the ages "
        "that the sidecar shows are off by as much.",
        "s",
        Query(scope.max_by(catalogue.SIDECAR_OFFSET, "source"), "{{source}}"),
        Query(scope.max_by(catalogue.SIDECAR_OFFSET_ERROR, "source"), "{{source}} error"),
        steps=(Step(None, "red"), Step(-limit, GOOD), Step(limit, "red")),
        width=6,
    )
