"""Decide, from the store's answers, whether an occurrence is claimed, given up, or asked for again.

An instance that is not preferred waits out the head start of those that are. A
refusal is waited out. Both end with the job's misfire grace. A store that does not
answer is asked again after a back-off. Nothing blocks here: `RetryAt` says when to
ask again. The lock reports every ending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tickglass.sched.engine.leasing.unacknowledged import Unacknowledged
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import LockEvent, LockReason, LockState
from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.sched.policies import backoff, overlap
from tickglass.sched.policies.verdict import Defer
from tickglass.sched.ports import Ahead, AlreadyClaimed, Claimed, Refused

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.in_doubt import InDoubt
    from tickglass.sched.engine.membership.head_start import HeadStart
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.ports import ClaimAnswer, ClaimAsk

__all__ = ["ClaimAttempt", "ClaimWon", "NotClaimed", "RetryAt"]


class ClaimWon(msgspec.Struct, frozen=True):
    """The claim, and the monotonic instant from which its lease lasts at least its TTL."""

    claimed: Claimed
    asked_ns: int


class NotClaimed(msgspec.Struct, frozen=True):
    """How the occurrence ends instead."""

    outcome: Outcome
    reason: str = ""


class RetryAt(msgspec.Struct, frozen=True):
    """Ask again at this monotonic instant, or sooner.

    Args:
        held_back: True: sooner if the preferred instances have gone; False: sooner if the resource may be free.
    """

    at_ns: int
    held_back: bool = False


class ClaimAttempt:
    """One occurrence's attempt at its claim.

    Args:
        due_ns: monotonic; before it, the job's own previous run is waited for.
        until_ns: monotonic; how long another holder's lease is waited for.
        head_start: that of the preferred instances; None: none are preferred.
        in_doubt: claims of this instance that may be in its own way.
    """

    def __init__(
        self,
        ask: ClaimAsk,
        lock: LockMachine,
        *,
        due_ns: int,
        until_ns: int,
        head_start: HeadStart | None,
        in_doubt: InDoubt,
        context: EngineContext,
    ) -> None:
        self.ask = ask
        self._lock = lock
        self._due_ns = due_ns
        self._until_ns = until_ns
        self._head_start = head_start
        if head_start is not None:
            head_start.begin(due_ns)
        self._in_doubt = in_doubt
        self._context = context
        self._failures = 0
        self._refusals = 0
        self._unacknowledged: Unacknowledged | None = None  # there is no request without an answer
        self._asked = 0  # how often
        self._put_off = False
        self._refused_by = ""  # the run of this job that was in the way last

    @property
    def undelayed(self) -> bool:
        """Whether the claim was asked for without delay, and only once."""
        return self._asked == 1 and not self._put_off

    @property
    def in_doubt(self) -> bool:
        """Whether a request got no answer, and may have been granted."""
        return self._unacknowledged is not None

    def begin(self) -> RetryAt | None:
        """Begin to ask, or hold back; None: send `ask` now, and pass the answer to `answered`."""
        if self._lock.state is LockState.IDLE:
            self._lock.fire(LockEvent.REQUESTED)
        ends_ns = 0 if self._head_start is None else self._head_start.ends_ns()
        if ends_ns and self._context.clock.monotonic_ns() < ends_ns:
            self._put_off = True
            return RetryAt(ends_ns, held_back=True)
        self._asked += 1
        return None

    def answered(self, answer: ClaimAnswer | StoreUnavailable, asked_ns: int) -> ClaimWon | NotClaimed | RetryAt:
        """Decide what an answer means. If the claim is won, the lock is still WAITING: `ClaimedRun` fires GRANTED.

        Args:
            asked_ns: monotonic, read before the request.
        """
        if isinstance(answer, Claimed):
            if self._unacknowledged is None:
                return ClaimWon(answer, asked_ns)
            lease = self.ask.lease.untrusted(answer.fence)
            return ClaimWon(answer, self._unacknowledged.lease_counts_from(lease, asked_ns))
        if isinstance(answer, StoreUnavailable):
            if self._unacknowledged is None:
                self._unacknowledged = Unacknowledged(self._context)
            self._unacknowledged.note(asked_ns)
            return self._unanswered(answer)
        if isinstance(answer, Ahead):
            return self._too_early()
        return self._already_claimed(answer) if isinstance(answer, AlreadyClaimed) else self._refused(answer)

    def freed(self) -> None:
        """Take note that the resource may have become free: the preferred instances have a head start again."""
        if self._head_start is not None:
            self._head_start.begin(self._context.clock.monotonic_ns())

    def give_up(self) -> NotClaimed:
        """End the attempt because the scheduler stops."""
        if self._lock.state is LockState.IDLE:
            self._lock.fire(LockEvent.REQUESTED)
        self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED)
        return NotClaimed(Outcome.SKIPPED, SkipReason.STOPPING)

    def _already_claimed(self, answer: AlreadyClaimed) -> NotClaimed | RetryAt:
        if answer.outcome is None and answer.by == self.ask.lease.owner:
            if self._in_doubt.release_rerun(self.ask.job_id, self.ask.due_ns):
                return RetryAt(self._context.clock.monotonic_ns())
            if self.in_doubt and not self.ask.rerun:  # our own: its answer was lost, and its lease has ended
                self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_UNAVAILABLE)
                return NotClaimed(Outcome.SKIPPED, SkipReason.STORE_UNAVAILABLE)
        self._lock.fire(LockEvent.REFUSED, other_owner=answer.by)
        return NotClaimed(Outcome.ELSEWHERE)

    def _too_early(self) -> NotClaimed:
        """Give up: our clock is ahead, and other instances could not claim the occurrence when it is due."""
        self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED)
        return NotClaimed(Outcome.SKIPPED, SkipReason.SKEW)

    def _refused(self, answer: Refused) -> NotClaimed | RetryAt:
        now_ns = self._context.clock.monotonic_ns()
        if self._in_doubt.reclaim(self.ask.lease.resource, answer.holder):
            return RetryAt(now_ns)
        if answer.holder.job_id == self.ask.job_id:
            if answer.holder.owner == self.ask.lease.owner and answer.holder.run_id != self._refused_by:
                self._refused_by = answer.holder.run_id  # another thread may have taken it back just now
                return RetryAt(now_ns)
            verdict = overlap.while_running(now_ns - self._due_ns)
            if isinstance(verdict, Defer):
                return RetryAt(self._due_ns)
            self._lock.fire(LockEvent.REFUSED, other_owner=answer.holder.owner)
            return NotClaimed(Outcome.SKIPPED, verdict.reason)
        if now_ns >= self._until_ns:
            self._lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner=answer.holder.owner)
            return NotClaimed(Outcome.SKIPPED, SkipReason.LOCK_HELD)
        self._refusals += 1
        pause_ns = min(answer.retry_after_ns, backoff.POLL.after(self._refusals))
        return RetryAt(min(self._until_ns, now_ns + pause_ns))

    def _unanswered(self, error: StoreUnavailable) -> NotClaimed | RetryAt:
        now_ns = self._context.clock.monotonic_ns()
        self._failures += 1
        again_ns = now_ns + backoff.STORE.after(self._failures)
        if not backoff.STORE.is_exhausted(self._failures) and again_ns <= self._until_ns:
            return RetryAt(again_ns)
        if error.kind == "unavailable":
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_UNAVAILABLE)
            return NotClaimed(Outcome.SKIPPED, SkipReason.STORE_UNAVAILABLE)
        self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_ERROR)
        return NotClaimed(Outcome.SKIPPED, SkipReason.STORE_ERROR)
