"""Decide where spans go.

Settings come from the OTEL_* environment, as the OpenTelemetry specification names them. The SDK is loaded only by a
process that exports traces: it takes longer to load than all of Tickglass.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import trace

from tickglass.sched.escaping import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["OnDrop", "application_provider", "build_tracer_provider", "load_exporter", "within"]

_log: Final = logging.getLogger(__name__)
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP: Final = f"{_PROTOCOLS[0]}=http/protobuf"


class OnDrop(Protocol):
    """Called with how much telemetry was lost, and why; see `MetricSink.dropped`."""

    def __call__(self, signal: str, reason: str, count: int, /) -> None:
        """Count it."""
        ...


def application_provider() -> TracerProvider | None:
    """Return the provider that the application has set for its whole process; None if it has set none of the SDK's."""
    sdk = sys.modules.get("opentelemetry.sdk.trace")  # whoever has set one has loaded it
    present = None if sdk is None else trace.get_tracer_provider()
    return present if sdk is not None and isinstance(present, sdk.TracerProvider) else None


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
    if not _names_an_endpoint(environ) or not _is_otlp_wanted(environ):
        return None
    exporter = _exporter(environ)
    if exporter is None:
        return None
    from tickglass.telemetry.tracing.otlp import exporting_provider  # noqa: PLC0415 - the SDK: see `load_exporter`

    return exporting_provider(environ.get("OTEL_SERVICE_NAME") or service, owner, exporter, on_drop)


def load_exporter(environ: Mapping[str, str] = os.environ) -> None:
    """Import what `build_tracer_provider` will use, if the environment asks for traces.

    A scheduler calls it before it takes a lock, because an import waits for imports of other threads.
    """
    if _names_an_endpoint(environ) and "otlp" in _exporters(environ) and application_provider() is None:
        import_module("tickglass.telemetry.tracing.otlp")


def _names_an_endpoint(environ: Mapping[str, str]) -> bool:
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return bool(endpoint) and environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"


def _exporters(environ: Mapping[str, str]) -> list[str]:
    return [word.strip() for word in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]


def _is_otlp_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OTEL_TRACES_EXPORTER, a list, has the one exporter that there is here; the others get a warning."""
    wanted = _exporters(environ)
    others = [word for word in wanted if word not in ("otlp", "none", "")]
    if others:
        _log.warning("OTEL_TRACES_EXPORTER=%s: runs are exported by otlp only", ",".join(others))
    return "otlp" in wanted


def _exporter(environ: Mapping[str, str]) -> SpanExporter | None:
    """Return the exporter of the protocol that is asked for; None, with a warning, if there is none here."""
    variable = next((name for name in _PROTOCOLS if environ.get(name)), _PROTOCOLS[-1])
    protocol = environ.get(variable) or "http/protobuf"
    if protocol not in ("grpc", "http/protobuf"):
        _log.warning("runs are not traced: %s=%s is not supported: set %s", variable, shown(protocol), _HTTP)
        return None
    from tickglass.telemetry.tracing import otlp  # noqa: PLC0415 - the SDK: see `load_exporter`

    if protocol == "http/protobuf":
        return otlp.http_exporter()
    try:
        return otlp.grpc_exporter()
    except ModuleNotFoundError:
        _log.warning(
            "runs are not traced: %s=grpc needs pip install 'tickglass[otlp-grpc]', or set %s", variable, _HTTP
        )
    except ValueError as error:
        _log.warning("runs are not traced: %s", error)
    return None


def within(deadline_s: float, work: Callable[[], object]) -> bool:
    """Do the work on a thread of its own, with a deadline; return whether it was done in time.

    The SDK exceeds its own deadlines. Work that is not done in time continues in the
    background, and is lost when the process ends.
    """
    thread = threading.Thread(target=work, name="tickglass-flush", daemon=True)
    thread.start()
    thread.join(deadline_s)
    return not thread.is_alive()
