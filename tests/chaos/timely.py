"""Find what came too late, too early, or not at all: jobs that starve, instances that are silent, graces not kept.

Pure; part of the checker. Instants are those of the clock that all processes
share, so that the wrong wall clocks of some do not blind it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from chaos.history import Began, Claimed, Declared, FellDue, Violation
from chaos.spells import Spell, united

from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chaos.history import History
    from chaos.spells import Conduct

__all__ = ["out_of_time"]

_TAKE_OVERS: Final = 2  # leases of holders that died one after the other, before somebody else may begin
_STARVED_NS: Final = 1_500 * MS  # and for a sweep to find it, on a busy machine
_SILENT_NS: Final = 2 * SECOND  # for a step of the clock to be noticed, and the store's to be asked
_LATE_NS: Final = 500 * MS  # between the last look at the grace and the first line of the job, on a busy machine
_AHEAD_NS: Final = SECOND + 550 * MS  # the skew that is allowed, the longest lead, and the error of measuring
_LEAST_RATE: Final = 0.5  # of the instants: claimants die, are frozen and cut off all the time


class _Begun(NamedTuple):
    """When the code of one run began and ended, and the instant for which it was run."""

    at_ns: int
    ends_ns: int
    due_ns: int


def out_of_time(history: History, conducts: Sequence[Conduct]) -> Iterator[Violation]:
    """Return all violations of what is promised of when things happen."""
    declared = {entry.job: entry for conduct in conducts for entry in _declared(conduct)}
    begun: dict[str, list[_Begun]] = {job: [] for job in declared}
    for conduct in conducts:
        for began, ends_ns in conduct.codes():
            if began.job in begun:
                begun[began.job].append(_Begun(began.at_ns, ends_ns, began.due_ns))
    fleet = united(spell for conduct in conducts for spell in conduct.healthy)
    for job in declared.values():
        yield from _starved(job, sorted(begun[job.job]), fleet, history.setting.ttl_ns)
    for conduct in conducts:
        yield from _silent(conduct)
        yield from _late(conduct, history)
        if history.setting.keeps_time:
            yield from _from_the_future(conduct, history.setting.anchor_ns)


def _declared(conduct: Conduct) -> list[Declared]:
    return [entry for entry in conduct.entries if isinstance(entry, Declared)]


def _starved(job: Declared, begun: Sequence[_Begun], fleet: Sequence[Spell], ttl_ns: int) -> Iterator[Violation]:
    """Never a job that does not run while an instance is healthy, nor one that runs at less than half its rate.

    A run that takes longer than its code says, because somebody else blocks its event loop, keeps its lease, too.
    """
    bound_ns = job.interval_ns + job.lasts_ns + _TAKE_OVERS * ttl_ns + _STARVED_NS
    for spell in fleet:
        inside = [began for began in begun if spell.covers(began.at_ns, began.at_ns)]
        marks = [(spell.begins_ns, 0), *((it.at_ns, it.ends_ns - job.lasts_ns) for it in inside), (spell.ends_ns, 0)]
        for (before_ns, blocked_until_ns), (after_ns, _) in pairwise(marks):
            if after_ns - max(before_ns, blocked_until_ns) > bound_ns:
                yield Violation("starved", f"{job.job} did not run from {before_ns} to {after_ns}")
        counted_ns = spell.ends_ns - spell.begins_ns - bound_ns
        due = counted_ns // (job.interval_ns if job.lasts_ns < job.interval_ns else job.interval_ns + job.lasts_ns)
        ran = len({began.due_ns for began in inside})
        if counted_ns > bound_ns and ran < due * _LEAST_RATE:
            yield Violation("starved", f"{job.job} ran for {ran} of {due} instants in {spell}")


def _silent(conduct: Conduct) -> Iterator[Violation]:
    """Never a healthy instance in which a job does not fall due any more, whatever its clock had been."""
    for job in _declared(conduct):
        due_ns = [entry.at_ns for entry in conduct.entries if isinstance(entry, FellDue) and entry.job == job.job]
        for spell in conduct.healthy:
            marks = [spell.begins_ns, *(at_ns for at_ns in due_ns if spell.covers(at_ns, at_ns)), spell.ends_ns]
            for before_ns, after_ns in pairwise(marks):
                if after_ns - before_ns > job.interval_ns + _SILENT_NS:
                    yield Violation("silent", f"{job.job} on {conduct.name} from {before_ns} to {after_ns}")


def _late(conduct: Conduct, history: History) -> Iterator[Violation]:
    """Never a first attempt that starts after its grace; one whose clock is behind cannot know by so much.

    Where servers vote, the run after one of which only a minority heard is a first
    attempt too: then its instant has come up again, after its grace.
    """
    fell_due = [entry for entry in conduct.entries if isinstance(entry, FellDue)] if history.votes else []
    came_up_ns = {(entry.job, entry.due_ns): entry.at_ns for entry in fell_due}
    for began in conduct.entries:
        if not isinstance(began, Began) or began.attempt > 1:
            continue
        due_ns = began.due_ns - history.setting.anchor_ns
        last_ns = due_ns + began.grace_ns
        late_ns = began.at_ns - last_ns - _LATE_NS
        if late_ns <= conduct.behind_ns(due_ns, began.at_ns) or came_up_ns.get((began.job, began.due_ns), 0) > last_ns:
            continue
        if conduct.ran(last_ns, began.at_ns):  # else it was frozen after the last look: nobody can prevent that
            what = (
                f"{conduct.name} began {began.job} due {began.due_ns} {(late_ns + _LATE_NS) // MS} ms after its grace"
            )
            yield Violation("started after its grace", what)


def _from_the_future(conduct: Conduct, anchor_ns: int) -> Iterator[Violation]:
    """Never a claim of an instant that is further ahead of the store's clock than clocks may differ."""
    for entry in conduct.entries:
        if isinstance(entry, Claimed):
            ahead_ns = entry.due_ns - anchor_ns - entry.at_ns
            if ahead_ns > _AHEAD_NS:
                what = f"{conduct.name} claimed {entry.job} due {entry.due_ns} {ahead_ns // MS} ms ahead"
                yield Violation("claimed in the future", what)
