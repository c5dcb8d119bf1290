"""Decide what is shown of sidecars: which schedulers are connected, what was missed, is the store read? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import GOOD, Kind, Panel, Query, Step, ValueMapping, above
from tickglass.dashboards.scope import RATE
from tickglass.telemetry import catalogue, thresholds

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["sidecar_event_panels", "sidecar_instance_panels", "sidecar_probe_panels"]

_WHO = ("owner", "service")


def sidecar_event_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about the schedulers that send events to sidecars."""
    return _connected(scope), _since_event(scope), _events(scope), _missing(scope), _refused(scope)


def sidecar_probe_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about the stores that sidecars read."""
    return _last_probe(scope), _probe_time(scope), _probe_errors(scope), _offset(scope)


def sidecar_instance_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about the instances that the stores know."""
    return _living(scope), _having(scope)


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


def _living(scope: BoardScope) -> Panel:
    return _panel(
        "Instances",
        "How many instances of each service live, by their records in the store. Silent: it died or does not reach "
        "the store, and was not started again.",
        "short",
        Query(scope.max_by(catalogue.SERVICE_INSTANCES, "service"), "{{service}}"),
        Query(scope.max_by(catalogue.SERVICE_SILENT, "service"), "{{service}} silent"),
        width=12,
    )


def _having(scope: BoardScope) -> Panel:
    return _panel(
        "Instances that have each job",
        "How many living instances have each job. Fewer than there are, for longer than a deploy takes: a deploy "
        "stopped half-way, or instances are configured differently.",
        "short",
        Query(scope.max_by(catalogue.JOB_INSTANCES, "service", "job_name"), "{{service}}/{{job_name}}"),
        width=12,
    )


def _connected(scope: BoardScope) -> Panel:
    return Panel(
        Kind.STATE_TIMELINE,
        "Connected",
        "Whether each scheduler is connected to its sidecar. Gone: the process has ended, was killed, or cannot reach "
        "the socket. Its live state is no longer shown; what the store has of it still is.",
        "short",
        (Query(scope.max_by(catalogue.SIDECAR_CONNECTED, *_WHO), "{{owner}} {{service}}"),),
        width=12,
        no_value="no sidecar",
        mappings=(ValueMapping(0, "gone", "red"), ValueMapping(1, "connected", GOOD)),
        sidecar=True,
    )


def _since_event(scope: BoardScope) -> Panel:
    return _panel(
        "Since the last event",
        "Time since the last event of each scheduler. More than a few seconds although it is connected: it stands "
        "still, because its timeline ticks at least once a second.",
        "s",
        Query(f"time() - {scope.max_by(catalogue.SIDECAR_LAST_EVENT, *_WHO)}", "{{owner}} {{service}}"),
        width=12,
    )


def _events(scope: BoardScope) -> Panel:
    return _panel(
        "Events received",
        "Events per second of each scheduler. None: nothing happens there, or no event arrives.",
        "ops",
        Query(scope.rate_by(catalogue.SIDECAR_EVENTS, *_WHO, window=RATE), "{{owner}} {{service}}"),
    )


def _missing(scope: BoardScope) -> Panel:
    gaps, missed = (
        scope.increase_by(metric, *_WHO, window=RATE) for metric in (catalogue.SIDECAR_GAPS, catalogue.SIDECAR_MISSED)
    )
    return _panel(
        "Events missed",
        "Events of a scheduler that its sidecar never received, and how often there was such a gap. Anything here: "
        "the sidecar's counters of that scheduler are too low.",
        "short",
        Query(gaps, "{{owner}} {{service}} gaps"),
        Query(missed, "{{owner}} {{service}} events"),
        steps=above(1),
    )


def _refused(scope: BoardScope) -> Panel:
    return _panel(
        "Connections refused",
        "Connections that sidecars ended, by reason. Version: scheduler and sidecar are of different releases. "
        "Anything else: a program that is not a scheduler connects to the socket.",
        "short",
        Query(scope.increase_by(catalogue.SIDECAR_REFUSED, "reason", window=RATE), "{{reason}}"),
        steps=above(1),
    )


def _last_probe(scope: BoardScope) -> Panel:
    return _panel(
        "Since the store was read",
        "Time since a sidecar last read each store. Above the line: the sidecar cannot read it, and shows old data of "
        "the holders that are not connected.",
        "s",
        Query(f"time() - {scope.max_by(catalogue.SIDECAR_LAST_PROBE, 'source')}", "{{source}}"),
        steps=above(thresholds.PROBE_SILENT_S),
        width=6,
    )


def _probe_time(scope: BoardScope) -> Panel:
    return _panel(
        "How long a reading takes",
        "p99 of reading each store. Climbing: the store is slow, or it holds much data.",
        "s",
        Query(scope.quantile(0.99, catalogue.SIDECAR_PROBE_DURATION, "source"), "{{source}}"),
        width=6,
    )


def _probe_errors(scope: BoardScope) -> Panel:
    return _panel(
        "Readings that fail",
        "How often a store could not be read. Unavailable: it could not be reached in time. Error: it was reached, "
        "and the call failed.",
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
        "that the sidecar shows are wrong by this offset.",
        "s",
        Query(scope.max_by(catalogue.SIDECAR_OFFSET, "source"), "{{source}}"),
        Query(scope.max_by(catalogue.SIDECAR_OFFSET_ERROR, "source"), "{{source}} error"),
        steps=(Step(None, "red"), Step(-limit, GOOD), Step(limit, "red")),
        width=6,
    )
