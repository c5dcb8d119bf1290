"""Declare every metric, once. Sinks, dashboards, alerts and docs/metrics.md read this.

Pure data. A query that names a metric which is not here is a mistake.
"""

from __future__ import annotations

from typing import Final

from tickglass.sched.events import SpoolMove
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.telemetry.label_values import (
    AttemptStatus,
    ClockDirection,
    DropReason,
    Generation,
    LatenessPart,
    RefusedBecause,
    ReleaseReason,
    RenewalStatus,
    Signal,
    StoreErrorKind,
    StoreOperation,
)
from tickglass.telemetry.metric import Declared, Kind, Label, Metric

__all__ = ["metrics", "sidecar_metrics"]


_RESOURCE: Final = Label("resource", Declared.RESOURCE)
_HOLDER: Final = (_RESOURCE, Label("owner", Declared.OWNER), Label("service", Declared.SERVICE))
_JOB: Final = Label("job_name", Declared.JOB_NAME)
_POOL: Final = Label("pool", Declared.POOL)
_CALL: Final = (Label("backend", Declared.STORE), Label("operation", StoreOperation))
_TELLER: Final = _HOLDER[1:]
_SOURCE: Final = Label("source", Declared.SOURCE)

# Bounds in seconds. 8 ms is the promise that a start is measured against; it must be one for the share to be exact.
_LATENESS: Final = (5e-5, 1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.008, 0.01, 0.025,
                    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # fmt: skip
_PARTS: Final = (1e-4, 0.001, 0.01, 0.1, 1.0)
_DURATIONS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                     25.0, 30.0, 60.0, 300.0, 900.0, 3600.0)  # fmt: skip
_WAITS: Final = (2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MARGINS: Final = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
_CALLS: Final = (1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_TICKS: Final = (1e-5, 5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0)
_LOOKS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PAUSES: Final = (5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)


def _counter(name: str, text: str, *labels: Label) -> Metric:
    return Metric(name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: Label) -> Metric:
    return Metric(name, Kind.GAUGE, text, labels, unit="seconds" if name.endswith("_seconds") else "")


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: Label, exemplar: bool = False) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, labels, unit="seconds", buckets=buckets, exemplar=exemplar)


# --- locks: distributed_lock_* ------------------------------------------------

LOCK_HELD: Final = _gauge(
    "distributed_lock_held_seconds",
    "How long the lock has been held here, computed when scraped; absent while it is free.",
    *_HOLDER,
)
LOCK_ACQUIRED: Final = _gauge(
    "distributed_lock_acquired_timestamp_seconds", "When the present hold began; absent while it is free.", *_HOLDER
)
LOCK_ATTEMPTS: Final = _counter(
    "distributed_lock_acquire_attempts_total",
    "Attempts to take the lock, by how they ended; losing a race is contended, not failed.",
    _RESOURCE,
    Label("status", AttemptStatus),
)
LOCK_FAILURES: Final = _counter(
    "distributed_lock_acquire_failures_total",
    "Attempts that failed, by reason; they sum to the attempts with status failed.",
    _RESOURCE,
    Label("reason", LockReason),
)
LOCK_TRANSITIONS: Final = _counter(
    "distributed_lock_transitions_total",
    "Moves of the lock's state machine: one increment for every edge taken.",
    _RESOURCE,
    Label("event", LockEvent),
)
LOCK_WAIT: Final = _histogram(
    "distributed_lock_wait_seconds",
    "How long a blocking attempt waited, however it ended; attempts that do not wait are left out.",
    _WAITS,
    _RESOURCE,
    exemplar=True,
)
LOCK_HOLD: Final = _histogram(
    "distributed_lock_hold_duration_seconds",
    "How long a hold lasted, observed when it ended in whatever way.",
    _DURATIONS,
    _RESOURCE,
    exemplar=True,
)
LOCK_WAITERS: Final = _gauge("distributed_lock_waiters", "Parties here that wait for the lock now.", _RESOURCE)
LOCK_RELEASES: Final = _counter(
    "distributed_lock_releases_total", "Holds that ended, by how.", _RESOURCE, Label("reason", ReleaseReason)
)
LOCK_EXPIRATIONS: Final = _counter(
    "distributed_lock_lease_expirations_total",
    "Leases of others seen, on taking the lock, to have ended without a release.",
    _RESOURCE,
)
LOCK_EXPIRY: Final = _gauge(
    "distributed_lock_lease_expiry_timestamp_seconds",
    "When the lease in hand ends at the latest unless it is renewed; absent while it is free.",
    _RESOURCE,
)
LOCK_TTL: Final = _gauge("distributed_lock_lease_ttl_seconds", "How long a lease lasts without a renewal.", _RESOURCE)
LOCK_MAX_HOLD: Final = _gauge(
    "distributed_lock_max_hold_seconds",
    "The longest that a job may hold the lock: its timeout, the longest where jobs share the resource; "
    "absent where one of them has none, as for locks taken by hand.",
    _RESOURCE,
)
LOCK_RENEWALS: Final = _counter(
    "distributed_lock_renewals_total",
    "Renewals, by how they ended; late: confirmed with less than a third of the TTL left.",
    _RESOURCE,
    Label("status", RenewalStatus),
)
LOCK_RENEWED: Final = _gauge(
    "distributed_lock_last_renewal_timestamp_seconds",
    "When the lease in hand was last granted or renewed; absent while it is free.",
    _RESOURCE,
)
LOCK_UNRENEWED: Final = _gauge(
    "distributed_lock_unrenewed_seconds",
    "How long ago the lease in hand was granted or last renewed, computed when scraped; "
    "absent while it is free, and where it is not to be renewed.",
    _RESOURCE,
)
LOCK_MARGIN: Final = _histogram(
    "distributed_lock_renewal_margin_seconds",
    "What was left of the lease when its renewal was confirmed.",
    _MARGINS,
    _RESOURCE,
)
LOCK_FENCE: Final = _gauge(
    "distributed_lock_fencing_token", "The fencing token granted last here; absent before the first.", _RESOURCE
)
FENCING_REJECTIONS: Final = _counter(
    "distributed_lock_fencing_rejections_total",
    "Guarded writes refused because a newer fence had been seen, or the run had no claim: each did no harm.",
    _RESOURCE,
)
STORE_DURATION: Final = _histogram(
    "distributed_lock_store_operation_duration_seconds", "How long the store took to answer.", _CALLS, *_CALL
)
STORE_ERRORS: Final = _counter(
    "distributed_lock_store_errors_total",
    "Calls that the store did not answer, or answered with a failure.",
    *_CALL,
    Label("kind", StoreErrorKind),
)

# --- jobs: tickglass_job_* ----------------------------------------------------

JOB_DUE: Final = _counter(
    "tickglass_job_due_total",
    "Due instants that came here; at every scrape exactly the sum of tickglass_job_outcomes_total "
    "and tickglass_job_pending.",
    _JOB,
)
JOB_OUTCOMES: Final = _counter(
    "tickglass_job_outcomes_total", "Occurrences that ended, by their one outcome.", _JOB, Label("outcome", Outcome)
)
JOB_PENDING: Final = _gauge(
    "tickglass_job_pending", "Occurrences that fell due and have not ended; counted, not computed.", _JOB
)
JOB_SKIPS: Final = _counter(
    "tickglass_job_skips_total", "Occurrences with outcome skipped, by reason.", _JOB, Label("reason", SkipReason)
)
JOB_DURATION: Final = _histogram(
    "tickglass_job_run_duration_seconds", "How long a run took, from start to end.", _DURATIONS, _JOB, exemplar=True
)
JOB_LATENESS: Final = _histogram(
    "tickglass_job_start_lateness_seconds", "Start minus due.", _LATENESS, _JOB, exemplar=True
)
JOB_LATENESS_PART: Final = _histogram(
    "tickglass_job_start_lateness_part_seconds",
    "Start minus due, split by cause; the parts of a start sum to its lateness.",
    _PARTS,
    _JOB,
    Label("part", LatenessPart),
)
JOB_LAST_LATENESS: Final = _gauge(
    "tickglass_job_last_start_lateness_seconds", "Start minus due of the last start here.", _JOB
)
JOB_NEXT: Final = _gauge(
    "tickglass_job_next_run_timestamp_seconds", "The job's next due instant; absent when there is none.", _JOB
)
JOB_LAST_START: Final = _gauge("tickglass_job_last_start_timestamp_seconds", "When a run last started here.", _JOB)
JOB_LAST_SUCCESS: Final = _gauge(
    "tickglass_job_last_success_timestamp_seconds",
    "When a run last succeeded here, or, before registration, anywhere, as far as the ledger's latest runs tell.",
    _JOB,
)
JOB_LAST_COMPLETION: Final = _gauge(
    "tickglass_job_last_completion_timestamp_seconds", "When a run last ended here, in whatever way.", _JOB
)
JOB_RUNNING_SINCE: Final = _gauge(
    "tickglass_job_running_since_timestamp_seconds",
    "When the oldest run in progress here started; absent when there is none.",
    _JOB,
)
JOB_REGISTERED: Final = _gauge("tickglass_job_registered_timestamp_seconds", "When the job was registered here.", _JOB)
JOB_RUNNING: Final = _gauge("tickglass_job_running", "Runs in progress here.", _JOB)
JOB_OVERDUE_RUNS: Final = _gauge(
    "tickglass_job_overdue_runs",
    "Runs in progress here that were asked to stop at their timeout and whose code has not returned.",
    _JOB,
)
JOB_FAILING: Final = _gauge(
    "tickglass_job_consecutive_failures",
    "Occurrences that ended as failure, timeout, lost or orphaned here since the last success; begins with those that "
    "the ledger has at registration, wherever they ran.",
    _JOB,
)
JOB_UNSUCCESSFUL: Final = _gauge(
    "tickglass_job_unsuccessful_since_timestamp_seconds",
    "Due instant of the first occurrence since the last success here that was to run here and did not succeed; begins "
    "with what the ledger has at registration; absent while there is none.",
    _JOB,
)
JOB_UNSUCCESSFUL_LATEST: Final = _gauge(
    "tickglass_job_unsuccessful_latest_timestamp_seconds",
    "Due instant of the latest such occurrence: the first one's while there is no other; absent while there is none.",
    _JOB,
)
JOB_INTERVAL: Final = _gauge(
    "tickglass_job_interval_seconds",
    "The shortest time between two due instants since registration: a pause over night is none; absent where it "
    "fires once.",
    _JOB,
)
JOB_MAX_RUNTIME: Final = _gauge(
    "tickglass_job_max_runtime_seconds", "The job's timeout; absent where it has none.", _JOB
)
JOB_GRACE: Final = _gauge("tickglass_job_misfire_grace_seconds", "How late a run of the job may still start.", _JOB)
JOB_TRIGGER_FAILURES: Final = _counter(
    "tickglass_job_trigger_failures_total", "Times the job's trigger raised instead of naming an instant.", _JOB
)
JOB_ORPHANS: Final = _counter(
    "tickglass_job_orphans_total", "Claims found here whose claimant died before it could settle them.", _JOB
)
JOB_UNDERCOUNTS: Final = _counter(
    "tickglass_job_missed_undercounts_total",
    "Times so many instants were missed that counting stopped: due and missed then hold a lower bound.",
    _JOB,
)
JOB_REMEMBERED: Final = _counter(
    "tickglass_job_claims_remembered_total",
    "Occurrences known to be claimed elsewhere without asking the store: a round trip saved each.",
    _JOB,
)
JOB_UNCLAIMED: Final = _counter(
    "tickglass_job_unclaimed_runs_total",
    "Runs that went ahead without a claim because the store was out, perhaps in several instances at once.",
    _JOB,
)

# --- the machinery: tickglass_* -----------------------------------------------

POOL_SLOTS: Final = _gauge("tickglass_pool_slots", "Workers of the pool.", _POOL)
POOL_IN_USE: Final = _gauge("tickglass_pool_slots_in_use", "Workers of the pool that are busy.", _POOL)
POOL_QUEUE: Final = _gauge("tickglass_pool_queue_depth", "Work that waits for a worker of the pool.", _POOL)
POOL_WAIT: Final = _histogram(
    "tickglass_pool_queue_wait_seconds", "How long work waited for a worker of the pool.", _WAITS, _POOL
)
TICK_DURATION: Final = _histogram(
    "tickglass_scheduler_tick_duration_seconds",
    "How long one turn of the timeline took; its count is a heartbeat.",
    _TICKS,
)
TICK_LAG: Final = _histogram("tickglass_scheduler_tick_lag_seconds", "How late the timeline woke.", _TICKS)
SCHEDULER_STATE: Final = _gauge(
    "tickglass_scheduler_state",
    "1 for the state that the scheduler is in, 0 for the others.",
    Label("state", SchedulerState),
)
SCHEDULER_READY: Final = _gauge(
    "tickglass_scheduler_ready",
    "1 while the scheduler can be counted on, 0 while it cannot: /readyz says why; absent before it starts.",
)
EVENT_LOOP_LAG: Final = _gauge(
    "tickglass_event_loop_lag_seconds",
    "How long the event loop of the coroutine jobs has owed an answer; or, when it owes none, how long its last "
    "one took. It is asked once a second. Absent before the first coroutine.",
)
SCHEDULER_INFO: Final = _gauge(
    "tickglass_scheduler_info",
    "Always 1; its labels say who this scheduler is, for series that do not: "
    "the service that is picked on a board, say.",
    Label("owner", Declared.OWNER),
    Label("service", Declared.SERVICE),
)
CLOCK_OFFSET: Final = _gauge("tickglass_clock_offset_seconds", "Our wall clock minus the store's.")
CLOCK_ERROR: Final = _gauge(
    "tickglass_clock_offset_error_seconds", "Bound of the error of that offset: half a round trip to the store."
)
CLOCK_STEPS: Final = _counter(
    "tickglass_clock_steps_total",
    "Times the wall clock jumped against the monotonic one.",
    Label("direction", ClockDirection),
)
SPOOL_DEPTH: Final = _gauge("tickglass_spool_depth", "Outcomes that wait for the store to answer.")
SPOOL_OUTCOMES: Final = _counter(
    "tickglass_spool_outcomes_total",
    "Outcomes that the store could not be told at once: spooled, written later, overtaken by somebody else, dropped.",
    Label("move", SpoolMove),
)
SINK_FAILURES: Final = _counter(
    "tickglass_telemetry_sink_failures_total", "Events that a sink failed to take.", Label("sink", Declared.SINK)
)
DROPPED: Final = _counter(
    "tickglass_telemetry_dropped_total",
    "Telemetry that was made and could not be delivered.",
    Label("signal", Signal),
    Label("reason", DropReason),
)
LABEL_OVERFLOW: Final = _counter(
    "tickglass_label_overflow_total",
    "Label values folded into __other__ because their label has as many as it may.",
    Label("label", Declared),
)
GC_PAUSE: Final = _histogram(
    "tickglass_gc_pause_seconds",
    "How long the garbage collector stopped the interpreter.",
    _PAUSES,
    Label("generation", Generation),
)
BUILD_INFO: Final = _gauge(
    "tickglass_build_info", "Always 1; its labels say what runs here.", Label("version", Declared.VERSION)
)

# --- what a sidecar says itself: its schedulers, and what it sees in the stores ------------

SIDECAR_CONNECTED: Final = _gauge(
    "tickglass_sidecar_scheduler_connected",
    "1 while the scheduler is connected, 0 once it is gone; absent once it has stopped as it was asked to.",
    *_TELLER,
)
SIDECAR_EVENTS: Final = _counter("tickglass_sidecar_events_total", "Events heard of the scheduler.", *_TELLER)
SIDECAR_GAPS: Final = _counter(
    "tickglass_sidecar_event_gaps_total", "Times that events of the scheduler were missing.", *_TELLER
)
SIDECAR_MISSED: Final = _counter(
    "tickglass_sidecar_events_missed_total", "Events of the scheduler that were missing.", *_TELLER
)
SIDECAR_LAST_EVENT: Final = _gauge(
    "tickglass_sidecar_last_event_timestamp_seconds", "When the scheduler was last heard.", *_TELLER
)
SIDECAR_REFUSED: Final = _counter(
    "tickglass_sidecar_connections_refused_total",
    "Connections that were ended because of what came, or did not come, over them.",
    Label("reason", RefusedBecause),
)
SIDECAR_LAST_LOOK: Final = _gauge(
    "tickglass_sidecar_source_last_success_timestamp_seconds",
    "When the store was last read; absent before the first time.",
    _SOURCE,
)
SIDECAR_LOOK: Final = _histogram(
    "tickglass_sidecar_probe_duration_seconds", "How long it took to read the store.", _LOOKS, _SOURCE
)
SIDECAR_LOOK_ERRORS: Final = _counter(
    "tickglass_sidecar_probe_errors_total",
    "Times that the store could not be read.",
    _SOURCE,
    Label("kind", StoreErrorKind),
)
SIDECAR_OFFSET: Final = _gauge(
    "tickglass_sidecar_clock_offset_seconds", "The sidecar's wall clock minus the store's.", _SOURCE
)
SIDECAR_OFFSET_ERROR: Final = _gauge(
    "tickglass_sidecar_clock_offset_error_seconds", "Bound of the error of that offset.", _SOURCE
)
LEASE_EXPIRED: Final = _gauge(
    "distributed_lock_lease_expired_seconds",
    "How long ago the lease ended without a release and without anybody taking the lock since; absent otherwise.",
    *_HOLDER,
)
JOB_ABANDONED: Final = _gauge(
    "tickglass_job_abandoned_claims", "Claims in the store without an end whose lease has ended.", _JOB
)


def metrics() -> tuple[Metric, ...]:
    """Return every metric declared above, in the order of declaration."""
    return tuple(value for value in globals().values() if isinstance(value, Metric))


def sidecar_metrics() -> tuple[Metric, ...]:
    """Return those that a sidecar shows and a scheduler does not."""
    return (
        *(metric for metric in metrics() if metric.name.startswith("tickglass_sidecar_")),
        LEASE_EXPIRED,
        JOB_ABANDONED,
    )
