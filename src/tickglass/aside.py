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

__all__ = ["aside", "entered_aside"]

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
    enter: Callable[[], T], withdraw: Callable[[], bool], leave: Callable[[], object], name: str
) -> T:
    """Enter something on a thread; a coroutine that is cancelled meanwhile has not entered it.

    Args:
        enter: blocks until it is entered.
        withdraw: has a pending `enter` end soon; False: it will be entered, or is, and must be left.
        leave: blocks until it is left.
        name: see `aside`.
    """
    entering = aside(enter, name)
    try:
        await asyncio.wait([entering])  # a cancelled wait does not cancel the thread
    except asyncio.CancelledError:
        entering.add_done_callback(lambda done: done.cancelled() or done.exception())  # no other code retrieves it
        if withdraw():
            await asyncio.wait([entering])
        else:
            await asyncio.wait([aside(leave, name)])
        raise
    return entering.result()
