"""Decide when an operator is alerted about a lock, or about the store that keeps the leases.

Pure. A lock's longest hold and its TTL are exported by lock, so that no rule
here names a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.locks import by_holder, held_too_long, store_error_share
from tickglass.telemetry.queries.selector import aggregate, indented, on

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["locks"]

_HOLDER: Final = "{{ $labels.owner }} of {{ $labels.service }}"


def locks(scope: RuleScope) -> Group:
    """Return the rules about locks and their store."""
    return Group("tickglass.locks", (*_holds(scope), *_leases(scope), _contention(scope), _store(scope)))


def _holds(scope: RuleScope) -> tuple[Alert, ...]:
    too_long = held_too_long(scope)
    waiters = scope.sum_by(catalogue.LOCK_WAITERS, *scope.by_resource)
    return (
        Alert(
            name="DistributedLockStuck",
            expr=too_long,
            pending="1m",
            severity=Severity.WARNING,
            labels=by_holder(scope),
            summary="A lock is held for longer than the timeout of its job.",
            description=(
                f"Lock {{{{ $labels.resource }}}} has been held for {{{{ $value | humanizeDuration }}}} by {_HOLDER}."
            ),
            board=Board.LOCKS,
        ),
        Alert(
            name="DistributedLockStuckBlocking",
            expr=f"(\n{indented(too_long)}\n)\nand {on(scope.by_resource)}\n{waiters} > 0",
            pending="1m",
            keep_firing_for="5m",  # waiters give up and come again
            severity=Severity.CRITICAL,
            labels=by_holder(scope),
            summary="A stuck lock keeps other runs waiting.",
            description=(
                f"Lock {{{{ $labels.resource }}}} has been held for {{{{ $value | humanizeDuration }}}} by {_HOLDER},"
                " and others wait."
            ),
            board=Board.LOCKS,
        ),
    )


def _leases(scope: RuleScope) -> tuple[Alert, ...]:
    matching = on((*scope.by_resource, "service"))
    expired = scope.increase_by(catalogue.LOCK_EXPIRATIONS, *scope.by_resource, "service", window="10m")
    lately = f"{scope.series(catalogue.LEASE_EXPIRED)} < {thresholds.LEASE_ENDED_LATELY_S:g}"
    ended_in_store = aggregate(
        "group", (*scope.by_resource, "service"), lately
    )  # a sidecar saw it before the next holder did
    unrenewed = scope.max_by(catalogue.LOCK_UNRENEWED, *scope.by_resource, "service")
    ttl = scope.max_by(catalogue.LOCK_TTL, *scope.by_resource, "service")
    stalled = f"{unrenewed}\n> {matching}\n{thresholds.RENEWAL_AGE_OF_TTL:g} * {ttl}"
    failed = scope.increase_by(catalogue.LOCK_RENEWALS, *scope.by_resource, "service", window="2m", status="error")
    expired_here = scope.increase_by(
        catalogue.LOCK_RELEASES, *scope.by_resource, "service", window="2m", reason="expired"
    )
    # A lease with a short TTL is given up before it is seen stalled.
    run_out = f"{ttl}\nand {matching}\n{failed} > 0\nand {matching}\n{expired_here} > 0"
    held_by = scope.series(catalogue.LOCK_HELD)
    rejected = scope.increase_by(catalogue.FENCING_REJECTIONS, *scope.by_resource, "service", window="10m")
    return (
        Alert(
            name="DistributedLockLeaseExpired",
            expr=f"{expired} > 0\nor {matching}\n{ended_in_store}",
            keep_firing_for="15m",
            severity=Severity.WARNING,
            labels=(*scope.by_resource, "service"),
            summary="A lease ended without having been released.",
            description='{{ $value | printf "%.0f" }} leases on {{ $labels.resource }} ended without a release.',
            board=Board.LOCKS,
        ),
        Alert(
            name="DistributedLockRenewalsStalled",
            expr=f"(\n{indented(stalled)}\n)\nor {matching}\n(\n{indented(run_out)}\n)",
            pending="30s",
            severity=Severity.CRITICAL,
            labels=(*scope.by_resource, "service"),
            summary="A held lock's lease is not being renewed, or ran out unrenewed.",
            description=(
                "The lease on {{ $labels.resource }} was not renewed for {{ $value | humanizeDuration }}"
                f"{scope.first_label(held_by, 'resource', 'owner', ' by ')}."
            ),
            board=Board.LOCKS,
        ),
        Alert(
            name="DistributedLockFencingRejected",
            expr=f"{rejected} > 0",
            severity=Severity.CRITICAL,
            labels=(*scope.by_resource, "service"),
            summary="A write by a stale holder was refused.",
            description='{{ $value | printf "%.0f" }} writes under an old fence of {{ $labels.resource }} in 10m.',
            board=Board.LOCKS,
        ),
    )


def _contention(scope: RuleScope) -> Alert:
    waited = scope.rate_by(catalogue.LOCK_WAIT, *scope.by_resource, "service", "le", part="bucket", window="10m")
    waits = scope.increase_by(catalogue.LOCK_WAIT, *scope.by_resource, "service", part="count", window="10m")
    return Alert(
        name="DistributedLockContentionHigh",
        expr=(
            f"histogram_quantile(0.95, {waited}) > {thresholds.WAIT_P95_S:g}\n"
            f"and {on((*scope.by_resource, 'service'))}\n"
            f"{waits} >= {thresholds.WAITS_MIN}"
        ),
        pending="10m",
        severity=Severity.WARNING,
        labels=(*scope.by_resource, "service"),
        summary="Waits for a lock take long.",
        description="One in twenty waits for {{ $labels.resource }} takes longer than {{ $value | humanizeDuration }}.",
        board=Board.LOCKS,
    )


def _store(scope: RuleScope) -> Alert:
    of_store = (*scope.by_service, "backend")
    matching, errors = on(of_store), scope.series(catalogue.STORE_ERRORS)
    outage = f"{store_error_share(scope, '2m', *of_store)}\n> {thresholds.STORE_OUTAGE_SHARE:g}"
    # Callers of a store that hangs wait, and make few calls: their share is small beside the calls before it hung.
    seconds = scope.rate_by(catalogue.STORE_DURATION, *of_store, part="sum", window="2m")
    calls = scope.rate_by(catalogue.STORE_DURATION, *of_store, part="count", window="2m")
    hangs = (
        f"{store_error_share(scope, '2m', *of_store)}\n> {thresholds.STORE_ERROR_SHARE:g}\n"
        f"and {matching}\n{seconds}\n/ {matching}\n{calls}\n> {thresholds.STORE_CALL_S:g}\n"
        f"and {matching}\n{aggregate('sum', of_store, f'increase({errors}[2m])')} >= {thresholds.STORE_ERRORS_MIN}"
    )
    # Few failures among many calls must last: they are seen now, and were three minutes ago.
    now, before = (aggregate("sum", of_store, f"increase({errors}[2m]{ago})") for ago in ("", " offset 3m"))
    lasting = (
        f"{store_error_share(scope, '5m', *of_store)}\n> {thresholds.STORE_ERROR_SHARE:g}\n"
        f"and {matching}\n{now} > 0\nand {matching}\n{before} > 0"
    )
    # An outage is told of soon, because jobs that cannot be claimed alert minutes later, and this explains them. The
    # alert goes on for as long as their windows see the outage.
    return Alert(
        name="DistributedLockStoreErrors",
        expr=f"{outage}\nor {matching}\n(\n{indented(hangs)}\n)\nor {matching}\n(\n{indented(lasting)}\n)",
        pending="1m",
        keep_firing_for="10m",
        severity=Severity.CRITICAL,
        labels=of_store,
        summary="Calls to the store of leases and ledger fail.",
        description=(
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.service }} to {{ $labels.backend }} fail."
        ),
        board=Board.LOCKS,
    )
