"""Real state machines through the metric sink, read back as Prometheus reads it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from tickglass.sched.events import (
    ClaimOrphaned,
    ClockStepped,
    EventLoopAsked,
    EventLoopTurned,
    InstantsMissed,
    JobContested,
    PoolMoved,
    ReadinessMoved,
    SchedulerMoved,
    SinkFailed,
    SkewMeasured,
    StoreCalled,
    StoreRecordMissing,
    TimelineTicked,
    TriggerFailed,
)
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.lifecycle import SchedulerEvent, SchedulerMachine
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.sched.ports.missing import MissingKind
from tickglass.telemetry import MetricSink

if TYPE_CHECKING:
    from kit.metrics_stage import Stage

MS = 1_000_000
SECOND = 1_000_000_000
HOLDER = {"resource": "ledger", "owner": "host-1", "service": "billing"}


# --- locks --------------------------------------------------------------------


def test_the_age_of_a_hold_grows_between_scrapes_without_any_event(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"))
    stage.clock.advance(5 * SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 5
    stage.clock.advance(100 * SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 105


def test_the_age_of_a_hold_does_not_follow_a_wall_clock_that_is_set(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"))
    stage.clock.advance(5 * SECOND)
    stage.clock.step(-3_600 * SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 5


@pytest.mark.parametrize("end", [LockEvent.RELEASED, LockEvent.EXPIRED, LockEvent.LOST])
def test_a_hold_that_ends_vanishes_and_is_counted_by_how(stage: Stage, end: LockEvent) -> None:
    lock = stage.lock("ledger")
    stage.hold(lock)
    stage.clock.advance(7 * SECOND)
    lock.fire(end)
    if end is not LockEvent.RELEASED:
        lock.fire(LockEvent.RELEASED)
    gone = (
        "held_seconds",
        "acquired_timestamp_seconds",
        "lease_expiry_timestamp_seconds",
        "last_renewal_timestamp_seconds",
    )
    assert [name for name in gone if f"\ndistributed_lock_{name}{{" in stage.text()] == []
    assert stage.total("distributed_lock_releases_total", resource="ledger") == 1
    assert stage.value("distributed_lock_releases_total", resource="ledger", reason=end.value) == 1
    assert stage.value("distributed_lock_hold_duration_seconds_sum", resource="ledger") == 7
    assert stage.value("distributed_lock_hold_duration_seconds_count", resource="ledger") == 1


def test_one_party_holds_while_another_waits_and_a_third_has_lost_it(stage: Stage) -> None:
    loser, holder, waiter = (stage.lock("ledger") for _ in range(3))
    stage.hold(loser)
    stage.clock.advance(31 * SECOND)
    loser.fire(LockEvent.EXPIRED)
    stage.hold(holder, other_owner="host-1")
    waiter.fire(LockEvent.REQUESTED)
    stage.clock.advance(SECOND)
    loser.fire(LockEvent.RELEASED)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 1
    assert stage.value("distributed_lock_waiters", resource="ledger") == 1
    assert stage.value("distributed_lock_lease_expirations_total", resource="ledger") == 1
    assert stage.value("distributed_lock_fencing_token", resource="ledger") == 2


def test_attempts_are_counted_by_how_they_end_and_failures_sum_to_the_failed(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"))
    for _ in range(2):
        refused = stage.lock("ledger")
        refused.fire(LockEvent.REQUESTED)
        refused.fire(LockEvent.REFUSED, other_owner="host-2")
    for reason in LockReason:
        failed = stage.lock("ledger")
        failed.fire(LockEvent.REQUESTED)
        failed.fire(LockEvent.FAILED, reason=reason)
    status = {
        status: stage.value("distributed_lock_acquire_attempts_total", resource="ledger", status=status)
        for status in ("acquired", "contended", "failed")
    }
    assert status == {"acquired": 1, "contended": 2, "failed": len(LockReason)}
    assert stage.total("distributed_lock_acquire_failures_total") == len(LockReason)
    assert stage.value("distributed_lock_waiters", resource="ledger") == 0


def test_blocking_waits_are_observed_however_they_end_and_others_are_not(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"), waited_ns=2 * SECOND)
    failed = stage.lock("ledger")
    failed.fire(LockEvent.REQUESTED)
    stage.clock.advance(3 * SECOND)
    failed.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT)
    tried = stage.lock("ledger", blocking=False)
    tried.fire(LockEvent.REQUESTED)
    tried.fire(LockEvent.REFUSED)
    assert stage.value("distributed_lock_wait_seconds_count", resource="ledger") == 2
    assert stage.value("distributed_lock_wait_seconds_sum", resource="ledger") == 5


def test_renewals_are_told_apart_by_what_was_left_of_the_lease(stage: Stage) -> None:
    lock = stage.lock("ledger")
    stage.hold(lock)
    granted_s = stage.clock.wall_ns() / 1e9
    assert stage.value("distributed_lock_last_renewal_timestamp_seconds", resource="ledger") == granted_s
    assert stage.value("distributed_lock_lease_expiry_timestamp_seconds", resource="ledger") == granted_s + 30
    stage.clock.advance(10 * SECOND)
    lock.fire(LockEvent.RENEWED, margin_ns=20 * SECOND)
    assert stage.value("distributed_lock_lease_expiry_timestamp_seconds", resource="ledger") == granted_s + 40
    lock.fire(LockEvent.RENEWAL_FAILED, reason=LockReason.STORE_UNAVAILABLE)
    lock.fire(LockEvent.RENEWED, margin_ns=9 * SECOND)
    lock.fire(LockEvent.LOST, other_owner="host-2")
    renewals = {
        status: stage.value("distributed_lock_renewals_total", resource="ledger", status=status)
        for status in ("ok", "late", "lost", "error")
    }
    assert renewals == {"ok": 1, "late": 1, "lost": 1, "error": 1}
    assert stage.value("distributed_lock_renewal_margin_seconds_total", resource="ledger") == 29


def test_the_longest_hold_is_known_only_where_every_job_of_the_resource_has_a_limit(stage: Stage) -> None:
    stage.register("a", resource="ledger", timeout_ns=25 * SECOND)
    stage.register("b", resource="ledger", timeout_ns=40 * SECOND)
    assert stage.value("distributed_lock_max_hold_seconds", resource="ledger") == 40
    stage.register("c", resource="ledger", timeout_ns=None)
    assert stage.value("distributed_lock_max_hold_seconds", resource="ledger") is None
    assert stage.value("tickglass_job_max_runtime_seconds", job_name="c") is None
    assert stage.value("distributed_lock_lease_ttl_seconds", resource="ledger") == 30


# --- jobs -----------------------------------------------------------------------


def test_every_counter_of_a_job_and_its_lock_is_at_zero_once_it_is_registered(stage: Stage) -> None:
    stage.register("nightly", resource="ledger")
    series = stage.series()
    mine = {
        key: value
        for key, value in series.items()
        if ("job_name", "nightly") in key[1] or ("resource", "ledger") in key[1]
    }
    counted = {key: value for key, value in mine.items() if key[0].endswith(("_total", "_count", "_sum", "_bucket"))}
    assert set(counted.values()) == {0}
    for outcome in Outcome:
        assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome=outcome.value) == 0
    for event in LockEvent:
        assert stage.value("distributed_lock_transitions_total", resource="ledger", event=event.value) == 0


def test_no_series_is_born_by_a_first_run(stage: Stage) -> None:
    stage.register("nightly")
    counters = ("_total", "_count", "_sum", "_bucket")
    before = {key for key in stage.series() if key[0].endswith(counters)}
    stage.run(stage.occurrence("nightly", sampled=True))
    stage.hold(stage.lock("nightly"))
    assert {key for key in stage.series() if key[0].endswith(counters)} == before


def test_a_run_leaves_its_outcome_duration_lateness_and_timestamps(stage: Stage) -> None:
    stage.register("nightly")
    stage.run(stage.occurrence("nightly"), ran_ns=3 * SECOND)
    now_s = stage.clock.wall_ns() / 1e9
    labels = {"job_name": "nightly"}
    assert stage.value("tickglass_job_outcomes_total", outcome="success", **labels) == 1
    assert stage.value("tickglass_job_run_duration_seconds_sum", **labels) == 3
    assert stage.value("tickglass_job_run_seconds_total", **labels) == 3
    assert stage.value("tickglass_job_start_lateness_seconds_sum", **labels) == 0.01
    part_total = "tickglass_job_start_lateness_part_seconds_total"
    parts = {part: stage.value(part_total, part=part, **labels) for part in PARTS}
    assert parts == PARTS
    assert stage.value("tickglass_job_last_start_timestamp_seconds", **labels) == now_s - 3
    assert stage.value("tickglass_job_last_success_timestamp_seconds", **labels) == now_s
    assert stage.value("tickglass_job_last_completion_timestamp_seconds", **labels) == now_s


PARTS = {"timer": 0.001, "pool": 0.002, "lock": 0.003, "start": 0.004}


def test_a_run_in_progress_shows_for_how_long_and_an_idle_job_shows_nothing(stage: Stage) -> None:
    stage.register("nightly")
    running_for = "tickglass_job_running_seconds"
    assert stage.value(running_for, job_name="nightly") is None
    occurrence = stage.occurrence("nightly")
    stage.start(occurrence)
    stage.clock.advance(60 * SECOND)
    assert stage.value(running_for, job_name="nightly") == 60
    assert stage.value("tickglass_job_running", job_name="nightly") == 1
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS, ran_ns=60 * SECOND)
    assert stage.value(running_for, job_name="nightly") is None
    assert stage.value("tickglass_job_running", job_name="nightly") == 0


def test_failures_in_a_row_end_with_a_success_and_are_not_touched_by_a_cancel(stage: Stage) -> None:
    stage.register("nightly")
    seen = []
    for outcome in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.LOST, Outcome.SUCCESS):
        stage.run(stage.occurrence("nightly"), outcome)
        seen.append(stage.value("tickglass_job_consecutive_failures", job_name="nightly"))
    assert seen == [1, 2, 2, 3, 0]


def test_skips_are_counted_by_reason_and_sum_to_the_skipped(stage: Stage) -> None:
    stage.register("nightly")
    for reason in SkipReason:
        skipped = stage.occurrence("nightly")
        skipped.fire(OccurrenceEvent.FELL_DUE)
        skipped.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=reason)
        assert stage.value("tickglass_job_skips_total", job_name="nightly", reason=reason) == 1
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="skipped") == len(SkipReason)


def test_instants_missed_while_nobody_was_there_are_due_and_missed(stage: Stage) -> None:
    stage.register("nightly")
    stage.sink.record(InstantsMissed(job="nightly", count=10_000, exact=False, first_due_ns=1, before_ns=2, wall_ns=3))
    assert stage.value("tickglass_job_due_total", job_name="nightly") == 10_000
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="missed") == 10_000
    assert stage.value("tickglass_job_missed_undercounts_total", job_name="nightly") == 1


def test_the_next_due_instant_vanishes_when_there_is_none(stage: Stage) -> None:
    event = stage.register("once")
    assert event.next_due_ns is not None
    assert stage.value("tickglass_job_next_run_timestamp_seconds", job_name="once") == event.next_due_ns / 1e9
    stage.occurrence("once").fire(OccurrenceEvent.FELL_DUE, next_due_ns=None)
    assert stage.value("tickglass_job_next_run_timestamp_seconds", job_name="once") is None


# --- the machinery ------------------------------------------------------------------


def test_the_machinery_reports_itself(stage: Stage) -> None:
    stage.metrics.preregister(sinks=["spans"])
    assert stage.value("tickglass_telemetry_sink_failures_total", sink="spans") == 0
    stage.register("nightly")
    for event in (
        PoolMoved(pool="default", slots=6, in_use=2, waiting=1, waited_ns=None),
        PoolMoved(pool="default", slots=6, in_use=3, waiting=0, waited_ns=5 * MS),
        TimelineTicked(lag_ns=50_000, duration_ns=20_000, handed=1),
        ClockStepped(step_ns=-SECOND, wall_ns=0),
        SkewMeasured(skew_ns=-20 * MS, bound_ns=1 * MS, wall_ns=0),
        SinkFailed(sink="spans", error="ValueError()", wall_ns=0),
        StoreCalled(store="redis", operation="claim", duration_ns=1 * MS, error="", wall_ns=0),
        StoreCalled(store="redis", operation="claim", duration_ns=1 * MS, error="unavailable", wall_ns=0),
        StoreCalled(store="redis", operation="brew", duration_ns=1 * MS, error="odd", wall_ns=0),
        ClaimOrphaned(job="nightly", due_ns=1, attempt=1, run_id="0" * 32, claimant="host-2", wall_ns=0),
        TriggerFailed(job="nightly", error="ValueError()", wall_ns=0),
    ):
        stage.sink.record(event)
    stage.metrics.dropped("spans", "queue_full", 3)
    call = {"backend": "redis", "operation": "claim"}
    odd = {"backend": "redis", "operation": "__other__"}
    assert stage.value("tickglass_pool_slots", pool="default") == 6
    assert stage.value("tickglass_pool_slots_in_use", pool="default") == 3
    assert stage.value("tickglass_pool_queue_depth", pool="default") == 0
    assert stage.value("tickglass_pool_queue_wait_seconds_count", pool="default") == 1
    assert stage.value("tickglass_scheduler_tick_duration_seconds_count") == 1
    assert stage.value("tickglass_scheduler_tick_lag_seconds_bucket", le="5e-05") == 1
    assert stage.value("tickglass_clock_steps_total", direction="back") == 1
    assert stage.value("tickglass_clock_steps_total", direction="forward") == 0
    assert stage.value("tickglass_clock_offset_seconds") == -0.02
    assert stage.value("tickglass_clock_offset_error_seconds") == 0.001
    assert stage.value("tickglass_telemetry_sink_failures_total", sink="spans") == 1
    assert stage.value("tickglass_telemetry_dropped_total", signal="spans", reason="queue_full") == 3
    assert stage.value("distributed_lock_store_operation_duration_seconds_count", **call) == 2
    assert stage.value("distributed_lock_store_errors_total", kind="unavailable", **call) == 1
    assert stage.value("distributed_lock_store_errors_total", kind="error", **call) == 0
    assert stage.value("distributed_lock_store_errors_total", kind="__other__", **odd) == 1
    assert stage.value("tickglass_job_orphans_total", job_name="nightly") == 1
    assert stage.value("tickglass_job_trigger_failures_total", job_name="nightly") == 1


def test_the_scheduler_is_in_one_state_at_a_time(stage: Stage) -> None:
    machine = SchedulerMachine("host-1", "billing", stage.clock, stage.sink)
    for event, state in ((SchedulerEvent.START_ASKED, "starting"), (SchedulerEvent.STARTED, "running")):
        machine.fire(event)
        assert stage.value("tickglass_scheduler_state", state=state) == 1
        assert stage.total("tickglass_scheduler_state") == 1


def test_a_scheduler_is_ready_when_it_says_so_and_only_while_it_runs(stage: Stage) -> None:
    def told(error: str) -> float | None:
        stage.sink.record(ReadinessMoved(owner="host-1", service="billing", error=error, wall_ns=0))
        return stage.value("tickglass_scheduler_ready")

    assert stage.value("tickglass_scheduler_ready") is None
    machine = SchedulerMachine("host-1", "billing", stage.clock, stage.sink)
    machine.fire(SchedulerEvent.START_ASKED)
    assert stage.value("tickglass_scheduler_ready") == 0
    machine.fire(SchedulerEvent.STARTED)
    assert [told(error) for error in ("", "the store is full", "")] == [1, 0, 1]
    machine.fire(SchedulerEvent.STOP_ASKED)
    assert stage.value("tickglass_scheduler_ready") == 0


def test_the_lag_of_the_event_loop_grows_while_it_owes_an_answer(stage: Stage) -> None:
    def lag() -> float | None:
        return stage.value("tickglass_event_loop_lag_seconds")

    assert lag() is None
    stage.sink.record(EventLoopAsked(at_ns=stage.clock.monotonic_ns()))
    for seconds in (1, 2):
        stage.clock.advance(SECOND)
        assert lag() == seconds
    stage.sink.record(EventLoopTurned(lag_ns=2 * SECOND))
    stage.clock.advance(SECOND)
    assert lag() == 2


def test_names_past_the_cap_share_one_series_and_are_counted(small_stage: Stage) -> None:
    stage = small_stage
    for number in range(10):
        stage.register(f"job-{number}")
        stage.run(stage.occurrence(f"job-{number}"))
        stage.hold(stage.lock(f"order-{number}", owner=f"host-{number}"))
    jobs = {dict(labels)["job_name"] for name, labels in stage.series() if name == "tickglass_job_due_total"}
    assert jobs == {"job-0", "job-1", "job-2", "__other__"}
    assert stage.value("tickglass_job_due_total", job_name="__other__") == 7
    assert stage.value("tickglass_job_outcomes_total", job_name="__other__", outcome="success") == 7
    assert stage.value("tickglass_job_pending", job_name="__other__") == 0
    assert (stage.value("tickglass_label_overflow_total", label="job_name") or 0) >= 7
    assert (stage.value("tickglass_label_overflow_total", label="resource") or 0) >= 7
    held = [dict(labels) for name, labels in stage.series() if name == "distributed_lock_held_seconds"]
    assert len(held) <= 3 + 4  # the first three resources are jobs' own; owners fold too


def test_what_is_in_hand_under_one_name_is_bounded_and_the_account_agrees(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.telemetry.jobs._OPEN_MAX", 3)
    stage.register("nightly")
    for _ in range(5):
        occurrence = stage.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        for event in (
            OccurrenceEvent.ADMITTED,
            OccurrenceEvent.TAKEN,
            OccurrenceEvent.CLAIMED,
            OccurrenceEvent.STARTED,
        ):
            occurrence.fire(event)
    assert stage.value("tickglass_job_due_total", job_name="nightly") == 5
    assert stage.value("tickglass_job_pending", job_name="nightly") == 3
    assert stage.value("tickglass_job_running", job_name="nightly") == 3
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="__other__") == 2


def test_holds_of_one_resource_are_bounded_and_the_latest_count(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickglass.telemetry.locks._HOLDS_MAX", 3)
    for _ in range(5):
        stage.hold(stage.lock("ledger"))
        stage.clock.advance(SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 3


def test_the_jobs_that_limit_one_resource_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickglass.telemetry.locks._LIMITS_MAX", 2)
    for number in range(5):
        stage.register(f"job-{number}", resource="ledger", timeout_ns=(number + 1) * SECOND)
    assert stage.value("distributed_lock_max_hold_seconds", resource="ledger") == 2


def test_two_sinks_do_not_fit_into_one_registry(stage: Stage) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        MetricSink(stage.clock, stage.metrics.registry)


def test_a_sink_without_a_registry_shows_the_process_too(stage: Stage) -> None:
    registry = MetricSink(stage.clock).registry
    assert isinstance(registry, CollectorRegistry)
    assert registry.get_sample_value("process_resident_memory_bytes")


# --- exemplars ------------------------------------------------------------------------


def test_a_sampled_run_leaves_exemplars_in_openmetrics_and_only_there(stage: Stage) -> None:
    run_id = secrets.token_hex(16)
    stage.register("nightly")
    stage.run(stage.occurrence("nightly", run_id=run_id, sampled=True))
    lock = stage.lock("nightly", run_id=run_id, sampled=True)
    stage.hold(lock)
    lock.fire(LockEvent.RELEASED)
    marked = [line for line in stage.openmetrics().splitlines() if f'# {{trace_id="{run_id}"}}' in line]
    families = {line.split("_bucket")[0] for line in marked}
    assert families == {
        "distributed_lock_wait_seconds",
        "distributed_lock_hold_duration_seconds",
        "tickglass_job_run_duration_seconds",
        "tickglass_job_start_lateness_seconds",
    }
    assert run_id not in stage.text()


def test_a_run_that_is_not_sampled_leaves_no_exemplar(stage: Stage) -> None:
    stage.register("nightly")
    stage.run(stage.occurrence("nightly"))
    stage.hold(stage.lock("nightly", run_id="ab" * 16))
    assert "trace_id" not in stage.openmetrics()


def test_a_signal_handler_may_report_in_the_middle_of_a_report(stage: Stage) -> None:
    stage.register("nightly")
    group = stage.metrics._jobs["nightly"]
    with group.lock:  # as when a handler interrupts `record` in the same thread
        stage.run(stage.occurrence("nightly"))
    assert stage.value("tickglass_job_due_total", job_name="nightly") == 1


def test_ages_that_rules_read_are_those_at_the_scrape(stage: Stage) -> None:
    stage.register("nightly")
    assert stage.value("tickglass_job_overdue_seconds", job_name="nightly") == 0
    stage.clock.advance(3 * SECOND)
    assert stage.value("tickglass_job_overdue_seconds", job_name="nightly") == 2
    run = stage.occurrence("nightly")
    stage.start(run)
    stage.clock.advance(5 * SECOND)
    assert stage.value("tickglass_job_running_seconds", job_name="nightly") == 5
    run.fire(OccurrenceEvent.ENDED, outcome=Outcome.FAILURE, ran_ns=SECOND)
    stage.clock.advance(SECOND)
    assert stage.value("tickglass_job_running_seconds", job_name="nightly") is None
    assert stage.value("tickglass_job_unsuccessful_seconds", job_name="nightly") == 6
    stage.run(stage.occurrence("nightly"))
    assert stage.value("tickglass_job_unsuccessful_seconds", job_name="nightly") is None


def test_a_sink_of_a_service_labels_every_series_of_ours_with_it(stage: Stage) -> None:
    metrics = MetricSink(stage.clock, CollectorRegistry(), service="billing")
    stage.sink = metrics
    event = stage.register("nightly")
    stage.hold(stage.lock("nightly"))
    metrics.preregister(stores=["redis"], pools=["default"])
    samples = [sample for family in metrics.collect() for sample in family.samples]
    assert samples
    assert {sample.labels.get("service") for sample in samples} == {event.service}


def test_a_job_in_two_programs_has_a_series_while_that_lasts(stage: Stage) -> None:
    def tell(since_ns: int | None) -> float | None:
        contested = JobContested(
            job="nightly", owner="host-1", service="billing", claimant="host-9", since_wall_ns=since_ns, wall_ns=0
        )
        stage.sink.record(contested)
        shown = stage.value("tickglass_job_contested_since_timestamp_seconds", job_name="nightly")
        assert stage.value("tickglass_jobs_contested") == int(shown is not None)
        return shown

    assert [tell(since_ns) for since_ns in (7 * SECOND, None, 9 * SECOND)] == [7, None, 9]


def test_records_that_the_store_lacks_are_counted_by_kind(stage: Stage) -> None:
    name = "tickglass_store_missing_records_total"
    assert {kind: stage.value(name, kind=kind) for kind in MissingKind} == dict.fromkeys(MissingKind, 0)
    stage.sink.record(StoreRecordMissing(store="redis", kind="job", name="billing/sync", wall_ns=0))
    assert {kind: stage.value(name, kind=kind) for kind in ("job", "lease")} == {"job": 1, "lease": 0}


def test_jobs_in_two_programs_are_counted_until_they_are_declared_anew_or_the_scheduler_stops(stage: Stage) -> None:
    def contest(job: str) -> float | None:
        stage.sink.record(
            JobContested(job=job, owner="host-1", service="billing", claimant="host-9", since_wall_ns=0, wall_ns=0)
        )
        return stage.value("tickglass_jobs_contested")

    assert stage.value("tickglass_jobs_contested") == 0
    assert [contest("nightly"), contest("nightly"), contest("hourly")] == [1, 1, 2]
    stage.register("nightly")
    assert stage.value("tickglass_jobs_contested") == 1
    stage.sink.record(
        SchedulerMoved(
            owner="host-1", service="billing", before="draining", event="stopped", after="stopped", wall_ns=0
        )
    )
    assert stage.value("tickglass_jobs_contested") == 0
