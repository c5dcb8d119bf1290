"""Move a state machine by its table, through one method that reports every move.

Pure but for the injected clock. The lock and the occurrence are such machines
(lease.py, occurrence.py); their tables are data that docs and tests read.

Moves are most of what happens, and most sinks only count them. So a move is
passed on as the machine that made it, and becomes an event when a sink asks.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from tickglass.sched.errors import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event, Lateness, LockMoved, OccurrenceMoved
    from tickglass.sched.ports.events import EventSink

__all__ = ["LockMove", "Move", "MoveSink", "OccurrenceMove", "StateMachine", "Word", "move_sink", "moves_of"]


class Word(StrEnum):
    """An enumeration of words that every move looks up: its members hash as the text that they are.

    `Enum` hashes in Python code; of a table that is asked ten times a run, that was half the cost.
    """

    __hash__ = str.__hash__  # equality is that of the text, too


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class Move(NamedTuple, Generic[S, E]):
    """One legal move, as the table has it."""

    before: S
    event: E
    after: S


def moves_of(table: Mapping[tuple[S, E], S]) -> Mapping[tuple[S, E], Move[S, E]]:
    """Return every move of the table, ready to be made."""
    return {(before, event): Move(before, event, after) for (before, event), after in table.items()}


class StateMachine(Generic[S, E]):
    """A table, a state, and the only assignment to that state.

    Moves are serialised, and reported in the order in which they were made:
    the lease renewer and a worker may both fire. The attributes that are not
    private describe the latest move, once there is one.

    Args:
        name: for errors: "lock nightly".
        moves: see `moves_of`.
    """

    __slots__ = (
        "_clock",
        "_moves",
        "_mutex",
        "_name",
        "_since_ns",
        "_sink",
        "_state",
        "after",
        "at_ns",
        "before",
        "event",
        "stayed_ns",
        "wall_ns",
    )

    before: str
    event: str
    after: str
    at_ns: int
    wall_ns: int
    stayed_ns: int  # how long the machine had been in `before`

    def __init__(
        self,
        name: tuple[str, ...],
        moves: Mapping[tuple[S, E], Move[S, E]],
        start: S,
        clock: Clock,
        sink: EventSink,
    ) -> None:
        self._name = name
        self._moves = moves
        self._state = start
        self._clock = clock
        self._sink = move_sink(sink)
        self._since_ns = clock.monotonic_ns()
        self._mutex = threading.Lock()

    @property
    def state(self) -> S:
        """Where the machine is."""
        return self._state

    def _make(self, event: E) -> Move[S, E]:
        """Make one move; called under the mutex by the one who reports it before leaving the mutex.

        Raises:
            IllegalTransition: the table has no such move; nothing changed.
        """
        move = self._moves.get((self._state, event))
        if move is None:
            raise self._illegal(event)
        now_ns = self._clock.monotonic_ns()
        self.before, self.event, self.after = move
        self.at_ns, self.wall_ns = now_ns, self._clock.wall_ns()
        self.stayed_ns = now_ns - self._since_ns
        if move.after is not move.before:  # a renewal stays in its state, and its age goes on
            self._state, self._since_ns = move.after, now_ns
        return move

    def _illegal(self, event: str) -> IllegalTransition:
        return IllegalTransition(" ".join(self._name), self._state, event)


class OccurrenceMove(Protocol):
    """The latest move of an occurrence; the attributes are those of `OccurrenceMoved`.

    It is the machine itself, under its lock: valid until the call that brings it returns.
    """

    job: str
    due_ns: int
    owner: str
    run_id: str
    sampled: bool
    event: str
    at_ns: int
    wall_ns: int
    fence: int
    outcome: str | None
    reason: str
    lateness: Lateness | None
    ran_ns: int | None
    error: str
    next_due_ns: int | None
    kind: str

    def report(self) -> OccurrenceMoved:
        """Return the move as an event: the same one to all who ask."""
        ...


class LockMove(Protocol):
    """The latest move of a lock; the attributes are those of `LockMoved`. See `OccurrenceMove`."""

    resource: str
    owner: str
    service: str
    job: str
    run_id: str
    sampled: bool
    blocking: bool
    renewing: bool
    before: str
    event: str
    after: str
    at_ns: int
    wall_ns: int
    stayed_ns: int
    ttl_ns: int
    fence: int
    reason: str | None
    margin_ns: int | None
    other_owner: str

    def report(self) -> LockMoved:
        """Return the move as an event: the same one to all who ask."""
        ...


class MoveSink(ABC):
    """An `EventSink` that takes the moves of locks and occurrences without an event, because it only reads them.

    A base class and not a protocol, because a sink of a user may happen to have methods of these names.
    By default each move is recorded as its event; so it is in a subclass that has a `record` of its own and nothing
    else, which then hears of everything, like any other sink.
    """

    def __init_subclass__(cls) -> None:
        """Give the class the ways of this one, unless it has its own beside its `record`."""
        super().__init_subclass__()
        if "record" in vars(cls):
            for way in ("takes", "occurrence_moved", "lock_moved"):
                if way not in vars(cls):
                    setattr(cls, way, vars(MoveSink)[way])

    def takes(self, kind: type[Event]) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether it wants events of this type, or the moves that they stand for; it is asked once."""
        return True

    @abstractmethod
    def record(self, event: Event) -> None:
        """See `EventSink`."""

    def occurrence_moved(self, move: OccurrenceMove) -> None:
        """Take one move of an occurrence; called under the machine's lock, in the order of its moves."""
        self.record(move.report())

    def lock_moved(self, move: LockMove) -> None:
        """Take one move of a lock; called under the machine's lock, in the order of its moves."""
        self.record(move.report())


class _Recorder(MoveSink):
    """Any other sink: it gets every move as an event."""

    def __init__(self, sink: EventSink) -> None:
        self._record = sink.record

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        self._record(event)


def move_sink(sink: EventSink) -> MoveSink:
    """Return the sink itself if it takes moves; else one that records the event of each move there."""
    return sink if isinstance(sink, MoveSink) else _Recorder(sink)
