"""Real state machines through the span sink: one trace per run, one span event per edge of its lock."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import pytest
from kit.metrics_stage import LATENESS, MS, SECOND, Stage
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from tickglass.sched.clock import SystemClock
from tickglass.sched.events import InstantsSkipped
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.sched.ports import TracedRun
from tickglass.telemetry import SpanSink, build_tracer_provider
from tickglass.telemetry import spans as spans_module
from tickglass.telemetry.tracing.otlp import QUEUE_MAX, CountingQueue
from tickglass.telemetry.tracing.provider import within
from tickglass.telemetry.tracing.run_ids import root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.lease import LockMachine
    from tickglass.sched.occurrence import OccurrenceMachine


class TracedStage(Stage):
    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        super().__init__()
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = self.sink = SpanSink(self.provider, self.clock)

    def begin(
        self, job: str = "nightly", *, previous_run_id: str = "", trigger: str = 'cron("0 2 * * *", tz="Asia/Shanghai")'
    ) -> tuple[OccurrenceMachine, LockMachine]:
        """Execution as the engine does, up to the start of the job's code."""
        occurrence = self.occurrence(job)
        lock = self.lock("ledger", run_id=occurrence.run_id)
        for event in (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN):
            occurrence.fire(event)
        began_wall_ns = self.clock.wall_ns()
        lock.fire(LockEvent.REQUESTED)
        self.clock.advance(3 * MS)
        run = TracedRun(
            run_id=occurrence.run_id,
            job=job,
            trigger=trigger,
            resource="ledger",
            due_ns=occurrence.due_ns,
            attempt=1,
            fence=7,
            owner="host-1",
            service="billing",
            began_wall_ns=began_wall_ns,
            previous_run_id=previous_run_id,
        )
        lock.sampled = occurrence.sampled = self.spans.begin(run)
        lock.fire(LockEvent.GRANTED, fence=7)
        occurrence.fire(OccurrenceEvent.CLAIMED)
        occurrence.fire(OccurrenceEvent.STARTED)
        return occurrence, lock

    def end(self, occurrence: OccurrenceMachine, outcome: Outcome = Outcome.SUCCESS, error: str = "") -> None:
        self.clock.advance(SECOND)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, error=error, lateness=LATENESS, ran_ns=SECOND)

    def ended(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def stage() -> TracedStage:
    return TracedStage()


def names(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def test_the_run_id_is_the_trace_id_and_the_root_span_can_be_named_from_it(stage: TracedStage) -> None:
    occurrence, lock = stage.begin()
    stage.end(occurrence)
    lock.fire(LockEvent.RELEASED)
    root = stage.ended()["run nightly"]
    assert root.context is not None
    assert f"{root.context.trace_id:032x}" == occurrence.run_id
    assert root.context.span_id == root_of(occurrence.run_id).span_id
    assert root.parent is None
    assert root.kind is SpanKind.SERVER


def test_a_run_id_that_would_give_no_span_id_gives_one(stage: TracedStage) -> None:
    assert root_of("0" * 16 + "ab" * 8).is_valid
    assert stage.spans.open_runs == 0


def test_the_root_span_tells_what_ran_when_and_under_what(stage: TracedStage) -> None:
    occurrence, lock = stage.begin()
    stage.end(occurrence)
    lock.fire(LockEvent.RELEASED)
    root = stage.ended()["run nightly"]
    due = "2026-01-01T00:00:00+00:00"
    assert dict(root.attributes or {}) == {
        "faas.trigger": "timer",
        "faas.cron": "0 2 * * *",
        "faas.time": due,
        "faas.invocation_id": occurrence.run_id,
        "tickglass.job.name": "nightly",
        "tickglass.run.id": occurrence.run_id,
        "tickglass.scheduled_time": due,
        "tickglass.attempt": 1,
        "tickglass.lock.resource": "ledger",
        "tickglass.lock.fencing_token": 7,
        "tickglass.owner": "host-1",
        "tickglass.outcome": "success",
        "tickglass.lateness_s": 0.01,
        "tickglass.lateness.timer_s": 0.001,
        "tickglass.lateness.pool_s": 0.002,
        "tickglass.lateness.lock_s": 0.003,
        "tickglass.lateness.start_s": 0.004,
    }
    assert root.start_time == occurrence.due_ns
    assert root.end_time == occurrence.due_ns + 3 * MS + SECOND
    assert root.status.status_code is StatusCode.UNSET


def test_every_edge_of_the_lock_is_an_event_of_the_run(stage: TracedStage) -> None:
    occurrence, lock = stage.begin(trigger='every("1s")')
    lock.fire(LockEvent.RENEWED, margin_ns=20 * SECOND)
    lock.fire(LockEvent.RENEWAL_FAILED, reason=LockReason.STORE_UNAVAILABLE)
    lock.fire(LockEvent.RENEWED, margin_ns=2 * SECOND)
    lock.fire(LockEvent.LOST, other_owner="host-2")
    occurrence.fire(OccurrenceEvent.STOP_ASKED, reason="lost")
    stage.end(occurrence, Outcome.LOST)
    lock.fire(LockEvent.RELEASED)
    root = stage.ended()["run nightly"]
    assert names(root) == [
        "lock requested",
        "lock granted",
        "started",
        "lock renewed",
        "lock renewal_failed",
        "lock renewed",
        "lease_lost",
        "stop_asked",
        "lock released",
    ]
    assert "faas.cron" not in (root.attributes or {})
    assert root.status.status_code is StatusCode.ERROR
    renewals = [span for span in stage.exporter.get_finished_spans() if span.name == "lock renew ledger"]
    assert [span.status.status_code for span in renewals] == [StatusCode.ERROR, StatusCode.UNSET]


def test_the_wait_for_the_lock_is_a_span_of_that_length(stage: TracedStage) -> None:
    occurrence, lock = stage.begin()
    stage.end(occurrence)
    lock.fire(LockEvent.RELEASED)
    acquired, root = stage.ended()["lock acquire ledger"], stage.ended()["run nightly"]
    assert acquired.kind is SpanKind.CLIENT
    assert acquired.start_time == occurrence.due_ns
    assert acquired.end_time == occurrence.due_ns + 3 * MS
    assert acquired.parent is not None
    assert root.context is not None
    assert acquired.parent.span_id == root.context.span_id


@pytest.mark.parametrize("released_first", [True, False])
def test_the_root_span_ends_when_both_the_run_and_its_lock_have(stage: TracedStage, *, released_first: bool) -> None:
    occurrence, lock = stage.begin()
    steps: list[Callable[[], object]] = [lambda: lock.fire(LockEvent.RELEASED), lambda: stage.end(occurrence)]
    first, last = steps if released_first else reversed(steps)
    first()
    assert "run nightly" not in stage.ended()
    last()
    assert "lock released" in names(stage.ended()["run nightly"])
    assert stage.spans.open_runs == 0


@pytest.mark.parametrize(
    ("outcome", "error", "error_type"),
    [
        (Outcome.FAILURE, "ValueError: no such account", "ValueError"),
        (Outcome.FAILURE, "psycopg.OperationalError: gone", "psycopg.OperationalError"),
        (Outcome.FAILURE, "", "failure"),
        (Outcome.TIMEOUT, "", "timeout"),
    ],
)
def test_a_bad_end_is_an_error_of_a_bounded_type(
    stage: TracedStage, outcome: Outcome, error: str, error_type: str
) -> None:
    occurrence, lock = stage.begin()
    stage.end(occurrence, outcome, error)
    lock.fire(LockEvent.RELEASED)
    root = stage.ended()["run nightly"]
    assert root.status.status_code is StatusCode.ERROR
    assert (root.attributes or {})["error.type"] == error_type
    assert ("exception" in names(root)) == bool(error)


def test_a_second_attempt_links_to_the_first(stage: TracedStage) -> None:
    first, first_lock = stage.begin()
    stage.end(first, Outcome.LOST)
    first_lock.fire(LockEvent.RELEASED)
    died = stage.ended()["run nightly"].context
    stage.exporter.clear()
    second, second_lock = stage.begin(previous_run_id=first.run_id)
    stage.end(second)
    second_lock.fire(LockEvent.RELEASED)
    (link,) = stage.ended()["run nightly"].links
    assert died is not None
    assert (link.context.trace_id, link.context.span_id) == (died.trace_id, died.span_id)


def test_the_jobs_own_spans_are_children_of_the_run(stage: TracedStage) -> None:
    occurrence, lock = stage.begin()
    with stage.spans.activate(occurrence.run_id):
        stage.provider.get_tracer("app").start_span("query").end()
        by_hand = stage.lock("order:1")
        by_hand.fire(LockEvent.REQUESTED)
        by_hand.fire(LockEvent.GRANTED, fence=1)
        by_hand.fire(LockEvent.RELEASED)
    stage.provider.get_tracer("app").start_span("elsewhere").end()
    stage.end(occurrence)
    lock.fire(LockEvent.RELEASED)
    spans = stage.ended()
    root = spans["run nightly"].context
    assert root is not None
    for name in ("query", "lock acquire order:1"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == root.span_id
    assert spans["elsewhere"].parent is None
    assert spans["elsewhere"].context is not None
    assert spans["elsewhere"].context.trace_id != root.trace_id


def test_other_tracers_of_the_same_provider_keep_their_own_ids(stage: TracedStage) -> None:
    again = SpanSink(stage.provider, stage.clock)
    assert again._ids is stage.spans._ids
    app = stage.provider.get_tracer("app")
    assert getattr(app, "id_generator", None) is stage.provider.id_generator


def test_an_occurrence_that_a_policy_refused_is_a_span_without_length(stage: TracedStage) -> None:
    occurrence = stage.occurrence("nightly")
    lock = stage.lock("ledger", run_id=occurrence.run_id)
    for event in (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN):
        occurrence.fire(event)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner="host-2")
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.LOCK_HELD)
    skip = stage.ended()["skip nightly"]
    assert skip.start_time == skip.end_time
    assert skip.context is not None
    assert f"{skip.context.trace_id:032x}" == occurrence.run_id
    assert names(skip) == ["lock requested", "lock failed"]
    assert (skip.attributes or {})["tickglass.reason"] == "lock_held"
    assert stage.spans.open_runs == 0


def test_instants_that_passed_while_the_job_was_in_hand_are_one_span_without_length(stage: TracedStage) -> None:
    stage.sink.record(
        InstantsSkipped(
            job="nightly",
            reason="overlap",
            count=3,
            exact=True,
            first_due_ns=0,
            latest_due_ns=2 * SECOND,
            next_due_ns=3 * SECOND,
            wall_ns=2 * SECOND,
        )
    )
    skip = stage.ended()["skip nightly"]
    assert skip.start_time == skip.end_time == 2 * SECOND
    facts = skip.attributes or {}
    assert (facts["tickglass.reason"], facts["tickglass.due_instants"]) == ("overlap", 3)
    assert facts["tickglass.scheduled_time.latest"] == "1970-01-01T00:00:02+00:00"


def test_an_occurrence_that_ran_elsewhere_leaves_nothing(stage: TracedStage) -> None:
    occurrence = stage.occurrence("nightly")
    lock = stage.lock("ledger", run_id=occurrence.run_id)
    for event in (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN):
        occurrence.fire(event)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.REFUSED, other_owner="host-2")
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
    assert stage.ended() == {}
    assert stage.spans.open_runs == 0


def test_a_run_that_is_not_sampled_makes_no_span_and_leaves_no_state() -> None:
    stage = TracedStage(ALWAYS_OFF)
    occurrence, lock = stage.begin()
    assert not occurrence.sampled
    with stage.spans.activate(occurrence.run_id):
        context = trace.get_current_span().get_span_context()
        assert f"{context.trace_id:032x}" == occurrence.run_id
    stage.end(occurrence)
    lock.fire(LockEvent.RELEASED)
    assert stage.ended() == {}
    assert stage.spans.open_runs == 0


def test_a_ratio_of_runs_is_sampled() -> None:
    stage = TracedStage(TraceIdRatioBased(0.25))
    sampled = sum(stage.begin()[0].sampled for _ in range(400))
    assert 50 < sampled < 150


def test_an_ended_run_whose_lock_never_ends_is_closed_by_a_later_end(stage: TracedStage) -> None:
    stuck, _ = stage.begin("stuck")
    stage.end(stuck)
    stage.clock.advance(spans_module.LINGER_NS)
    other, lock = stage.begin()
    stage.end(other)
    lock.fire(LockEvent.RELEASED)
    assert stage.ended().keys() >= {"run stuck", "run nightly"}
    assert stage.spans.open_runs == 0


def test_runs_that_never_end_are_bounded(stage: TracedStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "RUNS_MAX", 10)
    monkeypatch.setattr(spans_module, "EARLY_MAX", 10)
    for _ in range(100):
        stage.begin()
        stage.lock("ledger", run_id=secrets.token_hex(16)).fire(LockEvent.REQUESTED)
    assert stage.spans.open_runs <= 20


def test_close_ends_what_is_open(stage: TracedStage) -> None:
    stage.begin()
    assert stage.spans.close(2.0)
    assert "run nightly" in stage.ended()
    assert stage.spans.open_runs == 0


def test_waiting_for_work_that_hangs_is_bounded() -> None:
    hang = threading.Event()
    assert not within(0.01, hang.wait)
    (waiting,) = (thread for thread in threading.enumerate() if thread.name == "tickglass-flush")
    hang.set()
    waiting.join()  # the next test begins without it


def test_without_a_provider_nothing_is_traced_and_the_users_own_traces_go_on() -> None:
    stage = TracedStage()
    stage.spans = stage.sink = SpanSink(None, stage.clock)
    occurrence, lock = stage.begin()
    with stage.provider.get_tracer("app").start_as_current_span("theirs") as theirs:
        with stage.spans.activate(occurrence.run_id):
            assert trace.get_current_span() is theirs
        stage.lock("by hand").fire(LockEvent.REQUESTED)
    stage.end(occurrence)
    lock.fire(LockEvent.RELEASED)
    assert not occurrence.sampled
    assert stage.spans.open_runs == 0
    assert stage.spans.close(1.0)
    assert stage.ended().keys() == {"theirs"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_no_provider_is_built_where_no_traces_are_asked_for(environ: dict[str, str]) -> None:
    assert build_tracer_provider("billing", "host-1", environ=environ) is None


def test_an_end_with_a_dead_collector_is_bounded_and_its_spans_are_counted(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port}")
    stage = Stage()
    told = threading.Event()

    def dropped(signal: str, reason: str, count: int) -> None:
        stage.metrics.dropped(signal, reason, count)
        told.set()

    spans = SpanSink.from_environment(service="billing", owner="host-1", clock=stage.clock, on_drop=dropped)
    stage.sink = spans
    occurrence = stage.occurrence("nightly")
    occurrence.fire(OccurrenceEvent.FELL_DUE)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.MISSED)
    began_ns = SystemClock().monotonic_ns()
    spans.close(0.2)
    assert SystemClock().monotonic_ns() - began_ns < SECOND
    assert told.wait(10)
    assert stage.value("tickglass_telemetry_dropped_total", signal="spans", reason="export_failed") == 1


def test_a_full_queue_drops_and_counts_what_does_not_fit(stage: Stage) -> None:
    class Stuck(InMemorySpanExporter):
        go_on = threading.Event()

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.go_on.wait(10)
            return super().export(spans)

    exporter, dropped = Stuck(), 0

    def drop(_signal: str, reason: str, count: int) -> None:
        nonlocal dropped
        assert reason == "queue_full"
        dropped += count

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(CountingQueue(exporter, drop))
    tracer = provider.get_tracer("app")
    for _ in range(QUEUE_MAX + 5):
        tracer.start_span("s").end()
    exporter.go_on.set()
    assert within(10, provider.shutdown)
    assert dropped == 5
    assert len(exporter.get_finished_spans()) == QUEUE_MAX
