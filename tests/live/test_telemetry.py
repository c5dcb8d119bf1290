"""A real Prometheus scrapes real machines; a slow bucket leads to the trace of the run in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.metrics_stage import LATENESS

from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.sched.ports import TracedRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import OtlpReceiver, Prometheus
    from live.conftest import LiveStage


def run_once(live: LiveStage, *, outcome: Outcome = Outcome.SUCCESS) -> str:
    """Execution one occurrence as the engine does; return its run id."""
    occurrence = live.occurrence("nightly")
    lock = live.lock("ledger", run_id=occurrence.run_id)
    for event in (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN):
        occurrence.fire(event)
    lock.fire(LockEvent.REQUESTED)
    run = TracedRun(
        run_id=occurrence.run_id,
        job="nightly",
        trigger='cron("0 2 * * *")',
        resource="ledger",
        due_ns=occurrence.due_ns,
        attempt=1,
        fence=live.next_fence(),
        owner="host-1",
        service="billing",
        began_wall_ns=live.clock.wall_ns(),
        previous_run_id="",
    )
    lock.sampled = occurrence.sampled = live.spans.begin(run)
    lock.fire(LockEvent.GRANTED, fence=run.fence)
    occurrence.fire(OccurrenceEvent.CLAIMED)
    occurrence.fire(OccurrenceEvent.STARTED)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, lateness=LATENESS, ran_ns=1_000_000)
    lock.fire(LockEvent.RELEASED)
    return occurrence.run_id


def test_the_named_lock_metrics_answer_queries_and_the_account_agrees(
    live: LiveStage, prometheus: Callable[[int], Prometheus]
) -> None:
    live.register("nightly", resource="ledger")
    live.metrics.preregister(stores=["sqlite"], pools=["default"], sinks=["spans"])
    server = prometheus(live.server.port)
    live.bell.wait_for_more(2)  # zeros are stored before anything is counted
    for _ in range(5):
        run_once(live)
    failed = live.lock("ledger")
    failed.fire(LockEvent.REQUESTED)
    failed.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT)
    lock = live.lock("ledger")
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=live.next_fence())
    live.occurrence("nightly").fire(OccurrenceEvent.FELL_DUE)
    live.bell.wait_for_more(3)

    def value(expression: str) -> float:
        (result,) = server.query(expression)
        return float(result["value"][1])

    assert value('up{job="tickglass"}') == 1
    assert value('distributed_lock_held_seconds{resource="ledger",owner="host-1",service="billing"}') > 0.2
    assert value('distributed_lock_acquire_attempts_total{status="acquired"}') == 6
    assert value('distributed_lock_acquire_failures_total{reason="timeout"}') == 1
    assert value("sum(distributed_lock_wait_seconds_count)") == 7
    assert value("sum(increase(tickglass_job_outcomes_total[1m]))") > 0  # they were seen to start at zero
    assert value("tickglass_job_pending") == 1
    assert (
        value("tickglass_job_due_total - on (job_name) sum by (job_name) (tickglass_job_outcomes_total)"
              " - on (job_name) tickglass_job_pending") == 0
    )  # fmt: skip
    lock.fire(LockEvent.RELEASED)
    live.bell.wait_for_more(3)
    assert server.query("distributed_lock_held_seconds") == []


def test_an_exemplar_leads_to_the_trace_of_the_run(
    live: LiveStage, prometheus: Callable[[int], Prometheus], otlp_receiver: OtlpReceiver
) -> None:
    live.register("nightly", resource="ledger")
    server = prometheus(live.server.port)
    run_ids = {run_once(live), run_once(live, outcome=Outcome.FAILURE)}
    live.bell.wait_for_more(3)
    for metric in (
        "tickglass_job_start_lateness_seconds",
        "tickglass_job_run_duration_seconds",
        "distributed_lock_wait_seconds",
        "distributed_lock_hold_duration_seconds",
    ):
        found = server.exemplars(f"{metric}_bucket")
        trace_ids = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
        assert trace_ids, metric
        assert trace_ids <= run_ids
    spans = otlp_receiver.wait_for("run nightly", "lock acquire ledger")
    assert spans["run nightly"].trace_id.hex() in run_ids
    assert spans["lock acquire ledger"].parent_span_id == spans["run nightly"].span_id
    resource = otlp_receiver.resources[0]
    assert (resource["service.name"], resource["service.instance.id"]) == ("billing", "host-1")
