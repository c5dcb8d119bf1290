"""Ask the event loop of the coroutine jobs once a second to answer, and report how long that takes.

A loop that a job blocks does not answer: no coroutine starts, ends or is cancelled on it. The loop is asked from
the first coroutine on, so a scheduler without coroutine jobs does not wake for this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.events import EventLoopAsked, EventLoopTurned

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.timing.timers import Timers
    from tickglass.sched.executors.job_loop import JobLoop
    from tickglass.sched.ports import EventSink

__all__ = ["ASKED_EVERY_NS", "LoopLagMonitor"]

ASKED_EVERY_NS: Final = SECOND


class LoopLagMonitor:
    """Asks the loop one question at a time, and knows since when the answer is due.

    Args:
        ended: called once a second while the loop does not run.
    """

    def __init__(
        self, loop: JobLoop, timers: Timers, *, clock: Clock, sink: EventSink, ended: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._timers = timers
        self._clock = clock
        self._sink = sink
        self._ended = ended
        self._asked_ns: int | None = None  # monotonic; None: no question is open
        loop.on_first_use(self._ask)

    def silent_ns(self, now_ns: int) -> int:
        """Return for how long the loop has owed an answer; 0 if it owes none."""
        asked_ns = self._asked_ns
        return 0 if asked_ns is None else max(0, now_ns - asked_ns)

    def _ask(self) -> None:
        """On the timers' thread; the first time on the thread that spawns the first coroutine."""
        now_ns = self._clock.monotonic_ns()
        if self._loop.trouble is not None:
            self._loop.give_up_lost()
            self._ended()
        if self._asked_ns is None:
            self._asked_ns = now_ns
            self._sink.record(EventLoopAsked(at_ns=now_ns))
            self._loop.call(self._answer)
        self._timers.at(now_ns + ASKED_EVERY_NS, self._ask)

    def _answer(self) -> None:
        """On the loop."""
        asked_ns, self._asked_ns = self._asked_ns, None
        if asked_ns is not None:
            self._sink.record(EventLoopTurned(lag_ns=self._clock.monotonic_ns() - asked_ns))
