"""Send spans over OTLP with OpenTelemetry's SDK, and count those that are lost.

Only a process that exports traces imports this module: it loads the SDK, the exporter and protobuf.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    OnDrop = Callable[[str, str, int], object]  # the signal, the reason, the number of spans lost

__all__ = ["CountingQueue", "exporting_provider", "grpc_exporter", "http_exporter"]

QUEUE_MAX: Final = 2_048  # spans that wait for the exporter; more are dropped and counted
BATCH_MAX: Final = 512
EXPORT_TIMEOUT_S: Final = 2.0  # OpenTelemetry's own 10 s made the exit wait 8 s for a dead collector


def exporting_provider(service: str, owner: str, exporter: SpanExporter, on_drop: OnDrop) -> TracerProvider:
    """Return a provider whose spans leave in batches through an exporter.

    Args:
        on_drop: told the signal, the reason and the number of spans lost.
    """
    resource = Resource.create({"service.name": service, "service.instance.id": owner})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(CountingQueue(exporter, on_drop))
    return provider


def http_exporter() -> SpanExporter:
    """Return an exporter over OTLP/HTTP; the environment says to where."""
    return OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)


def grpc_exporter() -> SpanExporter:
    """Return an exporter over OTLP/gRPC; the environment says to where.

    Raises:
        ModuleNotFoundError: the extra is not installed.
        ValueError: the environment names a compression that there is not: the one setting without a default.
    """
    from opentelemetry.exporter.otlp.proto.grpc import exporter, trace_exporter  # noqa: PLC0415 - an extra

    try:
        return trace_exporter.OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)
    except exporter.InvalidCompressionValueException as error:
        raise ValueError(str(error)) from error


class CountingQueue(SpanProcessor):
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
