"""One event loop in a thread of its own, which leaves nothing behind but what will not let go."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.executors import event_loop
from tickglass.sched.executors.event_loop import EventLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Cancel = Callable[[], None]

PATIENCE_S = 10.0


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "tickglass-loop"]


def never() -> None:
    raise AssertionError("nothing of it is lost")


class Work:
    """A coroutine that waits for ever, and tells of its beginning and its end."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def __call__(self) -> None:
        self.told.put("began")
        try:
            await asyncio.Event().wait()
        finally:
            self.told.put("ended")

    def spawned(self, loop: EventLoop) -> Cancel:
        cancel = loop.spawn(self(), never)
        assert self.told.get(timeout=PATIENCE_S) == "began"
        return cancel


def test_nothing_is_opened_before_the_start() -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names will do
    EventLoop().stop()
    assert set(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
    assert threads() == []


def test_work_is_cancelled_from_any_thread(loop: EventLoop) -> None:
    loop.start()
    work = Work()
    work.spawned(loop)()
    assert work.told.get(timeout=PATIENCE_S) == "ended"


@pytest.mark.parametrize("asks", [SystemExit, KeyboardInterrupt])
def test_a_task_that_wants_to_end_the_process_ends_alone(
    loop: EventLoop, asks: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    loop.start()
    work = Work()
    cancel = work.spawned(loop)
    heard: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    async def part() -> None:
        raise asks

    async def whole() -> None:
        try:
            await asyncio.gather(part(), asyncio.Event().wait())
        except BaseException as error:  # noqa: BLE001 - looked at below
            heard.put(error)

    loop.spawn(whole(), never)
    assert isinstance(heard.get(timeout=PATIENCE_S), asks)
    assert loop.trouble is None
    assert "the event loop goes on" in caplog.text
    cancel()
    assert work.told.get(timeout=PATIENCE_S) == "ended", "the loop still turns"


def test_an_exit_in_the_turn_of_the_stop_does_not_keep_the_loop_from_ending(loop: EventLoop) -> None:
    loop.start()
    began = threading.Event()

    async def stops_its_loop() -> None:
        asyncio.get_running_loop().stop()
        began.set()
        await asyncio.Event().wait()

    async def exits() -> None:
        try:
            await stops_its_loop()
        finally:
            raise SystemExit(1)

    loop.spawn(exits(), never)
    assert began.wait(PATIENCE_S)
    work = Work()
    work.spawned(loop)  # it goes on, whatever a task did to it
    loop.stop()
    assert threads() == []


class Broken(asyncio.SelectorEventLoop):
    """A loop under which somebody closed the descriptors."""

    def run_forever(self) -> None:
        raise OSError("bad file descriptor")


def test_a_loop_that_breaks_down_says_so(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asyncio, "new_event_loop", Broken)
    loop.start()
    loop._thread.join(PATIENCE_S)
    assert loop.trouble == "the event loop of the coroutine jobs has ended"
    assert "coroutine jobs do not run any more" in caplog.text


def test_the_stop_cancels_what_runs_and_ends_the_thread(loop: EventLoop) -> None:
    loop.start()
    work = Work()
    cancel = work.spawned(loop)
    loop.stop()
    assert threads() == []
    assert work.told.get(timeout=PATIENCE_S) == "ended"
    cancel()  # too late, and harmless
    loop.stop()


def test_a_coroutine_that_blocks_the_loop_does_not_block_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "_END_S", 0.05)
    loop = EventLoop()
    loop.start()
    entered, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    loop.spawn(block(), never)
    assert entered.wait(PATIENCE_S)
    loop.stop()
    assert threads() == ["tickglass-loop"], "left behind, a daemon"
    go_on.set()
    loop._thread.join(PATIENCE_S)
    assert threads() == []
