"""A scheduler is assembled as its arguments and the environment say, or not at all."""

from __future__ import annotations

import gc
import socket
from typing import TYPE_CHECKING

import pytest
from kit.own_process import descriptors, nothing, status_of, threads
from kit.processes import Scrape
from kit.rig import wait_until
from kit.sidecar_events import listening

from tickglass import ConfigError, Scheduler, every
from tickglass.owner import Slot
from tickglass.sched.events import OccurrenceMoved
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from pathlib import Path

    from kit.sidecar_events import InProcessSidecar

    from tickglass.parts import MetricsDetail

pytestmark = pytest.mark.usefixtures("own_runtime")


def test_the_environment_names_the_sidecar_where_the_program_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKGLASS_SIDECAR", "run/tickglass.sock")
    with pytest.raises(ConfigError, match="unix:// and a path") as refused:
        Scheduler("memory://")
    assert refused.value.given == "TICKGLASS_SIDECAR=run/tickglass.sock"
    assert refused.value.instead == ("TICKGLASS_SIDECAR=unix:///run/tickglass.sock",)
    Scheduler("memory://", telemetry="unix:///run/tickglass.sock")
    monkeypatch.setenv("TICKGLASS_SIDECAR", "")
    Scheduler("memory://")


def test_a_scheduler_tells_a_sidecar_everything_until_its_last_move(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock") as ears:
        told = ListSink()
        scheduler = Scheduler("memory://", owner="me", telemetry=f"unix://{ears.path}", sinks={"told": told})
        scheduler.add(nothing, every("10ms"))
        with scheduler:
            told.wait_for(lambda event: isinstance(event, OccurrenceMoved) and event.after == "ended", count=5)
            gc.collect()
            ears.connected()
        wait_until(lambda: not ears.source.connected)
        snapshot = ears.source.history.snapshot()
        (ended,) = (
            sample.value
            for family in ears.source.families()
            for sample in family.samples
            if sample.name == "tickglass_job_outcomes_total" and sample.labels["outcome"] == "success"
        )
        pauses = [
            sample.value
            for family in ears.source.families()
            for sample in family.samples
            if sample.name == "tickglass_gc_pause_seconds_count" and sample.labels["generation"] == "2"
        ]
    assert snapshot.state == "stopped"
    assert ended == sum(event.outcome == "success" for event in told.of(OccurrenceMoved))
    assert pauses[0] >= 1
    assert ears.source.missed == 0
    assert threads() == set()


@pytest.mark.parametrize(
    ("given", "variable", "asked_for"),
    [
        (None, None, False),
        (None, "s3cret\n", True),
        ("s3cret", None, True),
        ("s3cret", "another", True),
        ("", "s3cret", False),
    ],
)
def test_the_endpoint_asks_for_the_token_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str | None, *, asked_for: bool
) -> None:
    monkeypatch.delenv("TICKGLASS_TOKEN", raising=False)
    if variable is not None:
        monkeypatch.setenv("TICKGLASS_TOKEN", variable)
    with Scheduler("memory://", metrics="127.0.0.1:0", token=given) as scheduler:
        assert status_of(scheduler, "/metrics") == (401 if asked_for else 200)
        assert status_of(scheduler, "/metrics", Authorization="Bearer s3cret") == 200
        assert status_of(scheduler, "/readyz") == 200


def test_a_variable_without_a_token_in_it_is_refused_where_something_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKGLASS_TOKEN", " ")
    Scheduler("memory://")
    with pytest.raises(ConfigError, match=r"the token in \$TICKGLASS_TOKEN is empty"):
        Scheduler("memory://", metrics="127.0.0.1:0")
    with pytest.raises(ConfigError, match="the token in token= holds more than printable ASCII"):
        Scheduler("memory://", metrics="127.0.0.1:0", token="a b")


# --- a start that fails


def assert_nothing_is_left(before: set[str]) -> None:
    wait_until(lambda: threads() == set())
    assert descriptors() - before == set()
    slot = Slot("billing")
    assert slot.owner.endswith("/billing/0"), "the slot is free"
    slot.close()


def test_a_port_in_use_is_refused_and_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = descriptors()
        scheduler = Scheduler("memory://", service="billing", metrics=f"127.0.0.1:{port}")
        scheduler.add(nothing, every("10ms"))
        with pytest.raises(ConfigError, match="cannot listen on this address: Address already in use"):
            scheduler.start()
        assert_nothing_is_left(before)
    assert scheduler.stop() == []
    with scheduler:  # nothing was started, so it may be tried again
        assert scheduler.metrics_port == port


def test_a_sidecar_does_not_hear_of_a_scheduler_whose_port_is_in_use(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock") as ears, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = Scheduler("memory://", owner="me", metrics=f"127.0.0.1:{port}", telemetry=f"unix://{ears.path}")
        with pytest.raises(ConfigError, match="Address already in use"):
            refused.start()
        with Scheduler("memory://", owner="another", telemetry=f"unix://{ears.path}"):
            wait_until(lambda: bool(ears.sources.all()))  # what connected before is there, too
            assert [source.owner for source in ears.sources.all()] == ["another"]
        wait_until(lambda: not any(source.connected for source in ears.sources.all()))


def test_a_store_that_cannot_be_opened_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = descriptors()
    scheduler = Scheduler(f"sqlite:///{tmp_path / 'no' / 'jobs.db'}", service="billing", metrics="127.0.0.1:0")
    with pytest.raises(ConfigError, match="no"):
        scheduler.start()
    assert_nothing_is_left(before)
    assert scheduler.metrics_port is None


def test_an_exporter_that_is_not_supported_is_a_warning_and_the_scheduler_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    told = ListSink()
    scheduler = Scheduler("memory://", service="billing", sinks={"told": told})
    scheduler.add(nothing, every("10ms"))
    with scheduler:
        told.wait_for(lambda event: isinstance(event, OccurrenceMoved) and event.outcome == "success")
    assert "runs are not traced: OTEL_EXPORTER_OTLP_PROTOCOL=http/json is not supported" in caplog.text


FULL_ONLY = "tickglass_job_running"


def shows_all(scheduler: Scheduler) -> bool:
    assert scheduler.metrics_port is not None
    return Scrape(scheduler.metrics_port).has(FULL_ONLY)


def told(sidecar: InProcessSidecar) -> set[str]:
    return {sample.name for family in sidecar.source.families() for sample in family.samples}


@pytest.mark.parametrize(
    ("asked", "jobs", "full"),
    [(None, 200, True), (None, 201, False), ("full", 201, True), ("compact", 1, False)],
)
def test_the_detail_of_the_metrics_is_chosen_at_the_start(
    asked: MetricsDetail | None, jobs: int, *, full: bool, tmp_path: Path
) -> None:
    with listening(tmp_path / "s.sock") as ears:
        scheduler = Scheduler(
            "memory://", owner="me", metrics="127.0.0.1:0", metrics_detail=asked, telemetry=f"unix://{ears.path}"
        )
        for number in range(jobs):
            scheduler.add(nothing, every("1h"), name=f"job-{number}")
        with scheduler:
            assert shows_all(scheduler) is full
            ears.connected()
            wait_until(lambda: "tickglass_job_due_total" in told(ears))
            assert (FULL_ONLY in told(ears)) is full


def test_jobs_that_are_added_later_do_not_change_the_detail_and_a_warning_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler = Scheduler("memory://", metrics="127.0.0.1:0")
    with scheduler:
        for number in range(203):
            scheduler.add(nothing, every("1h"), name=f"job-{number}")
        assert shows_all(scheduler)
    (said,) = (record.getMessage() for record in caplog.records if "metrics_detail" in record.getMessage())
    assert said.startswith("there are 201 jobs now, and their metrics stay at full detail")


def test_a_detail_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="metrics_detail is one of two words") as refused:
        Scheduler("memory://", metrics_detail="brief")  # type: ignore[arg-type]
    assert refused.value.instead == ('"full"', '"compact"')


@pytest.mark.parametrize("precision", ["exact", None, True])
def test_a_precision_is_one_of_two_words(precision: object) -> None:
    with pytest.raises(ConfigError, match="precision is one of two words") as refused:
        Scheduler("memory://", precision=precision)  # type: ignore[arg-type]
    assert refused.value.instead == ('"sleep"', '"spin"')
