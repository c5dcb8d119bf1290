"""Run tasks on a fixed number of threads, in the order in which they were handed in.

No queue but the hand-off itself: a task waits until a worker is free, and that
wait is measured. What may wait is bounded by admission: one occurrence per job.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import PoolMoved

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink

__all__ = ["Pool", "checked_size", "default_size"]

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
        self._handed = threading.Condition()
        self._tasks: deque[tuple[int, Callable[[], None]]] = deque()
        self._in_use = 0
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
        self._tell(None)

    def submit(self, task: Callable[[], None]) -> None:
        """Give a task to the next free worker; never blocks."""
        with self._handed:
            self._tasks.append((self._clock.monotonic_ns(), task))
            self._handed.notify()

    def close(self, until_ns: int) -> bool:
        """Let the workers end once nothing is left to do.

        Args:
            until_ns: the monotonic instant at which to stop waiting for them.

        Returns:
            Whether every task that was handed in has ended.
        """
        with self._handed:
            self._closing = True
            self._handed.notify_all()
        while any(thread.is_alive() for thread in self._threads):
            if not self._clock.wait(until_ns, self._ended):
                return False
            self._join_the_ended()
        return True

    def _join_the_ended(self) -> None:
        with self._handed:
            idle = self._in_use == 0 and not self._tasks
        if idle:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (task := self._take()) is not None:
            try:
                task()
            except BaseException:  # noqa: BLE001 - reported; the worker goes on
                _log.exception("a pool task raised")
            finally:
                with self._handed:
                    self._in_use -= 1
                self._tell(None)
        self._ended.ring()

    def _take(self) -> Callable[[], None] | None:
        with self._handed:
            while not self._tasks:
                if self._closing:
                    return None
                self._handed.wait()
            handed_ns, task = self._tasks.popleft()
            self._in_use += 1
        self._tell(self._clock.monotonic_ns() - handed_ns)
        return task

    def _tell(self, waited_ns: int | None) -> None:
        self._sink.record(
            PoolMoved(
                pool=self.name,
                slots=self.size,
                in_use=self._in_use,
                waiting=len(self._tasks),
                waited_ns=waited_ns,
            )
        )
