"""Keep one job of one scheduler: its open occurrences, and its last outcomes with their reasons.

No I/O, no clock reads. Not thread-safe: the caller holds a mutex.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import FAILURES, OccurrenceEvent, OccurrenceState, Outcome, SkipReason
from tickglass.telemetry.sidecar.explain.why import Facts, why
from tickglass.telemetry.sidecar.schedulers.tally import Tally
from tickglass.telemetry.sidecar.view import OccurrenceView

if TYPE_CHECKING:
    from tickglass.sched.events import (
        ClaimOrphaned,
        InstantsMissed,
        InstantsSkipped,
        JobContested,
        JobRegistered,
        LockMoved,
        OccurrenceMoved,
    )
    from tickglass.telemetry.sidecar.schedulers.lock_history import Hold, LockHistory
    from tickglass.telemetry.sidecar.view import OutcomeShare

__all__ = ["ERROR_MAX", "OPEN_MAX", "RECENT_MAX", "JobHistory", "JobSnapshot", "StoreFailure"]

RECENT_MAX: Final = 40
OPEN_MAX: Final = 1_000  # of one job; there are more than a few only if events were lost
LATENESS_MAX: Final = 120
ERROR_MAX: Final = 2_000  # characters, as a ledger keeps them
_TRIGGER_MAX: Final = 4_000  # characters
_ORPHANS_MAX: Final = 40

_Key = tuple[int, str]  # due instant, run


@dataclass(slots=True)
class OpenOccurrence:
    """An occurrence that has not ended.

    Args:
        by, by_job, since_wall_ns: the holder that blocks it, or did.
    """

    due_ns: int
    run_id: str
    owner: str
    service: str
    state: str = ""
    attempt: int = 1
    sampled: bool = False
    fence: int = 0
    reason: str = ""
    started_wall_ns: int | None = None
    by: str = ""
    by_job: str = ""
    since_wall_ns: int | None = None


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One job at one instant.

    Args:
        declared: its registration; None if the scheduler, as it is now, does not have it.
        recent: the occurrences that ended last, oldest first.
        open_occurrences: those that have not ended.
        shares: how often it failed or was left out, over each of `WINDOWS_NS`.
        contested: the other program that claims its instants too; None: there is none.
    """

    name: str
    declared: JobRegistered | None
    next_due_ns: int | None
    failures: int
    last_success_wall_ns: int | None
    last_end_wall_ns: int | None
    recent: list[OccurrenceView]
    lateness_ns: list[int]
    open_occurrences: list[OccurrenceView]
    shares: tuple[OutcomeShare, ...] = ()
    contested: JobContested | None = None


class StoreFailure(NamedTuple):
    """The operation that failed, the error, and the time; "" and 0 if none ever failed."""

    words: str = ""
    wall_ns: int = 0


class JobHistory:
    """One job of one scheduler."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.next_due_ns: int | None = None
        self.contested: JobContested | None = None
        self.open_occurrences: OrderedDict[_Key, OpenOccurrence] = OrderedDict()
        self._declared: JobRegistered | None = None
        self._recent: deque[OccurrenceView] = deque(maxlen=RECENT_MAX)
        self._lateness_ns: deque[int] = deque(maxlen=LATENESS_MAX)
        self._tally = Tally()
        self._failures = 0
        self._last_success_wall_ns: int | None = None
        self._last_end_wall_ns: int | None = None
        self._orphans: OrderedDict[int, str] = OrderedDict()  # due instant -> its dead claimant

    def declare(self, event: JobRegistered) -> None:
        """Take its registration."""
        trigger = event.trigger
        self._declared = event if len(trigger) <= _TRIGGER_MAX else replace(event, trigger=trigger[:_TRIGGER_MAX])
        self.next_due_ns = event.next_due_ns
        self._failures = event.streak.failures
        self._last_success_wall_ns = event.streak.succeeded_wall_ns or self._last_success_wall_ns

    @property
    def is_declared(self) -> bool:
        """Whether the connected scheduler has this job."""
        return self._declared is not None

    def undeclare(self) -> None:
        """Forget its registration, until the next one."""
        self._declared = None
        self.contested = None
        self.next_due_ns = None

    def moved(self, event: OccurrenceMoved) -> None:
        """Take a move of an occurrence that does not end it."""
        key = event.due_ns, event.run_id
        occurrence = self.open_occurrences.get(key)
        if occurrence is None:
            occurrence = self.open_occurrences[key] = OpenOccurrence(
                event.due_ns, event.run_id, event.owner, event.service
            )
            while len(self.open_occurrences) > OPEN_MAX:
                self.open_occurrences.popitem(last=False)
        occurrence.state = event.after
        occurrence.attempt, occurrence.sampled, occurrence.fence = event.attempt, event.sampled, event.fence
        occurrence.reason = event.reason or occurrence.reason
        if event.event == OccurrenceEvent.STARTED:
            occurrence.started_wall_ns = event.wall_ns

    def lock_moved(self, event: LockMoved, before: Hold | None) -> None:
        """Note the owner that blocks a run's lock; `before` held the lock on this scheduler just before."""
        granted = event.event == LockEvent.GRANTED
        if not granted and not event.other_owner:
            return
        occurrence = next((it for it in self.open_occurrences.values() if it.run_id == event.run_id), None)
        if occurrence is None:
            return
        occurrence.by, occurrence.by_job, occurrence.since_wall_ns = "" if granted else event.other_owner, "", None
        if (
            occurrence.by
            and before is not None
            and before.owner == occurrence.by
            and before.run_id != occurrence.run_id
        ):
            occurrence.by_job, occurrence.since_wall_ns = before.job, before.since_wall_ns

    def orphan_found(self, event: ClaimOrphaned) -> None:
        """Remember the dead claimant: the occurrence's next attempt, or its end, follows."""
        self._orphans[event.due_ns] = event.claimant
        while len(self._orphans) > _ORPHANS_MAX:
            self._orphans.popitem(last=False)

    def ended(self, event: OccurrenceMoved, failure: StoreFailure, skew_ns: int | None) -> OccurrenceView:
        """Take the end of an occurrence; `failure` is the store's latest."""
        occurrence = self.open_occurrences.pop((event.due_ns, event.run_id), None)
        occurrence = occurrence or OpenOccurrence(
            event.due_ns, event.run_id, event.owner, event.service, state=event.before
        )
        outcome = event.outcome or ""
        facts = self._facts_of(event, occurrence, failure, skew_ns)
        ran = event.ran_ns is not None
        view = OccurrenceView(
            job=self.name,
            service=event.service,
            due_ns=event.due_ns,
            attempt=event.attempt,
            outcome=outcome,
            reason=event.reason,
            why=why(facts),
            owner=event.owner,
            by=facts.by,
            run_id=event.run_id,
            sampled=event.sampled,
            fence=event.fence or None,
            started_wall_ns=occurrence.started_wall_ns,
            ended_wall_ns=event.wall_ns,
            lateness_ns=None if event.lateness is None else event.lateness.total_ns,
            ran_ns=event.ran_ns,
            error=facts.error,
        )
        self._recent.append(view)
        self._tally.add(event.wall_ns, outcome, reason=event.reason)
        if outcome in FAILURES:
            self._failures += 1
        if outcome == Outcome.SUCCESS:
            self._failures, self._last_success_wall_ns = 0, event.wall_ns
        if ran:
            self._last_end_wall_ns = event.wall_ns
        if event.lateness is not None:
            self._lateness_ns.append(event.lateness.total_ns)
        return view

    def passed(self, before_ns: int) -> None:
        """Take that all due instants before this one have ended."""
        if self.next_due_ns is not None:
            self.next_due_ns = max(self.next_due_ns, before_ns)

    def missed(self, event: InstantsMissed) -> OccurrenceView:
        """Take instants that passed, and no instance took them up."""
        facts = Facts(
            outcome=Outcome.MISSED,
            reason=event.reason,
            owner="" if self._declared is None else self._declared.owner,
            due_ns=event.first_due_ns,
            count=event.count,
            exact=event.exact,
            until_ns=event.before_ns,
            seen_wall_ns=event.wall_ns,
            grace_ns=None if self._declared is None else self._declared.grace_ns,
        )
        return self._passed(facts, event.wall_ns)

    def skipped(self, event: InstantsSkipped, failure: StoreFailure) -> OccurrenceView:
        """Take instants that passed while the job was in hand, or paused; `failure` is the store's latest."""
        since_wall_ns, before_ns, before_state = self._in_hand_at(event.first_due_ns)
        delayed = since_wall_ns is None and before_ns is not None and failure.wall_ns >= before_ns
        facts = Facts(
            outcome=Outcome.SKIPPED,
            reason=event.reason,
            due_ns=event.first_due_ns,
            count=event.count,
            exact=event.exact,
            until_ns=event.latest_due_ns + 1,
            error=event.error[:ERROR_MAX],
            since_wall_ns=since_wall_ns,
            before_ns=before_ns,
            before_state=before_state,
            store=failure.words if delayed else "",
            seen_wall_ns=event.wall_ns,
        )
        return self._passed(facts, event.wall_ns)

    def _in_hand_at(self, due_ns: int) -> tuple[int | None, int | None, str]:
        """Return when the run that was in hand then started, when it was due, and its state; what is not known: None.

        The run is open, or else it has just ended: what passed is told at its end.
        """
        previous = self._previous()
        if previous is not None:
            return previous.started_wall_ns, previous.due_ns, previous.state
        for view in reversed(self._recent):
            if view.started_wall_ns is not None and (view.ended_wall_ns or 0) >= due_ns:
                return view.started_wall_ns, view.due_ns, ""
        return None, None, ""

    def _passed(self, facts: Facts, wall_ns: int) -> OccurrenceView:
        """Keep instants that had one outcome at once."""
        declared = self._declared
        view = OccurrenceView(
            job=self.name,
            service="" if declared is None else declared.service,
            due_ns=facts.due_ns,
            outcome=facts.outcome,
            reason=facts.reason,
            why=why(facts),
            owner="" if declared is None else declared.owner,
            ended_wall_ns=wall_ns,
            count=facts.count,
            until_ns=facts.until_ns,
        )
        self._recent.append(view)
        self._tally.add(wall_ns, facts.outcome, facts.count, reason=facts.reason)
        return view

    def mark_left(self, wall_ns: int) -> list[OccurrenceView]:
        """Mark the open occurrences as left, because the scheduler went away; return them."""
        left = [self._open_view(occurrence, "left", None, wall_ns) for occurrence in self.open_occurrences.values()]
        self.open_occurrences.clear()
        self._recent.extend(left)
        return left

    def resumed_runs(self) -> set[str]:
        """Return the open runs that had been marked as left, and remove these marks."""
        runs = {occurrence.run_id for occurrence in self.open_occurrences.values()}
        found = {view.run_id for view in self._recent if not view.outcome and view.run_id in runs}
        if found:
            kept = [view for view in self._recent if view.outcome or view.run_id not in found]
            self._recent = deque(kept, maxlen=RECENT_MAX)
        return found

    def snapshot(self, locks: LockHistory, now_wall_ns: int) -> JobSnapshot:
        """Return the present state."""
        declared = self._declared
        holder = None if declared is None or not self.open_occurrences else locks.holder_of(declared.resource)
        return JobSnapshot(
            name=self.name,
            declared=declared,
            next_due_ns=self.next_due_ns,
            failures=self._failures,
            last_success_wall_ns=self._last_success_wall_ns,
            last_end_wall_ns=self._last_end_wall_ns,
            recent=list(self._recent),
            lateness_ns=list(self._lateness_ns),
            open_occurrences=[
                self._open_view(occurrence, occurrence.state, holder, None)
                for occurrence in self.open_occurrences.values()
            ],
            shares=self._tally.shares(now_wall_ns),
            contested=self.contested,
        )

    def _previous(self) -> OpenOccurrence | None:
        """Return the open occurrence that runs, or else the one that fell due last."""
        return max(
            self.open_occurrences.values(), key=lambda it: (it.started_wall_ns is not None, it.due_ns), default=None
        )

    def _open_view(
        self, occurrence: OpenOccurrence, state: str, holder: Hold | None, left_wall_ns: int | None
    ) -> OccurrenceView:
        waits = holder is not None and holder.run_id != occurrence.run_id and state == OccurrenceState.CLAIMING
        declared = self._declared
        facts = Facts(
            state=state,
            due_ns=occurrence.due_ns,
            reason=occurrence.reason,
            resource="" if declared is None else declared.resource,
            owner=occurrence.owner,
            by=self._orphans.get(occurrence.due_ns, "") if holder is None or not waits else holder.owner,
            by_job=holder.job if holder is not None and waits else "",
            since_wall_ns=holder.since_wall_ns if holder is not None and waits else None,
            seen_wall_ns=left_wall_ns,
            timeout_ns=None if declared is None else declared.timeout_ns,
            attempt=occurrence.attempt,
        )
        return OccurrenceView(
            job=self.name,
            service=occurrence.service,
            due_ns=occurrence.due_ns,
            attempt=occurrence.attempt,
            state=state,
            reason=occurrence.reason,
            why=why(facts),
            owner=occurrence.owner,
            by=facts.by,
            run_id=occurrence.run_id,
            sampled=occurrence.sampled,
            fence=occurrence.fence or None,
            started_wall_ns=occurrence.started_wall_ns,
        )

    def _facts_of(
        self, event: OccurrenceMoved, occurrence: OpenOccurrence, failure: StoreFailure, skew_ns: int | None
    ) -> Facts:
        declared, by, since_wall_ns, store = self._declared, occurrence.by, occurrence.since_wall_ns, failure.words
        previous = self._previous() if event.reason == SkipReason.OVERLAP and not by else None
        if previous is not None:
            since_wall_ns = previous.started_wall_ns
        if event.reason == SkipReason.OVERLAP and (previous is None or failure.wall_ns < previous.due_ns):
            store = ""  # it did not delay the previous one
        if event.outcome == Outcome.ORPHANED or event.attempt > 1:
            by = self._orphans.get(event.due_ns, "") if event.outcome != Outcome.LOST else by
        return Facts(
            due_ns=event.due_ns,
            outcome=event.outcome or "",
            reason=event.reason,
            resource="" if declared is None else declared.resource,
            owner=event.owner,
            by=by,
            by_job=occurrence.by_job,
            since_wall_ns=since_wall_ns,
            before_ns=None if previous is None else previous.due_ns,
            before_state="" if previous is None else previous.state,
            seen_wall_ns=event.wall_ns,
            lateness=event.lateness,
            ran_ns=event.ran_ns,
            grace_ns=None if declared is None else declared.grace_ns,
            timeout_ns=None if declared is None else declared.timeout_ns,
            skew_ns=skew_ns,
            store=store,
            error=event.error[:ERROR_MAX],
            attempt=event.attempt,
        )
