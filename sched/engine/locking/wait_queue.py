"""Line up those who wait for the same resource here: first come, first served.

Only the first of a line asks the store. So a release wakes one waiter of this
process, however many there are, and the store is asked as often for a thousand
of them as for one. Between processes the store decides: where it tells all of a
release, whoever asks first; in a file, those that have asked for long go first
(stores/sqlite_waiting.py).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.clock import Wake

__all__ = ["WaitQueues"]


class WaitQueues:
    """One line for each resource that somebody here waits for."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._wait_queues: dict[str, list[Wake]] = {}

    @contextmanager
    def queued(self, resource: str, wake: Wake) -> Iterator[None]:
        """Stand in line meanwhile; `wake` rings on becoming the first."""
        with self._mutex:
            self._wait_queues.setdefault(resource, []).append(wake)
        try:
            yield
        finally:
            self._leave(resource, wake)

    def is_head(self, resource: str, wake: Wake) -> bool:
        """Return whether it is this one's turn to ask."""
        with self._mutex:
            return self._wait_queues[resource][0] is wake

    def _leave(self, resource: str, wake: Wake) -> None:
        with self._mutex:
            line = self._wait_queues[resource]
            was_first = line[0] is wake
            line.remove(wake)
            next_bell = line[0] if line else None
            if not line:
                del self._wait_queues[resource]
        if was_first and next_bell is not None:
            next_bell.ring()
