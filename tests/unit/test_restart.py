"""A scheduler starts again after its stop: everything is opened anew, jobs are kept, and counts go on."""

from __future__ import annotations

import threading
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from kit.own_process import descriptors, threads
from kit.rig import wait_until
from kit.sidecar_events import listening

from tickglass import ConfigError, Scheduler, current_run, every
from tickglass.sched.events import JobRegistered, OccurrenceMoved, SchedulerMoved
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tickglass.sched.events import Event

pytestmark = pytest.mark.usefixtures("own_runtime")

PATIENCE_S = 10.0


class Job:
    """A job that notes the scheduler's runs, and lets a test wait for one more."""

    def __init__(self) -> None:
        self.ran = threading.Event()
        self.fences: list[int] = []

    def __call__(self) -> None:
        run = current_run()
        assert run is not None
        self.fences.append(run.fence)
        self.ran.set()

    def wait_for_a_run(self) -> None:
        self.ran.clear()
        assert self.ran.wait(PATIENCE_S)


def scraped(scheduler: Scheduler) -> dict[str, float]:
    """Return the values of the series that have no label but the job's name."""
    url = f"http://127.0.0.1:{scheduler.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def ended(outcome: str) -> Callable[[Event], bool]:
    return lambda told: isinstance(told, OccurrenceMoved) and told.event == "ended" and told.outcome == outcome


@pytest.mark.parametrize("store", ["memory://", "sqlite:///{}/jobs.db"])
def test_it_starts_again_with_its_jobs_and_fences_that_only_grow(store: str, tmp_path: Path) -> None:
    before = descriptors()
    sink, job, added = ListSink(), Job(), Job()
    scheduler = Scheduler(store.format(tmp_path), metrics="127.0.0.1:0", sinks={"told": sink})
    scheduler.add(job, every("10ms"), name="kept")
    ports: list[int | None] = []
    for _ in range(2):
        with scheduler:
            job.wait_for_a_run()
            assert scheduler.unready() == []
            ports.append(scheduler.metrics_port)
        ports.append(scheduler.metrics_port)
        assert scheduler.unready() == ["the scheduler is stopped"]
        wait_until(lambda: threads() == set())
        assert descriptors() - before == set()
    assert [port is None for port in ports] == [False, True] * 2
    scheduler.add(added, every("10ms"), name="added while it was stopped")
    with scheduler:
        added.wait_for_a_run()
    assert job.fences == sorted(set(job.fences))
    round_trip = ["starting", "running", "draining", "stopped"]
    moves = sink.of(SchedulerMoved)
    assert [move.after for move in moves] == round_trip * 3
    assert [move.before for move in moves] == ["new", *(round_trip * 3)[:-1]]
    assert Counter(told.job for told in sink.of(JobRegistered)) == {"kept": 3, "added while it was stopped": 1}


def test_counters_go_on_and_what_was_present_is_not_shown_while_it_is_stopped() -> None:
    sink, job = ListSink(), Job()
    scheduler = Scheduler("memory://", metrics="127.0.0.1:0", sinks={"told": sink})
    scheduler.add(job, every("10ms"), name="job")
    with scheduler:
        job.wait_for_a_run()
    first = sum(map(ended("success"), sink.events))
    stopped = {sample.name for family in scheduler.collector.collect() for sample in family.samples}
    assert {"tickglass_job_outcomes_total", "tickglass_scheduler_state"} <= stopped
    assert not stopped & {"tickglass_job_next_run_timestamp_seconds", "tickglass_job_running", "tickglass_pool_slots"}
    with scheduler:
        job.wait_for_a_run()
        sink.wait_for(ended("success"), count=first + 1)
        values = scraped(scheduler)
    assert values['tickglass_job_outcomes_total{job_name="job",outcome="success",service="default"}'] > first
    assert values['tickglass_scheduler_state{service="default",state="running"}'] == 1
    assert values['tickglass_scheduler_state{service="default",state="stopped"}'] == 0
    assert 'tickglass_pool_slots{pool="default",service="default"}' in values
    assert 'tickglass_job_next_run_timestamp_seconds{job_name="job",service="default"}' in values


def test_it_does_not_start_twice_and_not_before_it_has_stopped() -> None:
    entered, go_on, sink = threading.Event(), threading.Event(), ListSink()
    scheduler = Scheduler("memory://", sinks={"told": sink})

    def job() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    scheduler.add(job, every("10ms"))
    scheduler.start()
    with pytest.raises(ConfigError, match="this scheduler runs already"):
        scheduler.start()
    assert entered.wait(PATIENCE_S)
    stopping = threading.Thread(target=scheduler.stop)
    stopping.start()
    sink.wait_for(lambda told: isinstance(told, SchedulerMoved) and told.after == "draining")
    with pytest.raises(ConfigError, match="has not stopped yet"):
        scheduler.start()
    go_on.set()
    stopping.join(PATIENCE_S)
    with scheduler:
        assert scheduler.unready() == []


def test_a_run_that_did_not_end_is_not_started_beside_itself_after_a_restart() -> None:
    entered, go_on, sink = threading.Event(), threading.Event(), ListSink()
    at_once: list[int] = []
    inside = threading.Lock()

    def stubborn() -> None:
        at_once.append(inside.acquire(blocking=False))
        entered.set()
        go_on.wait(PATIENCE_S)
        inside.release()

    scheduler = Scheduler("memory://", drain="0s", sinks={"told": sink})
    scheduler.add(stubborn, every("10ms"), name="job", ttl="60s")
    scheduler.start()
    assert entered.wait(PATIENCE_S)
    assert scheduler.stop() == ["job"]
    scheduler.start()
    sink.wait_for(lambda told: ended("skipped")(told) and getattr(told, "reason", "") == "overlap")
    assert at_once == [True]
    go_on.set()
    assert scheduler.stop() == []
    wait_until(lambda: threads() == set())
    due = sum(isinstance(told, OccurrenceMoved) and told.event == "fell_due" for told in sink.events)
    assert due == sum(isinstance(told, OccurrenceMoved) and told.event == "ended" for told in sink.events)


def test_a_lock_by_hand_is_taken_again_after_a_restart() -> None:
    scheduler = Scheduler("memory://")
    lock = scheduler.lock("r")
    with scheduler, lock as lease:
        first = lease.fence
    with pytest.raises(ConfigError, match="the scheduler has stopped"):
        lock.acquire()
    with scheduler, lock as lease:
        assert lease.fence > first


def test_it_runs_again_and_a_stop_of_the_first_run_does_not_end_the_second() -> None:
    scheduler, job = Scheduler("memory://"), Job()
    scheduler.add(job, every("10ms"), name="job")

    def stop() -> None:
        job.wait_for_a_run()
        scheduler.stop()

    for _ in range(2):
        stopper = threading.Thread(target=stop)
        stopper.start()
        assert scheduler.run(longest="30s") == []
        stopper.join(PATIENCE_S)
    assert scheduler.run(longest="1ms") == []
    assert len(job.fences) >= 2


def test_a_start_that_failed_may_be_tried_again_after_a_stop(tmp_path: Path) -> None:
    scheduler = Scheduler(f"sqlite:///{tmp_path / 'home' / 'jobs.db'}", owner="me")
    (tmp_path / "home").mkdir()
    with scheduler:
        pass
    (tmp_path / "home").rename(tmp_path / "away")
    with pytest.raises(ConfigError, match="there is no directory"):
        scheduler.start()
    assert scheduler.stop() == []
    (tmp_path / "away").rename(tmp_path / "home")
    with scheduler:
        assert scheduler.unready() == []


def test_a_sidecar_hears_of_every_start_and_counts_nothing_twice(tmp_path: Path) -> None:
    sink, job = ListSink(), Job()
    with listening(tmp_path / "s.sock") as ears:
        scheduler = Scheduler("memory://", owner="me", telemetry=f"unix://{ears.path}", sinks={"told": sink})
        scheduler.add(job, every("10ms"), name="job")
        for _ in range(2):
            with scheduler:
                job.wait_for_a_run()
                ears.connected()
            wait_until(lambda: not ears.source.connected)
        told = {
            sample.labels["outcome"]: sample.value
            for family in ears.source.families()
            for sample in family.samples
            if sample.name == "tickglass_job_outcomes_total"
        }
        assert told["success"] == sum(map(ended("success"), sink.events))
        assert ears.source.missed == 0
