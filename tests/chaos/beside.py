"""Find code of jobs that runs, or believes that it may act, beside other code on the same resource.

Pure; part of the checker. What holders note who ask before they act is looked at
there, this is about jobs that do not ask: whether they are kept alone, and what
they could have known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from chaos.history import Acknowledged, Violation, Wrote

from tickglass.sched.durations import MS
from tickglass.sched.lease import RENEWALS_PER_TTL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chaos.history import Began, History
    from chaos.spells import Conduct

__all__ = ["runs_beside"]

_SLACK_NS: Final = 50 * MS  # between a move of the lock and its report


@dataclass(frozen=True)
class _Code:
    """The code of one run, from its first line to its last; if it was killed, to what its process noted last."""

    conduct: Conduct
    began: Began
    ends_ns: int
    writes: Sequence[Wrote]

    def __str__(self) -> str:
        began = self.began
        return f"{self.conduct.name} {began.job} due {began.due_ns} attempt {began.attempt} from {began.at_ns}"


def runs_beside(history: History, conducts: Sequence[Conduct]) -> Iterator[Violation]:
    """Return all violations of what is promised of jobs that run on."""
    codes = [code for conduct in conducts for code in _codes_of(conduct)]
    yield from _two_at_once(codes, history.setting.ttl_ns)
    for conduct in conducts:
        yield from _acts_after_the_end(conduct)


def _codes_of(conduct: Conduct) -> Iterator[_Code]:
    writes: defaultdict[str, list[Wrote]] = defaultdict(list)
    for entry in conduct.entries:
        if isinstance(entry, Wrote):
            writes[entry.run_id].append(entry)
    for began, ends_ns in conduct.codes():
        yield _Code(conduct, began, ends_ns, writes[began.run_id])


def _two_at_once(codes: Sequence[_Code], ttl_ns: int) -> Iterator[Violation]:
    """Never a run that begins while another, on the same resource, runs in a process that reaches the store.

    When that process did not reach it for so long that a renewal may have failed,
    the second run is right; and from its first line on the first one must have
    known that it may not act. (That its writes are refused then is a rule of the
    witness: no write after one with a greater fence.) A run may also be given the
    lease first, and begin last: it is the one of the smaller fence that must know.
    """
    of_resource: defaultdict[str, list[_Code]] = defaultdict(list)
    for code in sorted(codes, key=lambda code: code.began.fence):
        of_resource[code.began.resource].append(code)
    for group in of_resource.values():
        for older, newer in combinations(group, 2):
            at_ns = newer.began.at_ns
            if older.ends_ns <= at_ns:
                continue
            if older.began.at_ns < at_ns and _was_kept(older, at_ns, ttl_ns):
                yield Violation("ran beside itself", f"{older} until {older.ends_ns}; {newer}")
            acts_ns = [write.at_ns for write in older.writes if write.at_ns > at_ns and _may_act(write)]
            if acts_ns:
                yield Violation("would act beside another", f"{older} at {acts_ns}; {newer}")


def _was_kept(code: _Code, until_ns: int, ttl_ns: int) -> bool:
    """Return whether the store answered its process as often as its lease is renewed, and renewals without delay.

    Calls have connections of their own: one may wait for the store while others are
    answered. Of one that was under way when its process was killed nothing is known.
    """
    conduct, from_ns, in_time_ns = code.conduct, code.began.at_ns, ttl_ns // RENEWALS_PER_TTL
    if any(it.operation == "renew" and from_ns <= it.at_ns <= until_ns for it in conduct.unanswered):
        return False
    waited = (spell for spell in conduct.renewals_waited if spell.ends_ns - spell.begins_ns > in_time_ns)
    if any(spell.begins_ns <= until_ns and from_ns <= spell.ends_ns for spell in waited):
        return False
    killed = code.ends_ns == conduct.last_ns
    return conduct.reached(from_ns, until_ns + (ttl_ns if killed else 0), in_time_ns)


def _acts_after_the_end(conduct: Conduct) -> Iterator[Violation]:
    """Never a run that says that its code may act when the store has been told of its end."""
    ended_ns = {entry.run_id: entry.at_ns for entry in conduct.entries if isinstance(entry, Acknowledged)}
    found: set[str] = set()
    for entry in conduct.entries:
        if isinstance(entry, Wrote) and entry.run_id in ended_ns and entry.run_id not in found:
            since_ns = entry.at_ns - ended_ns[entry.run_id]
            if since_ns > _SLACK_NS and _may_act(entry):
                found.add(entry.run_id)
                yield Violation("may act after its end", f"{conduct.name} run {entry.run_id}, {since_ns} ns after it")


def _may_act(write: Wrote) -> bool:
    return not write.cancelled or write.remaining_ns > 0
