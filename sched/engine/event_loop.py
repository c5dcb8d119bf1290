"""Run coroutine jobs on one asyncio event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["EventLoop"]


class EventLoop:
    """One loop, started and stopped with the engine."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._turn, name="tickglass-loop", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop; tasks that still run are cancelled and not waited for."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def spawn(self, work: Coroutine[Any, Any, None], adopt: Callable[[Callable[[], None]], None]) -> None:
        """Run a coroutine that does not raise.

        Args:
            work: what to run.
            adopt: called on the loop, before the work begins, with a function
                that cancels it from any thread.
        """

        def begin() -> None:
            task = self._loop.create_task(work)
            self._tasks.add(task)  # the loop itself keeps only weak references
            task.add_done_callback(self._tasks.discard)
            adopt(lambda: self._cancel(task))

        self._loop.call_soon_threadsafe(begin)

    def _cancel(self, task: asyncio.Task[None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(task.cancel)

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:  # one turn for their `finally` blocks; no more
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
