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

from tickglass.sched.ports import CallResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import JobCall

__all__ = ["EventLoop", "EventLoopExecutor"]

_log: Final = logging.getLogger(__name__)
_END_S: Final = 2.0  # for the thread to end; a coroutine that blocks the loop is left behind, with its thread


class EventLoop:
    """One loop, started and stopped with the engine."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self._mutex = threading.Lock()
        self._unused: Callable[[], None] | None = None  # called at the first use

    @property
    def alive(self) -> bool:
        """Whether the thread of a loop that was started still runs it."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="tickglass-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the loop; tasks that still run are cancelled and not waited for."""
        self._ending = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END_S)

    def on_first_use(self, call: Callable[[], None]) -> None:
        """Call once, when the first coroutine is spawned."""
        self._unused = call

    def call(self, call: Callable[[], None]) -> None:
        """Have the loop call this in its next iteration; a loop that has ended calls nothing any more."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(call)

    def spawn(self, work: Coroutine[Any, Any, None]) -> Callable[[], None]:
        """Run a coroutine that does not raise, on a loop that was started.

        Returns:
            What cancels it, from any thread. The first step of the work is always
            taken: a coroutine that was cancelled before it would end without a trace.
        """
        assert self._loop is not None  # noqa: S101 - see above
        loop = self._loop
        tasks: list[asyncio.Task[None]] = []  # the one of this work, once it is made

        def begin() -> None:
            task = loop.create_task(work)
            tasks.append(task)
            self._tasks.add(task)  # the loop itself keeps only weak references
            task.add_done_callback(self._tasks.discard)

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop is closed, and has cancelled it
                loop.call_soon_threadsafe(cancel_after_first_step)

        def cancel_after_first_step() -> None:
            for task in tasks:  # `begin` has come before, and the first step is behind it in the loop's queue
                loop.call_soon(task.cancel)

        loop.call_soon_threadsafe(begin)
        if self._unused is not None:
            self._use()
        return cancel

    def _use(self) -> None:
        with self._mutex:
            call, self._unused = self._unused, None
        if call is not None:
            call()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._ending:
                _surviving_exits(loop.run_forever)
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:  # one iteration for their `finally` blocks; no more
                _surviving_exits(lambda: loop.run_until_complete(asyncio.sleep(0)))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception:  # noqa: BLE001 - reported; `alive` says it too
            _log.exception("the event loop broke down: coroutine jobs do not run any more")
        finally:
            loop.close()


class EventLoopExecutor:
    """Runs coroutines on the event loop, which holds no worker meanwhile.

    Args:
        work: has a worker call something: the end of a run asks the store, and must not block the loop.
    """

    name: Final = "event_loop"
    immediate: Final = False

    def __init__(self, loop: EventLoop, *, work: Callable[[Callable[[], None]], None], clock: Clock) -> None:
        self._loop = loop
        self._work = work
        self._clock = clock

    def submit(self, call: JobCall, done: Callable[[CallResult], None]) -> Callable[[], None]:
        """See `Executor`."""
        return self._loop.spawn(self._start(call, done))

    def continue_with(
        self, returned: Coroutine[Any, Any, Any], call: JobCall, done: Callable[[CallResult], None]
    ) -> Callable[[], None]:
        """Run on what the code of a call has returned elsewhere: its start is reported already."""
        return self._loop.spawn(self._finish(call, lambda: returned, done))

    async def _start(self, call: JobCall, done: Callable[[CallResult], None]) -> None:
        if call.start():
            await self._finish(call, call.code, done)

    async def _finish(
        self, call: JobCall, begin: Callable[[], Awaitable[Any]], done: Callable[[CallResult], None]
    ) -> None:
        returned: object = None
        failure: BaseException | None = None
        with call.scope():
            try:
                returned = await begin()
                while isinstance(returned, Coroutine):  # of a wrapper that forgot to await it
                    returned = await returned
            except BaseException as error:  # noqa: BLE001 - an outcome, whatever it is: the loop goes on
                failure = error
        result = CallResult(returned, failure, self._clock.monotonic_ns())
        self._work(lambda: done(result))


def _surviving_exits(run: Callable[[], object]) -> None:
    """Run a loop. asyncio re-raises SystemExit and KeyboardInterrupt out of it: keep it for the other tasks."""
    try:
        run()
    except (SystemExit, KeyboardInterrupt):  # the task that raised it has it as its result, and so has its awaiter
        _log.exception("a task wanted to end the process; the event loop goes on")
