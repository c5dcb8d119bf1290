"""Say what is known, right now, of all schedulers and stores together: one view for page, JSON and terminal.

Pure data. What is not known is None, never a guess. Durations and ages are
nanoseconds; `due_ns` and `*_wall_ns` are nanoseconds since the Unix epoch.
merging.py puts a view together.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "JobView",
    "LockMark",
    "LockView",
    "OccurrenceView",
    "SchedulerView",
    "StoreView",
    "View",
]


class OccurrenceView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One occurrence: its one outcome, or how far it has come.

    Args:
        service: of the job, for several services may have one of this name.
        outcome: a value of `Outcome`; "" while it is in hand.
        state: while it is in hand, a value of `OccurrenceState`; or "left" (its scheduler went away, and nothing says
            how it ended), "abandoned" (its claim has no end and its lease has ended) or "overdue" (nobody has taken
            it up, and its grace has passed); "" with an outcome.
        reason: with an outcome, why, as a bounded word, or "".
        why: a sentence for people, "" for a plain success or where all is well so far.
        owner: the scheduler that tells of it; the claimant where only the ledger does.
        by: who else had to do with it: who claimed it, who held the lock, who took the lease; "" where unknown.
        run_id: 32 hexadecimal digits, also the trace id; "" where no run was ever made.
        fence: None where it was never claimed.
        others: what the other schedulers have to say of the same due instant, a sentence each.
        count: how many due instants it stands for: more than 1 where nobody was there to see them pass one by one.
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


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One job, over all schedulers that have it.

    Args:
        next_due_ns: the earliest instant that nobody has taken up yet; it is past while the job is overdue. None
            where there is none, or nobody knows.
        overdue_ns: how long ago that instant was, once its grace has passed; 0 before.
        why: a sentence that says what is the matter with it now; "" if nothing is.
        running: runs in progress, everywhere; with a claim and a live lease where no scheduler tells of them.
        failures: occurrences that failed since the last success.
        pending: occurrences that fell due and have not ended, in connected schedulers.
        recent: oldest first, at most 40.
        lateness_ns: of the latest starts, oldest first.
        owners: the schedulers that have it, connected ones first.
        abandoned: claims without an end whose lease has ended; None if no store could say.
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


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """One resource, and who has it.

    Args:
        state: "held"; "expired" (the lease ended without a release, and nobody has taken it since); or "free", shown
            while somebody waits for it.
        held_ns: since the hold began; None where it is free.
        allowed_ns: the longest that jobs on this resource may hold it: their longest timeout; None without a limit.
        remaining_ns: what is left of the lease, as last known: negative once it has expired; None where unknown.
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
    """Something that happened to a lock and that nobody wanted.

    Args:
        service: of the job, and of the owner.
        what: "lost" (the store said so), "expired" (trust ran out), "rejected" (a write under a stale fence was
            refused) or "taken over" (from an owner whose lease had ended without a release).
        other: from whom it was taken over, or who took it; "" where unknown.
    """

    resource: str
    job: str
    at_wall_ns: int
    what: str
    service: str = ""
    owner: str = ""
    other: str = ""


class SchedulerView(msgspec.Struct, frozen=True, kw_only=True):
    """One scheduler that tells us its events, or did.

    Args:
        state: a value of `SchedulerState`; "gone" when the connection ended before it said that it stopped.
        since_wall_ns: since when it is connected, or when it last connected.
        silent_ns: since anything was heard from it; None if nothing ever was.
        stalled: connected and running, and its timeline does not turn.
        unready: why it says that it is not to be counted on, a sentence each; empty if it is.
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


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """One store that the probe reads.

    Args:
        source: its URL without password.
        ok: the latest look succeeded, and it is not long ago.
        error: of the latest look, "" if it succeeded.
        age_ns: of what is shown, since the latest look that succeeded; None before the first.
        skew_ns: our wall clock minus the store's, within plus or minus `skew_bound_ns`.
        truncated: it holds more leases or claims than one look reads.
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
    """All of it, at one instant.

    Args:
        runs: the last minutes, oldest first; in hand included.
        marks: the last minutes, oldest first.
        unready: why this view is not the whole truth, a sentence each; empty if it is.
    """

    at_wall_ns: int
    schedulers: list[SchedulerView] = []
    stores: list[StoreView] = []
    jobs: list[JobView] = []
    locks: list[LockView] = []
    runs: list[OccurrenceView] = []
    marks: list[LockMark] = []
    unready: list[str] = []
