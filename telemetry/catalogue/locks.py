"""Declare the metrics of locks: distributed_lock_*."""

from __future__ import annotations

from typing import Final

from tickglass.sched.lease import LockEvent, LockReason
from tickglass.telemetry.catalogue.declare import (
    BY_HOLDER,
    BY_RESOURCE,
    HOLDS_S,
    LOCK_WAITS_COMPACT_S,
    LOCK_WAITS_S,
    counter,
    gauge,
    histogram,
)
from tickglass.telemetry.label_values import AttemptStatus, ReleaseReason, RenewalStatus
from tickglass.telemetry.metric import Compact, Label

__all__ = [
    "FENCING_REJECTIONS",
    "LOCK_ACQUIRED",
    "LOCK_ATTEMPTS",
    "LOCK_EXPIRATIONS",
    "LOCK_EXPIRY",
    "LOCK_FAILURES",
    "LOCK_FENCE",
    "LOCK_HELD",
    "LOCK_HOLD",
    "LOCK_MARGIN",
    "LOCK_MAX_HOLD",
    "LOCK_RELEASES",
    "LOCK_RENEWALS",
    "LOCK_RENEWED",
    "LOCK_TRANSITIONS",
    "LOCK_TTL",
    "LOCK_UNRENEWED",
    "LOCK_WAIT",
    "LOCK_WAITERS",
]

LOCK_HELD: Final = gauge(
    "distributed_lock_held_seconds",
    "How long the lock has been held here, computed when scraped; absent while it is free.",
    *BY_HOLDER,
)
LOCK_ACQUIRED: Final = gauge(
    "distributed_lock_acquired_timestamp_seconds",
    "When the present hold began; absent while it is free.",
    *BY_HOLDER,
    compact=Compact.LEFT_OUT,
)
LOCK_ATTEMPTS: Final = counter(
    "distributed_lock_acquire_attempts_total",
    "Attempts to take the lock, by result; an attempt that lost against another holder is contended, not failed.",
    BY_RESOURCE,
    Label("status", AttemptStatus),
)
LOCK_FAILURES: Final = counter(
    "distributed_lock_acquire_failures_total",
    "Attempts that failed, by reason; they sum to the attempts with status failed.",
    BY_RESOURCE,
    Label("reason", LockReason),
)
LOCK_TRANSITIONS: Final = counter(
    "distributed_lock_transitions_total",
    "Moves of the lock's state machine: one increment for every edge taken.",
    BY_RESOURCE,
    Label("event", LockEvent),
    compact=Compact.TOGETHER,
)
LOCK_WAIT: Final = histogram(
    "distributed_lock_wait_seconds",
    "How long a blocking attempt waited, whatever its result; attempts that may not wait are not counted.",
    LOCK_WAITS_S,
    BY_RESOURCE,
    exemplar=True,
    compact_buckets=LOCK_WAITS_COMPACT_S,
)
LOCK_HOLD: Final = histogram(
    "distributed_lock_hold_duration_seconds",
    "How long a hold lasted; observed when it ends, whatever the reason.",
    HOLDS_S,
    BY_RESOURCE,
    exemplar=True,
    compact=Compact.TOGETHER,
)
LOCK_WAITERS: Final = gauge(
    "distributed_lock_waiters", "Runs and callers on this instance that wait for the lock now.", BY_RESOURCE
)
LOCK_RELEASES: Final = counter(
    "distributed_lock_releases_total",
    "Holds that ended, by reason.",
    BY_RESOURCE,
    Label("reason", ReleaseReason),
    compact=Compact.TOGETHER,
    by_name=(ReleaseReason.EXPIRED,),
)
LOCK_EXPIRATIONS: Final = counter(
    "distributed_lock_lease_expirations_total",
    "Leases of other holders that had ended without a release when this instance took the lock.",
    BY_RESOURCE,
)
LOCK_EXPIRY: Final = gauge(
    "distributed_lock_lease_expiry_timestamp_seconds",
    "When the lease held here ends unless it is renewed; absent while the lock is not held here.",
    BY_RESOURCE,
    compact=Compact.LEFT_OUT,
)
LOCK_TTL: Final = gauge("distributed_lock_lease_ttl_seconds", "How long a lease lasts without a renewal.", BY_RESOURCE)
LOCK_MAX_HOLD: Final = gauge(
    "distributed_lock_max_hold_seconds",
    "The longest that a job may hold the lock: its timeout, or the longest timeout of the jobs that share the "
    "resource; "
    "absent if one of them has no timeout, and for locks taken by hand.",
    BY_RESOURCE,
)
LOCK_RENEWALS: Final = counter(
    "distributed_lock_renewals_total",
    "Renewals, by result; late means confirmed with less than a third of the TTL left.",
    BY_RESOURCE,
    Label("status", RenewalStatus),
    compact=Compact.TOGETHER,
    by_name=(RenewalStatus.ERROR,),
)
LOCK_RENEWED: Final = gauge(
    "distributed_lock_last_renewal_timestamp_seconds",
    "When the lease held here was granted or last renewed; absent while the lock is not held here.",
    BY_RESOURCE,
    compact=Compact.LEFT_OUT,
)
LOCK_UNRENEWED: Final = gauge(
    "distributed_lock_unrenewed_seconds",
    "How long ago the lease held here was granted or last renewed, computed when scraped; "
    "absent while the lock is not held here, and for leases that are not renewed.",
    BY_RESOURCE,
)
LOCK_MARGIN: Final = counter(
    "distributed_lock_renewal_margin_seconds_total",
    "What was left of the lease when a renewal was confirmed, all together; divided by the renewals with status ok or "
    "late, its mean.",
    BY_RESOURCE,
    compact=Compact.TOGETHER,
)
LOCK_FENCE: Final = gauge(
    "distributed_lock_fencing_token",
    "The fencing token last granted on this instance; absent before the first.",
    BY_RESOURCE,
    compact=Compact.LEFT_OUT,
)
FENCING_REJECTIONS: Final = counter(
    "distributed_lock_fencing_rejections_total",
    "Guarded writes refused because a newer fence had been seen, or because the run had no claim; nothing was written.",
    BY_RESOURCE,
)
