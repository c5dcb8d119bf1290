"""Declare what a sidecar says itself: its schedulers, and what it sees in the stores."""

from __future__ import annotations

from typing import Final

from tickglass.telemetry.catalogue.declare import (
    BY_HOLDER,
    BY_JOB,
    BY_SCHEDULER,
    BY_SOURCE,
    PROBES_S,
    counter,
    gauge,
    histogram,
)
from tickglass.telemetry.label_values import RefusedBecause, StoreErrorKind
from tickglass.telemetry.metric import Declared, Label

__all__ = [
    "JOB_ABANDONED",
    "JOB_INSTANCES",
    "LEASE_EXPIRED",
    "SERVICE_INSTANCES",
    "SERVICE_SILENT",
    "SIDECAR_CONNECTED",
    "SIDECAR_EVENTS",
    "SIDECAR_GAPS",
    "SIDECAR_LAST_EVENT",
    "SIDECAR_LAST_PROBE",
    "SIDECAR_MISSED",
    "SIDECAR_OFFSET",
    "SIDECAR_OFFSET_ERROR",
    "SIDECAR_PROBE_AGE",
    "SIDECAR_PROBE_DURATION",
    "SIDECAR_PROBE_ERRORS",
    "SIDECAR_REFUSED",
]

SIDECAR_CONNECTED: Final = gauge(
    "tickglass_sidecar_scheduler_connected",
    "1 while the scheduler is connected, 0 after its connection ended; absent after a stop that it was asked for.",
    *BY_SCHEDULER,
)
SIDECAR_EVENTS: Final = counter("tickglass_sidecar_events_total", "Events received from the scheduler.", *BY_SCHEDULER)
SIDECAR_GAPS: Final = counter(
    "tickglass_sidecar_event_gaps_total", "Times that the sidecar found events of the scheduler missing.", *BY_SCHEDULER
)
SIDECAR_MISSED: Final = counter(
    "tickglass_sidecar_events_missed_total", "Events of the scheduler that were missing.", *BY_SCHEDULER
)
SIDECAR_LAST_EVENT: Final = gauge(
    "tickglass_sidecar_last_event_timestamp_seconds", "When the scheduler last sent something.", *BY_SCHEDULER
)
SIDECAR_REFUSED: Final = counter(
    "tickglass_sidecar_connections_refused_total",
    "Connections that the sidecar refused or ended because of what they sent, or did not send.",
    Label("reason", RefusedBecause),
)
SIDECAR_LAST_PROBE: Final = gauge(
    "tickglass_sidecar_source_last_success_timestamp_seconds",
    "When the store was last read; absent before the first time.",
    BY_SOURCE,
)
SIDECAR_PROBE_AGE: Final = gauge(
    "tickglass_sidecar_source_age_seconds",
    "How long ago the store was last read, computed when scraped; absent before the first time.",
    BY_SOURCE,
)
SIDECAR_PROBE_DURATION: Final = histogram(
    "tickglass_sidecar_probe_duration_seconds", "How long it took to read the store.", PROBES_S, BY_SOURCE
)
SIDECAR_PROBE_ERRORS: Final = counter(
    "tickglass_sidecar_probe_errors_total",
    "Times that the store could not be read.",
    BY_SOURCE,
    Label("kind", StoreErrorKind),
)
SIDECAR_OFFSET: Final = gauge(
    "tickglass_sidecar_clock_offset_seconds", "The sidecar's wall clock minus the store's.", BY_SOURCE
)
SIDECAR_OFFSET_ERROR: Final = gauge(
    "tickglass_sidecar_clock_offset_error_seconds", "Bound of the error of that offset.", BY_SOURCE
)
LEASE_EXPIRED: Final = gauge(
    "distributed_lock_lease_expired_seconds",
    "How long ago the lease ended without a release, while no holder has taken the lock since; absent otherwise.",
    *BY_HOLDER,
)
JOB_ABANDONED: Final = gauge(
    "tickglass_job_abandoned_claims", "Claims in the store that have no outcome and whose lease has ended.", BY_JOB
)
JOB_INSTANCES: Final = gauge(
    "tickglass_job_instances",
    "Living instances of its service that have the job, by their records in the store; absent while that is not known.",
    BY_JOB,
)
SERVICE_INSTANCES: Final = gauge(
    "tickglass_service_instances",
    "Living instances of the service, by their records in the store.",
    Label("service", Declared.SERVICE),
)
SERVICE_SILENT: Final = gauge(
    "tickglass_service_silent_instances",
    "Instances of the service that died or do not reach the store: they have not left, were not heard of for a minute, "
    "and no living instance has their owner's name.",
    Label("service", Declared.SERVICE),
)
