"""Say which instances have a job, and how the jobs of instances of one service differ.

Pure, but for `read_roster`, which asks a store.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tickglass.sched.ports import InstanceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import InstanceRecord, StoreObserver

__all__ = ["JobPresence", "Roster", "read_roster"]

_NAMED_MAX: Final = 3


class JobPresence(StrEnum):
    """Which of the living instances of a job's service have it."""

    ALL = "all"
    SOME = "some"
    RETIRED = "retired"  # there are living instances of the service, and none has it
    NO_INSTANCE = "no instance"  # there is none of the service, or only one of a version that keeps no record
    UNKNOWN = "unknown"  # the jobs of some instance cannot be read just now


@dataclass(frozen=True, slots=True)
class Roster:
    """The instances that a store knows, and the names of their jobs by fingerprint (None: not known)."""

    instances: Sequence[InstanceRecord]
    names: Mapping[str, frozenset[str] | None]

    def living(self, service: str) -> list[InstanceRecord]:
        """Return the living instances of a service."""
        return [it for it in self.instances if it.living and it.service == service]

    def having(self, job: JobId) -> list[InstanceRecord]:
        """Return the living instances that have a job, or may have it."""
        return [it for it in self.living(job.service) if self._may_have(it, job.name)]

    def presence(self, job: JobId) -> JobPresence:
        """Return which of the living instances of its service have a job."""
        living = self.living(job.service)
        if not living:
            return JobPresence.NO_INSTANCE
        if any(self.names.get(it.fingerprint) is None for it in living):
            return JobPresence.UNKNOWN
        having = len(self.having(job))
        return JobPresence.RETIRED if not having else JobPresence.ALL if having == len(living) else JobPresence.SOME

    def services(self) -> list[str]:
        """Return the services of instances that have not left."""
        return sorted({it.service for it in self.instances if it.state != InstanceState.LEFT})

    def silent(self, service: str) -> list[InstanceRecord]:
        """Return the instances of a service that died or do not reach the store, and were not started again."""
        again = {it.owner for it in self.living(service)}
        return [
            it
            for it in self.instances
            if it.service == service and not it.living and it.state != InstanceState.LEFT and it.owner not in again
        ]

    def difference(self, instance: InstanceRecord) -> str:
        """Return how a living instance's jobs differ from those of most others of its service; "" if they do not."""
        living = self.living(instance.service)
        counts = Counter(it.fingerprint for it in living)
        if not instance.living or len(counts) < 2:
            return ""
        most = max(sorted(counts), key=lambda fingerprint: counts[fingerprint])
        if instance.fingerprint == most:
            return ""
        ours, theirs = self.names.get(instance.fingerprint), self.names.get(most)
        if ours is None or theirs is None:
            return "other jobs"
        told = [f"lacks {_named(theirs - ours)}"] if theirs - ours else []
        told += [f"also has {_named(ours - theirs)}"] if ours - theirs else []
        return "; ".join(told) or "declares a job otherwise"

    def _may_have(self, instance: InstanceRecord, name: str) -> bool:
        names = self.names.get(instance.fingerprint)
        return names is None or name in names


def read_roster(store: StoreObserver) -> Roster:
    """Read the instances of a store, and the jobs of those that live.

    Raises:
        StoreUnavailable: it does not answer.
    """
    instances = store.instances()
    names: dict[str, frozenset[str] | None] = {}
    for fingerprint in sorted({it.fingerprint for it in instances if it.living}):
        found = store.job_set(fingerprint)
        names[fingerprint] = None if found is None else frozenset(found)
    return Roster(instances, names)


def _named(names: Iterable[str]) -> str:
    every = sorted(names)
    rest = f" and {len(every) - _NAMED_MAX} more" if len(every) > _NAMED_MAX else ""
    return ", ".join(every[:_NAMED_MAX]) + rest
