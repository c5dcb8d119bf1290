"""Decide which due instants come, go and move when a trigger takes the place of another.

Pure. Everything is counted by the triggers themselves, and bounded: a count that is not exact says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from heapq import merge
from itertools import groupby, islice, takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.triggers import Trigger

__all__ = ["NO_INSTANTS", "Instants", "InstantsChange", "Moves", "difference", "instants_of", "only"]

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Instants:
    """Some due instants, in nanoseconds since the Unix epoch.

    Args:
        count: how many; where not exact, a lower bound.
        first: the first ones, ascending.
        last: the last one that was found; None: there is none.
    """

    count: int
    exact: bool
    first: tuple[int, ...]
    last: int | None


@dataclass(frozen=True, slots=True)
class Moves:
    """Instants that take the place of others: each where it was, and where it is."""

    count: int
    exact: bool
    first: tuple[tuple[int, int], ...]
    last: tuple[int, int] | None


NO_INSTANTS: Final = Instants(0, exact=True, first=(), last=None)
_NO_MOVES: Final = Moves(0, exact=True, first=(), last=None)


@dataclass(frozen=True, slots=True)
class InstantsChange:
    """What becomes of a job's due instants."""

    added: Instants = NO_INSTANTS
    removed: Instants = NO_INSTANTS
    moved: Moves = _NO_MOVES


class _Mark(Enum):
    KEPT = "kept"
    ADDED = "added"
    REMOVED = "removed"


def instants_of(trigger: Trigger, after_ns: int, until_ns: int) -> Iterator[int]:
    """Yield the instants in (after_ns, until_ns]."""
    due_ns = trigger.next_after_ns(after_ns)
    while due_ns is not None and due_ns <= until_ns:
        yield due_ns
        due_ns = trigger.next_after_ns(due_ns)


def only(trigger: Trigger, after_ns: int, until_ns: int, limit: int) -> Instants:
    """Return the instants of a trigger in (after_ns, until_ns], of which at most `limit` are visited to count them."""
    counted = trigger.count_between(after_ns, until_ns, limit)
    first = tuple(islice(instants_of(trigger, after_ns, until_ns), _SHOWN))
    return Instants(counted.count, counted.exact, first, counted.latest_ns)


def difference(before: Trigger, after: Trigger, after_ns: int, until_ns: int, limit: int) -> InstantsChange:
    """Return how the instants of two triggers in (after_ns, until_ns] differ.

    An instant moved if one that is gone and one that is new lie next to each other, no other instant of either trigger
    is between them, and the next neighbour is not nearer. So 02:30 each day moves to 03:00 of the same day.

    Args:
        limit: how many instants of both together are visited; what comes later is not counted.
    """
    marks = list(islice(_marked(before, after, after_ns, until_ns), limit + 1))
    exact = len(marks) <= limit
    added: list[int] = []
    removed: list[int] = []
    moved: list[tuple[int, int]] = []
    position = 0
    marks = marks[:limit]
    while position < len(marks):
        due_ns, mark = marks[position]
        if _is_move(marks, position):
            other_ns = marks[position + 1][0]
            moved.append((due_ns, other_ns) if mark is _Mark.REMOVED else (other_ns, due_ns))
            position += 1
        elif mark is not _Mark.KEPT:
            (added if mark is _Mark.ADDED else removed).append(due_ns)
        position += 1
    last = moved[-1] if moved else None
    moves = Moves(len(moved), exact, tuple(moved[:_SHOWN]), last)
    return InstantsChange(_listed(added, exact=exact), _listed(removed, exact=exact), moves)


def _marked(before: Trigger, after: Trigger, after_ns: int, until_ns: int) -> Iterator[tuple[int, _Mark]]:
    """Yield the instants of both, ascending, each once, with what becomes of it."""
    gone = ((due_ns, _Mark.REMOVED) for due_ns in instants_of(before, after_ns, until_ns))
    new = ((due_ns, _Mark.ADDED) for due_ns in instants_of(after, after_ns, until_ns))
    for due_ns, found in groupby(merge(gone, new, key=lambda it: it[0]), key=lambda it: it[0]):
        marks = [mark for _, mark in found]
        yield due_ns, marks[0] if len(marks) == 1 else _Mark.KEPT


def _is_move(marks: Sequence[tuple[int, _Mark]], position: int) -> bool:
    """Whether the instant there and the next one are one that moved."""
    run = list(takewhile(lambda it: it[1] is not _Mark.KEPT, marks[position : position + 3]))
    if len(run) < 2 or run[0][1] is run[1][1]:
        return False
    if len(run) < 3 or run[1][1] is run[2][1]:
        return True
    return run[1][0] - run[0][0] <= run[2][0] - run[1][0]


def _listed(found: Sequence[int], *, exact: bool) -> Instants:
    return Instants(len(found), exact, tuple(found[:_SHOWN]), found[-1] if found else None)
