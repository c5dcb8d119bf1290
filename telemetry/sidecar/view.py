"""Define the view: what is known now of all schedulers and stores, for the page, the JSON and the terminal.

Pure data. A value that is not known is None, never a guess. Durations and ages are
nanoseconds; `due_ns` and `*_wall_ns` are nanoseconds since the Unix epoch.
merge/merge.py builds a view.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "InstanceView",
    "JobView",
    "LockMark",
    "LockView",
    "OccurrenceView",
    "OrderView",
    "OutcomeShare",
    "SchedulerView",
    "StoreView",
    "View",
]


class OccurrenceView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One occurrence: its one outcome, or its present state.

    Args:
        service: of the job, because several services may have a job of this name.
        outcome: a value of `Outcome`; "" before it has ended.
        state: before it has ended, a value of `OccurrenceState`; or "left" (its scheduler went away, and nothing says
            how it ended), "abandoned" (its claim has no outcome and its lease has ended) or "overdue" (no instance has
            taken it up, and its grace has passed); "" with an outcome.
        reason: with an outcome, why, as a bounded word, or "".
        why: a sentence for people, "" for a plain success or if all is well so far.
        owner: the scheduler that reported it; the claimant if only the ledger knows it.
        by: the other instance involved: the claimant, the holder of the lock or the next holder of the lease; "" if
            unknown.
        run_id: 32 hexadecimal digits, also the trace id; "" if there never was a run.
        fence: None if it was never claimed.
        others: what the other schedulers report of the same due instant, a sentence each.
        count: how many due instants it stands for: more than 1 if they passed and none was taken up.
        until_ns: with such a count, the due instants lie in [due_ns, until_ns).
    """

    job: str
    due_ns: int
    service: str = ""
    attempt: int = 1
    outcome: str = ""
    state: str = ""
    reason: str = ""
    why: str = ""
    owner: str = ""
    by: str = ""
    run_id: str = ""
    sampled: bool = False
    fence: int | None = None
    started_wall_ns: int | None = None
    ended_wall_ns: int | None = None
    lateness_ns: int | None = None
    ran_ns: int | None = None
    error: str = ""
    others: tuple[str, ...] = ()
    count: int = 1
    until_ns: int | None = None


class OutcomeShare(msgspec.Struct, frozen=True, kw_only=True):
    """How often a job failed, and how often it was left out, over a window.

    Args:
        runs: occurrences that ended as success or as a failure; `failed`: those that failed.
        due: due instants that ended, those aside that another instance claimed or that were paused; `left_out`: those
            that were skipped or missed.
    """

    window_ns: int
    runs: int = 0
    failed: int = 0
    due: int = 0
    left_out: int = 0


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One job, over all schedulers that have it.

    Args:
        next_due_ns: the earliest instant that no instance has taken up yet; it is past while the job is overdue. None
            if there is none, or it is not known.
        overdue_ns: how long ago that instant was, once its grace has passed; 0 before.
        why: a sentence that says what is wrong with it now; "" if nothing is.
        running: runs in progress, on all instances; a run that no scheduler reports counts if its claim has a live
            lease.
        failures: occurrences that failed since the last success.
        pending: occurrences that fell due and have not ended, in connected schedulers.
        recent: oldest first, at most 40.
        lateness_ns: of the latest starts, oldest first.
        owners: the schedulers that have it, connected ones first.
        abandoned: claims without an end whose lease has ended; None if no store could say.
        shares: over 15 minutes and over 24 hours, as far as the connected sidecar has heard.
        contested: what other program claims its instants too, a sentence; "" if none does.
    """

    name: str
    service: str
    trigger: str
    resource: str
    next_due_ns: int | None = None
    overdue_ns: int = 0
    why: str = ""
    running: int = 0
    running_since_wall_ns: int | None = None
    timeout_ns: int | None = None
    interval_ns: int | None = None
    grace_ns: int | None = None
    failures: int = 0
    pending: int = 0
    recent: list[OccurrenceView] = []
    lateness_ns: list[int] = []
    owners: list[str] = []
    last_success_wall_ns: int | None = None
    last_end_wall_ns: int | None = None
    abandoned: int | None = None
    shares: list[OutcomeShare] = []
    contested: str = ""


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """One resource, and its holder.

    Args:
        state: "held"; "expired" (the lease ended without a release, and no instance has taken the lock since); or
            "free", shown while an instance waits for it.
        held_ns: since the hold began; None if it is free.
        allowed_ns: the longest that jobs on this resource may hold it: their longest timeout; None without a limit.
        remaining_ns: what is left of the lease, as last known: negative after it has expired; None if unknown.
        waiters: in connected schedulers.
        stuck: held for longer than allowed, or expired without a release in the last ten minutes.
        source: the store where the lease was read, without password; "" if only a scheduler tells of it.
    """

    resource: str
    state: str
    owner: str = ""
    service: str = ""
    job: str = ""
    run_id: str = ""
    since_wall_ns: int | None = None
    held_ns: int | None = None
    allowed_ns: int | None = None
    ttl_ns: int | None = None
    remaining_ns: int | None = None
    fence: int | None = None
    waiters: int = 0
    stuck: bool = False
    source: str = ""


class LockMark(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An incident of a lock: a lost lease, a refused write, a take-over.

    Args:
        service: of the job, and of the owner.
        what: "lost" (the store said so), "expired" (trust ran out), "rejected" (a write under a stale fence was
            refused) or "taken over" (from an owner whose lease had ended without a release).
        other: the owner that it was taken over from, or the owner that took it; "" if unknown.
    """

    resource: str
    job: str
    at_wall_ns: int
    what: str
    service: str = ""
    owner: str = ""
    other: str = ""


class SchedulerView(msgspec.Struct, frozen=True, kw_only=True):
    """One scheduler that sends its events, or did.

    Args:
        state: a value of `SchedulerState`; "gone" when the connection ended before it said that it stopped.
        since_wall_ns: when it last connected.
        silent_ns: since it last sent something; None if it never did.
        stalled: connected and running, but its timeline does not tick.
        unready: why it reports that it is not ready, a sentence each; empty if it is ready.
        gaps: times that event numbers were missing; `missed`: how many of them; `gap_age_ns`: since the last time,
            None if there was none.
    """

    owner: str
    service: str
    version: str = ""
    state: str = ""
    connected: bool = False
    since_wall_ns: int | None = None
    silent_ns: int | None = None
    stalled: bool = False
    unready: list[str] = []
    gaps: int = 0
    missed: int = 0
    gap_age_ns: int | None = None
    pool_slots: int | None = None
    pool_in_use: int | None = None
    running: int = 0
    pending: int = 0


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, as a store has its record.

    Args:
        source: the store's URL without password.
        state: a value of `InstanceState`, or "silent": it has not left, and was not heard of for a minute.
        silent_ns: since its record was written, by the store's clock.
        difference: how its jobs differ from those of most living instances of its service; "" if they do not.
    """

    source: str
    service: str
    owner: str
    incarnation: str
    state: str
    version: str = ""
    silent_ns: int = 0
    difference: str = ""


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an operator asked for, and that stands.

    Args:
        source: the store's URL without password.
        kind: "pause", "skip", "run", "cancel" or "drain".
        number: of the act that it came with.
        service: a name, or of a pause a pattern; so is `job`. "" where it is not about a job.
        until_wall_ns: by the store's clock; None: until it is taken back.
        due_ns: of a skip or a run, the instant.
        owner: of a drain, the instance.
    """

    source: str
    kind: str
    number: int
    by: str
    reason: str
    since_wall_ns: int
    until_wall_ns: int | None = None
    service: str = ""
    job: str = ""
    due_ns: int | None = None
    run_id: str = ""
    owner: str = ""


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """One store that the probe reads.

    Args:
        source: its URL without password.
        ok: the latest probe succeeded, and it is recent.
        error: of the latest probe, "" if it succeeded.
        age_ns: since the latest probe that succeeded; None before the first.
        skew_ns: our wall clock minus the store's, within plus or minus `skew_bound_ns`.
        truncated: it holds more leases or claims than one probe reads.
    """

    source: str
    ok: bool
    error: str = ""
    age_ns: int | None = None
    took_ns: int | None = None
    skew_ns: int | None = None
    skew_bound_ns: int | None = None
    leases: int | None = None
    jobs: int | None = None
    truncated: bool = False


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known, at one instant.

    Args:
        runs: of the last minutes, oldest first, including those that have not ended.
        marks: of the last minutes, oldest first.
        instances: that have not left, as the stores know them: also those that are connected to no sidecar.
        orders: what operators asked for and stands, as the stores know it, oldest first in each.
        unready: why this view is incomplete, a sentence each; empty if it is complete.
    """

    at_wall_ns: int
    schedulers: list[SchedulerView] = []
    stores: list[StoreView] = []
    jobs: list[JobView] = []
    locks: list[LockView] = []
    runs: list[OccurrenceView] = []
    marks: list[LockMark] = []
    instances: list[InstanceView] = []
    orders: list[OrderView] = []
    unready: list[str] = []
