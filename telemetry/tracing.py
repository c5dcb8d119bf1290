"""Decide where spans go, and which ids a run's spans have.

The run id is the trace id, so a log line, a ledger entry, an exemplar and a
trace of one run share one name. Settings come from the OTEL_* environment, as
the OpenTelemetry specification names them.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanContext, TraceFlags

from tickglass.sched.escaping import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

__all__ = ["OnDrop", "RunIds", "application_provider", "build_tracer_provider", "root_of", "within"]

QUEUE_MAX: Final = 2_048  # spans that wait for the exporter; more are dropped and counted
BATCH_MAX: Final = 512
EXPORT_TIMEOUT_S: Final = 2.0  # OpenTelemetry's own 10 s made the exit wait 8 s for a dead collector

_log: Final = logging.getLogger(__name__)
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP: Final = f"{_PROTOCOLS[0]}=http/protobuf"


class OnDrop(Protocol):
    """Called with how much telemetry was lost, and why; see `MetricSink.dropped`."""

    def __call__(self, signal: str, reason: str, count: int, /) -> None:
        """Count it."""
        ...


class RunIds(IdGenerator):
    """Gives a run's root span the ids that its run id says, and all others random ones.

    Args:
        others: where the other ids come from.
    """

    def __init__(self, others: IdGenerator) -> None:
        self._others = others
        self._beginning = threading.local()

    @contextmanager
    def of(self, run_id: str) -> Iterator[None]:
        """Give the ids of this run to the root span that this thread starts inside the `with`."""
        self._beginning.run_id = run_id
        try:
            yield
        finally:
            self._beginning.run_id = ""

    def generate_trace_id(self) -> int:
        """See `IdGenerator`."""
        run_id: str = getattr(self._beginning, "run_id", "")
        return int(run_id, 16) if run_id else self._others.generate_trace_id()

    def generate_span_id(self) -> int:
        """See `IdGenerator`."""
        run_id: str = getattr(self._beginning, "run_id", "")
        return _span_id(run_id) if run_id else self._others.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """See `IdGenerator`: run ids are random, all 128 bits."""
        return self._others.is_trace_id_random()


def root_of(run_id: str) -> SpanContext:
    """Return the root span's context of any run, also of one that ran elsewhere."""
    return SpanContext(int(run_id, 16), _span_id(run_id), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _span_id(run_id: str) -> int:
    return int(run_id[:16], 16) or 1  # 0 is no span


def application_provider() -> TracerProvider | None:
    """Return the provider that the application has set for its whole process; None if it has set none of the SDK's."""
    present = trace.get_tracer_provider()
    return present if isinstance(present, TracerProvider) else None


def build_tracer_provider(
    service: str,
    owner: str,
    *,
    on_drop: OnDrop = lambda *_: None,
    environ: Mapping[str, str] = os.environ,
) -> TracerProvider | None:
    """Build the provider that the environment asks for; None when it asks for no traces.

    Spans leave in batches over OTLP, to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT, by
    OTEL_EXPORTER_OTLP_PROTOCOL; OTEL_TRACES_SAMPLER decides which runs are traced. These variables are often those of
    a whole platform, so what is not supported here is a warning in the log, and None: no job fails because of it.

    Args:
        service: `service.name`, unless OTEL_SERVICE_NAME says otherwise.
        owner: `service.instance.id`.
        on_drop: told the signal, the reason and the number of spans lost.
    """
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = _exporter(environ) if _is_otlp_wanted(environ) else None
    if exporter is None:
        return None
    name = environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(
        resource=Resource.create({"service.name": name, "service.instance.id": owner}), shutdown_on_exit=False
    )
    provider.add_span_processor(_Queue(exporter, on_drop))
    return provider


def _is_otlp_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OTEL_TRACES_EXPORTER, a list, has the one exporter that there is here; the others get a warning."""
    wanted = [word.strip() for word in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]
    others = [word for word in wanted if word not in ("otlp", "none", "")]
    if others:
        _log.warning("OTEL_TRACES_EXPORTER=%s: runs are exported by otlp only", ",".join(others))
    return "otlp" in wanted


def _exporter(environ: Mapping[str, str]) -> SpanExporter | None:
    """Return the exporter of the protocol that is asked for; None, with a warning, if there is none here."""
    variable = next((name for name in _PROTOCOLS if environ.get(name)), _PROTOCOLS[-1])
    protocol = environ.get(variable) or "http/protobuf"
    if protocol == "grpc":
        return _grpc_exporter(variable)
    if protocol == "http/protobuf":
        return OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)
    _log.warning("runs are not traced: %s=%s is not supported: set %s", variable, shown(protocol), _HTTP)
    return None


def _grpc_exporter(variable: str) -> SpanExporter | None:
    try:
        from opentelemetry.exporter.otlp.proto.grpc import exporter, trace_exporter  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        _log.warning(
            "runs are not traced: %s=grpc needs pip install 'tickglass[otlp-grpc]', or set %s", variable, _HTTP
        )
        return None
    try:
        return trace_exporter.OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)
    except exporter.InvalidCompressionValueException as error:  # the one setting that it does not default
        _log.warning("runs are not traced: %s", error)
        return None


class _Queue(SpanProcessor):
    """OpenTelemetry's batch processor, and a count of the spans that it loses.

    The SDK drops the oldest span of a full queue and only logs it.
    Here a span that finds the queue full is dropped and counted.
    """

    def __init__(self, exporter: SpanExporter, on_drop: OnDrop) -> None:
        self._counting = threading.Lock()
        self._waiting = 0
        self._on_drop = on_drop
        self._batches = BatchSpanProcessor(
            _ReportingExporter(exporter, self._exported), max_queue_size=QUEUE_MAX, max_export_batch_size=BATCH_MAX
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See `SpanProcessor`."""
        self._batches.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """See `SpanProcessor`."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._counting:
            fits = self._waiting < QUEUE_MAX
            self._waiting += fits
        if fits:
            self._batches.on_end(span)
        else:
            self._on_drop("spans", "queue_full", 1)

    def shutdown(self) -> None:
        """See `SpanProcessor`."""
        self._batches.shutdown()  # type: ignore[no-untyped-call] # the SDK's

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanProcessor`."""
        return self._batches.force_flush(timeout_millis)

    def _exported(self, count: int, *, delivered: bool) -> None:
        with self._counting:
            self._waiting -= count
        if not delivered:
            self._on_drop("spans", "export_failed", count)


class _ReportingExporter(SpanExporter):
    """Another exporter, and a report of the result of each batch."""

    def __init__(self, exporter: SpanExporter, exported: Callable[..., None]) -> None:
        self._exporter = exporter
        self._exported = exported

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._exported(len(spans), delivered=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """See `SpanExporter`."""
        self._exporter.shutdown()


def within(deadline_s: float, work: Callable[[], object]) -> bool:
    """Do the work on a thread of its own, with a deadline; return whether it was done in time.

    The SDK exceeds its own deadlines. Work that is not done in time continues in the
    background, and is lost when the process ends.
    """
    thread = threading.Thread(target=work, name="tickglass-flush", daemon=True)
    thread.start()
    thread.join(deadline_s)
    return not thread.is_alive()
