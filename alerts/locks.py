"""Decide when an operator is alerted about a lock, or about the store that keeps the leases.

Pure. A lock's longest hold and its TTL are exported by lock, so that no rule
here names a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.locks import held_too_long, store_error_share
from tickglass.telemetry.queries.selector import aggregate, indented

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["locks"]


def locks(scope: RuleScope) -> Group:
    """Return the rules about locks and their store."""
    return Group("tickglass.locks", (*_holds(scope), *_leases(scope), _contention(scope), _store(scope)))


def _holds(scope: RuleScope) -> tuple[Alert, ...]:
    too_long = held_too_long(scope)
    waiters = scope.sum_by(catalogue.LOCK_WAITERS, "resource")
    return (
        Alert(
            name="DistributedLockStuck",
            expr=too_long,
            pending="1m",
            severity=Severity.WARNING,
            labels=("resource",),
            summary="A lock is held for longer than the timeout of its job.",
            description="Lock {{ $labels.resource }} has been held for {{ $value | humanizeDuration }}.",
            board=Board.LOCKS,
        ),
        Alert(
            name="DistributedLockStuckBlocking",
            expr=f"(\n{indented(too_long)}\n)\nand on (resource)\n{waiters} > 0",
            pending="1m",
            severity=Severity.CRITICAL,
            labels=("resource",),
            summary="A stuck lock keeps other runs waiting.",
            description=(
                "Lock {{ $labels.resource }} has been held for {{ $value | humanizeDuration }}, and others wait."
            ),
            board=Board.LOCKS,
        ),
    )


def _leases(scope: RuleScope) -> tuple[Alert, ...]:
    expired = scope.increase_by(catalogue.LOCK_EXPIRATIONS, "resource", window="10m")
    lately = f"{scope.series(catalogue.LEASE_EXPIRED)} < {thresholds.LEASE_ENDED_LATELY_S:g}"
    ended_in_store = aggregate("group", ("resource",), lately)  # a sidecar saw it before the next holder did
    unrenewed = scope.max_by(catalogue.LOCK_UNRENEWED, "resource")
    ttl = scope.max_by(catalogue.LOCK_TTL, "resource")
    stalled = f"{unrenewed}\n> on (resource)\n{thresholds.RENEWAL_AGE_OF_TTL:g} * {ttl}"
    failed = scope.increase_by(catalogue.LOCK_RENEWALS, "resource", window="2m", status="error")
    expired_here = scope.increase_by(catalogue.LOCK_RELEASES, "resource", window="2m", reason="expired")
    # A lease with a short TTL is given up before it is seen stalled.
    run_out = f"{ttl}\nand on (resource)\n{failed} > 0\nand on (resource)\n{expired_here} > 0"
    rejected = scope.increase_by(catalogue.FENCING_REJECTIONS, "resource", window="10m")
    return (
        Alert(
            name="DistributedLockLeaseExpired",
            expr=f"{expired} > 0\nor on (resource)\n{ended_in_store}",
            keep_firing_for="15m",
            severity=Severity.WARNING,
            labels=("resource",),
            summary="A lease ended without having been released.",
            description='{{ $value | printf "%.0f" }} leases on {{ $labels.resource }} ended without a release.',
            board=Board.LOCKS,
        ),
        Alert(
            name="DistributedLockRenewalsStalled",
            expr=f"(\n{indented(stalled)}\n)\nor on (resource)\n(\n{indented(run_out)}\n)",
            pending="30s",
            severity=Severity.CRITICAL,
            labels=("resource",),
            summary="A held lock's lease is not being renewed, or ran out unrenewed.",
            description="The lease on {{ $labels.resource }} was not renewed for {{ $value | humanizeDuration }}.",
            board=Board.LOCKS,
        ),
        Alert(
            name="DistributedLockFencingRejected",
            expr=f"{rejected} > 0",
            severity=Severity.CRITICAL,
            labels=("resource",),
            summary="A write by a stale holder was refused.",
            description='{{ $value | printf "%.0f" }} writes under an old fence of {{ $labels.resource }} in 10m.',
            board=Board.LOCKS,
        ),
    )


def _contention(scope: RuleScope) -> Alert:
    waited = scope.rate_by(catalogue.LOCK_WAIT, "resource", "le", part="bucket", window="10m")
    waits = scope.increase_by(catalogue.LOCK_WAIT, "resource", part="count", window="10m")
    return Alert(
        name="DistributedLockContentionHigh",
        expr=(
            f"histogram_quantile(0.95, {waited}) > {thresholds.WAIT_P95_S:g}\n"
            f"and on (resource)\n"
            f"{waits} >= {thresholds.WAITS_MIN}"
        ),
        pending="10m",
        severity=Severity.WARNING,
        labels=("resource",),
        summary="Waits for a lock take long.",
        description="One in twenty waits for {{ $labels.resource }} takes longer than {{ $value | humanizeDuration }}.",
        board=Board.LOCKS,
    )


def _store(scope: RuleScope) -> Alert:
    # Where calls are few, a few failures weigh for all of 5m.
    lately = scope.rate_by(catalogue.STORE_ERRORS, "backend", window="2m")
    return Alert(
        name="DistributedLockStoreErrors",
        expr=(f"{store_error_share(scope, '5m')}\n> {thresholds.STORE_ERROR_SHARE:g}\nand on (backend)\n{lately} > 0"),
        pending="3m",
        severity=Severity.CRITICAL,
        labels=("backend",),
        summary="Calls to the store of leases and ledger fail.",
        description="{{ $value | humanizePercentage }} of the calls to {{ $labels.backend }} fail.",
        board=Board.LOCKS,
    )
