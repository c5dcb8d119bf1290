"""Queue the waiters of this process for the same resource: first come, first served.

Only the head of the queue polls the store. So a release wakes one waiter of this process, and the load on the store
does not grow with the number of waiters. Between processes the store decides: where it notifies all of them of a
release, the first request wins; in a SQLite file, the process that has asked for the longest time goes first
(stores/sqlite/fairness.py).
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
    """One queue for each resource that has waiters here."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._queues: dict[str, list[Wake]] = {}

    @contextmanager
    def queued(self, resource: str, wake: Wake) -> Iterator[None]:
        """Wait in the queue during the block; `wake` rings when the waiter becomes its head."""
        with self._mutex:
            self._queues.setdefault(resource, []).append(wake)
        try:
            yield
        finally:
            self._leave(resource, wake)

    def is_empty(self, resource: str) -> bool:
        """Return whether nobody here waits for it."""
        return resource not in self._queues

    def is_head(self, resource: str, wake: Wake) -> bool:
        """Return whether this waiter polls the store."""
        with self._mutex:
            return self._queues[resource][0] is wake

    def _leave(self, resource: str, wake: Wake) -> None:
        with self._mutex:
            queue = self._queues[resource]
            was_head = queue[0] is wake
            queue.remove(wake)
            head = queue[0] if queue else None
            if not queue:
                del self._queues[resource]
        if was_head and head is not None:
            head.ring()
