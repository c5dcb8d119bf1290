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

__all__ = ["Lines"]


class Lines:
    """One line for each resource that somebody here waits for."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._lines: dict[str, list[Wake]] = {}

    @contextmanager
    def place(self, resource: str, bell: Wake) -> Iterator[None]:
        """Stand in line meanwhile; `bell` rings on becoming the first."""
        with self._door:
            self._lines.setdefault(resource, []).append(bell)
        try:
            yield
        finally:
            self._leave(resource, bell)

    def is_first(self, resource: str, bell: Wake) -> bool:
        """Return whether it is this one's turn to ask."""
        with self._door:
            return self._lines[resource][0] is bell

    def _leave(self, resource: str, bell: Wake) -> None:
        with self._door:
            line = self._lines[resource]
            was_first = line[0] is bell
            line.remove(bell)
            next_bell = line[0] if line else None
            if not line:
                del self._lines[resource]
        if was_first and next_bell is not None:
            next_bell.ring()
