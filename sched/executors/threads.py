"""Run the code of a job on the worker that claimed for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from tickglass.sched.ports import CallResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.executors.event_loop import EventLoopExecutor
    from tickglass.sched.ports import JobCall

__all__ = ["ThreadExecutor"]


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

    def submit(self, call: JobCall, done: Callable[[CallResult], None]) -> Callable[[], None]:
        """See `Executor`; it returns when the function has, and a function cannot be cancelled."""
        returned: object = None
        failure: BaseException | None = None
        if not call.start():
            return _nothing
        with call.scope():
            try:
                returned = call.code()
            except BaseException as error:  # noqa: BLE001 - an outcome, whatever it is: the worker goes on
                failure = error
        if isinstance(returned, Coroutine):
            return self._coroutines.continue_with(returned, call, done)
        done(CallResult(returned, failure, self._clock.monotonic_ns()))
        return _nothing


def _nothing() -> None:
    """The function has ended."""
