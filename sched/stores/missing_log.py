"""Keep what a store's calls found missing until the caller asks for it, because a store reports nothing itself."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.ports.missing import MissingRecord

__all__ = ["MissingLog"]

_KEPT_MAX: Final = 1_000


class MissingLog:
    """The latest thousand; any thread may add and take."""

    def __init__(self) -> None:
        self._found: deque[MissingRecord] = deque(maxlen=_KEPT_MAX)

    def add(self, found: Iterable[MissingRecord]) -> None:
        """Keep these."""
        self._found.extend(found)

    def take(self) -> list[MissingRecord]:
        """Return what is kept, and keep it no more; each once."""
        taken: dict[MissingRecord, None] = {}
        while self._found:
            try:
                taken[self._found.popleft()] = None
            except IndexError:  # another thread took the last one
                break
        return list(taken)
