"""Keep the callbacks of those that wait for a resource, and call them when it is freed.

No I/O: a store calls `freed` when it knows of a release, its own or one that the technology reports.
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
        """Call `call` when the resource is freed, until the returned function is called."""
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
        """Return whether a callback waits for it."""
        return resource in self._calls

    def resources(self) -> list[str]:
        """Return the resources that callbacks wait for."""
        with self._lock:
            return list(self._calls)

    def freed(self, resource: str) -> None:
        """Call the callbacks of this resource."""
        with self._lock:
            calls = list(self._calls.get(resource, ()))
        for call in calls:
            call()
