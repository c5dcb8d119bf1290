"""What the engine expects of every place where the code of jobs runs."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kit.pools import new_pool

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.executors.application_loop import ApplicationLoop
from tickglass.sched.executors.event_loop import EventLoop, EventLoopExecutor
from tickglass.sched.executors.threads import ThreadExecutor
from tickglass.sched.ports import CallResult, Executor, JobCall
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.executors.job_loop import JobLoop

PATIENCE_S = 10.0
Code = Callable[[], Any]


class Application:
    """An event loop that is none of ours, on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="tickglass-loop")
        self._thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


class Stage:
    """An executor with a worker that submits to it, and what happens there."""

    def __init__(self, kind: str) -> None:
        self.clock = SystemClock()
        self.pool = new_pool(1, self.clock, ListSink())
        self.application = Application() if kind == "application_loop" else None
        self.loop: JobLoop = EventLoop() if self.application is None else ApplicationLoop(self.application.loop)
        coroutines = EventLoopExecutor(self.loop, work=self.pool.submit, clock=self.clock)
        self.executor: Executor = ThreadExecutor(coroutines, clock=self.clock) if kind == "threads" else coroutines
        self.kind = "threads" if kind == "threads" else "event_loop"
        self.steps: list[str] = []
        self.results: queue.SimpleQueue[tuple[str, CallResult]] = queue.SimpleQueue()
        self.cancels: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.pool.start()
        self.loop.start()

    def close(self) -> None:
        self.pool.close(self.clock.monotonic_ns() + 10 * SECOND)
        self.loop.stop()
        if self.application is not None:
            self.application.close()

    def submit(self, code: Code, *, starts: bool = True) -> None:
        """Have the worker submit this code; what it returns is awaited where coroutines run."""

        def start() -> bool:
            self.steps.append("start")
            return starts

        @contextmanager
        def scope() -> Iterator[None]:
            self.steps.append("enter")
            yield
            self.steps.append("leave")

        def called() -> Any:  # noqa: ANN401 - what it returns
            self.steps.append("code")
            return code()

        async def awaited() -> Any:  # noqa: ANN401 - what it returns
            return called()

        call = JobCall(start, scope, awaited if self.kind == "event_loop" else called)
        self.pool.submit(lambda: self.cancels.put(self.executor.submit(call, self._done)))

    def _done(self, result: CallResult) -> None:
        self.results.put((threading.current_thread().name, result))

    def result(self) -> CallResult:
        thread, result = self.results.get(timeout=PATIENCE_S)
        assert thread == "tickglass-default-1", "a worker settles: it may block there"
        return result

    def cancel(self) -> None:
        self.cancels.get(timeout=PATIENCE_S)()


@pytest.fixture(params=["threads", "event_loop", "application_loop"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    made = Stage(request.param)
    yield made
    made.close()


def raising(error: BaseException) -> Code:
    def code() -> None:
        raise error

    return code


def test_the_start_is_reported_last_before_the_code_and_its_scope_surrounds_it(stage: Stage) -> None:
    stage.submit(lambda: "done")
    result = stage.result()
    assert (result.returned, result.failure, stage.executor.name) == ("done", None, stage.kind)
    assert stage.steps == ["start", "enter", "code", "leave"]
    assert result.ended_ns <= stage.clock.monotonic_ns()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_whatever_the_code_raises_is_its_result_and_the_next_call_runs(stage: Stage, error: BaseException) -> None:
    for _ in range(2):
        stage.submit(raising(error))
        result = stage.result()
        assert (result.returned, result.failure) == (None, error)


def test_a_call_whose_start_is_refused_is_forgotten(stage: Stage) -> None:
    stage.submit(lambda: "never", starts=False)
    stage.cancel()
    stage.submit(lambda: "next")
    assert stage.result().returned == "next"
    assert stage.steps == ["start", "start", "enter", "code", "leave"]
    assert stage.results.empty()


def test_a_coroutine_that_the_code_returns_goes_on_on_the_event_loop(stage: Stage) -> None:
    async def rest() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    stage.submit(rest)
    assert stage.result().returned == "tickglass-loop"
    assert stage.steps.count("start") == 1


def test_a_coroutine_is_cancelled_after_its_first_step_however_early_that_is_asked(stage: Stage) -> None:
    began = threading.Event()

    async def rest() -> None:
        began.set()
        await asyncio.Event().wait()

    stage.submit(rest)
    stage.cancel()
    assert isinstance(stage.result().failure, asyncio.CancelledError)
    assert began.is_set()
    stage.submit(lambda: "next")
    assert stage.result().returned == "next", "it is over, and harms no other"
