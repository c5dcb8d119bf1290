"""Stop a scheduler once, on a thread of its own, from whichever thread the request comes.

A stop waits for the scheduler's threads, so none of them can carry it out: not a worker (a job asks), not
the event loop (a coroutine asks), not the thread on which a sink or a callback is called. And the handler of
a signal interrupts the main thread anywhere, while it may hold any lock. So a request takes no lock and starts
no thread, and a thread that the stop waits for does not wait for the stop.
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Self

from tickglass.sched.clock import Wake
from tickglass.sched.durations import SECOND
from tickglass.sched.run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.sched.ports import EventSink

__all__ = ["Inside", "InsideSink", "Stopping"]

_log: Final = logging.getLogger(__name__)
_REST_NS: Final = 30 * SECOND  # for the steps after the drain: the last grace, the store, the telemetry
_THREAD_S: Final = 1.0  # for the thread to end after the stop
_OURS: Final = "tickglass-"


class Inside(threading.local):
    """Whether this thread is inside a call that a stop has to wait for; entered by `with`."""

    depth = 0

    def __enter__(self) -> Self:
        self.depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.depth -= 1

    @property
    def is_waited_for(self) -> bool:
        """Whether a stop waits for this thread: it is one of ours, or in a run, or in such a call."""
        ours = threading.current_thread().name.startswith(_OURS)
        return ours or self.depth > 0 or current_run() is not None


class InsideSink:
    """Wraps a user's `EventSink`, which may request a stop on the thread that calls it."""

    def __init__(self, sink: EventSink, inside: Inside) -> None:
        self._sink = sink
        self._inside = inside

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        with self._inside:
            self._sink.record(event)


class Stopping:
    """The one stop of one start.

    Args:
        carry_out: stops, given how long runs may go on; returns the names of jobs whose runs did not end.
        executions: returns the names of jobs whose runs have not ended yet.
        ended: called last, also if the stop failed.
    """

    def __init__(
        self,
        clock: Clock,
        carry_out: Callable[[int], list[str]],
        *,
        executions: Callable[[], list[str]],
        ended: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._executions = executions
        self._carry_out = carry_out
        self._tell_ended = ended
        self._asks: SimpleQueue[int | None] = SimpleQueue()  # its `put` may be interrupted by another `put`
        self._waiting: list[Wake] = []  # one per waiter: with one for all, a handler could deadlock
        self._drain_ns: int | None = None
        self._left: list[str] = []
        self._failure: BaseException | None = None
        self.ended = False
        self._thread = threading.Thread(target=self._run, name="tickglass-stop", daemon=True)

    @property
    def asked(self) -> bool:
        """Whether the stop was requested."""
        return self._drain_ns is not None

    def start(self) -> None:
        """Start the thread, which sleeps until a stop is requested."""
        self._thread.start()

    def dismiss(self) -> None:
        """End the thread, because nothing was started; pending requests return."""
        self._asks.put(None)

    def ask(self, drain_ns: int) -> None:
        """Request the stop, if this is the first request; returns at once."""
        if self._drain_ns is None:
            self._drain_ns = drain_ns
        self._asks.put(drain_ns)

    def wait(self) -> list[str]:
        """Wait until the scheduler has stopped; return the names of jobs whose runs did not end.

        A signal handler may wait here for a lock of the code that it interrupted, so the wait has a deadline.
        The stop continues after it.

        Raises:
            BaseException: what the stop raised.
        """
        wake = Wake()
        self._waiting.append(wake)
        until_ns = self._clock.monotonic_ns() + (self._drain_ns or 0) + _REST_NS
        if not self.ended and not self._clock.wait(until_ns, wake):
            _log.warning("the scheduler has not stopped %d s after its drain; it goes on stopping", _REST_NS // SECOND)
            return self._executions()
        self._thread.join(_THREAD_S)
        if self._failure is not None:
            raise self._failure
        return self._left

    def _run(self) -> None:
        drain_ns = self._asks.get()
        try:
            if drain_ns is not None:
                self._left = self._carry_out(drain_ns)
        except BaseException as error:  # noqa: BLE001 - reported, and raised in `wait`
            _log.exception("the stop broke off")
            self._failure = error
        self.ended = True  # later calls of `wait` return at once
        while self._waiting:
            self._waiting.pop().ring()
        self._tell_ended()
