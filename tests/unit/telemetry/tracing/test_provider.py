"""Where spans go: to the provider that the application has set, else where OTEL_* says; no setting ends a scheduler."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from tickglass.telemetry import build_tracer_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S: Final = 30.0
HTTP: Final = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"
ENDPOINT: Final = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [record.getMessage() for record in caplog.records if record.name.startswith("tickglass")]


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "runs are not traced: OTEL_EXPORTER_OTLP_PROTOCOL=http/json is not supported: set " + HTTP,
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "gprc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "runs are not traced: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=gprc is not supported: set " + HTTP,
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin: runs are exported by otlp only"),
    ],
)
def test_what_is_not_supported_is_a_warning_and_no_trace(
    environ: dict[str, str], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert build_tracer_provider("billing", "host-1", environ={**ENDPOINT, **environ}) is None
    assert warnings(caplog) == [warning]


def test_grpc_without_its_package_is_a_warning_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc", None)
    environ = {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert build_tracer_provider("billing", "host-1", environ=environ) is None
    (warning,) = warnings(caplog)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs pip install 'tickglass[otlp-grpc]'" in warning


def test_a_setting_of_grpc_that_cannot_be_read_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "best")
    environ = {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert build_tracer_provider("billing", "host-1", environ=environ) is None
    assert 'runs are not traced: Invalid value "best"' in warnings(caplog)[0]


def test_a_list_of_exporters_is_read_and_otlp_is_used(caplog: pytest.LogCaptureFixture) -> None:
    environ = {**ENDPOINT, "OTEL_TRACES_EXPORTER": "console, otlp"}
    provider = build_tracer_provider("billing", "host-1", environ=environ)
    assert provider is not None
    provider.shutdown()
    assert warnings(caplog) == ["OTEL_TRACES_EXPORTER=console: runs are exported by otlp only"]


class Collector(TraceServiceServicer):
    """Takes spans over OTLP/gRPC."""

    def __init__(self) -> None:
        self.names: SimpleQueue[str] = SimpleQueue()

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: ANN401, N802
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.names.put(span.name)
        return ExportTraceServiceResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server, collector = grpc.server(ThreadPoolExecutor(2)), Collector()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call] # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    yield collector
    server.stop(None).wait()


def test_grpc_is_honoured_where_its_package_is_installed(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    provider = build_tracer_provider("billing", "host-1")
    assert provider is not None
    provider.get_tracer("app").start_span("run nightly").end()
    provider.shutdown()
    assert collector.names.get(timeout=PATIENCE_S) == "run nightly"
    assert warnings(caplog) == []


# An application that has set up OpenTelemetry before it starts a scheduler. It says at the end which spans there were.
APPLICATION: Final = """
import asyncio, json, threading
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tickglass import Scheduler, every

exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
scheduler = Scheduler("memory://")
runs, done = {}, threading.Barrier(3)

@scheduler.job(every("1s"), name="plain")
def plain(run):
    if "plain" in runs:
        return
    with trace.get_tracer("app").start_as_current_span("query of plain"):
        runs["plain"] = run.run_id
    done.wait()

@scheduler.job(every("1s"), name="coroutine")
async def coroutine(run):
    if "coroutine" in runs:
        return
    with trace.get_tracer("app").start_as_current_span("query of coroutine"):
        await asyncio.sleep(0)
        runs["coroutine"] = run.run_id
    await asyncio.to_thread(done.wait)

with scheduler:
    done.wait()
provider.get_tracer("app").start_span("after the scheduler").end()  # it was not shut down
spans = [
    (it.name, f"{it.context.trace_id:032x}", f"{it.context.span_id:016x}", it.parent and f"{it.parent.span_id:016x}")
    for it in exporter.get_finished_spans()
]
print(json.dumps([runs, spans]))
"""


@pytest.mark.parametrize("endpoint", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}])
def test_spans_of_a_jobs_code_are_children_of_its_run_in_the_provider_that_the_application_set(
    endpoint: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", APPLICATION],
        env={"XDG_RUNTIME_DIR": str(tmp_path), **endpoint},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    runs, spans = msgspec.json.decode(done.stdout)
    for job, run_id in runs.items():
        roots = {trace_id: span_id for name, trace_id, span_id, _ in spans if name == f"run {job}"}
        children = {trace_id: parent for name, trace_id, _, parent in spans if name == f"query of {job}"}
        assert children[run_id] == roots[run_id] == run_id[:16]
    assert runs.keys() == {"plain", "coroutine"}
    assert "after the scheduler" in {name for name, *_ in spans}
