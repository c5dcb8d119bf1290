"""Turn the core's events into metrics, spans and logs, and serve them."""

from tickglass.telemetry.endpoint.address import DEFAULT_LISTEN, parse_listen
from tickglass.telemetry.endpoint.exporter import MetricsServer
from tickglass.telemetry.logs import LogSink, configure_logging
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.metrics import MetricSink
from tickglass.telemetry.spans import SpanSink
from tickglass.telemetry.tracing import build_tracer_provider

__all__ = [
    "DEFAULT_LISTEN",
    "Detail",
    "LogSink",
    "MetricSink",
    "MetricsServer",
    "SpanSink",
    "build_tracer_provider",
    "configure_logging",
    "parse_listen",
]
