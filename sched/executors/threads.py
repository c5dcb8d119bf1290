"""Run the code of a job on the worker that claimed for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from tickglass.sched.ports import CallResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.executors.event_loop import EventLoopExecutor
    from tickglass.sched.ports import JobCall, PreparedCall

__all__ = ["ThreadCall", "ThreadExecutor"]


class ThreadExecutor:
    """Runs a function on the worker that submits it: it waits for no second worker.

    Args:
        coroutines: where a coroutine goes on that the function returned.
    """

    name: Final = "threads"
    immediate: Final = True

    def __init__(self, coroutines: EventLoopExecutor, *, clock: Clock) -> None:
        self._coroutines = coroutines
        self._clock = clock

    def prepare(self, call: JobCall, done: Callable[[CallResult], None]) -> ThreadCall:
        """See `Executor`."""
        return ThreadCall(self._coroutines, self._clock, call, done)


class ThreadCall:
    """One call. See `PreparedCall`; a function cannot be cancelled, but a coroutine can that it returned."""

    __slots__ = ("_call", "_clock", "_coroutines", "_done", "_rest")

    def __init__(
        self, coroutines: EventLoopExecutor, clock: Clock, call: JobCall, done: Callable[[CallResult], None]
    ) -> None:
        self._coroutines = coroutines
        self._clock = clock
        self._call = call
        self._done = done
        self._rest: PreparedCall | None = None

    def submit(self, start_by_ns: int) -> None:  # noqa: ARG002 - it starts at once
        """See `PreparedCall`; it returns when the function has."""
        returned: object = None
        failure: BaseException | None = None
        call, done = self._call, self._done
        if not call.start():
            return
        with call.scope():
            try:
                returned = call.code()
            except BaseException as error:  # noqa: BLE001 - an outcome, whatever it is: the worker goes on
                failure = error
        if isinstance(returned, Coroutine):
            self._rest = self._coroutines.continue_with(returned, call, done)
        else:
            done(CallResult(returned, failure, self._clock.monotonic_ns()))

    def cancel(self) -> None:
        """See `PreparedCall`."""
        if self._rest is not None:
            self._rest.cancel()
