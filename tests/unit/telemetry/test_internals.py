"""The metrics of the scheduler itself: its state, clock, pool, store and event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.events import (
    ClaimOrphaned,
    ClockStepped,
    EventLoopAsked,
    EventLoopTurned,
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
from tickglass.sched.lifecycle import SchedulerEvent, SchedulerMachine
from tickglass.sched.ports.missing import MissingKind

if TYPE_CHECKING:
    from kit.metrics_stage import Stage


MS = 1_000_000


SECOND = 1_000_000_000


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
