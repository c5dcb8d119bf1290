"""Real state machines through the metric sink, read back as Prometheus reads it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.telemetry import MetricSink

if TYPE_CHECKING:
    from kit.metrics_stage import Stage


SECOND = 1_000_000_000


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
