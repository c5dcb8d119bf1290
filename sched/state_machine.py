"""Move a state machine by its table, through one method that reports every move.

Pure but for the injected clock. The lock and the occurrence are such machines
(lease.py, occurrence.py); their tables are data that docs and tests read.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from tickglass.sched.errors import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.sched.ports.events import EventSink

__all__ = ["Move", "StateMachine"]

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class Move(NamedTuple, Generic[S, E]):
    """One legal move: what the table said and when it was made."""

    before: S
    event: E
    after: S
    at_ns: int
    stayed_ns: int  # how long the machine had been in `before`


class StateMachine(Generic[S, E]):
    """A table, a state, and the only assignment to that state.

    Moves are serialised, and reported in the order in which they were made:
    the lease renewer and a worker may both fire.
    """

    def __init__(
        self,
        name: str,
        table: Mapping[tuple[S, E], S],
        start: S,
        clock: Clock,
        sink: EventSink,
    ) -> None:
        self._name = name
        self._table = table
        self._state = start
        self._clock = clock
        self._sink = sink
        self._since_ns = clock.monotonic_ns()
        self._mutex = threading.Lock()

    @property
    def state(self) -> S:
        """Where the machine is."""
        return self._state

    def _fire(self, event: E, tell: Callable[[Move[S, E]], Event]) -> Move[S, E]:
        """Make one move and report it.

        Raises:
            IllegalTransition: the table has no such move; nothing changed.
        """
        with self._mutex:
            before = self._state
            after = self._table.get((before, event))
            if after is None:
                raise IllegalTransition(self._name, before, event)
            now_ns = self._clock.monotonic_ns()
            move = Move(before, event, after, now_ns, now_ns - self._since_ns)
            if after is not before:  # a renewal stays in its state, and its age goes on
                self._state, self._since_ns = after, now_ns
            self._sink.record(tell(move))  # never raises: see EventSink
            return move
