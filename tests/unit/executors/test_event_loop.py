"""One event loop in a thread of its own, which leaves nothing behind but what will not let go."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.sched.executors import event_loop
from tickglass.sched.executors.event_loop import EventLoop
from tickglass.sched.executors.job_loop import TURN_MAX, LoopWork

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextvars import Context

PATIENCE_S = 10.0


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "tickglass-loop"]


class Running(LoopWork):
    """A coroutine function on the loop, of which nothing is lost."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self.run = function  # type: ignore[method-assign]

    async def run(self) -> None:
        raise AssertionError("replaced")

    def ended(self, task: asyncio.Task[None]) -> None:
        """Nobody asks."""

    def lose(self) -> None:
        raise AssertionError("nothing of it is lost")


class Work(Running):
    """A coroutine that waits for ever, and tells of its beginning and its end."""

    def __init__(self) -> None:
        super().__init__(self.wait)
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def wait(self) -> None:
        self.told.put("began")
        try:
            await asyncio.Event().wait()
        finally:
            self.told.put("ended")

    def spawned(self, loop: EventLoop) -> Work:
        loop.spawn(self)
        assert self.told.get(timeout=PATIENCE_S) == "began"
        return self


def test_nothing_is_opened_before_the_start() -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names will do
    EventLoop().stop()
    assert set(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
    assert threads() == []


def test_work_is_cancelled_from_any_thread(loop: EventLoop) -> None:
    loop.start()
    work = Work()
    loop.cancel(work.spawned(loop))
    assert work.told.get(timeout=PATIENCE_S) == "ended"


@pytest.mark.parametrize("asks", [SystemExit, KeyboardInterrupt])
def test_a_task_that_wants_to_end_the_process_ends_alone(
    loop: EventLoop, asks: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    loop.start()
    work = Work()
    work.spawned(loop)
    heard: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    async def part() -> None:
        raise asks

    async def whole() -> None:
        try:
            await asyncio.gather(part(), asyncio.Event().wait())
        except BaseException as error:  # noqa: BLE001 - looked at below
            heard.put(error)

    loop.spawn(Running(whole))
    assert isinstance(heard.get(timeout=PATIENCE_S), asks)
    assert loop.trouble is None
    assert "the event loop goes on" in caplog.text
    loop.cancel(work)
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

    loop.spawn(Running(exits))
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
    work.spawned(loop)
    loop.stop()
    assert threads() == []
    assert work.told.get(timeout=PATIENCE_S) == "ended"
    loop.cancel(work)  # too late, and harmless
    loop.stop()


def test_a_coroutine_that_blocks_the_loop_does_not_block_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "_END_S", 0.05)
    loop = EventLoop()
    loop.start()
    entered, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    loop.spawn(Running(block))
    assert entered.wait(PATIENCE_S)
    loop.stop()
    assert threads() == ["tickglass-loop"], "left behind, a daemon"
    go_on.set()
    loop._thread.join(PATIENCE_S)
    assert threads() == []


class Counting(asyncio.SelectorEventLoop):
    """A loop that counts what wakes it from other threads."""

    def __init__(self) -> None:
        super().__init__()
        self.wakings = 0

    def call_soon_threadsafe(
        self,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.Handle:
        self.wakings += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def counted(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: made)
    loop.start()
    return made


def blocked(loop: EventLoop) -> threading.Event:
    """Block the loop until what is returned is set."""
    entered, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    loop.spawn(Running(block))
    assert entered.wait(PATIENCE_S)
    return go_on


def test_what_is_spawned_together_wakes_the_loop_once(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted(loop, monkeypatch)
    go_on = blocked(loop)
    before, order = made.wakings, queue.SimpleQueue[int]()
    together = 3 * TURN_MAX + 1

    def tells(number: int) -> Running:
        async def tell() -> None:
            order.put(number)

        return Running(tell)

    for number in range(together):
        loop.spawn(tells(number))
    go_on.set()
    assert [order.get(timeout=PATIENCE_S) for _ in range(together)] == list(range(together))
    assert made.wakings - before == 1


def test_no_iteration_of_the_loop_begins_more_than_its_share(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's own tasks, and the coroutines that began first, do not wait for all of them."""
    counted(loop, monkeypatch)
    go_on = blocked(loop)
    begun: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def count() -> None:
        begun.put(sum(work.task is not None for work in works))

    works = [Running(count) for _ in range(3 * TURN_MAX)]
    for work in works:
        loop.spawn(work)
    go_on.set()
    seen = [begun.get(timeout=PATIENCE_S) for _ in works]
    assert (seen[0], seen[-1]) == (TURN_MAX, len(works))


def test_a_task_factory_that_raises_keeps_no_other_coroutine_from_its_start(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = counted(loop, monkeypatch)
    reported: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    made.set_exception_handler(lambda _, context: reported.put(context))
    go_on = blocked(loop)
    refused: list[object] = []

    def refuse_first(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:  # noqa: ANN401
        if not refused:
            refused.append(coroutine)
            coroutine.close()
            raise RuntimeError("no task")
        return asyncio.Task(coroutine, loop=loop, **options)

    made.set_task_factory(refuse_first)
    lost: list[str] = []

    class Refused(Work):
        def lose(self) -> None:
            lost.append("at the end of the loop")

    loop.spawn(Refused())
    work = Work()
    loop.spawn(work)
    go_on.set()
    assert work.told.get(timeout=PATIENCE_S) == "began"
    assert str(reported.get(timeout=PATIENCE_S)["exception"]) == "no task"
    loop.stop()
    assert lost == ["at the end of the loop"]


def test_a_coroutine_sees_the_context_variables_of_the_thread_that_spawned_it(loop: EventLoop) -> None:
    loop.start()
    go_on = blocked(loop)
    variable: ContextVar[int] = ContextVar("number")
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def look() -> None:
        seen.put(variable.get())
        variable.set(0)

    for number in (1, 2, 3):
        variable.set(number)
        loop.spawn(Running(look))
    go_on.set()
    assert [seen.get(timeout=PATIENCE_S) for _ in range(3)] == [1, 2, 3]
