"""Say what observers may read of a store, and what a whole store is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tickglass.sched.identity import JobId
from tickglass.sched.ports.control import ControlStore
from tickglass.sched.ports.ledger import SCHEDULED, Ledger
from tickglass.sched.ports.locks import LockStore
from tickglass.sched.ports.membership import Membership

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.ports.membership import InstanceRecord
    from tickglass.sched.ports.missing import MissingRecord
    from tickglass.sched.registration import JobRecord

__all__ = [
    "LeaseRecord",
    "RunRecord",
    "Store",
    "StoreObserver",
]


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as the store has it; ages and remaining times by the store's clock."""

    resource: str
    owner: str
    service: str
    job: str
    run_id: str
    fence: int
    ttl_ns: int
    acquired_wall_ns: int
    held_ns: int
    remaining_ns: int  # 0 or less: it expired that long ago or longer, and no owner has taken it since


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One attempt at one occurrence, as the ledger has it.

    Args:
        not_before_ns: the earliest instant at which it may start; None: when it is due.
        ran_ns: by the monotonic clock of its owner, from the start to the end.
        declaration: that of the claimant's job, see identity.py; "" where it is not known.
    """

    job: str
    due_ns: int
    attempt: int
    owner: str
    service: str
    run_id: str
    resource: str
    fence: int
    claimed_wall_ns: int  # by the store's clock, like start and end
    started_wall_ns: int | None
    ended_wall_ns: int | None  # of an attempt that never started: when its outcome reached the store
    outcome: str | None  # None while it runs, or when its claimant died
    detail: str
    lateness_ns: int | None
    kind: str = SCHEDULED
    not_before_ns: int | None = None
    ran_ns: int | None = None
    declaration: str = ""

    @property
    def job_id(self) -> JobId:
        """The job whose occurrence it is."""
        return JobId(self.service, self.job)


class StoreObserver(Protocol):
    """What any process may read, without changing anything."""

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """Return all leases, or `limit` of them, by resource.

        An expired lease that no owner has taken since is included for a day at most. If there are more than `limit`,
        each call returns the same ones as long as nothing changes.
        """
        ...

    def jobs(self) -> Sequence[JobRecord]:
        """Return all jobs ever registered, by service and name."""
        ...

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """Return the latest attempts, newest due instant first; with `before_ns`, of what was due before then."""
        ...

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """Return claims without an end whose leases have ended, oldest first: as `Ledger.orphans`, of all jobs."""
        ...

    def instances(self) -> Sequence[InstanceRecord]:
        """Return the records of instances, by service, owner and incarnation; see `Membership` for how long."""
        ...

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """Return the names of the jobs of instances with this fingerprint, sorted; None if it is not known."""
        ...

    def missing(self) -> Sequence[MissingRecord]:
        """Return what calls of this object found missing since this was asked last; it does not ask the store.

        Calls go on without what is missing. What the scheduler's own calls find is put right by the same call.
        """
        ...


class Store(LockStore, Ledger, Membership, ControlStore, StoreObserver, Protocol):
    """All five: what a scheduler is given."""

    name: str  # the technology, e.g. "sqlite"; a metric label
    own_clock: bool  # whether `time_ns` is a clock of its own; False: it is that of the host, which all users share
