"""A real Prometheus scrapes a real `tickglass demo`, whose spans go to a real receiver."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from kit.processes import PATIENCE_S, TICKGLASS, Scrape, wait_until
from kit.servers import find_free_port, find_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import OtlpReceiver, Prometheus

JOBS: Final = {"tick", "report", "flaky", "overruns", "invoices", "labels"}
ACCOUNT: Final = (
    "abs(tickglass_job_due_total - on (job_name) sum by (job_name) (tickglass_job_outcomes_total)"
    " - on (job_name) tickglass_job_pending)"
)


@pytest.fixture
def port(tmp_path: Path, otlp_receiver: OtlpReceiver) -> Iterator[int]:
    """Where a demo's metrics are; it is stopped, and drains, when the test is over."""
    port = find_free_port()
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "PYTHONSAFEPATH": "1",
        "TMPDIR": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    command = [TICKGLASS, "demo", "--metrics-port", str(port)]
    with (tmp_path / "demo.txt").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    yield port
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
    assert (tmp_path / "demo.txt").read_text().rstrip().endswith("Drained: every run ended, every lease was released.")


def test_the_demo_answers_what_its_page_promises(
    port: int, prometheus: Callable[[int], Prometheus], otlp_receiver: OtlpReceiver
) -> None:
    server = prometheus(port)

    def values(expression: str) -> list[float]:
        return [float(result["value"][1]) for result in server.query(expression)]

    def labels(expression: str, *names: str) -> set[tuple[str, ...]]:
        return {tuple(result["metric"][name] for name in names) for result in server.query(expression)}

    def comes(expression: str) -> None:
        wait_until(lambda: bool(values(expression)), expression)

    comes('up{job="tickglass"} == 1')
    comes('tickglass_job_outcomes_total{job_name="overruns",outcome="timeout"} > 0')
    comes('tickglass_job_outcomes_total{job_name="report",outcome="success"} > 0')

    # The four lock metrics, by their labels.
    comes('max_over_time(distributed_lock_held_seconds{resource="printer",service="demo",owner!=""}[1m]) > 0')
    assert values('distributed_lock_acquire_attempts_total{resource="demo/tick",status="acquired"} > 10')
    assert labels("distributed_lock_acquire_attempts_total", "resource", "status") >= {
        (resource, status) for resource in ("demo/tick", "printer") for status in ("acquired", "contended", "failed")
    }
    assert ("printer", "timeout") in labels("distributed_lock_acquire_failures_total", "resource", "reason")
    comes("histogram_quantile(0.99, sum by (le) (rate(distributed_lock_wait_seconds_bucket[1m]))) > 0")
    assert values('distributed_lock_wait_seconds_count{resource="printer"} > 0')

    # The account, at every scrape so far; and lateness.
    assert labels("tickglass_job_due_total", "job_name") == {(job,) for job in JOBS}
    assert values(f"max(max_over_time({ACCOUNT}[5m:100ms]))") == [0]
    assert values('tickglass_job_start_lateness_seconds_count{job_name="tick"} > 10')
    assert values('histogram_quantile(0.5, rate(tickglass_job_start_lateness_seconds_bucket{job_name="tick"}[1m])) > 0')

    # From a bucket to the trace of a run in it.
    def trace_ids() -> set[str]:
        found = server.exemplars('tickglass_job_start_lateness_seconds_bucket{job_name="tick"}')
        return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}

    wait_until(lambda: bool(trace_ids() & otlp_receiver.trace_ids("run tick")), "no exemplar leads to a trace")

    page = Scrape(port)
    page.assert_the_account_agrees()
    checked = subprocess.run(
        [find_server("promtool"), "check", "metrics"], input=page.text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
