"""Run coroutine jobs on the event loop of the application, beside its own tasks.

There, jobs may use what belongs to that loop: its clients, its locks, its queues. The loop is not ours: it is not
started, not stopped and not closed here, and it may end at any time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tickglass.sched.executors.job_loop import JobLoop

if TYPE_CHECKING:
    import asyncio

__all__ = ["ApplicationLoop"]


class ApplicationLoop(JobLoop):
    """A loop that the application runs; coroutines wait while it does not."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._given = loop

    @property
    def trouble(self) -> str | None:
        """See `JobLoop`."""
        if self._given.is_closed():
            return "the application's event loop, on which the coroutine jobs run, is closed"
        return None if self._given.is_running() else "the application's event loop does not run"

    def start(self) -> None:
        """See `JobLoop`: there is nothing to start."""

    def stop(self) -> None:
        """See `JobLoop`; a loop that does not run cancels them when it runs again."""
        for work in list(self._unended):
            if work.task is not None:
                with suppress(RuntimeError):  # the loop is closed
                    self._given.call_soon_threadsafe(work.task.cancel)
