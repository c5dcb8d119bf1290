"""Put together what a deploy changes: the jobs, their due instants of the next days, and overlaps that arise.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.plan.changes import ChangeKind, JobChange, compared, trigger_before
from tickglass.plan.instants import InstantsChange, difference, only
from tickglass.plan.overlaps import Contender, Overlap, arising
from tickglass.sched.engine.membership.job_set import fingerprint_of
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tickglass.sched.control.roster import Roster
    from tickglass.sched.job import Job
    from tickglass.sched.registration import JobRecord

__all__ = ["Known", "Plan", "plan_of"]

VISITED_MAX: Final = 300_000  # instants of all jobs together, at some 3 us: a person, or CI, waits for the answer
_LEAST_VISITED: Final = 1_000  # of each job


@dataclass(frozen=True, slots=True)
class Known:
    """What a store knew at one moment.

    Args:
        records: of the jobs of all services: those of others are rivals for resources.
        now_ns: the store's wall clock.
    """

    records: Sequence[JobRecord]
    roster: Roster
    now_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deploy changes.

    Args:
        changes: what becomes of each job, by name.
        instants: what becomes of the due instants in (from_ns, until_ns] of each job that has a change of them, by
            name; None: a trigger is not one of ours, so they are not known.
        overlaps: what jobs of one resource fall due together then, and did not before.
        unrecorded: living instances of this version of Tickglass declare some job otherwise, in what no store records.
    """

    service: str
    from_ns: int
    until_ns: int
    changes: tuple[JobChange, ...]
    instants: Mapping[str, InstantsChange | None]
    overlaps: tuple[Overlap, ...]
    unrecorded: bool

    @property
    def counts(self) -> Mapping[ChangeKind, int]:
        """How many jobs there are of each kind."""
        return Counter(change.kind for change in self.changes)

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        return self.unrecorded or any(change.kind is not ChangeKind.UNCHANGED for change in self.changes)


def plan_of(service: str, jobs: Mapping[str, Job], known: Known, *, span_ns: int, version: str) -> Plan:
    """Return what a deploy of these jobs changes.

    Args:
        jobs: what the program declares, by name.
        span_ns: how far to look ahead.
        version: of this Tickglass.
    """
    now_ns, until_ns = known.now_ns, known.now_ns + span_ns
    changes = compared(service, jobs, known.records, known.roster, now_ns)
    affected = [it for it in changes if it.kind is not ChangeKind.RETIRED and _text_before(it) != _text_after(it)]
    limit = max(_LEAST_VISITED, VISITED_MAX // max(1, len(affected)))
    rivals = [*map(_contenders, changes), *_others(service, known)]
    return Plan(
        service=service,
        from_ns=now_ns,
        until_ns=until_ns,
        changes=tuple(changes),
        instants={change.job.name: _instants(change, now_ns, until_ns, limit) for change in affected},
        overlaps=tuple(arising([pair for pair in rivals if pair is not None], now_ns, until_ns, VISITED_MAX)),
        unrecorded=_differs_unseen(service, jobs.values(), changes, known.roster, version),
    )


def _text_before(change: JobChange) -> str | None:
    return None if change.before is None else change.before.trigger


def _text_after(change: JobChange) -> str | None:
    return None if change.after is None else str(change.after.trigger)


def _instants(change: JobChange, now_ns: int, until_ns: int, limit: int) -> InstantsChange | None:
    before, after = trigger_before(change), None if change.after is None else change.after.trigger
    if change.before is not None and before is None:
        return None
    if before is None:
        return InstantsChange() if after is None else InstantsChange(added=only(after, now_ns, until_ns, limit))
    if after is None:
        return InstantsChange(removed=only(before, now_ns, until_ns, limit))
    return difference(before, after, now_ns, until_ns, limit)


def _contenders(change: JobChange) -> tuple[Contender | None, Contender] | None:
    """Return a job as it was and as it is; None if it is there no more."""
    before, after = change.before, change.after
    if after is None:
        return None
    now = Contender(change.job, after.resource, after.trigger)
    return None if before is None else Contender(change.job, before.resource, trigger_before(change)), now


def _others(service: str, known: Known) -> Iterator[tuple[Contender | None, Contender]]:
    """Return the jobs of other services that some living instance has: they stay as they are."""
    for record in known.records:
        if record.service != service and known.roster.having(record.job_id):
            same = Contender(record.job_id, record.resource, trigger_of(record.trigger, record.name))
            yield same, same


def _differs_unseen(
    service: str, jobs: Iterable[Job], changes: Iterable[JobChange], roster: Roster, version: str
) -> bool:
    """Whether instances have other fingerprints though every record is as declared; another version has its own."""
    if any(change.kind not in (ChangeKind.UNCHANGED, ChangeKind.RETIRED) for change in changes):
        return False
    ours = fingerprint_of(service, jobs)
    return any(it.fingerprint != ours for it in roster.living(service) if it.version == version)
