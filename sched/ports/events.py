"""Say where events go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tickglass.sched.events import Event

__all__ = [
    "EventSink",
]


class EventSink(Protocol):
    """Where events go. What the core is given never raises: see engine/broadcast.py.

    A sink that only reads the moves of locks and occurrences can have them without an event: see `MoveSink` in
    sched/state_machine.py.
    """

    def record(self, event: Event) -> None:
        """Record one event; called on the hot path, so it takes microseconds at most."""
        ...
