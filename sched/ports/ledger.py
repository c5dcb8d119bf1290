"""Say what the domain needs of a ledger: which instance claimed which occurrence, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import msgspec

from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease  # noqa: TC001 - read at run time by the encoders of these values
from tickglass.sched.ports.locks import LeaseAsk  # noqa: TC001 - read at run time by the encoders of these values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.errors import StoreUnavailable
    from tickglass.sched.ports.locks import Refused
    from tickglass.sched.registration import JobRecord, Registered

__all__ = [
    "BATCH_MAX",
    "MANUAL",
    "SCHEDULED",
    "Ahead",
    "AlreadyClaimed",
    "ClaimAnswer",
    "ClaimAsk",
    "Claimed",
    "Ledger",
    "Orphan",
    "Settled",
    "Settlement",
]

BATCH_MAX: Final = 64  # items: a Redis does nothing else for some 3 ms, a database file has no other writer for 2 ms
SCHEDULED: Final = "scheduled"  # the kind of an attempt that a trigger asked for
MANUAL: Final = "manual"  # that a person asked for: "run it now"


class Ahead(msgspec.Struct, frozen=True):
    """The claim came too early, by the store's clock: ask again after `early_ns`. Nothing was written."""

    early_ns: int


class ClaimAsk(msgspec.Struct, frozen=True):
    """A request to run one occurrence under a lease on its job's resource.

    Args:
        lease: its `job` and `run_id` are filled in, and `run_id` is unique.
        due_ns: with `job_id`, the occurrence.
        next_due_ns: the job's next due instant, noted in its record if this is the latest that was ever claimed.
        rerun: whether an occurrence whose claimant died may be claimed again.
        max_ahead_ns: how far `due_ns` may lie ahead of the store's clock; None: any distance. An earlier claim that
            lies further ahead does not count as the job's latest.
        declaration: kept with the attempt, see identity.py; "" if that is not known.
        kind: what asked for the occurrence. Only scheduled ones count as the job's latest, or note its next instant.
    """

    lease: LeaseAsk
    due_ns: int
    next_due_ns: int | None = None
    rerun: bool = True
    max_ahead_ns: int | None = None
    declaration: str = ""
    kind: str = SCHEDULED

    @property
    def job_id(self) -> JobId:
        """The job whose occurrence it is."""
        return JobId(self.lease.service, self.lease.job)

    def ahead_at(self, now_ns: int) -> Ahead | None:
        """Return the refusal of a claim that comes too early; None if it does not.

        An instance with a fast clock may claim an instant that is still far off. A claim is kept for good, so
        it would take that instant, and the job's place in time, from all other instances.

        Args:
            now_ns: the store's wall clock, nanoseconds since the Unix epoch.
        """
        if self.max_ahead_ns is None or self.due_ns <= now_ns + self.max_ahead_ns:
            return None
        return Ahead(self.due_ns - self.max_ahead_ns - now_ns)


class Claimed(msgspec.Struct, frozen=True):
    """The occurrence and the lease are yours.

    Args:
        attempt: 1, or one more than the attempt whose claimant died.
        previous_run_id: that attempt's run, "" for the first.
    """

    fence: int
    attempt: int = 1
    previous_run_id: str = ""
    expired_owner: str = ""


class AlreadyClaimed(msgspec.Struct, frozen=True):
    """Another run has, or had, this occurrence. `outcome` is None while it is not settled."""

    by: str
    outcome: str | None


ClaimAnswer: TypeAlias = "Claimed | AlreadyClaimed | Refused | Ahead"


class Settlement(msgspec.Struct, frozen=True):
    """How a claimed occurrence ended.

    Args:
        run_id: the claim's; settles that attempt and no other.
        outcome: a value of `Outcome`.
        detail: for people: the exception, or the reason; cut at 2,000 characters.
        started_wall_ns: by this instance's clock; None if the job's code never started.
        lateness_ns: start minus due, None if it never started.
        started_after_ns: monotonic, from the claim to the start; None if it never started, or ran without a claim.
        ran_ns: monotonic, from the start to the end; None if it never started. See stores/run_times.py.
    """

    lease: Lease
    service: str
    job: str
    due_ns: int
    run_id: str
    outcome: str
    detail: str = ""
    started_wall_ns: int | None = None
    lateness_ns: int | None = None
    started_after_ns: int | None = None
    ran_ns: int | None = None

    @property
    def job_id(self) -> JobId:
        """The job whose occurrence it was."""
        return JobId(self.service, self.job)


class Settled(msgspec.Struct, frozen=True):
    """What a settlement did.

    Args:
        recorded: False when another run had the claim, or the claim was settled: then nothing was written.
        released: False when the lease was no longer ours: then no lease was touched.
        earlier: this outcome of this run was recorded before, by a call whose answer may have been lost.
    """

    recorded: bool
    released: bool
    earlier: bool = False


class Orphan(msgspec.Struct, frozen=True):
    """A claim without an end whose lease has ended: its claimant died."""

    service: str
    job: str
    due_ns: int
    attempt: int
    run_id: str
    owner: str
    kind: str = SCHEDULED

    @property
    def job_id(self) -> JobId:
        """The job whose occurrence it is."""
        return JobId(self.service, self.job)


class Ledger(Protocol):
    """Which instance claimed which occurrence, and how it ended; keyed by (service, job, due_ns).

    Jobs of the same name in two services are two jobs: no method ever takes one for the other.

    A batch has at most `BATCH_MAX` items. Each of them is checked and answered by itself, as if it had been asked alone
    and in this order, and its answer is at its place. An item on which the store failed is answered by its own
    `StoreUnavailable`, which is returned and not raised; the other items stand. If the batch as a whole got no answer,
    the call raises `StoreUnavailable`: any of its items may have been done. The caller then asks again with the same
    tokens and run ids, and items that were done are answered as by `claim` and `settle` when they are repeated.
    """

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """Write these records, in one go; return what each has become, and what it was.

        A job that is already known keeps its `last_due_ns`. Registering is idempotent and never touches claims. Each
        record is read and replaced atomically: what one registration wrote, the next one finds.
        """
        ...

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """Claim the occurrence and take the lease, atomically, in one round trip.

        Both or nothing. `AlreadyClaimed` takes precedence over `Ahead`, and that over `Refused`. An unsettled claim
        whose lease has ended counts as free if `ask.rerun`: it is settled as "orphaned" and a next attempt begins. A
        second call with the same run_id, while its lease lasts, answers as the first did.
        """
        ...

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """Claim each of these as `claim` does, if the technology can in one round trip; none for an empty batch.

        Of two items that ask for one resource the second is refused. A batch is no transaction: each item is both or
        nothing by itself.
        """
        ...

    def settle(self, settlement: Settlement) -> Settled:
        """Write the outcome and release the lease, in one round trip.

        A second call changes nothing and answers `Settled(False, False, earlier=True)`.
        """
        ...

    def settle_many(self, settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        """Settle each of these as `settle` does, if the technology can in one round trip; none for an empty batch."""
        ...

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """Find abandoned claims of these jobs, oldest first."""
        ...

    def abandon(self, orphan: Orphan) -> bool:
        """Settle an abandoned claim as "orphaned"; False when another instance was faster."""
        ...

    def forget(self, job: JobId) -> bool:
        """Delete a job's record and all its attempts, as if it had never been; False when there was nothing.

        Leases and fences stay. The caller has made sure that no instance has the job: a run in progress would end
        without an entry in the ledger.
        """
        ...
