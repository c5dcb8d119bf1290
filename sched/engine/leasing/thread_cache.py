"""Have store calls made on other threads, and none of them wait for a slow one.

A call that finds all threads busy gets one of its own. A few of them stay when
there is nothing to do; the others end.
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
STAYING: Final = 4  # threads that wait for the next call; as long as the store is quick, there are seldom more


class ThreadCache:
    """As many threads as calls are being made, started when they are needed."""

    def __init__(self) -> None:
        self._handed = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._idle = 0
        self._stopping = False

    def submit(self, call: Callable[[], None]) -> None:
        """Have a call made as soon as possible; after `stop`, never."""
        with self._handed:
            if self._stopping:
                return
            self._calls.append(call)
            if self._idle >= len(self._calls):
                self._handed.notify()
                return
        threading.Thread(target=self._work, name="tickglass-renewer", daemon=True).start()

    def stop(self) -> None:
        """Make none of the calls that have not begun; those that have may end when they like."""
        with self._handed:
            self._stopping = True
            self._calls.clear()
            self._handed.notify_all()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001 - reported; the next call must be made
                _log.exception("a renewal broke off")

    def _next(self) -> Callable[[], None] | None:
        """Wait for a call; None: this thread is not needed any more."""
        with self._handed:
            while not self._calls:
                if self._stopping or self._idle == STAYING:
                    return None
                self._idle += 1
                self._handed.wait()
                self._idle -= 1
            return self._calls.popleft()
