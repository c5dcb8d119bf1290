"""Run tasks on a fixed number of threads, in the order in which they were submitted.

`Pool` is the threads, the workers. A task waits until a worker is free, and that
wait is measured. Admission bounds what can wait: one occurrence per job.
`ThreadExecutor` runs the code of a job on the worker that claimed for it.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import PoolMoved
from tickglass.sched.ports import CallResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.executors.event_loop import EventLoopExecutor
    from tickglass.sched.ports import EventSink, JobCall

__all__ = ["Pool", "ThreadExecutor", "checked_size", "default_size"]

_log: Final = logging.getLogger(__name__)
_MAX: Final = 10_000


def default_size() -> int:
    """Return CPU count x 1.5, rounded up: of the CPUs that this process may use."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(cpus * 1.5)


def checked_size(size: int | None) -> int:
    """Return the size of a pool; None means `default_size()`.

    Raises:
        ConfigError: not a whole number from 1 to 10,000.
    """
    if size is None:
        return default_size()
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _MAX:
        raise ConfigError(f"workers must be a whole number from 1 to {_MAX}", given=repr(size))
    return size


class Pool:
    """Worker threads that are started once and reused.

    Args:
        size: how many; see `checked_size`.
    """

    def __init__(self, name: str, size: int | None, *, clock: Clock, sink: EventSink) -> None:
        self.name = name
        self.size = checked_size(size)
        self._clock = clock
        self._sink = sink
        self._changed = threading.Condition()
        self._reporting = threading.RLock()  # a sink may submit something
        self._tasks: deque[tuple[int, Callable[[], None]]] = deque()
        self._in_use = 0
        self._unended = self.size  # workers
        self._closing = False
        self._ended = Wake()
        self._threads = [
            threading.Thread(target=self._work, name=f"tickglass-{name}-{number}", daemon=True)
            for number in range(1, self.size + 1)
        ]

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()
        self._report(None)

    def submit(self, task: Callable[[], None]) -> None:
        """Give a task to the next free worker; never waits for one.

        After `close`, a thread of its own does it: a coroutine may end long after the pool.
        """
        with self._changed:
            if not self._unended:
                threading.Thread(
                    target=self._work_on, args=(task,), name=f"tickglass-{self.name}-late", daemon=True
                ).start()
                return
            self._tasks.append((self._clock.monotonic_ns(), task))
            self._changed.notify()
            waits = self._in_use == self.size
        if waits:  # it may be that no worker moves any more, and so none reports it
            self._report(None)

    def close(self, until_ns: int) -> bool:
        """Let the workers end when no task is left.

        Args:
            until_ns: the monotonic instant at which to stop waiting for them.

        Returns:
            Whether every task that was submitted has ended.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        while any(thread.is_alive() for thread in self._threads):
            if not self._clock.wait(until_ns, self._ended):
                return False
            self._join_the_ended()
        return True

    def _join_the_ended(self) -> None:
        with self._changed:
            idle = self._in_use == 0 and not self._tasks
        if idle:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (task := self._take()) is not None:
            self._work_on(task)
            with self._changed:
                self._in_use -= 1
            self._report(None)
        self._ended.ring()

    def _work_on(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException:  # noqa: BLE001 - reported; the worker goes on
            _log.exception("a pool task raised")

    def _take(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._tasks:
                if self._closing:
                    self._unended -= 1
                    return None
                self._changed.wait()
            submitted_ns, task = self._tasks.popleft()
            self._in_use += 1
        self._report(self._clock.monotonic_ns() - submitted_ns)
        return task

    def _report(self, waited_ns: int | None) -> None:
        """Report the present state, one thread at a time: the last report is of the last state."""
        with self._reporting:
            self._sink.record(
                PoolMoved(
                    pool=self.name,
                    slots=self.size,
                    in_use=self._in_use,
                    waiting=len(self._tasks),
                    waited_ns=waited_ns,
                )
            )


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
