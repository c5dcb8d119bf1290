"""Decide where spans go.

Settings come from the OTEL_* environment, as the OpenTelemetry specification names them. The SDK is loaded only by a
process that exports traces: it takes longer to load than all of Tickglass.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["OnDrop", "build_tracer_provider", "load_exporter", "within"]


class OnDrop(Protocol):
    """Called with how much telemetry was lost, and why; see `MetricSink.dropped`."""

    def __call__(self, signal: str, reason: str, count: int, /) -> None:
        """Count it."""
        ...


def build_tracer_provider(
    service: str,
    owner: str,
    *,
    on_drop: OnDrop = lambda *_: None,
    environ: Mapping[str, str] = os.environ,
) -> TracerProvider | None:
    """Build the provider that the environment asks for; None when it asks for no traces.

    Spans leave in batches over OTLP/HTTP, to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
    or OTEL_EXPORTER_OTLP_ENDPOINT; OTEL_TRACES_SAMPLER decides which runs are
    traced.

    Args:
        service: `service.name`, unless OTEL_SERVICE_NAME says otherwise.
        owner: `service.instance.id`.
        on_drop: told the signal, the reason and the number of spans lost.

    Raises:
        ConfigError: the environment asks for a protocol or exporter that is not spoken here.
    """
    if not _asks_for_traces(environ):
        return None
    exporter = environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter != "otlp":
        raise ConfigError(
            "traces are exported over OTLP only",
            given=f"OTEL_TRACES_EXPORTER={exporter}",
            instead=("OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_EXPORTER=none"),
        )
    if protocol not in (None, "", "http/protobuf"):
        raise ConfigError(
            "traces are exported over HTTP only",
            given=f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}",
            instead=("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf",),
        )
    from tickglass.telemetry.otlp import exporting_provider  # noqa: PLC0415 - the SDK: see `load_exporter`

    return exporting_provider(environ.get("OTEL_SERVICE_NAME") or service, owner, on_drop)


def load_exporter(environ: Mapping[str, str] = os.environ) -> None:
    """Import what `build_tracer_provider` will use, if the environment asks for traces.

    A scheduler calls it before it takes a lock, because an import waits for imports of other threads.
    """
    if _asks_for_traces(environ):
        import_module("tickglass.telemetry.otlp")


def _asks_for_traces(environ: Mapping[str, str]) -> bool:
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return bool(endpoint) and environ.get("OTEL_TRACES_EXPORTER") != "none" and not disabled


def within(deadline_s: float, work: Callable[[], object]) -> bool:
    """Do the work on a thread of its own, with a deadline; return whether it was done in time.

    The SDK exceeds its own deadlines. Work that is not done in time continues in the
    background, and is lost when the process ends.
    """
    thread = threading.Thread(target=work, name="tickglass-flush", daemon=True)
    thread.start()
    thread.join(deadline_s)
    return not thread.is_alive()
