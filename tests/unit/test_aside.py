"""In a coroutine, nothing of ours blocks the caller's event loop, and a cancelled caller leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest
from kit.own_process import nothing, threads
from kit.rig import wait_until

from tickglass import ConfigError, Scheduler, every
from tickglass.aside import SharedThreads, entered_aside
from tickglass.sched.events import SchedulerMoved
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from tickglass.sched.events import Event

pytestmark = pytest.mark.usefixtures("own_runtime")

PATIENCE_S = 10.0


class Gate:
    """A sink that holds the scheduler up in one state, until a test lets it go on."""

    def __init__(self, state: str) -> None:
        self._held_up_in = state
        self.reached, self.go_on = threading.Event(), threading.Event()

    def record(self, event: Event) -> None:
        if isinstance(event, SchedulerMoved) and event.after == self._held_up_in:
            self.reached.set()
            assert self.go_on.wait(PATIENCE_S)

    async def passed(self) -> None:
        """Let it go on from the caller's event loop, which must turn for that."""
        while not self.reached.is_set():  # noqa: ASYNC110 - the scheduler is on another thread
            await asyncio.sleep(0)
        self.go_on.set()


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_the_callers_loop_goes_on_while_it_starts_and_stops(state: str) -> None:
    gate, sink = Gate(state), ListSink()

    async def main() -> None:
        opening = asyncio.create_task(gate.passed())
        async with Scheduler("memory://", sinks={"gate": gate, "told": sink}) as scheduler:
            assert scheduler.unready() == []
        await opening

    asyncio.run(main())
    assert [move.after for move in sink.of(SchedulerMoved)] == ["starting", "running", "draining", "stopped"]
    wait_until(lambda: threads() == set())


def test_an_async_stop_returns_what_a_stop_returns() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def stubborn() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    async def main() -> list[str]:
        scheduler = Scheduler("memory://")
        assert await scheduler.stop_async() == []
        scheduler.add(stubborn, every("10ms"), name="stubborn")
        await scheduler.start_async()
        with pytest.raises(ConfigError, match="runs already"):
            await scheduler.start_async()
        assert await asyncio.to_thread(entered.wait, PATIENCE_S)
        return await scheduler.stop_async(drain="0s")

    assert asyncio.run(main()) == ["stubborn"]
    go_on.set()
    wait_until(lambda: threads() == set())


def test_a_coroutine_job_stops_its_scheduler_without_waiting_for_itself() -> None:
    sink, answers = ListSink(), []
    scheduler = Scheduler("memory://", sinks={"told": sink})

    async def job() -> None:
        answers.append(await scheduler.stop_async())

    scheduler.add(job, every("10ms"))
    scheduler.start()
    sink.wait_for(lambda told: isinstance(told, SchedulerMoved) and told.after == "stopped")
    assert answers[0] == []
    assert scheduler.stop() == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_caller_that_is_cancelled_while_it_starts_has_started_nothing(times: int) -> None:
    gate, sink = Gate("starting"), ListSink()
    scheduler = Scheduler("memory://", sinks={"gate": gate, "told": sink})
    scheduler.add(nothing, every("1h"))

    async def main() -> None:
        starting = asyncio.create_task(scheduler.start_async())
        while not gate.reached.is_set():  # noqa: ASYNC110 - the scheduler is on another thread
            await asyncio.sleep(0)
        for _ in range(times):
            starting.cancel()
            await asyncio.sleep(0)
        gate.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        while scheduler.unready() != ["the scheduler is stopped"]:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0)

    asyncio.run(main())
    assert [move.after for move in sink.of(SchedulerMoved)] == ["starting", "running", "draining", "stopped"]


AFTER_MAIN: Final = """
import asyncio, threading
from tickglass import Scheduler

async def use():
    async with Scheduler("memory://"):
        print("started")
    print("stopped")

def application():
    threading.main_thread().join()
    asyncio.run(use())

threading.Thread(target=application).start()
"""


def test_a_scheduler_is_started_and_stopped_after_the_main_thread_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_MAIN], capture_output=True, text=True, check=True)
    assert done.stdout == "started\nstopped\n"


def test_what_cannot_be_entered_is_not_left_after_a_cancellation() -> None:
    left: list[str] = []
    go_on = threading.Event()

    def enter() -> None:
        go_on.wait(PATIENCE_S)
        raise ConfigError("no")

    async def main() -> None:
        entering = asyncio.create_task(entered_aside(enter, go_on.set, lambda: left.append("left"), "test"))
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(main())
    assert left == []


# --- threads that calls share


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the threads that are begun from now on."""
    names: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return names


def test_calls_that_follow_each_other_share_a_few_threads(begun: list[str]) -> None:
    async def main() -> None:
        shared = SharedThreads("calls")
        for number in range(500):
            assert await shared.begin(lambda: number) == number  # noqa: B023 - at once

    asyncio.run(main())
    assert 0 < begun.count("calls") <= 5


def test_calls_that_wait_for_each_other_each_have_a_thread() -> None:
    shared, count = SharedThreads("calls"), 50
    barrier = threading.Barrier(count)

    async def main() -> None:
        await asyncio.gather(*(shared.begin(lambda: barrier.wait(PATIENCE_S)) for _ in range(count)))

    asyncio.run(main())


def test_what_a_call_raises_is_raised_where_it_is_waited_for() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await SharedThreads("calls").begin(lambda: 1 // 0)

    asyncio.run(main())


def test_a_call_is_made_though_the_coroutine_is_cancelled_at_once() -> None:
    made = threading.Event()

    async def main() -> None:
        SharedThreads("calls").begin(made.set).cancel()

    asyncio.run(main())
    assert made.wait(PATIENCE_S)


def test_a_forked_child_begins_its_own_threads() -> None:
    shared = SharedThreads("calls")

    async def call() -> int:
        return await shared.begin(os.getpid)

    assert asyncio.run(call()) == os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if asyncio.run(asyncio.wait_for(call(), PATIENCE_S)) == os.getpid() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
