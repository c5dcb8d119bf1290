"""Remember who waits for a resource to become free, and tell them.

No I/O: a store says `freed` when it knows, of its own releases or from the technology.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Watchers"]


class Watchers:
    """Calls to make, by resource."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, list[Callable[[], None]]] = {}

    def add(self, resource: str, call: Callable[[], None]) -> Callable[[], None]:
        """Call when the resource is freed, until the function that is returned has been called."""
        with self._lock:
            self._calls.setdefault(resource, []).append(call)

        def remove() -> None:
            with self._lock:
                calls = self._calls.get(resource, [])
                if call in calls:
                    calls.remove(call)
                if not calls:
                    self._calls.pop(resource, None)

        return remove

    def watched(self, resource: str) -> bool:
        """Return whether anybody waits for it."""
        return resource in self._calls

    def resources(self) -> list[str]:
        """Return what is waited for."""
        with self._lock:
            return list(self._calls)

    def freed(self, resource: str) -> None:
        """Tell those who wait for this resource."""
        with self._lock:
            calls = list(self._calls.get(resource, ()))
        for call in calls:
            call()
