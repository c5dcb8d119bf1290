"""Tell from what a process noted when it ran, when it reached its store, and when nothing was wrong with it.

Pure. A spell is a stretch of time, both ends included.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from chaos.history import (
    WRITING,
    Began,
    Blocked,
    Clocked,
    Crowded,
    Opened,
    Reached,
    RenewalWaited,
    Returned,
    Sampled,
    Stopping,
    Unanswered,
    Unblocked,
    Won,
)

from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from chaos.history import Entry

__all__ = ["Conduct", "Spell", "outside", "spells_of", "united"]

_RUNS_NS: Final = 300 * MS  # samples of a process that runs are never further apart
_HEALTHY_NS: Final = SECOND  # nor are the answers of the store to one with which nothing is wrong
_EVER_NS: Final = 2**63


class Spell(NamedTuple):
    """From when until when."""

    begins_ns: int
    ends_ns: int

    def covers(self, from_ns: int, until_ns: int) -> bool:
        """Return whether all of that lies in it."""
        return self.begins_ns <= from_ns and until_ns <= self.ends_ns


def spells_of(instants: Sequence[int], longest_gap_ns: int) -> list[Spell]:
    """Return the spells in which no two neighbours are further apart; instants ascend."""
    spells: list[Spell] = []
    for at_ns in instants:
        if spells and at_ns - spells[-1].ends_ns <= longest_gap_ns:
            spells[-1] = Spell(spells[-1].begins_ns, at_ns)
        else:
            spells.append(Spell(at_ns, at_ns))
    return spells


def united(spells: Iterable[Spell]) -> list[Spell]:
    """Return the spells in which at least one of these is."""
    union: list[Spell] = []
    for spell in sorted(spells):
        if union and spell.begins_ns <= union[-1].ends_ns:
            union[-1] = Spell(union[-1].begins_ns, max(union[-1].ends_ns, spell.ends_ns))
        else:
            union.append(spell)
    return union


def outside(spells: Iterable[Spell], others: Iterable[Spell]) -> list[Spell]:
    """Return what is left of spells without those others."""
    left = list(spells)
    for other in others:
        before = [Spell(spell.begins_ns, min(spell.ends_ns, other.begins_ns)) for spell in left]
        after = [Spell(max(spell.begins_ns, other.ends_ns), spell.ends_ns) for spell in left]
        left = sorted({spell for spell in (*before, *after) if spell.begins_ns < spell.ends_ns})
    return left


@dataclass(frozen=True)
class Wrong:
    """The wall clock was wrong by so much."""

    spell: Spell
    offset_ns: int


class Conduct:
    """What one process noted, read as spells.

    Attributes:
        runs: when it was neither frozen, nor kept from a processor for long.
        reached_ns: when the store answered it something for which it had to write.
        renewals_waited: when a renewal was under way that took long.
        blocked: when its event loop did not turn.
        failing: from a call that failed, though it may have had to write, to the next grant.
        healthy: when it was open, reached its store at least once a second without
            failing, had the right time, a loop that turned, and workers to spare.
    """

    def __init__(self, name: str, entries: Sequence[Entry]) -> None:
        self.name = name
        self.entries = entries
        self.samples = [entry for entry in entries if isinstance(entry, Sampled)]
        self.runs = spells_of([sample.at_ns for sample in self.samples], _RUNS_NS)
        self.reached_ns = [entry.at_ns for entry in entries if isinstance(entry, Reached)]
        self.unanswered = [entry for entry in entries if isinstance(entry, Unanswered)]
        self._reached: dict[int, list[Spell]] = {}  # by the longest gap
        self.last_ns = max((entry.at_ns for entry in entries), default=0)
        opened_ns = next((entry.at_ns for entry in entries if isinstance(entry, Opened)), _EVER_NS)
        stopping_ns = next((entry.at_ns for entry in entries if isinstance(entry, Stopping)), self.last_ns)
        self.open = Spell(opened_ns, stopping_ns)
        self.wrong_clocks = list(self._wrong_clocks())
        self.failing = list(self._failing())
        self.renewals_waited = [
            Spell(entry.since_ns, entry.at_ns) for entry in entries if isinstance(entry, RenewalWaited)
        ]
        self.blocked = list(self._blocked())
        crowded = [Spell(entry.at_ns, entry.until_ns) for entry in entries if isinstance(entry, Crowded)]
        closed = [Spell(-_EVER_NS, opened_ns), Spell(stopping_ns, _EVER_NS)]
        wrong = [*(wrong.spell for wrong in self.wrong_clocks), *self.failing]
        self.healthy = outside(spells_of(self.reached_ns, _HEALTHY_NS), [*closed, *wrong, *self.blocked, *crowded])

    def codes(self) -> Iterator[tuple[Began, int]]:
        """Yield when the code of each run began, and when it ended: if it was killed, what its process noted last."""
        returned = {entry.run_id: entry.at_ns for entry in self.entries if isinstance(entry, Returned)}
        for entry in self.entries:
            if isinstance(entry, Began):
                yield entry, returned.get(entry.run_id, self.last_ns)

    def ran(self, from_ns: int, until_ns: int) -> bool:
        """Return whether it ran all that time."""
        return any(spell.covers(from_ns, until_ns) for spell in self.runs)

    def reached(self, from_ns: int, until_ns: int, longest_gap_ns: int = _HEALTHY_NS) -> bool:
        """Return whether the store answered it all that time, with no longer gap."""
        if longest_gap_ns not in self._reached:
            self._reached[longest_gap_ns] = spells_of(self.reached_ns, longest_gap_ns)
        return any(spell.covers(from_ns, until_ns) for spell in self._reached[longest_gap_ns])

    def was_healthy(self, from_ns: int, until_ns: int) -> bool:
        """Return whether nothing was wrong with it in all that time."""
        return any(spell.covers(from_ns, until_ns) for spell in self.healthy)

    def behind_ns(self, from_ns: int, until_ns: int) -> int:
        """Return by how much its clock was behind at most in that time."""
        met = (it for it in self.wrong_clocks if it.spell.begins_ns <= until_ns and from_ns <= it.spell.ends_ns)
        return max((-wrong.offset_ns for wrong in met if wrong.offset_ns < 0), default=0)

    def _wrong_clocks(self) -> Iterator[Wrong]:
        sets = [entry for entry in self.entries if isinstance(entry, Clocked)]
        last = Clocked(at_ns=max(self.last_ns, _EVER_NS), offset_ns=0)
        for set_, next_ in pairwise([*sets, last]):
            if set_.offset_ns:
                yield Wrong(Spell(set_.at_ns, next_.at_ns), set_.offset_ns)

    def _blocked(self) -> Iterator[Spell]:
        """Return when its loop did not turn; one that was killed meanwhile did not let go."""
        since_ns: int | None = None
        for entry in self.entries:
            if isinstance(entry, Blocked):
                since_ns = entry.at_ns
            elif isinstance(entry, Unblocked) and since_ns is not None:
                yield Spell(since_ns, entry.at_ns)
                since_ns = None
        if since_ns is not None:
            yield Spell(since_ns, self.last_ns)

    def _failing(self) -> Iterator[Spell]:
        since_ns: int | None = None
        for entry in self.entries:
            if isinstance(entry, Unanswered) and entry.operation in WRITING and since_ns is None:
                since_ns = entry.at_ns
            elif isinstance(entry, Won) and since_ns is not None:
                yield Spell(since_ns, entry.at_ns)
                since_ns = None
        if since_ns is not None:
            yield Spell(since_ns, max(since_ns, self.last_ns))
