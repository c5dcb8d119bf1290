"""Run coroutine jobs on one asyncio event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["EventLoop"]

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
        """Whether the thread of a loop that was started still turns it."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._turn, args=(self._loop,), name="tickglass-loop", daemon=True)
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
        """Have the loop call this at its next turn; one that has ended calls nothing any more."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(call)

    def spawn(self, work: Coroutine[Any, Any, None], adopt: Callable[[Callable[[], None]], None]) -> None:
        """Run a coroutine that does not raise, on a loop that was started.

        Args:
            work: what to run.
            adopt: called on the loop, before the work begins, with a function
                that cancels it from any thread.
        """
        assert self._loop is not None  # noqa: S101 - see above
        loop = self._loop

        def cancel(task: asyncio.Task[None]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and has cancelled it
                loop.call_soon_threadsafe(task.cancel)

        def begin() -> None:
            task = loop.create_task(work)
            self._tasks.add(task)  # the loop itself keeps only weak references
            task.add_done_callback(self._tasks.discard)
            adopt(lambda: cancel(task))

        loop.call_soon_threadsafe(begin)
        if self._unused is not None:
            self._use()

    def _use(self) -> None:
        with self._mutex:
            tell, self._unused = self._unused, None
        if tell is not None:
            tell()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._ending:
                _surviving_exits(loop.run_forever)
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:  # one turn for their `finally` blocks; no more
                _surviving_exits(lambda: loop.run_until_complete(asyncio.sleep(0)))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception:  # noqa: BLE001 - reported; `alive` says it too
            _log.exception("the event loop broke down: coroutine jobs do not run any more")
        finally:
            loop.close()


def _surviving_exits(turn: Callable[[], object]) -> None:
    """Turn a loop, out of which asyncio lets these two: its other tasks are not their affair."""
    try:
        turn()
    except (SystemExit, KeyboardInterrupt):  # the task that raised it has it as its result, and so has who awaits it
        _log.exception("a task wanted to end the process; the event loop goes on")
