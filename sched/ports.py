"""Say what the domain needs from outside, and the values that come back.

Expected answers are values: losing a race is `Refused`, not an exception.
Only an unreachable or broken store raises, and only `StoreUnavailable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tickglass.sched.lease import Lease  # noqa: TC001 - read at run time by who encodes these values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from tickglass.sched.ahead import Ahead
    from tickglass.sched.events import Event
    from tickglass.sched.registration import Registered

__all__ = [
    "AlreadyClaimed",
    "ClaimAsk",
    "Claimed",
    "EventSink",
    "Gone",
    "Granted",
    "Holder",
    "JobRecord",
    "LeaseAsk",
    "LeaseRecord",
    "Ledger",
    "LockStore",
    "Orphan",
    "Refused",
    "Released",
    "Renewed",
    "RunRecord",
    "RunTracer",
    "Settled",
    "Settlement",
    "Spool",
    "SpooledOutcome",
    "Store",
    "StoreObserver",
    "TracedRun",
]


class EventSink(Protocol):
    """Where events go. What the core is given never raises: see engine/broadcast.py."""

    def record(self, event: Event) -> None:
        """Take note of one event; called on the hot path, so microseconds at most."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """A wish for a lease.

    Args:
        resource: what the lock protects; any non-empty text.
        token: UUIDv4; only its bearer renews or releases. A second call with
            the same token, while it holds, answers as the first did.
        job: name of the job it is for, "" for a lock taken by hand.
        run_id: the run it is for, "" for a lock taken by hand.
    """

    resource: str
    owner: str
    service: str
    token: str
    ttl_ns: int
    job: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock."""

    owner: str
    service: str
    job: str
    run_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The lease is yours.

    Args:
        fence: greater than every fence ever granted on that resource; numbers may be skipped.
        expired_owner: whose lease on it ended without a release just before, or "".
    """

    fence: int
    expired_owner: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody else has it, or goes first; worth asking again after `retry_after_ns` at the latest."""

    holder: Holder
    retry_after_ns: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease lasts its whole TTL again, counted from the store's clock now."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The lease is no longer yours: it expired, or `owner` ("" if nobody) has it."""

    owner: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """The lease was yours and is free."""


class LockStore(Protocol):
    """Where leases live. Adapters never retry a refusal, log, or judge time themselves.

    Leases expire by the store's clock alone. Every method raises
    `StoreUnavailable` when the store cannot be reached in time, or fails.
    """

    def acquire(self, ask: LeaseAsk) -> Granted | Refused:
        """Grant the lease if the resource is free; atomically, raising its fence."""
        ...

    def renew(self, lease: Lease) -> Renewed | Gone:
        """Extend the lease by its TTL from now, if its token still holds it.

        An expired lease is `Gone` even if nobody took it since.
        """
        ...

    def release(self, lease: Lease) -> Released | Gone:
        """Free the resource if the token still holds it: compare and delete."""
        ...

    def watch(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """Call `freed` when the resource may have become free; return what ends the watch.

        A hint that saves waiting, no promise: it may come from any thread, for nothing, or not at all (from other
        processes, where the technology cannot tell), but never from within this call, which does not wait for the
        store. Who waits also asks again by himself. `freed` returns at once and does not raise. Ending a watch waits
        for nobody, so that a call already on its way may come after it; ending it twice does no harm.
        """
        ...

    def allowance_ns(self, ttl_ns: int) -> int:
        """Return how long before its end a lease must not be trusted any more.

        Because the store's clock and ours may run at different rates: 1 % of the TTL plus 2 ms, or more.
        """
        ...

    def time_ns(self) -> int:
        """Return the store's wall clock, nanoseconds since the Unix epoch."""
        ...

    def close(self) -> None:
        """Give back connections and files. Leases in hand stay as they are."""
        ...


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What the store knows of a job, for observers and for restarts.

    Args:
        next_due_ns: the next due instant, as last written; None when there is none.
        last_due_ns: the latest occurrence ever claimed by anybody; None if none was.
        seen_wall_ns: the store's wall clock when this was last written, by a registration or a claim.
    """

    name: str
    trigger: str
    resource: str
    owner: str
    service: str
    ttl_ns: int
    grace_ns: int
    timeout_ns: int | None
    next_due_ns: int | None
    last_due_ns: int | None = None
    seen_wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class ClaimAsk:
    """A wish to run one occurrence under a lease on its job's resource.

    Args:
        lease: its `job` and `run_id` are filled in, and `run_id` is unique.
        due_ns: with lease.job, the occurrence.
        next_due_ns: the job's next due instant, noted in its record if this is the latest that was ever claimed.
        rerun: whether an occurrence whose claimant died may be claimed again.
        max_ahead_ns: how far `due_ns` may lie ahead of the store's clock; None: any distance. What was claimed further
            ahead before is not taken for the latest.
    """

    lease: LeaseAsk
    due_ns: int
    next_due_ns: int | None = None
    rerun: bool = True
    max_ahead_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The occurrence and the lease are yours.

    Args:
        attempt: 1, or one more than the attempt whose claimant died.
        previous_run_id: that attempt's run, "" for the first.
    """

    fence: int
    attempt: int = 1
    previous_run_id: str = ""
    expired_owner: str = ""


@dataclass(frozen=True, slots=True)
class AlreadyClaimed:
    """Somebody has, or had, this occurrence. `outcome` is None while it is not settled."""

    by: str
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
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
    job: str
    due_ns: int
    run_id: str
    outcome: str
    detail: str = ""
    started_wall_ns: int | None = None
    lateness_ns: int | None = None
    started_after_ns: int | None = None
    ran_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did.

    Args:
        recorded: False when the claim had been given to somebody else, or was settled: then nothing was written.
        released: False when the lease was no longer ours: nobody else's was touched.
        earlier: this outcome of this run was recorded before, by a call whose answer may have been lost.
    """

    recorded: bool
    released: bool
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Orphan:
    """A claim without an end whose lease has ended: its claimant died."""

    job: str
    due_ns: int
    attempt: int
    run_id: str
    owner: str


class Ledger(Protocol):
    """Who claimed which occurrence, and how it ended; keyed by (job, due_ns)."""

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        """Write these records, in one go; return what each has become, and what it was.

        A job that is already known keeps its `last_due_ns`. Registering is idempotent and never touches claims. Each
        record is read and replaced atomically: what one registration wrote, the next one finds.
        """
        ...

    def claim(self, ask: ClaimAsk) -> Claimed | AlreadyClaimed | Refused | Ahead:
        """Claim the occurrence and take the lease, atomically, in one round trip.

        Both or nothing. `AlreadyClaimed` takes precedence over `Ahead`, and that over `Refused`. An unsettled claim
        whose lease has ended counts as free if `ask.rerun`: it is settled as "orphaned" and a next attempt begins. A
        second call with the same run_id, while its lease lasts, answers as the first did.
        """
        ...

    def settle(self, settlement: Settlement) -> Settled:
        """Write the outcome and release the lease, in one round trip.

        A second call changes nothing and answers `Settled(False, False, earlier=True)`.
        """
        ...

    def orphans(self, jobs: Sequence[str], limit: int = 100) -> Sequence[Orphan]:
        """Find abandoned claims of these jobs, oldest first."""
        ...

    def abandon(self, orphan: Orphan) -> bool:
        """Settle an abandoned claim as "orphaned"; False when somebody else was faster."""
        ...


@runtime_checkable
class ClaimTeller(Protocol):
    """A ledger that can tell of claims as they are won."""

    def watch_claims(self, service: str, heard: Callable[[str, int, str], None]) -> Callable[[], None]:
        """Call `heard(job, due_ns, owner)` for each claim that a service's instances win; return what ends it.

        Some may be left out; what is told is true. Like `LockStore.watch`, it
        waits for nobody, and `heard` may be called from any thread but not from
        within this call; it returns at once and does not raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class SpooledOutcome:
    """An outcome that could not be written when it was known.

    Args:
        unclaimed: for a run that went ahead without a claim, the claim that it would have asked for.
    """

    settlement: Settlement
    unclaimed: ClaimAsk | None = None


class Spool(Protocol):
    """Where outcomes wait for a store that cannot be reached, in the order in which they were known.

    Methods raise `StoreUnavailable` when the spool itself fails.
    """

    def put(self, outcome: SpooledOutcome) -> bool:
        """Keep an outcome, durably; False when the spool is full."""
        ...

    def oldest(self, limit: int, *, after: int = 0) -> Sequence[tuple[int, SpooledOutcome | None]]:
        """Return the first outcomes behind a number, and their own numbers, which grow from 1.

        None for one that cannot be read any more.
        """
        ...

    def drop(self, number: int) -> None:
        """Forget one that was written."""
        ...

    def depth(self) -> int:
        """Return how many wait."""
        ...

    def close(self) -> None:
        """Give back the file; what it holds stays."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as the store has it; ages and rests by the store's clock."""

    resource: str
    owner: str
    service: str
    job: str
    run_id: str
    fence: int
    ttl_ns: int
    acquired_wall_ns: int
    held_ns: int
    remaining_ns: int  # 0 or less: it has expired, that long ago or longer, and nobody has taken it since


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One attempt at one occurrence, as the ledger has it."""

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
    ended_wall_ns: int | None  # of an attempt that never started: when the store was told
    outcome: str | None  # None while it runs, or when its claimant died
    detail: str
    lateness_ns: int | None


class StoreObserver(Protocol):
    """What anybody may look at, without changing anything."""

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """Return all leases, or so many of them, by resource; expired ones that nobody took for a day at most.

        Of more than `limit`, the same ones are returned again and again, as long as nothing changes.
        """
        ...

    def jobs(self) -> Sequence[JobRecord]:
        """Return all jobs ever registered, by name."""
        ...

    def runs(self, job: str | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """Return the latest attempts, newest due instant first; with `before_ns`, of what was due before then."""
        ...

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """Return claims without an end whose leases have ended, oldest first: as `Ledger.orphans`, of all jobs."""
        ...


class Store(LockStore, Ledger, StoreObserver, Protocol):
    """All three: what a scheduler is given."""

    name: str  # the technology, e.g. "sqlite"; a metric label
    own_clock: bool  # whether `time_ns` is a clock of its own; False: it is that of the host of all who use the store


@dataclass(frozen=True, slots=True)
class TracedRun:
    """What is known of a run when its root span begins.

    Args:
        run_id: 32 hexadecimal digits: the trace id.
        began_wall_ns: when a worker took it, before the claim.
        previous_run_id: the attempt whose claimant died, "" for the first.
    """

    run_id: str
    job: str
    trigger: str
    resource: str
    due_ns: int
    attempt: int
    fence: int
    owner: str
    service: str
    began_wall_ns: int
    previous_run_id: str


class RunTracer(Protocol):
    """Opens the root span of a run and makes it current around the job's code.

    The span is ended by the run's ENDED event, which the same object records.
    """

    def begin(self, run: TracedRun) -> bool:
        """Open the root span; return whether it is sampled. Never raises."""
        ...

    def activate(self, run_id: str) -> AbstractContextManager[None]:
        """Make that span current in the calling thread or task."""
        ...
