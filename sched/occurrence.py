"""Decide which transitions an occurrence can make, and that it ends exactly once.

Pure: no I/O, no logging. Time comes from the injected clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS
from tickglass.sched.events import Lateness, OccurrenceMoved
from tickglass.sched.ports.ledger import SCHEDULED
from tickglass.sched.state_machine import StateMachine, Word, moves_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink
    from tickglass.sched.state_machine import Move

__all__ = [
    "DID_NOT_RUN",
    "ENDINGS",
    "FAILURES",
    "NEUTRAL",
    "NOT_OWED",
    "OCCURRENCE_TRANSITIONS",
    "ON_TIME_NS",
    "OccurrenceEvent",
    "OccurrenceMachine",
    "OccurrenceState",
    "Outcome",
    "SkipReason",
    "Timings",
]


ON_TIME_NS: Final = 8 * MS  # the latest start after the due instant that counts as on time: the promise


class OccurrenceState(Word):
    """How far one due instant of one job has come."""

    NEW = "new"
    PENDING = "pending"  # fell due, and is not admitted yet
    ADMITTED = "admitted"  # waits for a worker
    CLAIMING = "claiming"  # a worker asks the store for the claim
    CLAIMED = "claimed"  # this instance has it, and waits for the due instant
    UNCLAIMED = "unclaimed"  # the store is unavailable, and the job runs without a claim
    RUNNING = "running"
    STOPPING = "stopping"  # asked to stop, still running
    ENDED = "ended"


class OccurrenceEvent(Word):
    """What can happen to it."""

    FELL_DUE = "fell_due"
    ADMITTED = "admitted"
    TAKEN = "taken"
    CLAIMED = "claimed"
    STARTED_UNCLAIMED = "started_unclaimed"
    STARTED = "started"
    STOP_ASKED = "stop_asked"
    ENDED = "ended"


class Outcome(Word):
    """How it ended. Each occurrence gets exactly one; the metrics carry these names.

    An outcome other than success is a failure, or did not run, or is neutral: never two of these.
    """

    SUCCESS = "success"
    FAILURE = "failure"  # the job raised
    TIMEOUT = "timeout"  # it ran over its timeout and was asked to stop
    CANCELLED = "cancelled"  # it was stopped because the scheduler was stopping
    LOST = "lost"  # its lease could no longer be trusted
    ORPHANED = "orphaned"  # its claimant died, and the job does not want it re-run
    ELSEWHERE = "elsewhere"  # another instance claimed it
    MISSED = "missed"  # no instance was there, or could start it, within its misfire grace
    SKIPPED = "skipped"  # a policy refused it: see SkipReason

    @property
    def ran(self) -> bool:
        """Whether an instance claimed the occurrence and ended the run itself."""
        return self in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.LOST)

    @property
    def is_failure(self) -> bool:
        """Whether a run was begun and did not do its work: it counts as a failure of the job."""
        return self in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.LOST, Outcome.ORPHANED)

    @property
    def did_not_run(self) -> bool:
        """Whether no run was begun although the occurrence was this instance's to start."""
        return self in (Outcome.MISSED, Outcome.SKIPPED)

    @property
    def is_neutral(self) -> bool:
        """Whether it says nothing about the job: an operator stopped the run, or another instance has it."""
        return self in (Outcome.CANCELLED, Outcome.ELSEWHERE)


# The same for plain text, which may also be the outcome of a later version; in the order of the enum.
FAILURES: Final = tuple(outcome for outcome in Outcome if outcome.is_failure)
DID_NOT_RUN: Final = tuple(outcome for outcome in Outcome if outcome.did_not_run)
NEUTRAL: Final = tuple(outcome for outcome in Outcome if outcome.is_neutral)


class SkipReason(Word):
    """Why a policy refused an occurrence."""

    OVERLAP = "overlap"  # the job's previous occurrence is still running
    LOCK_HELD = "lock_held"  # another holder had the resource for all of the grace
    STORE_UNAVAILABLE = "store_unavailable"  # no claim, no run
    STORE_ERROR = "store_error"
    SKEW = "skew"  # this clock and the store's differ too much to say what is due, or the store's says "too early"
    STOPPING = "stopping"  # the scheduler was draining
    PAUSED = "paused"  # an operator paused the job or drained the instance, or did not want this one run

    @property
    def is_owed(self) -> bool:
        """Whether the job owes a run: not if its own run was in the way, or if an operator did not want it."""
        return self not in (SkipReason.OVERLAP, SkipReason.PAUSED)


OCCURRENCE_TRANSITIONS: Final[Mapping[tuple[OccurrenceState, OccurrenceEvent], OccurrenceState]] = {
    (OccurrenceState.NEW, OccurrenceEvent.FELL_DUE): OccurrenceState.PENDING,
    (OccurrenceState.PENDING, OccurrenceEvent.ADMITTED): OccurrenceState.ADMITTED,
    (OccurrenceState.PENDING, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
    (OccurrenceState.ADMITTED, OccurrenceEvent.TAKEN): OccurrenceState.CLAIMING,
    (OccurrenceState.ADMITTED, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
    (OccurrenceState.CLAIMING, OccurrenceEvent.CLAIMED): OccurrenceState.CLAIMED,
    (OccurrenceState.CLAIMING, OccurrenceEvent.STARTED_UNCLAIMED): OccurrenceState.UNCLAIMED,
    (OccurrenceState.CLAIMING, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
    (OccurrenceState.UNCLAIMED, OccurrenceEvent.STARTED): OccurrenceState.RUNNING,
    (OccurrenceState.UNCLAIMED, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
    (OccurrenceState.CLAIMED, OccurrenceEvent.STARTED): OccurrenceState.RUNNING,
    (OccurrenceState.CLAIMED, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
    (OccurrenceState.RUNNING, OccurrenceEvent.STOP_ASKED): OccurrenceState.STOPPING,
    (OccurrenceState.RUNNING, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
    (OccurrenceState.STOPPING, OccurrenceEvent.ENDED): OccurrenceState.ENDED,
}

NOT_OWED: Final = tuple(reason for reason in SkipReason if not reason.is_owed)  # plain text, as above

_RAN: Final = frozenset(outcome for outcome in Outcome if outcome.ran)
ENDINGS: Final[Mapping[OccurrenceState, frozenset[Outcome]]] = {
    OccurrenceState.PENDING: frozenset({Outcome.MISSED, Outcome.SKIPPED, Outcome.ORPHANED, Outcome.ELSEWHERE}),
    OccurrenceState.ADMITTED: frozenset({Outcome.MISSED, Outcome.SKIPPED}),
    OccurrenceState.CLAIMING: frozenset({Outcome.MISSED, Outcome.SKIPPED, Outcome.ELSEWHERE}),
    OccurrenceState.CLAIMED: frozenset({Outcome.CANCELLED, Outcome.LOST, Outcome.MISSED}),
    OccurrenceState.UNCLAIMED: frozenset({Outcome.CANCELLED, Outcome.MISSED}),
    OccurrenceState.RUNNING: _RAN,
    OccurrenceState.STOPPING: _RAN,
}
_MOVES: Final = moves_of(OCCURRENCE_TRANSITIONS)


class OccurrenceMachine(StateMachine[OccurrenceState, OccurrenceEvent]):
    """One due instant of one job, from falling due to its one outcome.

    Args:
        due_ns: wall-clock nanoseconds since the Unix epoch.
        run_id: 32 hexadecimal digits; also the trace id, should it run here.
        kind: what asked for it, see ports/ledger.py.
    """

    __slots__ = (
        "_told",
        "attempt",
        "due_ns",
        "error",
        "fence",
        "job",
        "kind",
        "lateness",
        "next_due_ns",
        "outcome",
        "owner",
        "ran_ns",
        "reason",
        "run_id",
        "sampled",
        "service",
    )

    # Of the latest move:
    outcome: str | None
    reason: str
    lateness: Lateness | None
    ran_ns: int | None
    error: str
    next_due_ns: int | None
    _told: OccurrenceMoved | None

    def __init__(
        self,
        job: str,
        due_ns: int,
        *,
        owner: str,
        service: str,
        run_id: str,
        clock: Clock,
        sink: EventSink,
        kind: str = SCHEDULED,
    ) -> None:
        super().__init__(("occurrence", job), _MOVES, OccurrenceState.NEW, clock, sink)
        self.job = job
        self.due_ns = due_ns
        self.owner = owner
        self.service = service
        self.run_id = run_id
        self.kind = kind
        self.attempt = 1
        self.fence = 0
        self.sampled = False

    def fire(
        self,
        event: OccurrenceEvent,
        *,
        outcome: Outcome | None = None,
        reason: str = "",
        lateness: Lateness | None = None,
        ran_ns: int | None = None,
        error: str = "",
        next_due_ns: int | None = None,
    ) -> Move[OccurrenceState, OccurrenceEvent]:
        """Make one move and report it.

        Args:
            outcome: with ENDED, and only with it.
            reason: with ENDED and STOP_ASKED, why, as a bounded word.
            lateness: with ENDED, if the job's code started.
            ran_ns: likewise, how long the job's code took.
            error: with ENDED, the job's exception as text, for people only.
            next_due_ns: with FELL_DUE, the job's next due instant, if any.

        Raises:
            IllegalTransition: the table has no such move, or an occurrence in
                this state cannot end with this outcome; nothing changed.
        """
        with self._mutex:
            if (event is OccurrenceEvent.ENDED) != (outcome is not None):
                raise self._illegal(f"{event} with outcome {outcome}")
            if outcome is not None and outcome not in ENDINGS.get(self._state, ()):
                raise self._illegal(f"{event} as {outcome}")
            move = self._make(event)
            self.outcome, self.reason, self.error = outcome, reason, error
            self.lateness, self.ran_ns, self.next_due_ns = lateness, ran_ns, next_due_ns
            self._told = None
            self._sink.occurrence_moved(self)  # never raises: see EventSink
            return move

    def report(self) -> OccurrenceMoved:
        """Return the latest move as an event; called by sinks that are told of it. See `OccurrenceMove`."""
        if self._told is None:
            self._told = OccurrenceMoved(
                job=self.job,
                due_ns=self.due_ns,
                attempt=self.attempt,
                owner=self.owner,
                service=self.service,
                run_id=self.run_id,
                sampled=self.sampled,
                before=self.before,
                event=self.event,
                after=self.after,
                at_ns=self.at_ns,
                wall_ns=self.wall_ns,
                stayed_ns=self.stayed_ns,
                fence=self.fence,
                outcome=self.outcome,
                reason=self.reason,
                lateness=self.lateness,
                ran_ns=self.ran_ns,
                error=self.error,
                next_due_ns=self.next_due_ns,
                kind=self.kind,
            )
        return self._told


@dataclass(slots=True)
class Timings:
    """When one occurrence passed each step, in monotonic nanoseconds.

    Args:
        due_ns: when it was due.
        handed_ns: when the timeline submitted it, usually before it was due.
        visited_ns: when the timeline first came to it; from then on it waited because the pool had no room.
        found_ns: of a rerun: when the open claim of a dead instance was found; 0 for a first attempt.
        taken_ns: when a worker took it.
        claimed_ns: when the claim was granted.
        woke_ns: when the worker had waited until it was due; claimed_ns if no worker waited for it.
        begun_ns: when a worker began to start it: several may be due, and one worker starts them in turn.
        started_ns: just before the job's own code; 0 if that was not reached.
    """

    due_ns: int
    handed_ns: int
    visited_ns: int
    found_ns: int = 0
    taken_ns: int = 0
    claimed_ns: int = 0
    woke_ns: int = 0
    begun_ns: int = 0
    started_ns: int = 0

    def lateness(self) -> Lateness:
        """Attribute the start's lateness to its causes; the parts sum to the whole.

        Time before the due instant does not count. If the last wait ended too
        late, the difference is the timer's part. Until a rerun was found, an
        instance that died had the claim: that is the lock's part.
        """
        due = self.due_ns
        found = max(due, self.found_ns)
        visited, taken, claimed = max(found, self.visited_ns), max(due, self.taken_ns), max(due, self.claimed_ns)
        woke, begun = max(due, self.woke_ns), max(due, self.begun_ns)
        return Lateness(
            total_ns=self.started_ns - due,
            timer_ns=visited - found + woke - claimed,
            pool_ns=taken - visited + begun - woke,
            lock_ns=found - due + claimed - taken,
            start_ns=self.started_ns - begun,
        )
