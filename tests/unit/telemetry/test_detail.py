"""A job with its lock has so many series and no more, and at compact detail nothing is hidden that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from kit.metrics_stage import SECOND, Stage

from tickglass.sched.events import JobContested
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.telemetry import catalogue
from tickglass.telemetry.endpoint.exposition import encode
from tickglass.telemetry.label_values import AttemptStatus
from tickglass.telemetry.metric import OVERFLOW, Compact, Detail, Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable

BUDGET: Final = {Detail.FULL: 110, Detail.COMPACT: 56}  # series of a job with its lock
OF_NAMES: Final = [
    metric for metric in catalogue.metrics() if metric.is_of_name and metric not in catalogue.sidecar_metrics()
]
THE_SOURCES: Final = (catalogue.LOCK_HELD, catalogue.LOCK_ATTEMPTS, catalogue.LOCK_FAILURES, catalogue.LOCK_WAIT)


@pytest.fixture(params=Detail)
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(detail=request.param)


def live(stage: Stage, name: str) -> None:
    """Let a job have everything that a job can have: a run in progress, failures, and a lock that is held."""
    stage.register(name)
    stage.run(stage.occurrence(name))
    stage.run(stage.occurrence(name), Outcome.FAILURE)
    lock = stage.lock(name)
    stage.hold(lock, waited_ns=SECOND)
    lock.fire(LockEvent.RENEWED, margin_ns=SECOND)
    occurrence = stage.occurrence(name)
    occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=stage.clock.wall_ns() + SECOND)
    for event in (OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN, OccurrenceEvent.CLAIMED, OccurrenceEvent.STARTED):
        occurrence.fire(event)
    since_ns = stage.clock.wall_ns()
    stage.metrics.record(
        JobContested(job=name, owner="o", service="s", claimant="host-2", since_wall_ns=since_ns, wall_ns=since_ns)
    )


def of_name(stage: Stage, name: str) -> list[tuple[str, frozenset[tuple[str, str]]]]:
    return [key for key in stage.series() if {("job_name", name), ("resource", name)} & key[1]]


@pytest.mark.parametrize("detail", Detail)
def test_a_job_with_its_lock_keeps_to_the_budget(detail: Detail) -> None:
    assert sum(metric.series_by_name(detail) for metric in OF_NAMES) <= BUDGET[detail]


def test_the_catalogue_counts_what_is_shown(stage: Stage) -> None:
    before = len(stage.series())
    live(stage, "nightly")
    counted = sum(metric.series_by_name(stage.metrics.detail) for metric in OF_NAMES)
    assert len(of_name(stage, "nightly")) == counted
    first = len(stage.series())
    live(stage, "hourly")
    assert len(stage.series()) - first == counted  # what is kept together is there once
    assert first - before >= counted


def test_the_four_metrics_of_the_source_are_the_same_at_both_levels() -> None:
    for metric in THE_SOURCES:
        assert metric.compact is Compact.BY_NAME, metric.name
    stages = [Stage(detail=detail) for detail in Detail]
    for each in stages:
        each.register("nightly")
        each.hold(each.lock("nightly"), waited_ns=3 * SECOND)
        lock = each.lock("nightly")
        lock.fire(LockEvent.REQUESTED)
        lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT)
    names = {metric.name for metric in THE_SOURCES}
    full, compact = (
        {
            key: value
            for key, value in each.series().items()
            if key[0].removesuffix("_count").removesuffix("_sum") in names
        }
        for each in stages
    )
    assert full == compact
    assert len(full) == 1 + len(AttemptStatus) + len(LockReason) + len(("_count", "_sum"))


def test_at_compact_detail_every_lock_shows_its_holder_and_every_job_its_account() -> None:
    stage = Stage(detail=Detail.COMPACT)
    for number in range(5):
        live(stage, f"job-{number}")
    held = {dict(labels)["resource"] for name, labels in stage.series() if name == "distributed_lock_held_seconds"}
    assert held == {f"job-{number}" for number in range(5)}
    for job in held:
        due = stage.value("tickglass_job_due_total", job_name=job)
        ended = stage.total("tickglass_job_outcomes_total", job_name=job)
        assert due == ended + (stage.value("tickglass_job_pending", job_name=job) or 0) == 3


def total(stage: Stage, metric: Metric) -> dict[frozenset[tuple[str, str]], float]:
    """Return a metric's series, without the names of jobs and locks, and without the bounds that only one level has."""
    bounds = {*map(str, metric.bounds(Detail.COMPACT)), "+Inf"}
    sums: dict[frozenset[tuple[str, str]], float] = {}
    for (name, labels), value in stage.series().items():
        kept = {pair for pair in labels if pair[0] not in ("job_name", "resource")}
        if name.startswith(metric.name) and dict(kept).get("le", "+Inf") in bounds:
            key = frozenset({*kept, ("name", name)})
            sums[key] = sums.get(key, 0) + value
    return sums


def test_what_is_counted_together_sums_to_what_is_counted_by_name() -> None:
    full, compact = (Stage(detail=detail) for detail in Detail)
    for each in (full, compact):
        for job in ("nightly", "hourly"):
            live(each, job)
            skipped = each.occurrence(job)
            skipped.fire(OccurrenceEvent.FELL_DUE)
            skipped.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.STOPPING)
    summed = [metric for metric in OF_NAMES if metric.kind is not Kind.GAUGE]
    for metric in summed:
        assert total(full, metric) == total(compact, metric), metric.name
    together = {name for name, labels in compact.series() if ("job_name", OVERFLOW) in labels}
    assert "tickglass_job_run_duration_seconds_bucket" in together
    assert not {name for name, labels in full.series() if ("job_name", OVERFLOW) in labels}


def test_what_a_rule_reads_of_one_job_or_lock_is_by_name_at_compact_detail() -> None:
    stage = Stage(detail=Detail.COMPACT)
    stage.register("nightly")
    skipped = stage.occurrence("nightly")
    skipped.fire(OccurrenceEvent.FELL_DUE)
    skipped.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    lock = stage.lock("nightly")
    stage.hold(lock)
    lock.fire(LockEvent.RENEWAL_FAILED)
    lock.fire(LockEvent.EXPIRED)
    lock.fire(LockEvent.RELEASED)
    assert stage.value("tickglass_job_skips_total", job_name="nightly", reason="overlap") == 1
    assert stage.value("distributed_lock_renewals_total", resource="nightly", status="error") == 1
    assert stage.value("distributed_lock_releases_total", resource="nightly", reason="expired") == 1
    assert stage.value("distributed_lock_releases_total", resource="nightly", reason="released") is None
    assert stage.value("distributed_lock_transitions_total", resource=OVERFLOW, event="expired") == 1


def test_a_name_past_the_cap_has_no_series_twice_at_compact_detail() -> None:
    stage = Stage(detail=Detail.COMPACT, names_most=2)
    for number in range(5):
        live(stage, f"job-{number}")
    lines = [line.rsplit(" ", 1)[0] for line in stage.text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))
    assert stage.value("tickglass_job_run_duration_seconds_count", job_name=OVERFLOW) == 10
    assert stage.value("tickglass_job_due_total", job_name=OVERFLOW) == 9


def test_what_is_counted_together_has_exemplars(stage: Stage) -> None:
    stage.register("nightly")
    stage.run(stage.occurrence("nightly", run_id="ab" * 16, sampled=True))
    _, text = encode(stage.metrics.registry, "application/openmetrics-text; version=1.0.0")
    marked = [line for line in text.decode().splitlines() if "ab" * 16 in line]
    assert {line.split("_bucket")[0] for line in marked} == {
        "tickglass_job_run_duration_seconds",
        "tickglass_job_start_lateness_seconds",
    }


def rules_broken(**wrong: object) -> Iterable[str]:
    good: dict[str, object] = {"name": "tickglass_runs_total", "kind": Kind.COUNTER, "help": "Runs."}
    with pytest.raises(ValueError, match="not so") as refused:
        Metric(**(good | wrong))  # type: ignore[arg-type]
    return str(refused.value).split(": ")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"compact": Compact.LEFT_OUT}, "compact detail is for jobs and locks"),
        (
            {
                "name": "tickglass_job_last",
                "kind": Kind.GAUGE,
                "labels": catalogue.JOB_DUE.labels,
                "compact": Compact.TOGETHER,
            },
            "what is counted together is no gauge",
        ),
        ({"compact_buckets": (1.0,)}, "compact buckets are some of the buckets"),
        ({"labels": catalogue.JOB_SKIPS.labels, "by_name": ("overlap",)}, "the values counted by name"),
        (
            {"labels": catalogue.JOB_SKIPS.labels, "compact": Compact.TOGETHER, "by_name": ("boredom",)},
            "the values counted by name",
        ),
    ],
)
def test_a_detail_that_cannot_be_is_refused(wrong: dict[str, object], rule: str) -> None:
    assert any(rule in part for part in rules_broken(**wrong))
