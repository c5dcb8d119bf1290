"""Decide which jobs of one resource fall due at the same instant after a deploy, and did not before.

Pure. Only what follows from the triggers is seen: how long a run takes is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.triggers import Trigger

__all__ = ["Contender", "Overlap", "arising"]

_SHOWN: Final = 3
_LEAST_VISITED: Final = 100


@dataclass(frozen=True, slots=True)
class Contender:
    """A job as it takes a resource.

    Args:
        trigger: None: its instants are not known, or it did not exist.
    """

    job: JobId
    resource: str
    trigger: Trigger | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two jobs of one resource that will fall due at the same instants: one of them has to wait, or is skipped.

    Args:
        count: how many instants; where not exact, a lower bound.
        first: the first of them, in nanoseconds since the Unix epoch.
    """

    resource: str
    jobs: tuple[JobId, JobId]
    count: int
    exact: bool
    first: tuple[int, ...]


def arising(
    pairs: Sequence[tuple[Contender | None, Contender]], after_ns: int, until_ns: int, limit: int
) -> list[Overlap]:
    """Return the overlaps in (after_ns, until_ns] that there are after a deploy and were not before.

    Args:
        pairs: each job that there is after the deploy, as it was (None: it was not there) and as it is.
        limit: how many instants of all pairs of jobs together are visited.
    """
    by_resource: dict[str, list[tuple[Contender | None, Contender]]] = {}
    for pair in pairs:
        by_resource.setdefault(pair[1].resource, []).append(pair)
    rivals = [
        (one, other)
        for sharing in by_resource.values()
        for one, other in combinations(sharing, 2)
        if one[0] != one[1] or other[0] != other[1]  # without a change nothing arises
    ]
    each = max(_LEAST_VISITED, limit // max(1, len(rivals)))
    found = [_between(one, other, after_ns, until_ns, each) for one, other in rivals]
    return [overlap for overlap in found if overlap.count]


def _between(
    one: tuple[Contender | None, Contender],
    other: tuple[Contender | None, Contender],
    after_ns: int,
    until_ns: int,
    limit: int,
) -> Overlap:
    (one_before, one_after), (other_before, other_after) = one, other
    count, exact, first = 0, True, list[int]()
    for visited, due_ns in enumerate(_common(one_after.trigger, other_after.trigger, after_ns, until_ns)):
        if visited == limit:
            exact = False
            break
        if due_ns is None or _was_common(one_before, other_before, due_ns):
            continue
        count += 1
        if len(first) < _SHOWN:
            first.append(due_ns)
    return Overlap(one_after.resource, (one_after.job, other_after.job), count, exact, tuple(first))


def _common(one: Trigger | None, other: Trigger | None, after_ns: int, until_ns: int) -> Iterator[int | None]:
    """Yield the instants of both, and None for each that turned out to be of one alone.

    Each trigger is asked for its first instant from the other's on, so of a dense one only a few are visited.
    """
    if one is None or other is None:
        return
    due_ns = one.next_after_ns(after_ns)
    while due_ns is not None and due_ns <= until_ns:
        met_ns = other.next_after_ns(due_ns - 1)
        if met_ns is None:
            return
        yield due_ns if met_ns == due_ns else None
        due_ns = one.next_after_ns(due_ns if met_ns == due_ns else met_ns - 1)


def _was_common(one: Contender | None, other: Contender | None, due_ns: int) -> bool:
    if one is None or other is None or one.resource != other.resource:
        return False
    return _is_due(one.trigger, due_ns) and _is_due(other.trigger, due_ns)


def _is_due(trigger: Trigger | None, due_ns: int) -> bool:
    return trigger is not None and trigger.next_after_ns(due_ns - 1) == due_ns
