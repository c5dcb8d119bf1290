"""Locks by hand, and the writes that guards refuse, in spans and logs."""

from __future__ import annotations

import logging
import secrets

import pytest
from kit.metrics_stage import Stage
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tickglass.sched.lease import LockEvent, LockMachine
from tickglass.sched.ports import TracedRun
from tickglass.telemetry import LogSink, SpanSink

RUN_ID = secrets.token_hex(16)


class TracedStage(Stage):
    """A stage with one run in progress, and its spans."""

    def __init__(self) -> None:
        super().__init__()
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = self.sink = SpanSink(self.provider, self.clock)
        self.own = self.lock("ledger", run_id=RUN_ID)
        self.own.fire(LockEvent.REQUESTED)
        wall_ns = self.clock.wall_ns()
        run = TracedRun(RUN_ID, "nightly", "at", "ledger", wall_ns, 1, 7, "host-1", "billing", wall_ns, "")
        self.own.sampled = self.spans.begin(run)
        self.own.fire(LockEvent.GRANTED, fence=7)

    def by_hand(self, run_id: str = RUN_ID) -> LockMachine:
        lock = self.lock("order:1", run_id=run_id)
        lock.job = ""
        return lock

    def close(self) -> dict[str, ReadableSpan]:
        self.spans.close()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def traced() -> TracedStage:
    return TracedStage()


def names(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    found: int = span.parent.span_id
    return found


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    found: int = span.context.span_id
    return found


def test_a_lock_taken_inside_a_job_is_a_child_of_the_run(traced: TracedStage) -> None:
    lock = traced.by_hand()
    with traced.spans.activate(RUN_ID):
        traced.hold(lock)
    spans = traced.close()
    assert parent_of(spans["lock acquire order:1"]) == span_id(spans["run nightly"])


def test_a_lock_taken_inside_a_span_of_the_job_is_a_child_of_that(traced: TracedStage) -> None:
    with traced.spans.activate(RUN_ID), traced.provider.get_tracer("app").start_as_current_span("pay"):
        traced.hold(traced.by_hand())
    spans = traced.close()
    assert parent_of(spans["lock acquire order:1"]) == span_id(spans["pay"])


def test_what_the_keeper_says_of_it_on_another_thread_is_told_by_the_run(traced: TracedStage) -> None:
    lock = traced.by_hand()
    traced.hold(lock)
    lock.fire(LockEvent.RENEWAL_FAILED)
    lock.fire(LockEvent.EXPIRED)
    run = traced.close()["run nightly"]
    assert names(run)[-4:] == ["lock requested", "lock granted", "lock renewal_failed", "lease_lost"]
    assert (run.events[-1].attributes or {})["tickglass.lock.resource"] == "order:1"


def test_its_release_does_not_end_the_span_of_the_run(traced: TracedStage) -> None:
    lock = traced.by_hand()
    traced.hold(lock)
    lock.fire(LockEvent.RELEASED)
    traced.own.fire(LockEvent.RELEASED)
    assert names(traced.close()["run nightly"])[-2:] == ["lock released", "lock released"]


def test_one_taken_outside_of_any_run_and_span_leaves_no_trace(traced: TracedStage) -> None:
    lock = traced.by_hand(run_id="")
    traced.hold(lock)
    lock.fire(LockEvent.RELEASED)
    assert set(traced.close()) == {"run nightly", "lock acquire ledger"}


def test_a_refused_write_is_an_event_where_it_was_written(traced: TracedStage) -> None:
    with traced.spans.activate(RUN_ID):
        traced.own.report_stale_fence(9)
    (event,) = [event for event in traced.close()["run nightly"].events if event.name == "fencing_rejected"]
    told = event.attributes or {}
    assert (told["tickglass.lock.fencing_token"], told["tickglass.lock.newest_fencing_token"]) == (7, 9)


def test_a_refused_write_is_counted_and_there_from_the_start(stage: Stage) -> None:
    lock = stage.lock("ledger")
    stage.hold(lock)
    assert stage.value("distributed_lock_fencing_rejections_total", resource="ledger") == 0
    lock.report_stale_fence(2)
    assert stage.value("distributed_lock_fencing_rejections_total", resource="ledger") == 1


def test_a_refused_write_is_a_warning_that_names_both_fences(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.sink = LogSink()
    lock = stage.lock("ledger", run_id=RUN_ID)
    stage.hold(lock)
    with caplog.at_level(logging.WARNING):
        lock.report_stale_fence(9)
    (record,) = caplog.records
    assert record.getMessage() == "a write to ledger under fence 1 was refused: 9 has been seen"
    assert record.__dict__["run_id"] == RUN_ID


def test_a_refused_write_of_a_run_without_a_claim_says_that(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.sink = LogSink()
    with caplog.at_level(logging.WARNING):
        stage.lock("ledger", run_id=RUN_ID).report_stale_fence(0)
    (record,) = caplog.records
    assert record.getMessage() == "a write to ledger under fence 0 was refused: it ran without a claim"
