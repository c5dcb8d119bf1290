"""A stop may be asked for from anywhere: it is carried out once and whole, and nobody hangs in it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kit.own_process import threads
from kit.rig import wait_until

from tickglass import Scheduler, every
from tickglass.sched.events import OccurrenceMoved, PoolMoved, SchedulerMoved, TimelineTicked
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tickglass.sched.events import Event

pytestmark = pytest.mark.usefixtures("own_runtime")

PATIENCE_S = 10.0


class Watch:
    """A scheduler that is watched until it has stopped; `answers` is what the calls of `stop` returned."""

    def __init__(self, store: str = "memory://", **sinks: Any) -> None:  # noqa: ANN401 - sinks of the tests
        self.sink = ListSink()
        self.answers: list[list[str]] = []
        self.answered = threading.Event()
        self.scheduler = Scheduler(store, owner="me", drain="5s", sinks={"told": self.sink, **sinks})

    def stop(self) -> None:
        self.answers.append(self.scheduler.stop())
        self.answered.set()

    def stopped_whole(self) -> None:
        """Wait until it has; nothing of it is left, and no run was cut short."""
        self.sink.wait_for(lambda told: isinstance(told, SchedulerMoved) and told.after == "stopped")
        assert self.answered.wait(PATIENCE_S)
        wait_until(lambda: threads() == set())
        states = [move.after for move in self.sink.of(SchedulerMoved)]
        assert states == ["starting", "running", "draining", "stopped"]
        ended = [move.outcome for move in self.sink.of(OccurrenceMoved) if move.event == "ended"]
        assert set(ended) <= {"success", "skipped", "missed"}, "the run that asked ended as it would have"
        assert self.scheduler.stop() == []


# --- jobs and callbacks


def a_plain_job(watch: Watch) -> Callable[[], Any]:
    return watch.stop


def a_coroutine(watch: Watch) -> Callable[[], Any]:
    async def job() -> None:
        watch.stop()

    return job


def a_thread_of_a_coroutine(watch: Watch) -> Callable[[], Any]:
    async def job() -> None:
        await asyncio.to_thread(watch.stop)

    return job


@pytest.mark.parametrize("caller", [a_plain_job, a_coroutine, a_thread_of_a_coroutine])
def test_a_job_stops_its_scheduler_and_ends_as_it_would_have(caller: Callable[[Watch], Callable[[], Any]]) -> None:
    watch = Watch()
    watch.scheduler.add(caller(watch), every("10ms"), name="job")
    watch.scheduler.start()
    watch.stopped_whole()
    assert watch.answers[0] == []
    assert any(move.outcome == "success" for move in watch.sink.of(OccurrenceMoved))


def test_the_callback_for_a_lost_lease_stops_the_scheduler() -> None:
    watch = Watch()
    watch.scheduler.start()
    watch.scheduler.lock("r", ttl="100ms", renew=False).acquire().on_lost(watch.stop)  # type: ignore[union-attr]
    watch.stopped_whole()


# --- sinks


class StopAt:
    """A sink that stops the scheduler at the first event that fits, on whatever thread that is told."""

    def __init__(self, fits: Callable[[Event], bool]) -> None:
        self.watch: Watch | None = None
        self._fits = fits

    def record(self, event: Event) -> None:
        if self.watch is not None and self._fits(event):
            watch, self.watch = self.watch, None
            watch.stop()


@pytest.mark.parametrize(
    "fits",
    [
        lambda told: isinstance(told, SchedulerMoved) and told.after == "starting",
        lambda told: isinstance(told, SchedulerMoved) and told.after == "running",
        lambda told: isinstance(told, TimelineTicked),
        lambda told: isinstance(told, PoolMoved),
        lambda told: isinstance(told, OccurrenceMoved) and told.event == "started",
        lambda told: isinstance(told, OccurrenceMoved) and told.event == "ended",
    ],
    ids=["starting", "running", "timeline", "pool", "started", "ended"],
)
def test_a_sink_stops_the_scheduler_on_the_thread_on_which_it_is_told(fits: Callable[[Event], bool]) -> None:
    sink = StopAt(fits)
    sink.watch = watch = Watch(stops=sink)
    watch.scheduler.add(lambda: None, every("10ms"), name="job")
    watch.scheduler.start()
    watch.stopped_whole()


@pytest.mark.parametrize("state", ["draining", "stopped"])
def test_a_sink_that_stops_it_while_it_stops_is_not_waited_for(state: str) -> None:
    sink = StopAt(lambda told: isinstance(told, SchedulerMoved) and told.after == state)
    sink.watch = watch = Watch(stops=sink)
    watch.scheduler.start()
    threading.Thread(target=watch.scheduler.stop).start()
    watch.stopped_whole()


def test_a_sink_stops_it_on_a_users_own_thread() -> None:
    sink = StopAt(lambda told: getattr(told, "event", "") == "granted")
    sink.watch = watch = Watch(stops=sink)
    watch.scheduler.start()
    threading.Thread(target=watch.scheduler.lock("r").acquire).start()
    watch.stopped_whole()


# --- many at once, and during the start


def test_all_who_stop_it_at_once_are_told_the_same() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def stubborn() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    sink = ListSink()
    scheduler = Scheduler("memory://", owner="me", drain="0s", sinks={"told": sink})
    scheduler.add(stubborn, every("10ms"), name="job")
    scheduler.start()
    assert entered.wait(PATIENCE_S)
    answers: list[list[str]] = []
    stops = [threading.Thread(target=lambda: answers.append(scheduler.stop()), daemon=True) for _ in range(3)]
    for thread in stops:
        thread.start()
    for thread in stops:
        thread.join(PATIENCE_S)
    assert answers == [["job"]] * 3
    go_on.set()
    wait_until(lambda: threads() == set())


def test_a_stop_during_a_start_that_fails_has_nothing_to_stop(tmp_path: Path) -> None:
    sink = StopAt(lambda told: isinstance(told, SchedulerMoved))
    sink.watch = watch = Watch(f"sqlite:///{tmp_path / 'missing' / 'jobs.db'}", stops=sink)
    with pytest.raises(ValueError, match="there is no directory"):
        watch.scheduler.start()
    (tmp_path / "missing").mkdir()
    watch.scheduler.start()  # nothing was started, so it may be tried again
    watch.stopped_whole()


class CtrlC:
    """A sink in which the main thread is interrupted when the scheduler runs: `start` has not returned yet."""

    def record(self, event: Event) -> None:
        if isinstance(event, SchedulerMoved) and event.after == "running":
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_during_a_start_leaves_nothing_running() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        watch = Watch(interrupts=CtrlC())
        watch.scheduler.add(lambda: None, every("10ms"), name="job")
        with pytest.raises(KeyboardInterrupt):
            watch.scheduler.start()
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: threads() == set())
    assert [move.after for move in watch.sink.of(SchedulerMoved)][-1] == "stopped"


# --- handlers of signals: in a process of their own, so that one that hangs is ended

SIGNALLED = """
import queue, signal, sys, threading
from tickglass import Scheduler, every
from tickglass.sched.events import SchedulerMoved

class EventFrame:
    def record(self, event):
        if isinstance(event, SchedulerMoved):
            print(event.after, flush=True)
            if event.after == "draining" and WHERE == "stop":
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)  # which waits in `stop`
            if event.after == "stopped":
                stopped.put(None)

class Interrupted(type(every("1s"))):
    def next_after_ns(self, after_ns):
        if WHERE == "start" or (WHERE == "add" and threading.current_thread() is threading.main_thread()):
            interrupt()
        return super().next_after_ns(after_ns)

def interrupt():
    global done
    if not done:
        done = True
        signal.raise_signal(signal.SIGUSR1)

def handle(*_):
    heard.set()
    print("answer", scheduler.stop(), flush=True)

def job():
    begun.set()
    if WHERE == "stop":
        heard.wait(10)

WHERE, done, stopped = sys.argv[1], False, queue.Queue()
begun, heard = threading.Event(), threading.Event()
scheduler = Scheduler("memory://", owner="me", sinks={"told": EventFrame()})
signal.signal(signal.SIGUSR1, handle)
if WHERE == "start":
    scheduler.add(job, Interrupted(1_000_000_000), name="job")
scheduler.start()
if WHERE == "add":
    scheduler.add(job, Interrupted(1_000_000_000), name="job")
elif WHERE == "stop":
    scheduler.add(job, every("10ms"))
    begun.wait(10)
    scheduler.stop()
elif WHERE == "idle":
    interrupt()
stopped.get(timeout=10)
"""


@pytest.mark.parametrize("where", ["start", "add", "idle", "stop"])
def test_a_handler_of_a_signal_stops_it_wherever_the_main_thread_is(where: str) -> None:
    app = subprocess.run(
        [sys.executable, "-c", SIGNALLED, where], capture_output=True, text=True, timeout=30, check=False
    )
    assert (app.returncode, app.stderr) == (0, "")
    lines = app.stdout.splitlines()
    assert sorted(lines) == sorted(["starting", "running", "draining", "stopped", "answer []"])
    moves = [line for line in lines if not line.startswith("answer")]
    assert moves == ["starting", "running", "draining", "stopped"]
