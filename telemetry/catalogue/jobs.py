"""Declare the metrics of jobs: tickglass_job_*."""

from __future__ import annotations

from typing import Final

from tickglass.sched.occurrence import NOT_OWED, Outcome, SkipReason
from tickglass.telemetry.catalogue.declare import (
    BY_JOB,
    DURATIONS_S,
    LATENESS_COMPACT_S,
    LATENESS_S,
    counter,
    gauge,
    histogram,
)
from tickglass.telemetry.label_values import LatenessPart
from tickglass.telemetry.metric import Compact, Label

__all__ = [
    "JOBS_CONTESTED",
    "JOBS_PAUSED",
    "JOB_CONTESTED",
    "JOB_DUE",
    "JOB_DURATION",
    "JOB_FAILING",
    "JOB_GRACE",
    "JOB_INTERVAL",
    "JOB_LAST_COMPLETION",
    "JOB_LAST_START",
    "JOB_LAST_SUCCESS",
    "JOB_LATENESS",
    "JOB_LATENESS_PART",
    "JOB_MAX_RUNTIME",
    "JOB_NEXT",
    "JOB_ORPHANS",
    "JOB_OUTCOMES",
    "JOB_OVERDUE",
    "JOB_OVERDUE_RUNS",
    "JOB_PENDING",
    "JOB_REMEMBERED",
    "JOB_RUNNING",
    "JOB_RUNNING_FOR",
    "JOB_RUN_SECONDS",
    "JOB_SKIPS",
    "JOB_TRIGGER_FAILURES",
    "JOB_UNCLAIMED",
    "JOB_UNDERCOUNTS",
    "JOB_UNSUCCESSFUL",
    "JOB_UNSUCCESSFUL_FOR",
    "JOB_UNSUCCESSFUL_LATEST",
]

JOB_DUE: Final = counter(
    "tickglass_job_due_total",
    "Due instants of the job on this instance; at every scrape exactly the sum of tickglass_job_outcomes_total "
    "and tickglass_job_pending.",
    BY_JOB,
)
JOB_OUTCOMES: Final = counter(
    "tickglass_job_outcomes_total", "Occurrences that ended, by their one outcome.", BY_JOB, Label("outcome", Outcome)
)
JOB_PENDING: Final = gauge(
    "tickglass_job_pending", "Occurrences that fell due and have not ended; counted, not computed.", BY_JOB
)
JOB_SKIPS: Final = counter(
    "tickglass_job_skips_total",
    "Occurrences with outcome skipped, by reason.",
    BY_JOB,
    Label("reason", SkipReason),
    compact=Compact.TOGETHER,
    by_name=NOT_OWED,  # these instants do not count against the job
)
JOB_RUN_SECONDS: Final = counter(
    "tickglass_job_run_seconds_total",
    "Time that runs took, from start to end, all together; divided by tickglass_job_start_lateness_seconds_count, "
    "their mean.",
    BY_JOB,
)
JOB_DURATION: Final = histogram(
    "tickglass_job_run_duration_seconds",
    "How long a run took, from start to end.",
    DURATIONS_S,
    BY_JOB,
    exemplar=True,
    compact=Compact.TOGETHER,
)
JOB_LATENESS: Final = histogram(
    "tickglass_job_start_lateness_seconds",
    "Start minus due.",
    LATENESS_S,
    BY_JOB,
    exemplar=True,
    compact_buckets=LATENESS_COMPACT_S,
)
JOB_LATENESS_PART: Final = counter(
    "tickglass_job_start_lateness_part_seconds_total",
    "Start minus due, all together, split by cause; the parts sum to tickglass_job_start_lateness_seconds_sum. "
    "timer: the scheduler woke late; pool: waiting for a worker, or for its turn behind others that were due; "
    "lock: waiting for the claim and its lock, of a rerun also until the earlier claimant was found dead; "
    "start: between claim and code.",
    BY_JOB,
    Label("part", LatenessPart),
    compact=Compact.TOGETHER,
)
JOB_NEXT: Final = gauge(
    "tickglass_job_next_run_timestamp_seconds", "The job's next due instant; absent when there is none.", BY_JOB
)
JOB_OVERDUE: Final = gauge(
    "tickglass_job_overdue_seconds",
    "How long ago the earliest due instant was that has not been taken up here, computed when scraped; 0 until it is "
    "due; absent when there is none.",
    BY_JOB,
)
JOB_LAST_START: Final = gauge("tickglass_job_last_start_timestamp_seconds", "When a run last started here.", BY_JOB)
JOB_LAST_SUCCESS: Final = gauge(
    "tickglass_job_last_success_timestamp_seconds",
    "When a run last succeeded on this instance; before that, on any instance, as the ledger has it at registration.",
    BY_JOB,
)
JOB_LAST_COMPLETION: Final = gauge(
    "tickglass_job_last_completion_timestamp_seconds",
    "When a run last ended here, whatever its outcome.",
    BY_JOB,
    compact=Compact.LEFT_OUT,
)
JOB_RUNNING_FOR: Final = gauge(
    "tickglass_job_running_seconds",
    "How long the oldest run in progress here has been going on, computed when scraped; absent when there is none.",
    BY_JOB,
)
JOB_RUNNING: Final = gauge(
    "tickglass_job_running", "Runs in progress here.", BY_JOB, compact=Compact.LEFT_OUT
)  # at compact detail, tickglass_job_running_seconds is there for as long as one is
JOB_OVERDUE_RUNS: Final = gauge(
    "tickglass_job_overdue_runs",
    "Runs in progress here that were asked to stop at their timeout and whose code has not returned.",
    BY_JOB,
    compact=Compact.LEFT_OUT,
)
JOB_FAILING: Final = gauge(
    "tickglass_job_consecutive_failures",
    "Occurrences that ended as failure, timeout, lost or orphaned here since the last success; starts with those that "
    "the ledger has at registration, wherever they ran.",
    BY_JOB,
)
JOB_UNSUCCESSFUL: Final = gauge(
    "tickglass_job_unsuccessful_since_timestamp_seconds",
    "Due instant of the first occurrence since the last success here that should have run here and did not "
    "succeed; starts "
    "with what the ledger has at registration; absent while there is none.",
    BY_JOB,
)
JOB_UNSUCCESSFUL_FOR: Final = gauge(
    "tickglass_job_unsuccessful_seconds",
    "How long ago that first due instant was, computed when scraped; absent while there is none.",
    BY_JOB,
)
JOB_UNSUCCESSFUL_LATEST: Final = gauge(
    "tickglass_job_unsuccessful_latest_timestamp_seconds",
    "Due instant of the latest occurrence since the last success here that should have run here and did not "
    "succeed; absent while there is none.",
    BY_JOB,
)
JOB_INTERVAL: Final = gauge(
    "tickglass_job_interval_seconds",
    "The shortest time between two due instants since registration, so that a pause over night does not count; "
    "absent if the job "
    "fires once.",
    BY_JOB,
)
JOB_MAX_RUNTIME: Final = gauge(
    "tickglass_job_max_runtime_seconds", "The job's timeout; absent where it has none.", BY_JOB
)
JOB_GRACE: Final = gauge("tickglass_job_misfire_grace_seconds", "How late a run of the job may still start.", BY_JOB)
JOB_TRIGGER_FAILURES: Final = counter(
    "tickglass_job_trigger_failures_total", "Times the job's trigger raised instead of naming an instant.", BY_JOB
)
JOB_ORPHANS: Final = counter(
    "tickglass_job_orphans_total",
    "Claims found here whose claimant died before it could settle them.",
    BY_JOB,
    compact=Compact.TOGETHER,
)
JOB_UNDERCOUNTS: Final = counter(
    "tickglass_job_missed_undercounts_total",
    "Times that counting missed instants stopped at its limit: due and missed are then lower bounds.",
    BY_JOB,
    compact=Compact.TOGETHER,
)
JOB_REMEMBERED: Final = counter(
    "tickglass_job_claims_remembered_total",
    "Occurrences known to be claimed by another instance without asking the store; each saved a round trip.",
    BY_JOB,
    compact=Compact.TOGETHER,
)
JOB_CONTESTED: Final = gauge(
    "tickglass_job_contested_since_timestamp_seconds",
    "Since when another program, which has the same job with another trigger or function, claims its due instants; "
    "absent while there is none, and for the first 15 minutes, because a deployment looks the same.",
    BY_JOB,
    compact=Compact.LEFT_OUT,
)
JOBS_CONTESTED: Final = gauge(
    "tickglass_jobs_contested",
    "How many jobs of this scheduler are contested: see tickglass_job_contested_since_timestamp_seconds, which names "
    "them at full detail. The log and `tickglass why` name them at any.",
)
JOBS_PAUSED: Final = gauge(
    "tickglass_jobs_paused",
    "How many jobs of this scheduler operators have paused. While a job is paused it is not overdue, and it owes no "
    "success: those series are absent. `tickglass orders` names the pauses.",
)
JOB_UNCLAIMED: Final = counter(
    "tickglass_job_unclaimed_runs_total",
    "Runs that started without a claim because the store could not be reached; several instances may have run "
    "the same one.",
    BY_JOB,
    compact=Compact.TOGETHER,
)
