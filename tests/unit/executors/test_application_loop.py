"""Coroutine jobs on the application's own loop: with what belongs to it, and whatever it does."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kit.own_process import threads
from kit.rig import wait_until

from tickglass import ConfigError, Scheduler, every
from tickglass.sched.events import OccurrenceMoved, SchedulerMoved
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.events import Event

pytestmark = pytest.mark.usefixtures("own_runtime")

PATIENCE_S = 10.0
EVER = "60s"


def ended(told: Event) -> bool:
    return isinstance(told, OccurrenceMoved) and told.event == "ended"


def outcomes(sink: ListSink) -> list[tuple[str | None, str]]:
    return [(told.outcome, told.error) for told in sink.of(OccurrenceMoved) if told.event == "ended"]


def each_due_instant_has_one_outcome(sink: ListSink) -> bool:
    moves = sink.of(OccurrenceMoved)
    ends = [move.run_id for move in moves if move.event == "ended"]
    return sorted(ends) == sorted(move.run_id for move in moves if move.event == "fell_due")


class Application:
    """A loop on a thread of its own, which a test runs, blocks, stops and closes."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def run(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)

    def close(self) -> None:
        if self.thread.is_alive():
            self.stop()
        self.loop.close()


@pytest.fixture
def application() -> Any:  # noqa: ANN401 - a generator
    made = Application()
    yield made
    made.close()


class Waiting:
    """A coroutine job that waits until a test lets it go on, and notes where it runs."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), asyncio.Event()
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def __call__(self) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.entered.set()
        await self.go_on.wait()


def scheduler_on(
    loop: asyncio.AbstractEventLoop | Callable[[], asyncio.AbstractEventLoop],
    job: Callable[[], Any],
    *,
    drain: str = EVER,
    misfire_grace: str = "10ms",
) -> tuple[Scheduler, ListSink]:
    sink = ListSink()
    scheduler = Scheduler("memory://", loop=loop, sinks={"told": sink}, drain=drain)
    scheduler.add(job, every("10ms"), name="job", misfire_grace=misfire_grace)
    return scheduler, sink


def test_coroutines_run_on_the_loop_of_each_start() -> None:
    seen: list[asyncio.AbstractEventLoop] = []
    ran = threading.Event()

    async def job() -> None:
        seen.append(asyncio.get_running_loop())
        ran.set()

    scheduler, sink = scheduler_on(asyncio.get_running_loop, job)

    async def main() -> asyncio.AbstractEventLoop:
        ran.clear()
        async with scheduler:
            assert await asyncio.to_thread(ran.wait, PATIENCE_S)
            assert scheduler.unready() == []
            assert "tickglass-loop" not in threads()
        return asyncio.get_running_loop()

    loops = [asyncio.run(main()) for _ in range(2)]
    assert set(seen) == set(loops)
    assert {outcome for outcome, _ in outcomes(sink)} <= {"success", "skipped", "missed"}


def test_what_is_no_loop_is_refused_where_it_is_written_or_at_the_start(application: Application) -> None:
    for wrong in ("loop", asyncio.SelectorEventLoop):
        with pytest.raises(ConfigError, match="loop is an event loop, or a function that returns one"):
            Scheduler("memory://", loop=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="started where no event loop can be found") as refused:
        Scheduler("memory://", loop=asyncio.get_running_loop).start()
    assert refused.value.instead == ("async with scheduler:", "await scheduler.start_async()")
    with pytest.raises(ConfigError, match="loop returned no event loop, but NoneType"):
        Scheduler("memory://", loop=lambda: None).start()  # type: ignore[arg-type]
    application.loop.close()
    with pytest.raises(ConfigError, match="the event loop for the coroutine jobs is closed"):
        Scheduler("memory://", loop=application.loop).start()


def test_a_stop_on_the_loop_itself_does_not_wait_for_its_coroutines(application: Application) -> None:
    job = Waiting()
    scheduler, sink = scheduler_on(application.loop, job)
    application.run()
    scheduler.start()
    assert job.entered.wait(PATIENCE_S)
    answered: list[list[str]] = []

    def stop() -> None:
        answered.append(scheduler.stop())
        job.go_on.set()

    application.loop.call_soon_threadsafe(stop)
    sink.wait_for(lambda told: isinstance(told, SchedulerMoved) and told.after == "stopped")
    assert answered == [[]]
    assert ("success", "") in outcomes(sink)


def test_a_loop_that_is_closed_fails_its_runs_at_once_and_says_so(application: Application) -> None:
    job = Waiting()
    scheduler, sink = scheduler_on(application.loop, job)
    application.run()
    scheduler.start()
    assert job.entered.wait(PATIENCE_S)
    application.close()
    wait_until(lambda: len(scheduler.unready()) == 1)
    assert scheduler.unready() == ["the application's event loop, on which the coroutine jobs run, is closed"]
    failures = [("failure", "RuntimeError: the event loop was closed before the job had ended")] * 2
    sink.wait_for(lambda told: ended(told) and getattr(told, "outcome", "") == "failure", count=2)  # that, and the next
    assert [end for end in outcomes(sink) if end[0] == "failure"][:2] == failures
    assert scheduler.stop() == []
    assert each_due_instant_has_one_outcome(sink)
    wait_until(lambda: threads() == set())


def test_a_loop_that_does_not_run_is_not_waited_for(application: Application) -> None:
    job = Waiting()
    scheduler, sink = scheduler_on(application.loop, job)
    application.run()
    scheduler.start()
    assert job.entered.wait(PATIENCE_S)
    application.stop()
    assert scheduler.unready() == ["the application's event loop does not run"]
    assert scheduler.stop() == ["job"], "before the drain of a minute has passed"
    tasks = asyncio.all_tasks(application.loop)  # they are cancelled when the loop runs again
    application.loop.run_until_complete(asyncio.wait(tasks))
    sink.wait_for(lambda told: ended(told) and getattr(told, "outcome", "") == "cancelled")


def test_a_loop_that_ends_while_the_scheduler_drains_ends_the_waiting(application: Application) -> None:
    job = Waiting()
    scheduler, sink = scheduler_on(application.loop, job)
    application.run()
    scheduler.start()
    assert job.entered.wait(PATIENCE_S)
    left: list[list[str]] = []
    stopping = threading.Thread(target=lambda: left.append(scheduler.stop()))
    stopping.start()
    sink.wait_for(lambda told: isinstance(told, SchedulerMoved) and told.after == "draining")
    application.stop()
    stopping.join(PATIENCE_S)
    assert left == [["job"]]


def test_what_never_began_on_a_loop_that_is_closed_has_an_outcome(application: Application) -> None:
    scheduler, sink = scheduler_on(application.loop, Waiting(), misfire_grace="30s")
    scheduler.start()
    wait_until(lambda: scheduler._live is not None and scheduler._live.engine._dispatcher.loop.unended == 1)
    application.loop.close()
    failure = sink.wait_for(lambda told: ended(told) and getattr(told, "outcome", "") == "failure")
    assert isinstance(failure, OccurrenceMoved)
    assert failure.error == "RuntimeError: the event loop was closed before the job had ended"
    assert scheduler.stop() == []
    assert each_due_instant_has_one_outcome(sink)


def test_an_application_that_ends_cancels_the_runs_with_its_own_tasks() -> None:
    job = Waiting()
    scheduler, sink = scheduler_on(asyncio.get_running_loop, job)

    async def main() -> None:
        await scheduler.start_async()
        assert await asyncio.to_thread(job.entered.wait, PATIENCE_S)

    asyncio.run(main())  # which cancels all tasks, and closes the loop
    sink.wait_for(ended)
    assert outcomes(sink)[0] == ("failure", "CancelledError: ")
    assert scheduler.stop() == []
    assert each_due_instant_has_one_outcome(sink)


def test_a_blocked_loop_makes_it_unready_and_a_stop_ends_by_its_drain(application: Application) -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    scheduler, sink = scheduler_on(application.loop, block, drain="0s")
    application.run()
    scheduler.start()
    assert entered.wait(PATIENCE_S)
    wait_until(lambda: any("has not turned" in why for why in scheduler.unready()))
    assert scheduler.stop() == ["job"]
    go_on.set()
    sink.wait_for(ended)
