"""One event loop in a thread of its own, which leaves nothing behind but what will not let go."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.engine import event_loop
from tickglass.sched.engine.event_loop import EventLoop

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


class Work:
    """A coroutine that waits for ever, and tells of its beginning and its end."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.cancel: queue.SimpleQueue[Cancel] = queue.SimpleQueue()

    async def __call__(self) -> None:
        self.told.put("began")
        try:
            await asyncio.Event().wait()
        finally:
            self.told.put("ended")

    def spawned(self, loop: EventLoop) -> Cancel:
        loop.spawn(self(), self.cancel.put)
        assert self.told.get(timeout=PATIENCE_S) == "began"
        return self.cancel.get(timeout=PATIENCE_S)


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

    loop.spawn(block(), lambda _: None)
    assert entered.wait(PATIENCE_S)
    loop.stop()
    assert threads() == ["tickglass-loop"], "left behind, a daemon"
    go_on.set()
    loop._thread.join(PATIENCE_S)
    assert threads() == []
