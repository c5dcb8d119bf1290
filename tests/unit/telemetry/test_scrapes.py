"""A scrape writes what has changed since the one before, and shows the same as if it had written everything."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from kit.metrics_stage import SECOND, Stage
from kit.sidecar_events import Life
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Sample

from tickglass.sched.durations import MS
from tickglass.sched.lease import LockEvent
from tickglass.telemetry import MetricSink, catalogue
from tickglass.telemetry.endpoint.exposition import encode
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.series import SeriesFamily, family
from tickglass.telemetry.series.families import Place
from tickglass.telemetry.series.instruments import Counters, Value

if TYPE_CHECKING:
    from tickglass.telemetry.series.families import Spot
    from tickglass.telemetry.series.instruments import Copy

JOBS = 30
OPENMETRICS = "application/openmetrics-text"
NEVER_RUN_MAX = 6_000  # bytes of a job with its lock; most of its series are zeros that take no room


def both(metrics: MetricSink) -> tuple[bytes, bytes]:
    return encode(metrics.registry, "")[1], encode(metrics.registry, OPENMETRICS)[1]


class Written:
    """Counts the rows that are written out, by name of the job or lock and metric."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[tuple[str, str]] = []
        write = Place.written

        def counting(place: Place, spot: Spot, copy: Copy, *, openmetrics: bool) -> str:
            labels = place.labels(spot)
            self.rows.append((labels.get("job_name") or labels.get("resource") or "", spot.metric.name))
            return write(place, spot, copy, openmetrics=openmetrics)

        monkeypatch.setattr(Place, "written", counting)

    def of_scrape(self, stage: Stage, accept: str = "") -> list[tuple[str, str]]:
        """Scrape; return what was written."""
        self.rows.clear()
        encode(stage.metrics.registry, accept)
        return list(self.rows)


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("seed", range(6))
def test_a_page_after_many_scrapes_is_that_of_a_first_scrape(seed: int, detail: Detail) -> None:
    life = Life(seed, detail)
    never_scraped = MetricSink(life.stage.clock, CollectorRegistry(), detail=detail)
    life.begin(life.stage.metrics, never_scraped)
    for _ in range(200):
        life.go_on(1)
        both(life.stage.metrics)
    assert both(life.stage.metrics) == both(never_scraped)
    for change in (MetricSink.halt, MetricSink.resume, MetricSink.forget):
        change(life.stage.metrics)
        change(never_scraped)
        assert both(life.stage.metrics) == both(never_scraped), change


@pytest.mark.parametrize("labels", [{}, {"service": "billing"}, {"owner": 'a"\\\n', "service": "zürich"}])
@pytest.mark.parametrize("detail", Detail)
def test_our_text_is_that_of_prometheus_client(labels: dict[str, str], detail: Detail) -> None:
    life = Life(3, detail)
    metrics = MetricSink(life.stage.clock, CollectorRegistry(), detail=detail, **labels)  # type: ignore[arg-type] # of str only
    life.begin(life.stage.metrics, metrics)
    for name in ('quoted "\\\n', "zz", ""):
        life.stage.register(name)
    life.go_on(150)
    assert both(metrics) == (generate_latest(metrics.registry), generate_openmetrics(metrics.registry))  # type: ignore[no-untyped-call] # the client's


def test_only_what_changed_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, written = Stage(), Written(monkeypatch)
    for number in range(JOBS):
        stage.register(f"job-{number}")
    everything = len(written.of_scrape(stage))
    assert everything > JOBS * 30
    assert written.of_scrape(stage) == []
    stage.run(stage.occurrence("job-7"), ran_ns=2 * MS)
    changed = written.of_scrape(stage)
    assert {name for name, _ in changed} == {"job-7"}
    assert ("job-7", "tickglass_job_outcomes_total") in changed
    assert ("job-7", "tickglass_job_skips_total") not in changed
    assert written.of_scrape(stage) == []
    assert len(written.of_scrape(stage, OPENMETRICS)) >= everything, "another format is another text"


def test_an_age_is_of_this_scrape_though_nothing_happened(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.register("nightly")
    stage.hold(stage.lock("nightly"))
    written = Written(monkeypatch)
    written.of_scrape(stage)
    stage.clock.advance(7 * SECOND)
    again = written.of_scrape(stage)
    assert ("nightly", "distributed_lock_held_seconds") in again
    assert ("nightly", "distributed_lock_transitions_total") not in again
    assert stage.total("distributed_lock_held_seconds", resource="nightly") == 7


def test_a_group_that_did_not_change_is_not_even_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, copied = Stage(), list[Counters]()
    for number in range(JOBS):
        stage.register(f"job-{number}")
    snapshot = Counters.snapshot

    def counting(counters: Counters) -> object:
        copied.append(counters)
        return snapshot(counters)

    monkeypatch.setattr(Counters, "snapshot", counting)
    list(stage.metrics.collect())
    of_all = len(copied)
    copied.clear()
    list(stage.metrics.collect())
    of_internals = len(copied)
    assert of_all - of_internals >= JOBS * 8, "of each job and of its lock"
    copied.clear()
    stage.lock("job-3").fire(LockEvent.REQUESTED)
    list(stage.metrics.collect())
    assert len(copied) - of_internals == 5, "those of one lock"


def test_samples_are_made_once_and_can_be_added_to() -> None:
    stage = Stage()
    stage.register("nightly")
    (due,) = (found for found in stage.metrics.collect() if found.name == catalogue.JOB_DUE.family)
    assert isinstance(due, SeriesFamily)
    due.samples.append(Sample("tickglass_job_due_total", {"job_name": "mine"}, 5))
    text = "".join(due.lines(openmetrics=False))
    assert text.splitlines()[2:] == [
        'tickglass_job_due_total{job_name="nightly"} 0.0',
        'tickglass_job_due_total{job_name="mine"} 5.0',
    ]
    other = family(catalogue.JOB_DUE)
    other.samples = []
    other.take(due)
    assert other.samples == due.samples


@pytest.mark.parametrize("detail", Detail)
def test_a_job_that_never_ran_takes_little_room(detail: Detail) -> None:
    stage = Stage(detail=detail)
    stage.register("first")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            stage.register(f"job-{number}")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 100 < NEVER_RUN_MAX
    assert stage.value("tickglass_job_outcomes_total", job_name="job-9", outcome="failure") in (0, None)
    assert stage.value("distributed_lock_waiters", resource="job-9") == 0


def test_a_signal_handler_that_counts_the_same_loses_no_count() -> None:
    """It runs in the same thread, so the lock of the group does not keep it out."""
    interrupted: list[str] = []

    def make(value: str) -> Value:
        if not interrupted:
            interrupted.append(value)
            counters[value].add()
        return Value(0)

    counters = Counters(("success",), make=make)
    counters["success"].add()
    assert counters.snapshot().counts == (2,)


class Compared(int):
    """A timeout that counts how often it is compared."""

    times = 0

    def _compare(self, other: int) -> bool:
        Compared.times += 1
        return int(self) > int(other)

    __gt__ = _compare


def test_a_lock_of_many_jobs_is_declared_without_going_through_all_of_them() -> None:
    stage = Stage(names_most=1)
    stage.register("first")
    Compared.times = 0
    for number in range(500):
        stage.register(f"job-{number}", timeout_ns=Compared(number * SECOND))
    assert stage.value("distributed_lock_max_hold_seconds", resource="__other__") == 499
    assert 0 < Compared.times <= 500
    for number in range(500):
        stage.register(f"job-{number}", timeout_ns=Compared(number * SECOND))  # the same again
    assert Compared.times <= 500
    stage.register("job-499", timeout_ns=Compared(3 * SECOND))
    assert stage.value("distributed_lock_max_hold_seconds", resource="__other__") == 498
    stage.register("job-5", timeout_ns=None)
    stage.register("job-777", timeout_ns=Compared(9))
    assert stage.value("distributed_lock_max_hold_seconds", resource="__other__") is None
    stage.register("job-5", timeout_ns=Compared(5))
    assert stage.value("distributed_lock_max_hold_seconds", resource="__other__") == 498
