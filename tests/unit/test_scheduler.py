"""What users write against: nothing happens before the start, everything is given back after it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from kit.own_process import descriptors, nothing, ready, threads
from kit.rig import wait_until

from tickglass import ConfigError, Run, Scheduler, at, cron, every
from tickglass.sched.durations import SECOND
from tickglass.sched.events import OccurrenceMoved, ReadinessMoved, SchedulerMoved
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_runtime")

PATIENCE_S = 10.0


# --- before the start


def test_nothing_is_opened_before_the_start(tmp_path: Path, own_runtime: Path) -> None:
    before = descriptors()
    scheduler = Scheduler(f"sqlite:///{tmp_path / 'jobs.db'}", metrics="127.0.0.1:0")
    scheduler.add(nothing, every("10ms"))
    assert (threads(), descriptors() - before) == (set(), set())
    assert [path.name for path in tmp_path.iterdir()] == ["runtime"]
    assert list(own_runtime.iterdir()) == []
    assert scheduler.metrics_port is None
    assert scheduler.unready() == ["the scheduler is new"]
    assert scheduler.stop() == []


@pytest.mark.parametrize(
    ("argument", "wrong", "message"),
    [
        ("store", "jobs.db", "a store URL begins with"),
        ("store", "sqlight:///jobs.db", "there is no store 'sqlight'"),
        ("store", "", "a store URL is not empty"),
        ("store", 7, "a store URL is text, not int"),
        ("service", "", "a service is needed"),
        ("service", "a\nb", "a service has no control characters"),
        ("service", "__x", "a service does not begin with two underscores"),
        ("service", None, "a service is text, not NoneType"),
        ("owner", "", "an? owner is needed"),
        ("owner", 3, "an? owner is text, not int"),
        ("labels", "region=a", "labels are names and their values, not str"),
        ("labels", {"region": "a, b"}, "a label is a plain name and a plain value"),
        ("labels", {"region": 1}, "a label is a plain name and a plain value"),
        ("metrics", "9464", "an address to listen on is host:port, or a host"),
        ("metrics", 9464, "an address to listen on is host:port, or a host"),
        ("metrics", ":70000", "a port is at most 65535"),
        ("telemetry", "/run/tickglass.sock", "write: unix:///run/tickglass.sock"),
        ("telemetry", "unix://run/tickglass.sock", r"three slashes\n.*\n.*\n.*unix:///run/tickglass.sock"),
        ("telemetry", "unix://", "three slashes"),
        ("telemetry", "tcp://localhost:9", "a sidecar's address is unix:// and a path"),
        ("telemetry", 9464, "a sidecar's address is unix:// and a path"),
        ("telemetry", "unix:///run/", "this is not a valid socket path"),
        ("telemetry", f"unix:///{'x' * 107}", "at most 107 bytes"),
        ("workers", 0, "workers must be a whole number"),
        ("workers", "3", "workers must be a whole number"),
        ("drain", "soon", "drain is not a duration"),
        ("drain", timedelta.max, "drain is at most 36500d, a century"),
        ("drain", 30, "drain must be a duration with its unit, not int"),
        ("sinks", {"metrics": ListSink()}, "the sinks spans, metrics, logs, sidecar are there already"),
        ("sinks", {"mine": print}, "the sink mine has no method"),
        ("sinks", [ListSink()], "sinks are names and their EventSinks, not list"),
        ("sinks", [], "sinks are names and their EventSinks, not list"),
        ("spool", 5, "spool is the path of a file, not int"),
        ("spool", "", "spool is the path of a file"),
        ("sinks", {"": ListSink()}, "a sink name is needed"),
        ("clock", 7, "a clock has the methods of tickglass.clock.Clock: int has no monotonic_ns"),
        ("clock", FakeClock, "a clock is an object, not a class"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_written(argument: str, wrong: object, message: str) -> None:
    arguments: dict[str, Any] = {"store": "memory://", argument: wrong}
    with pytest.raises(ConfigError, match=message):
        Scheduler(**arguments)
    assert threads() == set()


def test_a_second_job_of_a_name_is_refused_and_the_first_stays() -> None:
    scheduler = Scheduler("memory://")
    scheduler.add(nothing, every("1s"))
    with pytest.raises(ConfigError, match="there is already a job named nothing"):
        scheduler.add(nothing, every("2s"))
    assert [str(job.trigger) for job in scheduler.jobs.values()] == ['every("1s")']


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    scheduler = Scheduler("memory://")

    @scheduler.job(every("1s"), name="sum")
    def add(a: int = 1, b: int = 2) -> int:
        return a + b

    assert add(2, 3) == 5
    assert list(scheduler.jobs) == ["sum"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("timeut", ("timeout=",)), ("misfire_grace_time", ("misfire_grace=",)), ("max_instances", ("name=", "resource="))],
)
def test_a_policy_that_there_is_not_is_refused_with_one_that_is_like_it(written: str, meant: tuple[str, ...]) -> None:
    scheduler = Scheduler("memory://")
    policies: dict[str, Any] = {written: "5s"}
    with pytest.raises(ConfigError, match="a job has no such policy") as refused:
        scheduler.job(every("1s"), **policies)(nothing)
    assert refused.value.given == f"{written}="
    assert refused.value.instead[:2] == meant
    assert scheduler.jobs == {}


def test_the_decorator_without_its_call_is_refused() -> None:
    scheduler = Scheduler("memory://")
    with pytest.raises(ConfigError, match="a job needs a trigger, not function") as refused:
        scheduler.job(nothing)  # type: ignore[arg-type]
    assert refused.value.instead == ('@scheduler.job(every("1m"))',)
    with pytest.raises(ConfigError, match="a job needs a trigger, not str"):
        scheduler.job("1m")  # type: ignore[arg-type]


# --- running


def test_the_longest_durations_there_are_can_be_lived_with(tmp_path: Path) -> None:
    ran = threading.Event()
    scheduler = Scheduler(f"sqlite:///{tmp_path / 'jobs.db'}", drain="36500d", max_skew="36500d")
    scheduler.add(nothing, every("36500d", jitter="36500d"), name="once a century")
    scheduler.add(nothing, at("2262-04-11T23:47:16Z"), name="last")
    scheduler.add(ran.set, every("10ms"), ttl="36500d", timeout="36500d", name="now")
    stopper = threading.Thread(target=lambda: ran.wait(PATIENCE_S) and scheduler.stop())
    stopper.start()
    assert scheduler.run(longest="36500d") == []
    stopper.join(PATIENCE_S)
    assert ran.is_set()


@pytest.mark.parametrize("longest", [timedelta.max, "1000000d"])
def test_a_longer_run_is_refused_before_it_begins(longest: str | timedelta) -> None:
    scheduler = Scheduler("memory://")
    with pytest.raises(ConfigError, match="longest is at most 36500d, a century"):
        scheduler.run(longest=longest)
    assert scheduler.unready() == ["the scheduler is new"]


def test_jobs_run_between_start_and_stop_and_sinks_hear_of_it() -> None:
    sink, ran, added_ran = ListSink(), threading.Event(), threading.Event()
    scheduler = Scheduler("memory://", owner="me", sinks={"mine": sink})
    scheduler.add(ran.set, every("10ms"), name="job")
    with scheduler:
        assert ran.wait(PATIENCE_S)
        scheduler.add(added_ran.set, every("10ms"), name="added")
        assert added_ran.wait(PATIENCE_S)
        with pytest.raises(ConfigError, match="there is already a job named added"):
            scheduler.add(nothing, every("10ms"), name="added")
    assert [move.after for move in sink.of(SchedulerMoved)] == ["starting", "running", "draining", "stopped"]
    ends = [move for move in sink.of(OccurrenceMoved) if move.event == "ended"]
    assert {move.owner for move in ends} == {"me"}
    assert {"job", "added"} <= {move.job for move in ends if move.outcome == "success"}
    wait_until(lambda: threads() == set())


def test_it_stops_as_often_as_one_likes() -> None:
    scheduler = Scheduler("memory://")
    scheduler.start()
    assert [scheduler.stop(), scheduler.stop(), scheduler.stop("1s")] == [[], [], []]
    assert scheduler.unready() == ["the scheduler is stopped"]


def test_a_test_moves_the_clock_of_its_scheduler() -> None:
    clock, sink = FakeClock(), ListSink()
    ran: list[datetime] = []
    scheduler = Scheduler("memory://", clock=clock, sinks={"told": sink})

    @scheduler.job(cron("0 8 * * *"))
    def report(run: Run) -> None:
        ran.append(run.due_at)

    def has_ended(told: object) -> bool:
        return isinstance(told, OccurrenceMoved) and told.event == "ended"

    with scheduler:
        clock.advance(8 * 3_600 * SECOND - 1)
        assert not any(map(has_ended, sink.events))
        clock.advance(1)
        sink.wait_for(has_ended)
    assert ran == [datetime(2026, 1, 1, 8, tzinfo=UTC)]


def test_a_run_outside_the_main_thread_is_refused_and_leaves_nothing_behind() -> None:
    before = descriptors()
    scheduler = Scheduler("memory://")
    with ThreadPoolExecutor(1, "aside") as aside:
        running = aside.submit(scheduler.run)
        with pytest.raises(ConfigError, match="only the main thread hears signals") as refused:
            running.result(PATIENCE_S)
    assert refused.value.instead == ("scheduler.start()", "with scheduler:")
    assert descriptors() - before == set()
    with scheduler:  # nothing was started, so it may be tried again
        assert scheduler.unready() == []


def test_a_stop_while_it_starts_stops_it_when_it_has() -> None:
    class StopWhileStarting:
        """A sink that has another thread stop the scheduler just before `start` returns."""

        def __init__(self) -> None:
            self.stopping = threading.Event()
            self.stopper = threading.Thread(target=self.stop)

        def record(self, event: object) -> None:
            if isinstance(event, SchedulerMoved) and event.after == "running":
                self.stopper.start()
                assert self.stopping.wait(PATIENCE_S)

        def stop(self) -> None:
            self.stopping.set()
            scheduler.stop()

    sink = StopWhileStarting()
    scheduler = Scheduler("memory://", sinks={"stops": sink})
    scheduler.start()
    sink.stopper.join(PATIENCE_S)
    assert scheduler.unready() == ["the scheduler is stopped"]


def test_a_second_stop_waits_for_the_first() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    sink = ListSink()
    scheduler = Scheduler("memory://", sinks={"mine": sink})
    scheduler.add(work, every("10ms"))
    scheduler.start()
    assert entered.wait(PATIENCE_S)
    stops = [threading.Thread(target=scheduler.stop) for _ in range(2)]
    for thread in stops:
        thread.start()
    sink.wait_for(lambda event: isinstance(event, SchedulerMoved) and event.after == "draining")
    assert all(thread.is_alive() for thread in stops)
    go_on.set()
    for thread in stops:
        thread.join(PATIENCE_S)
    (end,) = [move for move in sink.of(OccurrenceMoved) if (move.event, move.outcome) == ("ended", "success")]
    assert end.job == "work"


def test_it_is_ready_exactly_while_it_runs() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class AskWhileStarting:
        """A sink that asks for the port as soon as the engine runs, as the demo's does."""

        def __init__(self) -> None:
            self.statuses: dict[str, int] = {}

        def record(self, event: object) -> None:
            if isinstance(event, SchedulerMoved):
                self.statuses[event.after] = ready(scheduler)

    def work() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    asked, told = AskWhileStarting(), ListSink()
    scheduler = Scheduler("memory://", metrics="127.0.0.1:0", sinks={"asks": asked, "told": told})
    scheduler.add(work, every("10ms"))
    scheduler.start()
    assert ready(scheduler) == 200
    assert entered.wait(PATIENCE_S)
    stopping = threading.Thread(target=scheduler.stop)
    stopping.start()
    told.wait_for(lambda event: isinstance(event, SchedulerMoved) and event.after == "draining")
    assert ready(scheduler) == 503
    go_on.set()
    stopping.join(PATIENCE_S)
    assert asked.statuses == {"starting": 503, "running": 200, "draining": 503, "stopped": 503}
    assert scheduler.metrics_port is None


def test_a_stop_from_another_thread_ends_a_run() -> None:
    scheduler = Scheduler("memory://", owner="o")
    heard = threading.Event()
    scheduler.add(heard.set, every("10ms"), name="tick")

    def stop() -> None:
        heard.wait(10)
        scheduler.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert scheduler.run(longest="30s") == []
    stopper.join(10)
    assert heard.is_set()


def test_whether_it_is_ready_is_reported_at_the_start_and_not_a_sweep_later() -> None:
    for _ in range(20):  # each time two threads race
        told = ListSink()
        scheduler = Scheduler("memory://", sinks={"told": told})
        scheduler.add(nothing, every("24h"))
        with scheduler:
            told.wait_for(lambda event: isinstance(event, ReadinessMoved), patience_s=5.0)  # sweeps are 10 s apart
