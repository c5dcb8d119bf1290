"""Run coroutines on an event loop from other threads, and know which of them have not ended.

`EventLoop` and `ApplicationLoop` say whose loop it is; what they have in common is here.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

__all__ = ["TURN_MAX", "JobLoop", "LoopWork"]

TURN_MAX: Final = 16  # calls made in one iteration of the loop: it also has tasks of the application


class LoopWork(ABC):
    """What a loop is to run, once.

    Attributes:
        context: that of the thread which spawned it: what a function set that returned a coroutine holds in it, too.
        task: None until it is made; kept here, because the loop itself keeps only weak references.
    """

    __slots__ = ("context", "task")

    def __init__(self) -> None:
        self.context: Context | None = None
        self.task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run(self) -> None:
        """Do the work; it does not raise."""

    @abstractmethod
    def ended(self, task: asyncio.Task[None]) -> None:
        """On the loop: take note that the task is done; one that the application cancelled may not have begun."""

    @abstractmethod
    def lose(self) -> None:
        """On any thread: take note that the loop was closed before the work has ended; it may have ended just now."""


class JobLoop(ABC):
    """The loop of the coroutine jobs, started and stopped with the engine.

    Args:
        loop: whose it is is the business of the subclass; None: there is none before the start.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._unended: set[LoopWork] = set()
        self._calls: deque[tuple[Callable[[asyncio.AbstractEventLoop, LoopWork], None], LoopWork]] = deque()
        self._woken = False  # the loop is about to make the calls
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
        return len(self._unended)

    def on_first_use(self, call: Callable[[], None]) -> None:
        """Call once, when the first coroutine is spawned."""
        self._unused = call

    def call(self, call: Callable[[], None]) -> None:
        """Have the loop call this in its next iteration; a loop that has ended calls nothing any more."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(call)

    def spawn(self, work: LoopWork) -> None:
        """Run a coroutine on a loop that was started; one wake-up of the loop is for all that it finds."""
        assert self._loop is not None  # noqa: S101 - see above
        work.context = copy_context()
        self._unended.add(work)
        self._call_in_turn(self._begin, work)
        if self._loop.is_closed():
            self.give_up_lost()
        if self._unused is not None:
            self._use()

    def cancel(self, work: LoopWork) -> None:
        """Cancel what was spawned, from any thread.

        Its first step is always taken: a coroutine that was cancelled before it would end without a trace.
        """
        self._call_in_turn(self._cancel_after_first_step, work)

    def give_up_lost(self) -> None:
        """Say of each coroutine that it is lost, if the loop was closed under it; otherwise do nothing."""
        if self._loop is None or not self._loop.is_closed():
            return
        while self._unended:
            with suppress(KeyError):  # another thread gives them up, too
                self._unended.pop().lose()

    def _call_in_turn(self, call: Callable[[asyncio.AbstractEventLoop, LoopWork], None], work: LoopWork) -> None:
        """Have the loop call this after all that was asked for before."""
        self._calls.append((call, work))
        if not self._woken:  # the loop unsets it before it looks for calls, so it finds this one
            self._woken = True
            self.call(self._make_calls)

    # --- on the loop

    def _make_calls(self) -> None:
        loop = asyncio.get_running_loop()
        self._woken = False
        try:
            for _ in range(min(len(self._calls), TURN_MAX)):
                call, work = self._calls.popleft()
                call(loop, work)
        finally:  # the application's factory of tasks may raise: the loop reports it, and goes on with the others
            if self._calls and not self._woken:
                self._woken = True
                loop.call_soon(self._make_calls)

    def _begin(self, loop: asyncio.AbstractEventLoop, work: LoopWork) -> None:
        assert work.context is not None  # noqa: S101 - it was spawned
        work.task = task = work.context.run(loop.create_task, work.run())
        task.add_done_callback(partial(self._end, work))

    def _end(self, work: LoopWork, task: asyncio.Task[None]) -> None:
        self._unended.discard(work)
        work.ended(task)

    def _cancel_after_first_step(self, loop: asyncio.AbstractEventLoop, work: LoopWork) -> None:
        if work.task is not None:  # `_begin` has come before; the first step is behind it in the loop's queue
            loop.call_soon(work.task.cancel)

    def _use(self) -> None:
        with self._mutex:
            call, self._unused = self._unused, None
        if call is not None:
            call()
