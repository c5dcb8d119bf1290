"""Decide how the jobs that a program declares differ from those that its store knows.

Pure. A store records a job's trigger, resource, ttl, timeout and grace. What else a program declares is not compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import duration_text
from tickglass.sched.identity import JobId
from tickglass.sched.policies.misfire import grace_for_ns
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tickglass.sched.control.roster import Roster
    from tickglass.sched.job import Job
    from tickglass.sched.registration import JobRecord
    from tickglass.sched.triggers import Trigger

__all__ = ["ChangeKind", "FieldChange", "JobChange", "compared", "trigger_before"]

_GRACES_SEEN: Final = 50  # instants of a trigger whose default graces are taken for that of its record


class ChangeKind(StrEnum):
    """What becomes of a job."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"  # in no code any more; instances that live have it, and run it until they are replaced
    RETIRED = "retired"  # in no code, and no living instance has it: nothing runs it already
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One thing that is declared otherwise, under its name in declarations; both as people read them."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class JobChange:
    """What becomes of one job.

    Args:
        before: as the store knows it; None if it does not.
        after: as the program declares it; None if it does not.
        fields: how they differ, where both are there.
        owners: the living instances that have it, of a job that is removed.
    """

    job: JobId
    kind: ChangeKind
    before: JobRecord | None
    after: Job | None
    fields: tuple[FieldChange, ...] = ()
    owners: tuple[str, ...] = ()


def compared(
    service: str, jobs: Mapping[str, Job], records: Iterable[JobRecord], roster: Roster, now_ns: int
) -> list[JobChange]:
    """Return what becomes of each job of a service: those that are declared, and those that the store knows, by name.

    Args:
        jobs: what is declared, by name.
        records: of all services; those of others are passed over.
        now_ns: the store's wall clock.
    """
    known = {record.name: record for record in records if record.service == service}
    changes = []
    for name in sorted({*jobs, *known}):
        before, after = known.get(name), jobs.get(name)
        job = JobId(service, name)
        if before is None:
            changes.append(JobChange(job, ChangeKind.ADDED, None, after))
        elif after is None:
            owners = tuple(it.owner for it in roster.having(job))
            kind = ChangeKind.REMOVED if owners else ChangeKind.RETIRED
            changes.append(JobChange(job, kind, before, None, owners=owners))
        else:
            fields = tuple(_fields(before, after, now_ns))
            kind = ChangeKind.CHANGED if fields else ChangeKind.UNCHANGED
            changes.append(JobChange(job, kind, before, after, fields))
    return changes


def trigger_before(change: JobChange) -> Trigger | None:
    """Return the trigger under which a store knows a job; None if there is none, or if it is not one of ours."""
    before, after = change.before, change.after
    if before is None:
        return None
    if after is not None and str(after.trigger) == before.trigger:
        return after.trigger
    return trigger_of(before.trigger, before.name)


def _fields(before: JobRecord, after: Job, now_ns: int) -> Iterator[FieldChange]:
    if before.trigger != str(after.trigger):
        yield FieldChange("trigger", before.trigger, str(after.trigger))
    if before.resource != after.resource:
        yield FieldChange("resource", before.resource, after.resource)
    if before.ttl_ns != after.ttl_ns:
        yield FieldChange("ttl", duration_text(before.ttl_ns), duration_text(after.ttl_ns))
    if before.timeout_ns != after.timeout_ns:
        yield FieldChange("timeout", _limit(before.timeout_ns), _limit(after.timeout_ns))
    if after.grace_ns is not None:
        if before.grace_ns != after.grace_ns:
            yield FieldChange("misfire_grace", duration_text(before.grace_ns), duration_text(after.grace_ns))
    elif before.grace_ns not in _default_graces(before, after, now_ns):
        yield FieldChange("misfire_grace", duration_text(before.grace_ns), "the default")


def _default_graces(before: JobRecord, after: Job, now_ns: int) -> Iterator[int]:
    """Yield what a record may have as the grace of a job that declares none: a registration took that of its time."""
    triggers = [after.trigger]
    if before.trigger != str(after.trigger) and (old := trigger_of(before.trigger, before.name)) is not None:
        triggers.append(old)
    for trigger in triggers:
        due_ns = now_ns if before.next_due_ns is None else before.next_due_ns
        for _ in range(_GRACES_SEEN):
            next_ns = trigger.next_after_ns(due_ns)
            yield grace_for_ns(None, due_ns, next_ns)
            if next_ns is None:
                break
            due_ns = next_ns


def _limit(timeout_ns: int | None) -> str:
    return "none" if timeout_ns is None else duration_text(timeout_ns)
