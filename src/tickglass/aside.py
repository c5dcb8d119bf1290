"""Wait in a coroutine for a call that blocks: on another thread, so that the caller's event loop goes on.

Only coroutines need this module, and whoever runs one has loaded asyncio.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from tickglass.sched.engine.leasing.thread_cache import ThreadCache

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOCK_THREADS", "SharedThreads", "aside", "entered_aside", "entered_on", "is_in_loop"]

T = TypeVar("T")


class Begin(Protocol):
    """Begins a call on another thread."""

    def __call__(self, call: Callable[[], T], /) -> asyncio.Future[T]:
        """Return what becomes of the call."""
        ...


class SharedThreads:
    """Threads for the calls of coroutines: one for each call under way, of which a few stay for the next calls.

    So no call waits for another one to end, as in a pool of a fixed size, and no thread is begun for a short call that
    follows another one. The threads do not keep the interpreter from exiting. A forked child begins its own.

    Args:
        name: of the threads; not "tickglass-...", because a stop of a scheduler does not end them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = ThreadCache(name)
        self._pid = os.getpid()

    def begin(self, call: Callable[[], T], /) -> asyncio.Future[T]:
        """Begin a call; once begun it is made, even if the coroutine is cancelled."""
        if self._pid != os.getpid():
            self._threads, self._pid = ThreadCache(self._name), os.getpid()
        return _begun(self._threads.submit_now, call)  # one that waits for another could wait for ever


LOCK_THREADS: Final = SharedThreads("async-locks")  # of all locks by hand of this process


def aside(call: Callable[[], T], thread_name: str) -> asyncio.Future[T]:
    """Start a call on a thread of its own.

    Not on asyncio's pool, because calls that wait for each other could fill it: waiters for a lock, say, and its
    holder would have no thread for its release.

    Args:
        thread_name: begins with "tickglass-" only if a stop of a scheduler waits for this call.
    """
    # No executor's, because an executor takes no work once the main thread has ended.
    return _begun(lambda make: threading.Thread(target=make, name=thread_name).start(), call)


def _begun(submit: Callable[[Callable[[], None]], None], call: Callable[[], T]) -> asyncio.Future[T]:
    """Begin a call in the caller's context."""
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()
    context = copy_context()

    def make() -> None:
        try:
            outcome.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised where the coroutine waits
            outcome.set_exception(error)

    submit(make)
    return asyncio.wrap_future(outcome)


async def entered_aside(
    enter: Callable[[], T], withdraw: Callable[[], object], leave: Callable[[], object], thread_name: str
) -> T:
    """Do as `entered_on`, on threads of its own; for `thread_name` see `aside`.

    Args:
        enter: blocks until it is entered.
    """
    return await entered_on(lambda call: aside(call, thread_name), aside(enter, thread_name), withdraw, leave)


async def entered_on(
    begin: Begin, entering: asyncio.Future[T], withdraw: Callable[[], object], leave: Callable[[], object]
) -> T:
    """Enter something on a thread; a coroutine that is cancelled meanwhile has not entered it, or has left it again.

    Args:
        begin: makes a call on a thread.
        entering: what becomes of the call that blocks until it is entered. The call may begin at any time, before or
            after `withdraw`.
        withdraw: has that call end soon, if that is possible.
        leave: blocks until it is left.
    """
    try:
        await asyncio.wait([entering])  # a cancelled wait does not cancel the call
    except asyncio.CancelledError:
        withdraw()
        leaving = asyncio.ensure_future(_left(begin, entering, leave))
        await asyncio.wait([leaving])
        raise
    return entering.result()


async def _left(begin: Begin, entering: asyncio.Future[T], leave: Callable[[], object]) -> None:
    """Leave what is being entered, as soon as it is; a task of its own, so that a second cancellation ends no part."""
    await asyncio.wait([entering])
    if not entering.cancelled() and entering.exception() is None:
        await begin(leave)


def is_in_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this thread runs that loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:  # no loop runs here
        return False
