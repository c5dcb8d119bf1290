"""Run coroutines on an event loop from other threads, and know which of them have not ended.

`EventLoop` and `ApplicationLoop` say whose loop it is; what they have in common is here.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

__all__ = ["JobLoop"]


class _Spawned:
    """A coroutine on the loop, until it has ended."""

    def __init__(self, work: Coroutine[Any, Any, None], lost: Callable[[], None]) -> None:
        self.work = work
        self.lost = lost
        self.task: asyncio.Task[None] | None = None  # once it is made; the loop itself keeps only weak references

    def give_up(self) -> None:
        """Say that it is lost, because its loop is closed."""
        if self.task is None:
            self.work.close()  # it never began
        self.lost()


class JobLoop(ABC):
    """The loop of the coroutine jobs, started and stopped with the engine.

    Args:
        loop: whose it is is the business of the subclass; None: there is none before the start.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._spawned: set[_Spawned] = set()
        self._mutex = threading.Lock()
        self._unused: Callable[[], None] | None = None  # called at the first use

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """Why no coroutine goes on, as a sentence; None while the loop runs."""

    @abstractmethod
    def start(self) -> None:
        """Make the loop ready for coroutines."""

    @abstractmethod
    def stop(self) -> None:
        """Cancel the coroutines that have not ended, without waiting for them."""

    @property
    def unended(self) -> int:
        """How many coroutines have not ended."""
        return len(self._spawned)

    def on_first_use(self, call: Callable[[], None]) -> None:
        """Call once, when the first coroutine is spawned."""
        self._unused = call

    def call(self, call: Callable[[], None]) -> None:
        """Have the loop call this in its next iteration; a loop that has ended calls nothing any more."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(call)

    def spawn(self, work: Coroutine[Any, Any, None], lost: Callable[[], None]) -> Callable[[], None]:
        """Run a coroutine that does not raise, on a loop that was started.

        Args:
            lost: called, on any thread, if the loop was closed before the work has ended; it may
                be called for work that has just ended.

        Returns:
            What cancels it, from any thread. The first step of the work is always
            taken: a coroutine that was cancelled before it would end without a trace.
        """
        assert self._loop is not None  # noqa: S101 - see above
        loop, spawned = self._loop, _Spawned(work, lost)

        def begin() -> None:
            spawned.task = task = loop.create_task(work)
            task.add_done_callback(lambda _: self._spawned.discard(spawned))

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop is closed, and has cancelled it
                loop.call_soon_threadsafe(cancel_after_first_step)

        def cancel_after_first_step() -> None:
            if spawned.task is not None:  # `begin` has come before; the first step is behind it in the loop's queue
                loop.call_soon(spawned.task.cancel)

        self._spawned.add(spawned)
        try:
            loop.call_soon_threadsafe(begin)
        except RuntimeError:  # it is closed
            self.give_up_lost()
        if self._unused is not None:
            self._use()
        return cancel

    def give_up_lost(self) -> None:
        """Say of each coroutine that it is lost, if the loop was closed under it; otherwise do nothing."""
        if self._loop is None or not self._loop.is_closed():
            return
        while self._spawned:
            with suppress(KeyError):  # another thread gives them up, too
                self._spawned.pop().give_up()

    def _use(self) -> None:
        with self._mutex:
            call, self._unused = self._unused, None
        if call is not None:
            call()
