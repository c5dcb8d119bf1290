"""Say what the engine needs of the place where the code of jobs runs.

To add one: a module in `sched/executors/`, and a row where the dispatcher lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["CallResult", "Executor", "JobCall"]


@dataclass(frozen=True, slots=True)
class JobCall:
    """The code of a job, ready to be called once.

    Args:
        start: reports the start. An executor calls it where the code will run, as
            the last thing before it. False: a stop was asked for before; then the
            executor forgets the call, because the engine ends the run.
        scope: returns what surrounds the code from its first step to its last: the current run and its trace.
        code: calls the job's function. What it returns may be a coroutine, which has not begun to run.
    """

    start: Callable[[], bool]
    scope: Callable[[], AbstractContextManager[None]]
    code: Callable[[], Any]


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


class Executor(Protocol):
    """Where the code of jobs runs. What the code raises is in the result; `submit` never raises it."""

    @property
    def name(self) -> str:
        """A bounded word."""
        ...

    @property
    def immediate(self) -> bool:
        """Whether `submit` starts the code itself, on the worker that calls it.

        Otherwise the start may be delayed, and the engine gives up a call that has not started in time.
        """
        ...

    def submit(self, call: JobCall, done: Callable[[CallResult], None]) -> Callable[[], None]:
        """Run the code, and report its end.

        Args:
            done: called once on a worker, where it may block; not for a call whose `start` was refused.

        Returns:
            What cancels the code, as far as the technology can; from any thread,
            at any time. It returns at once, and `done` is called all the same.
        """
        ...
