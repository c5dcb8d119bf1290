"""A stage with everything real: system clock, metric server, spans over OTLP/HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.metrics_stage import Stage
from kit.servers import OtlpReceiver, ScrapeBell

from tickglass.sched.clock import SystemClock
from tickglass.telemetry import MetricSink, MetricsServer, SpanSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.events import Event


class LiveStage(Stage):
    """Metrics and spans of the same events, served and sent for real."""

    def __init__(self, spans: SpanSink, metrics: MetricSink, clock: SystemClock) -> None:
        super().__init__()
        self.clock = clock  # type: ignore[assignment] # it is not moved by hand
        self.metrics, self.spans, self.sink = metrics, spans, self
        self.bell = ScrapeBell()
        metrics.registry.register(self.bell)
        self.server = MetricsServer("127.0.0.1:0", metrics.registry, list)

    def record(self, event: Event) -> None:
        self.metrics.record(event)
        self.spans.record(event)


@pytest.fixture
def live(otlp_receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveStage]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp_receiver.endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    clock = SystemClock()
    metrics = MetricSink(clock, service="billing")
    spans = SpanSink.from_environment(service="billing", owner="host-1", clock=clock, on_drop=metrics.dropped)
    stage = LiveStage(spans, metrics, clock)
    stage.server.start()
    yield stage
    stage.server.stop()
    assert spans.close(5.0)
