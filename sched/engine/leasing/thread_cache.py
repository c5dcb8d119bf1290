"""Make store calls on other threads, so that no call waits for a slow one.

A call that finds all threads busy gets a new one. A few idle threads stay; the others end.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STAYING", "ThreadCache"]

_log: Final = logging.getLogger(__name__)
STAYING: Final = 4  # idle threads that wait for the next call; with a quick store there are seldom more threads


class ThreadCache:
    """As many threads as calls are being made, started when they are needed.

    Args:
        name: of the threads.
    """

    def __init__(self, name: str = "tickglass-renewer") -> None:
        self._name = name
        self._submitted = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._alive = 0
        self._idle = 0
        self._stopping = False

    def submit(self, call: Callable[[], None]) -> None:
        """Make a call as soon as possible; after `stop`, never.

        If the process may have no more threads, one that is busy makes it later.

        Raises:
            RuntimeError: there is no such thread either; the call is not made.
        """
        try:
            self.submit_now(call)
        except RuntimeError:
            with self._submitted:
                if not self._alive:
                    raise
                self._calls.append(call)
                self._submitted.notify()

    def submit_now(self, call: Callable[[], None]) -> None:
        """Make a call at once; after `stop`, never.

        Raises:
            RuntimeError: it needs one more thread than the process may have; the call is not made.
        """
        with self._submitted:
            if self._stopping:
                return
            self._calls.append(call)
            if self._idle >= len(self._calls):
                self._submitted.notify()
                return
            self._alive += 1
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:
            with self._submitted:
                self._alive -= 1
                if call not in self._calls:  # a thread that was busy makes it
                    return
                self._calls.remove(call)
            raise

    def stop(self) -> None:
        """Make none of the calls that have not begun; the others are not waited for."""
        with self._submitted:
            self._stopping = True
            self._calls.clear()
            self._submitted.notify_all()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001 - reported; the next call must be made
                _log.exception("a call on a thread %s broke off", self._name)

    def _next(self) -> Callable[[], None] | None:
        """Wait for a call; None: this thread is to end."""
        with self._submitted:
            while not self._calls:
                if self._stopping or self._idle == STAYING:
                    self._alive -= 1
                    return None
                self._idle += 1
                self._submitted.wait()
                self._idle -= 1
            return self._calls.popleft()
