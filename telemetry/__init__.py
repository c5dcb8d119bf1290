"""Turn the core's events into metrics, spans and logs, and serve them.

Each name is loaded when it is first asked for: who uses the log needs no Prometheus, and no OpenTelemetry SDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.telemetry.endpoint.address import DEFAULT_LISTEN, parse_listen
    from tickglass.telemetry.endpoint.apps import MetricsAsgiApp, MetricsWsgiApp
    from tickglass.telemetry.endpoint.exporter import MetricsServer
    from tickglass.telemetry.logs import LogSink, configure_logging
    from tickglass.telemetry.metric import Detail
    from tickglass.telemetry.metrics import MetricSink
    from tickglass.telemetry.spans import SpanSink
    from tickglass.telemetry.tracing.provider import build_tracer_provider

__all__ = [
    "DEFAULT_LISTEN",
    "Detail",
    "LogSink",
    "MetricSink",
    "MetricsAsgiApp",
    "MetricsServer",
    "MetricsWsgiApp",
    "SpanSink",
    "build_tracer_provider",
    "configure_logging",
    "parse_listen",
]

_MODULES: "Final[Mapping[str, str]]" = {
    "DEFAULT_LISTEN": "endpoint.address",
    "Detail": "metric",
    "LogSink": "logs",
    "MetricSink": "metrics",
    "MetricsAsgiApp": "endpoint.apps",
    "MetricsServer": "endpoint.exporter",
    "MetricsWsgiApp": "endpoint.apps",
    "SpanSink": "spans",
    "build_tracer_provider": "tracing.provider",
    "configure_logging": "logs",
    "parse_listen": "endpoint.address",
}


def __getattr__(name: str) -> object:
    """Load the module that defines a public name."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # from now on without this function
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
