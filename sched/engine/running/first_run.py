"""Report once how long this process took until a run of a job was on time: what a deployment or a restart costs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tickglass.sched.events import FirstRunOnTime
from tickglass.sched.occurrence import ON_TIME_NS

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext

__all__ = ["FirstRun"]


class FirstRun:
    """Waits for the first run that started on time.

    Args:
        since_ns: what is counted from, monotonic: the start of the process, or that of the scheduler.
    """

    def __init__(self, context: EngineContext, since_ns: int) -> None:
        self._context = context
        self._since_ns = since_ns
        self._awaited = threading.Lock()  # taken for ever by the run that is reported

    def note(self, job_name: str, due_ns: int, started_ns: int) -> None:
        """Report this run if it was the first on time; called when it has ended, with monotonic instants."""
        if not 0 <= started_ns - due_ns <= ON_TIME_NS or not self._awaited.acquire(blocking=False):
            return
        wall_ns = self._context.clock.wall_ns()
        after_ns = started_ns - self._since_ns
        self._context.sink.record(FirstRunOnTime(job=job_name, after_ns=after_ns, wall_ns=wall_ns))
