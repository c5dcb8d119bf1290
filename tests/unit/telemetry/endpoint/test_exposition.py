"""Our writer of scrapes against prometheus_client's: the same bytes, for our families and for those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from tickglass.telemetry.endpoint.exposition import encode

if TYPE_CHECKING:
    from kit.metrics_stage import Stage

TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
SECOND = 1_000_000_000


@pytest.mark.parametrize("accept", ["", TEXT, "text/plain;version=1.0.0", OPENMETRICS, f"{OPENMETRICS},{TEXT};q=0.5"])
def test_the_bytes_are_those_of_prometheus_client(stage: Stage, accept: str) -> None:
    odd = 'a\\b"c"\nd é'
    for name in ("nightly", odd):
        stage.register(name)
        stage.run(stage.occurrence(name, sampled=True), ran_ns=SECOND // 3)
        stage.hold(stage.lock(name, run_id="ab" * 16, sampled=True), waited_ns=12_345_678_901_234)
    stage.metrics.preregister(stores=["redis"], pools=["default"], sinks=["spans"])
    registry = stage.metrics.registry
    Counter("app_paid", "Paid.", ["how"], registry=registry).labels("card").inc(3e9)
    Gauge("app_open", "Open: \\ and\nline.", registry=registry).set(float("nan"))
    Histogram("app_wait_seconds", "Wait.", unit="seconds", registry=registry).observe(1, {"trace_id": "cd"})
    theirs, content_type = choose_encoder(accept)
    assert encode(registry, accept) == (content_type, theirs(registry))
