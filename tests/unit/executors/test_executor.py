"""What the engine expects of every place where the code of jobs runs."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from kit.pools import new_pool

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.timing.timers import Timers
from tickglass.sched.executors.application_loop import ApplicationLoop
from tickglass.sched.executors.event_loop import EventLoop, EventLoopExecutor
from tickglass.sched.executors.threads import ThreadExecutor
from tickglass.sched.ports import CallResult, Executor, JobCall, PreparedCall
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
        self.timers = Timers(self.clock)
        coroutines = EventLoopExecutor(self.loop, work=self.pool.submit, at=self.timers.at, clock=self.clock)
        self.executor: Executor = ThreadExecutor(coroutines, clock=self.clock) if kind == "threads" else coroutines
        self.kind = "threads" if kind == "threads" else "event_loop"
        self.steps: list[str] = []
        self.results: queue.SimpleQueue[tuple[str, CallResult]] = queue.SimpleQueue()
        self.submitted: queue.SimpleQueue[PreparedCall] = queue.SimpleQueue()
        self.timers.start()
        self.pool.start()
        self.loop.start()

    def close(self) -> None:
        self.pool.close(self.clock.monotonic_ns() + 10 * SECOND)
        self.loop.stop()
        self.timers.stop()
        if self.application is not None:
            self.application.close()

    def submit(self, job: Code, *, starts: bool = True) -> None:
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
            return job()

        async def awaited() -> Any:  # noqa: ANN401 - what it returns
            return called()

        def submit() -> None:
            code.submit(self.clock.monotonic_ns() + 60 * SECOND)
            self.submitted.put(code)

        call = JobCall(start, scope, awaited if self.kind == "event_loop" else called, lambda: None)
        code = self.executor.prepare(call, self._done)
        self.pool.submit(submit)

    def _done(self, result: CallResult) -> None:
        self.results.put((threading.current_thread().name, result))

    def result(self) -> CallResult:
        thread, result = self.results.get(timeout=PATIENCE_S)
        assert thread == "tickglass-default-1", "a worker settles: it may block there"
        return result

    def cancel(self) -> None:
        self.submitted.get(timeout=PATIENCE_S).cancel()


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


class Calls:
    """Calls of an executor on a blocked loop, and what they cost in wake-ups, timers and steps on a worker."""

    def __init__(self) -> None:
        self.application = Application()
        self.wakings: list[object] = []
        self.timers: list[int] = []
        self.steps: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.results: list[CallResult] = []
        self.loop = ApplicationLoop(self.application.loop)
        self.executor = EventLoopExecutor(
            self.loop, work=self.steps.put, at=lambda at_ns, _: self.timers.append(at_ns), clock=SystemClock()
        )
        self.go_on = threading.Event()
        self.application.loop.call_soon_threadsafe(lambda: self.go_on.wait(PATIENCE_S))

    def submit(self, code: Callable[[], Any]) -> PreparedCall:
        call = JobCall(lambda: True, nullcontext, code, lambda: None)
        prepared = self.executor.prepare(call, self.results.append)
        prepared.submit(SystemClock().monotonic_ns() + 60 * SECOND)
        return prepared


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls()
    yield made
    made.go_on.set()
    made.application.close()


def test_a_group_of_coroutines_costs_one_waking_two_timers_and_two_steps(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One timer is for those that do not start, one for the ends that wait for them; the last end may come alone."""
    loop, wake = calls.application.loop, calls.application.loop.call_soon_threadsafe

    def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - of the loop
        calls.wakings.append(args)
        return wake(*args, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    together = 50

    async def code() -> None:
        await asyncio.sleep(0)

    for _ in range(together):
        calls.submit(code)
    calls.go_on.set()
    steps = 0
    while len(calls.results) < together:
        calls.steps.get(timeout=PATIENCE_S)()
        steps += 1
    assert len(calls.wakings) == 1
    assert len(calls.timers) <= 2
    assert steps <= 2


def test_a_task_that_the_application_cancels_before_its_first_step_has_a_result(calls: Calls) -> None:
    begun: list[str] = []

    async def code() -> None:
        begun.append("code")

    def cancel_all() -> None:
        for task in asyncio.all_tasks(calls.application.loop):
            task.cancel()

    calls.submit(code)
    calls.application.loop.call_soon_threadsafe(cancel_all)
    calls.go_on.set()
    calls.steps.get(timeout=PATIENCE_S)()
    calls.steps.get(timeout=PATIENCE_S)()
    (result,) = calls.results
    assert isinstance(result.failure, asyncio.CancelledError)
    assert (begun, calls.loop.unended) == ([], 0)
