"""Say what the engine needs of the place where the code of jobs runs.

To add one: a module in `sched/executors/`, and a row where the dispatcher lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["CallResult", "Executor", "JobCall", "PreparedCall"]


class JobCall(NamedTuple):
    """The code of a job, ready to be called once.

    Args:
        start: reports the start. An executor calls it where the code will run, as
            the last thing before it. False: a stop was asked for before; then the
            executor forgets the call, because the engine ends the run.
        scope: returns what surrounds the code from its first step to its last: the current run and its trace.
        code: calls the job's function. What it returns may be a coroutine, which has not begun to run.
        give_up: says that the code has not started in time; from any thread, and it returns at once.
    """

    start: Callable[[], bool]
    scope: Callable[[], AbstractContextManager[None]]
    code: Callable[[], Any]
    give_up: Callable[[], None]


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended.

    Args:
        returned: what the code returned at its end, never a coroutine; None if it failed.
        failure: what it raised, whatever that was.
        ended_ns: the monotonic instant of its end.
    """

    returned: object
    failure: BaseException | None
    ended_ns: int


class PreparedCall(Protocol):
    """A call that an executor has made ready, to be submitted once or never."""

    def submit(self, start_by_ns: int) -> None:
        """Run the code, and report its end. What the code raises is in the result, and is not raised here.

        Args:
            start_by_ns: the monotonic instant at which the call is given up unless its code has started.
        """
        ...

    def cancel(self) -> None:
        """Cancel the code that was submitted, as far as the technology can; from any thread.

        It returns at once, and `done` is called all the same.
        """
        ...


class Executor(Protocol):
    """Where the code of jobs runs."""

    @property
    def name(self) -> str:
        """A bounded word."""
        ...

    @property
    def immediate(self) -> bool:
        """Whether a call starts on the worker that submits it, which is free when the code has returned.

        Otherwise the start may be delayed, and the executor gives up a call that has not started in time.
        """
        ...

    def prepare(self, call: JobCall, done: Callable[[CallResult], None]) -> PreparedCall:
        """Make a call ready before it is due.

        Args:
            done: called once on a worker, where it may block; not for a call whose `start` was refused.
        """
        ...
