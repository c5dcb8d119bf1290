"""Wait in a coroutine for a call that blocks: on a thread of its own, so that the caller's event loop goes on.

Only coroutines need this module, and whoever runs one has loaded asyncio.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["aside", "entered_aside", "is_in_loop"]

T = TypeVar("T")


def aside(call: Callable[[], T], thread_name: str) -> asyncio.Future[T]:
    """Start a call on a thread of its own.

    Not on asyncio's pool, because calls that wait for each other could fill it: waiters for a lock, say, and its
    holder would have no thread for its release.

    Args:
        thread_name: begins with "tickglass-" only if a stop of a scheduler waits for this call.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=thread_name)
    try:
        return asyncio.get_running_loop().run_in_executor(thread, copy_context().run, call)
    finally:
        thread.shutdown(wait=False)


async def entered_aside(
    enter: Callable[[], T], withdraw: Callable[[], object], leave: Callable[[], object], thread_name: str
) -> T:
    """Enter something on a thread; a coroutine that is cancelled meanwhile has not entered it, or has left it again.

    Args:
        enter: blocks until it is entered.
        withdraw: has a pending `enter` end soon, if that is possible.
        leave: blocks until it is left.
        thread_name: see `aside`.
    """
    entering = aside(enter, thread_name)
    try:
        await asyncio.wait([entering])  # a cancelled wait does not cancel the thread
    except asyncio.CancelledError:
        withdraw()
        leaving = asyncio.ensure_future(_left(entering, leave, thread_name))
        await asyncio.wait([leaving])
        raise
    return entering.result()


async def _left(entering: asyncio.Future[T], leave: Callable[[], object], thread_name: str) -> None:
    """Leave what is being entered, as soon as it is; a task of its own, so that a second cancellation ends no part."""
    await asyncio.wait([entering])
    if not entering.cancelled() and entering.exception() is None:
        await aside(leave, thread_name)


def is_in_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this thread runs that loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:  # no loop runs here
        return False
