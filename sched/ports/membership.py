"""Say what the domain needs of a store to know which instances there are, and which of them are alive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.identity import JobId

__all__ = ["SILENT_AFTER_NS", "Beat", "InstanceRecord", "InstanceState", "Membership"]

SILENT_AFTER_NS: Final = 60 * SECOND  # records are written at least every 10 s, so several in a row are missing


class InstanceState(StrEnum):
    """What an instance said last of itself."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"  # it claims nothing more; it may be silent until its last run has ended
    LEFT = "left"  # it was stopped; an instance that died never says so


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One start of one scheduler, as the store has it.

    Args:
        incarnation: unique to this start; a restart under the same owner is another instance.
        version: of Tickglass.
        fingerprint: the same for instances whose jobs are declared alike: see `engine/membership/job_set.py`.
        state: a value of `InstanceState`.
        seen_wall_ns: the store's wall clock when the record was last written.
        silent_ns: how long ago that was, by the store's clock.
    """

    service: str
    owner: str
    incarnation: str
    version: str
    fingerprint: str
    state: str
    seen_wall_ns: int = 0
    silent_ns: int = 0

    @property
    def living(self) -> bool:
        """Whether it has not left, and has been heard of lately: then it may run its jobs."""
        return self.state != InstanceState.LEFT and self.silent_ns < SILENT_AFTER_NS


class Beat(StrEnum):
    """What a store had of an instance that wrote its record again."""

    KNOWN = "known"
    PARTLY = "partly"  # some of it is missing: join again
    FORGOTTEN = "forgotten"  # nothing, and nothing was written: the store has lost what it held; join again


class Membership(Protocol):
    """Which instances there are. No lease and no claim depends on it.

    The record of an instance that left is kept for an hour, that of a silent one for a day, and of all those that are
    not heard of any more the latest thousand: see retention.py.
    """

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """Write an instance's record, and the names of its jobs under its fingerprint.

        It replaces what there is of this incarnation, and deletes the records that need not be kept.
        """
        ...

    def beat(self, instance: InstanceRecord) -> Beat:
        """Write the record of an instance that has joined, in one round trip, if the store still has it."""
        ...

    def unregistered(self, jobs: Sequence[JobId]) -> Sequence[JobId]:
        """Return those of these jobs, at most a hundred, that have no record; in one round trip, changing nothing."""
        ...
