"""Keep the records of instances in this process: a part of the store in memory, without a lock of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tickglass.sched.ports import Beat, InstanceRecord
from tickglass.sched.stores.retention import gone_for_long

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock

__all__ = ["InstanceTable"]


class InstanceTable:
    """See `Membership`; the caller makes each method atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[str, tuple[InstanceRecord, int]] = {}  # with the monotonic instant at which it was written
        self._job_sets: dict[str, tuple[str, ...]] = {}

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`."""
        self._write(instance)
        self._job_sets[instance.fingerprint] = tuple(sorted(jobs))
        for incarnation in gone_for_long(self.all()):
            del self._found[incarnation]
        used = {found.fingerprint for found, _ in self._found.values()}
        self._job_sets = {name: jobs for name, jobs in self._job_sets.items() if name in used}

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        if instance.incarnation not in self._found:
            return Beat.FORGOTTEN
        self._write(instance)
        return Beat.KNOWN if instance.fingerprint in self._job_sets else Beat.PARTLY

    def all(self) -> list[InstanceRecord]:
        """See `StoreObserver.instances`."""
        now_ns = self._clock.monotonic_ns()
        found = [replace(instance, silent_ns=now_ns - written_ns) for instance, written_ns in self._found.values()]
        return sorted(found, key=lambda it: (it.service, it.owner, it.incarnation))

    def job_set(self, fingerprint: str) -> tuple[str, ...] | None:
        """See `StoreObserver`."""
        return self._job_sets.get(fingerprint)

    def _write(self, instance: InstanceRecord) -> None:
        now = self._clock.reading()
        self._found[instance.incarnation] = replace(instance, seen_wall_ns=now.wall_ns), now.monotonic_ns
