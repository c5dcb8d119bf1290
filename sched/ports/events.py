"""Say where events go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tickglass.sched.events import Event

__all__ = [
    "EventSink",
]


class EventSink(Protocol):
    """Where events go. What the core is given never raises: see engine/broadcast.py."""

    def record(self, event: Event) -> None:
        """Record one event; called on the hot path, so it takes microseconds at most."""
        ...
