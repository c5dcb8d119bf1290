"""Decide what is shown of leases and their store: are leases renewed in time, and does the store answer? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.model import GOOD, Kind, Panel, Query, above
from tickglass.dashboards.scope import RATE
from tickglass.dashboards.shared_panels import SOME_TOGETHER, TO_LOCK, TOGETHER
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.label_values import RenewalStatus
from tickglass.telemetry.queries.locks import left_of_lease, store_error_share
from tickglass.telemetry.queries.selector import on, one_of

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["lease_panels", "store_panels"]

_RENEWALS = (
    (RenewalStatus.OK, GOOD),
    (RenewalStatus.LATE, "yellow"),
    (RenewalStatus.ERROR, "orange"),
    (RenewalStatus.LOST, "red"),
)


def lease_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about leases and their renewals."""
    return _expiry(scope), _renewal_age(scope), _renewals(scope), _margins(scope), _harm(scope)


def store_panels(scope: BoardScope) -> tuple[Panel, ...]:
    """Return the panels about the store's answers."""
    return _store_time(scope), _store_errors(scope), _store_calls(scope)


def _expiry(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Left of the lease",
        "Time until each held lease ends unless it is renewed. Normal: saw-teeth above zero. Falling to zero: the "
        "lease is not renewed. Leases that are not to be renewed are not here.",
        "s",
        (Query(left_of_lease(scope), "{{resource}}"),),
        no_value="all are free",
        link=TO_LOCK,
    )


def _renewal_age(scope: BoardScope) -> Panel:
    unrenewed = scope.max_by(catalogue.LOCK_UNRENEWED, *scope.by_resource)
    ttl = scope.max_by(catalogue.LOCK_TTL, *scope.by_resource)
    return Panel(
        Kind.TIMESERIES,
        "Since the last renewal",
        "As a share of the TTL. Renewals are due at a third. Above the line: at least one renewal has failed, and the "
        "lease will end soon.",
        "percentunit",
        (Query(f"{unrenewed} / {on(scope.by_resource)} {ttl}", "{{resource}}"),),
        no_value="all are free",
        steps=above(thresholds.RENEWAL_AGE_OF_TTL),
        link=TO_LOCK,
    )


def _renewals(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Renewals",
        "By how they ended. Late: less than a third of the TTL was left. Error: the store did not answer, and the "
        f"holder tries again. Lost: the lease had ended. {SOME_TOGETHER}",
        "ops",
        (Query(scope.rate_by(catalogue.LOCK_RENEWALS, "status", window=RATE), "{{status}}"),),
        no_value="none",
        stacked=True,
        colours=_RENEWALS,
    )


def _margins(scope: BoardScope) -> Panel:
    confirmed = one_of((RenewalStatus.OK, RenewalStatus.LATE))
    left = scope.rate_by(catalogue.LOCK_MARGIN, "resource", window=RATE)
    renewals = scope.rate_by(catalogue.LOCK_RENEWALS, "resource", window=RATE, status=confirmed)
    return Panel(
        Kind.TIMESERIES,
        "What was left at a renewal",
        "How much of the lease was left on average when a renewal was confirmed: two thirds of the TTL is normal. "
        "Sinking: renewals become later and later, because the store is slow or the process gets too little CPU. "
        f"{TOGETHER}",
        "s",
        (Query(f"{left} / on (resource) {renewals}", "{{resource}}"),),
        width=12,
        no_value="no renewals",
    )


def _harm(scope: BoardScope) -> Panel:
    abandoned = scope.increase_by(catalogue.LOCK_EXPIRATIONS, *scope.by_resource, window=RATE)
    refused = scope.increase_by(catalogue.FENCING_REJECTIONS, *scope.by_resource, window=RATE)
    return Panel(
        Kind.TIMESERIES,
        "Leases abandoned, stale writes refused",
        "Leases that ended without a release, and guarded writes that were refused because a newer fence had been "
        "seen. Anything here: a holder died or froze, or went on after its lease had ended.",
        "short",
        (Query(abandoned, "{{resource}} abandoned"), Query(refused, "{{resource}} stale write")),
        width=12,
        no_value="none",
        steps=above(1),
        link=TO_LOCK,
    )


def _store_time(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long the store takes",
        "p99 of its answers, by operation. Climbing: claims become late, then renewals and settlements.",
        "s",
        (Query(scope.quantile(0.99, catalogue.STORE_DURATION, "backend", "operation"), "{{backend}} {{operation}}"),),
        no_value="not asked",
    )


def _store_errors(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Calls that fail",
        "Share of the calls that the store did not answer, or answered with an error. Above the line: runs are "
        "skipped, and leases may be lost.",
        "percentunit",
        (Query(store_error_share(scope, RATE, *scope.keep, "backend"), "{{backend}}"),),
        no_value="not asked",
        steps=above(thresholds.STORE_ERROR_SHARE),
        maximum=1,
    )


def _store_calls(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Failures by kind",
        "Unavailable: the store could not be reached in time. Error: it was reached, and the call failed.",
        "ops",
        (Query(scope.rate_by(catalogue.STORE_ERRORS, "operation", "kind", window=RATE), "{{operation}} {{kind}}"),),
        no_value="none",
        stacked=True,
    )
