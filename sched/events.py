"""Say what happened, in one vocabulary, for every sink alike.

Pure data: frozen, typed, complete; failures carry the same fields as
successes. Fields named in a metric's labels are bounded (enumerations, declared
job and resource names, owner, service); the others are for spans and logs.

Times: `at_ns` and durations are monotonic nanoseconds, `wall_ns` and `due_ns`
nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = [
    "ActSeen",
    "ClaimCacheHit",
    "ClaimOrphaned",
    "ClockDisciplineRead",
    "ClockStepped",
    "Event",
    "EventLoopAsked",
    "EventLoopTurned",
    "FencingRejected",
    "FirstRunOnTime",
    "InstantsElsewhere",
    "InstantsMissed",
    "InstantsSkipped",
    "InterpreterPaused",
    "JobContested",
    "JobRegistered",
    "Lateness",
    "LockMoved",
    "OccurrenceMoved",
    "OrdersStand",
    "PoolMoved",
    "ReadinessMoved",
    "SchedulerMoved",
    "SinkFailed",
    "SkewMeasured",
    "SpoolMove",
    "SpoolMoved",
    "StoreCalled",
    "StoreForgot",
    "StoreRecordMissing",
    "Streak",
    "TelemetryDropped",
    "ThreadDelayed",
    "TimelineTicked",
    "TriggerFailed",
]


class Event(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The root of the vocabulary."""


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """Start minus due, and its parts, which sum to it."""

    total_ns: int
    timer_ns: int
    pool_ns: int
    lock_ns: int
    start_ns: int


class Streak(msgspec.Struct, frozen=True, kw_only=True):
    """The occurrences since the last success that were due and did not succeed.

    Args:
        failures: how many of them failed, timed out, were lost or orphaned.
        since_ns: due instant of the first of them; None: there is none.
        latest_ns: due instant of the latest of them; None: there is none.
        succeeded_wall_ns: when the last success ended; None: unknown.
    """

    failures: int = 0
    since_ns: int | None = None
    latest_ns: int | None = None
    succeeded_wall_ns: int | None = None


class LockMoved(Event, frozen=True, kw_only=True):
    """A lock made one move: see `LockMachine.fire` for the fields that depend on it."""

    resource: str
    owner: str
    service: str
    job: str  # "" for a lock by hand
    run_id: str
    sampled: bool
    blocking: bool
    renewing: bool  # whether the lease is renewed while it is held
    before: str
    event: str
    after: str
    at_ns: int
    wall_ns: int
    stayed_ns: int
    ttl_ns: int
    fence: int
    reason: str | None
    margin_ns: int | None
    other_owner: str


class FencingRejected(Event, frozen=True, kw_only=True):
    """A guarded write was refused: it carried `fence`, and `newest` had been seen; both are 0 if there was no claim."""

    resource: str
    owner: str
    service: str
    job: str  # "" for a lock by hand
    run_id: str
    fence: int
    newest: int
    wall_ns: int


class OccurrenceMoved(Event, frozen=True, kw_only=True):
    """An occurrence made one move: see `OccurrenceMachine.fire`.

    `lateness` and `ran_ns` come with ENDED, and only if the job's code started:
    the start is measured after STARTED was recorded, so they are known only then.
    """

    job: str
    due_ns: int
    attempt: int
    owner: str
    service: str
    run_id: str  # also the trace id
    sampled: bool
    before: str
    event: str
    after: str
    at_ns: int
    wall_ns: int
    stayed_ns: int
    fence: int
    outcome: str | None
    reason: str
    lateness: Lateness | None
    ran_ns: int | None  # from the start of the job's code to its return
    error: str
    next_due_ns: int | None
    kind: str = "scheduled"  # what asked for it: see ports/ledger.py


class InstantsMissed(Event, frozen=True, kw_only=True):
    """Due instants that passed, and no instance took them up: each is due and `missed` at once.

    `reason` is "pool" if this instance was there and no worker of it was free; "" if it was not there to take them
    up, or its timeline stood still.
    `exact` is False where so many passed that counting stopped: then `count` is a lower bound.
    They lie in [first_due_ns, before_ns): the next due instant is not before that.
    """

    job: str
    count: int
    exact: bool
    first_due_ns: int
    before_ns: int
    wall_ns: int
    reason: str = ""  # a bounded word


class InstantsElsewhere(Event, frozen=True, kw_only=True):
    """Due instants that passed without this instance and that others took up: each is due and `elsewhere` at once.

    The fields are those of `InstantsMissed`, without its reason.
    """

    job: str
    count: int
    exact: bool
    first_due_ns: int
    before_ns: int
    wall_ns: int


class InstantsSkipped(Event, frozen=True, kw_only=True):
    """Due instants that passed while their job was in hand here, or paused: each is due and `skipped` at once.

    `exact` is as in `InstantsMissed`. They lie in [first_due_ns, latest_due_ns], both of which are among them.
    """

    job: str
    reason: str  # a value of `SkipReason`
    count: int
    exact: bool
    first_due_ns: int
    latest_due_ns: int
    next_due_ns: int | None
    wall_ns: int
    error: str = ""  # who had the job paused, and why


class JobRegistered(Event, frozen=True, kw_only=True):
    """A job was declared on a scheduler that starts. `streak` is how it has done lately, wherever it ran."""

    job: str
    trigger: str
    resource: str
    owner: str
    service: str
    ttl_ns: int
    grace_ns: int
    interval_ns: int | None
    timeout_ns: int | None
    next_due_ns: int | None
    wall_ns: int
    streak: Streak = Streak()


class JobContested(Event, frozen=True, kw_only=True):
    """Another program claims this job's instants too, with another trigger or function: see policies/rivalry.py.

    `claimant` is the owner of its latest claim. `since_wall_ns` is its first claim that was seen, by the store's
    clock; None: it has not claimed any more for long.
    """

    job: str
    owner: str
    service: str
    claimant: str
    since_wall_ns: int | None
    wall_ns: int


class ClaimOrphaned(Event, frozen=True, kw_only=True):
    """A claim without an end was found, and its lease has expired: the claimant died."""

    job: str
    due_ns: int
    attempt: int
    run_id: str
    claimant: str
    wall_ns: int


class ClaimCacheHit(Event, frozen=True, kw_only=True):
    """An occurrence was known to be claimed by another instance, so the store was not asked."""

    job: str
    due_ns: int
    claimant: str
    wall_ns: int


class TriggerFailed(Event, frozen=True, kw_only=True):
    """A trigger raised instead of naming the next instant; it will be asked again."""

    job: str
    error: str
    wall_ns: int


class PoolMoved(Event, frozen=True, kw_only=True):
    """Work was submitted, taken or finished. `waited_ns` only when taken; `taken` of it had waited so long."""

    pool: str
    slots: int
    in_use: int
    waiting: int
    waited_ns: int | None
    taken: int = 1


class TimelineTicked(Event, frozen=True, kw_only=True):
    """The timeline's loop ticked once."""

    lag_ns: int  # how late it woke
    duration_ns: int
    handed: int


class ThreadDelayed(Event, frozen=True, kw_only=True):
    """A thread slept for a moment, to see why threads of this process go on late: see `ThreadDelay` for the fields."""

    core_ns: int
    interpreter_ns: int


class EventLoopAsked(Event, frozen=True, kw_only=True):
    """The event loop of the coroutine jobs was asked to answer: until it does, it is late."""

    at_ns: int


class EventLoopTurned(Event, frozen=True, kw_only=True):
    """The event loop answered."""

    lag_ns: int  # after it was asked


class StoreCalled(Event, frozen=True, kw_only=True):
    """The store was called. `error` is "" or the kind of failure, for a batch that of the first item that failed."""

    store: str
    operation: str
    duration_ns: int
    error: str
    wall_ns: int


class StoreForgot(Event, frozen=True, kw_only=True):
    """The store had lost the record of this instance: it was restarted empty, emptied or restored.

    The jobs of this instance are registered again by now. Leases and the ledger are lost with the record.
    """

    store: str
    jobs: int  # how many were registered again
    wall_ns: int


class StoreRecordMissing(Event, frozen=True, kw_only=True):
    """The store lacks a record that something in it names, or the record of a job of this instance.

    A person deleted it by hand. `kind` is a `MissingKind`; a job is registered again by now.
    """

    store: str
    kind: str
    name: str  # a resource, or a job
    wall_ns: int


class ClockStepped(Event, frozen=True, kw_only=True):
    """The wall clock was set: it jumped against the monotonic one."""

    step_ns: int  # positive: forward
    wall_ns: int


class SkewMeasured(Event, frozen=True, kw_only=True):
    """Our wall clock minus the store's, within plus or minus half a round trip."""

    skew_ns: int
    bound_ns: int
    wall_ns: int


class ClockDisciplineRead(Event, frozen=True, kw_only=True):
    """The operating system said how it keeps its wall clock: see `ClockDiscipline` for the fields."""

    synchronised: bool
    offset_ns: int | None
    frequency_ratio: float
    max_error_ns: int
    estimated_error_ns: int
    wall_ns: int


class SchedulerMoved(Event, frozen=True, kw_only=True):
    """A scheduler moved to another state: see lifecycle.py."""

    owner: str
    service: str
    before: str
    event: str
    after: str
    wall_ns: int


class FirstRunOnTime(Event, frozen=True, kw_only=True):
    """The first run since this process began that started on time has ended; told once for each start of a scheduler.

    Args:
        after_ns: from the start of the process to the start of the run. From the start of the scheduler, if the
            machine does not say when the process began, or if the scheduler was stopped and started again.
    """

    job: str
    after_ns: int
    wall_ns: int


class ReadinessMoved(Event, frozen=True, kw_only=True):
    """A running scheduler became ready or unready, or its reasons changed."""

    owner: str
    service: str
    error: str  # why it is not ready, one sentence a line; "" when it is ready
    wall_ns: int


class SpoolMove(StrEnum):
    """What became of an outcome that could not be written to the store at once."""

    SPOOLED = "spooled"
    WRITTEN = "written"  # the store has it now
    OVERTAKEN = "overtaken"  # another instance had settled, or run, that occurrence meanwhile
    DROPPED = "dropped"  # the spool was full, or failed


class SpoolMoved(Event, frozen=True, kw_only=True):
    """An outcome was put into the spool, or left it: see `SpoolMove`."""

    move: str
    job: str
    run_id: str
    depth: int
    wall_ns: int


class SinkFailed(Event, frozen=True, kw_only=True):
    """A sink raised; it was isolated, counted, and will be called again."""

    sink: str
    error: str
    wall_ns: int


class TelemetryDropped(Event, frozen=True, kw_only=True):
    """Telemetry could not be delivered: which signal, why, and how much."""

    signal: str
    reason: str
    count: int


class InterpreterPaused(Event, frozen=True, kw_only=True):
    """The garbage collector stopped the interpreter."""

    generation: str
    duration_ns: int


class ActSeen(Event, frozen=True, kw_only=True):
    """An operator's act on this instance's store was noticed: see control/audit.py; acts of before the start are not.

    Args:
        number: of the act; no two acts on a store have the same.
        wall_ns: when it was done, by the store's clock.
    """

    act: str
    by: str
    reason: str
    service: str
    job: str
    target: str
    due_ns: int | None
    until_ns: int | None
    fence: int
    number: int
    wall_ns: int


class OrdersStand(Event, frozen=True, kw_only=True):
    """What operators have asked for means something else for this instance than before.

    Args:
        version: that of the latest act on the store.
        paused: the names and patterns of the jobs of this instance's service that are paused now, sorted; see `fits`.
        jobs_paused: how many of this instance's jobs these mean.
        draining: whether this instance starts nothing more.
    """

    version: int
    paused: tuple[str, ...]
    jobs_paused: int
    draining: bool
    wall_ns: int
