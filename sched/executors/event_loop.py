"""Run coroutine jobs on one asyncio event loop, in a thread of its own.

`EventLoop` is the thread; `EventLoopExecutor` runs the code of jobs on it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.executors.job_loop import JobLoop
from tickglass.sched.ports import CallResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import JobCall

__all__ = ["EventLoop", "EventLoopExecutor"]

_log: Final = logging.getLogger(__name__)
_CLOSED: Final = "the event loop was closed before the job had ended"
_END_S: Final = 2.0  # for the thread to end; a coroutine that blocks the loop is left behind, with its thread


class EventLoop(JobLoop):
    """One loop in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = False

    @property
    def trouble(self) -> str | None:
        """See `JobLoop`."""
        return None if self._thread.is_alive() else "the event loop of the coroutine jobs has ended"

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="tickglass-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the loop; tasks that still run are cancelled, and what does not end by that is lost."""
        self._ending = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END_S)
            self.give_up_lost()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._ending:
                _surviving_exits(loop.run_forever)
            tasks = [spawned.task for spawned in list(self._spawned) if spawned.task is not None]
            for task in tasks:
                task.cancel()
            if tasks:  # one iteration for their `finally` blocks; no more
                _surviving_exits(lambda: loop.run_until_complete(asyncio.sleep(0)))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception:  # noqa: BLE001 - reported; `alive` says it too
            _log.exception("the event loop broke down: coroutine jobs do not run any more")
        finally:
            loop.close()


class EventLoopExecutor:
    """Runs coroutines on an event loop, which holds no worker meanwhile.

    Args:
        loop: our own, or the application's.
        work: has a worker call something: the end of a run asks the store, and must not block the loop.
    """

    name: Final = "event_loop"
    immediate: Final = False

    def __init__(self, loop: JobLoop, *, work: Callable[[Callable[[], None]], None], clock: Clock) -> None:
        self._loop = loop
        self._work = work
        self._clock = clock

    def submit(self, call: JobCall, done: Callable[[CallResult], None]) -> Callable[[], None]:
        """See `Executor`."""
        return self._spawned(_Running(call, self._once(done)), call.code)

    def continue_with(
        self, returned: Coroutine[Any, Any, Any], call: JobCall, done: Callable[[CallResult], None]
    ) -> Callable[[], None]:
        """Run on what the code of a call has returned elsewhere: its start is reported already."""
        return self._spawned(_Running(call, self._once(done), started=True), lambda: returned)

    def _spawned(self, running: _Running, begin: Callable[[], Awaitable[Any]]) -> Callable[[], None]:
        return self._loop.spawn(running.run(begin), lambda: self._work(running.lose))

    def _once(self, done: Callable[[CallResult], None]) -> Callable[[object, BaseException | None], None]:
        """Return what has a worker report the first result; a call that is lost may just have ended."""
        unreported = threading.Lock()

        def report(returned: object, failure: BaseException | None) -> None:
            if unreported.acquire(blocking=False):
                result = CallResult(returned, failure, self._clock.monotonic_ns())
                self._work(lambda: done(result))

        return report


class _Running:
    """One call on the loop.

    Args:
        report: takes what the code returned and raised; only its first call counts.
        started: whether the start was reported already.
    """

    def __init__(
        self, call: JobCall, report: Callable[[object, BaseException | None], None], *, started: bool = False
    ) -> None:
        self._call = call
        self._report = report
        self._started = started

    async def run(self, begin: Callable[[], Awaitable[Any]]) -> None:
        """Run the code that `begin` begins, from its first step to its last."""
        if not self._started and not self._call.start():
            return
        self._started = True
        returned: object = None
        failure: BaseException | None = None
        with self._call.scope():
            try:
                returned = await begin()
                while isinstance(returned, Coroutine):  # of a wrapper that forgot to await it
                    returned = await returned
            except GeneratorExit:  # nothing else ends a coroutine that its loop has not ended
                failure = RuntimeError(_CLOSED)
            except BaseException as error:  # noqa: BLE001 - an outcome, whatever it is: the loop goes on
                failure = error
        self._report(returned, failure)

    def lose(self) -> None:
        """On a worker: report that the loop was closed before the code had ended, or before it could start."""
        if self._started or self._call.start():
            self._started = True
            self._report(None, RuntimeError(_CLOSED))


def _surviving_exits(run: Callable[[], object]) -> None:
    """Run a loop. asyncio re-raises SystemExit and KeyboardInterrupt out of it: keep it for the other tasks."""
    try:
        run()
    except (SystemExit, KeyboardInterrupt):  # the task that raised it has it as its result, and so has its awaiter
        _log.exception("a task wanted to end the process; the event loop goes on")
