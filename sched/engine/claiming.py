"""Ask the store for an occurrence until there is an answer that ends the asking.

Refusals are waited out within the job's misfire grace; a store that does not
answer is asked again after 100, 300 and 800 ms. Every ending is reported by the lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS
from tickglass.sched.engine.keeper import BACK_OFF_NS
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.sched.ports import AlreadyClaimed, Claimed, Refused

if TYPE_CHECKING:
    from tickglass.sched.clock import Wake
    from tickglass.sched.engine.gear import Gear
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.ports import ClaimAsk

__all__ = ["Claiming", "NotClaimed", "Won"]

_POLL_FIRST_NS: Final = 5 * MS
_POLL_MOST_NS: Final = 250 * MS  # a release by another process is noticed within this


@dataclass(frozen=True, slots=True)
class Won:
    """The claim, and the monotonic instant before the request that got it."""

    claimed: Claimed
    asked_ns: int


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """How the occurrence ends instead."""

    outcome: Outcome
    reason: str = ""


class Claiming:
    """One occurrence's attempt at its claim.

    Args:
        due_ns: monotonic; before it, the job's own previous run is waited for.
        until_ns: monotonic; how long somebody else's lease is waited for.
        wake: rung when the resource may be free, and when to stop.
    """

    def __init__(
        self, ask: ClaimAsk, lock: LockMachine, *, due_ns: int, until_ns: int, wake: Wake, gear: Gear
    ) -> None:
        self._ask = ask
        self._lock = lock
        self._due_ns = due_ns
        self._until_ns = until_ns
        self._wake = wake
        self._gear = gear
        self._failures = 0
        self._poll_ns = _POLL_FIRST_NS
        self.stopped = False

    def settle_on(self) -> Won | NotClaimed:
        """Ask, wait, ask again; return how it came out. The lock stays WAITING if won."""
        self._lock.fire(LockEvent.REQUESTED)
        while not self.stopped:
            asked_ns = self._gear.clock.monotonic_ns()
            try:
                answer = self._gear.store.claim(self._ask)
            except StoreUnavailable as error:
                ending = self._unanswered(error)
            else:
                if isinstance(answer, Claimed):
                    return Won(answer, asked_ns)
                ending = self._already(answer) if isinstance(answer, AlreadyClaimed) else self._refused(answer)
            if ending is not None:
                return ending
        self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED)
        return NotClaimed(Outcome.SKIPPED, SkipReason.STOPPING)

    def _already(self, answer: AlreadyClaimed) -> NotClaimed:
        self._lock.fire(LockEvent.REFUSED, other_owner=answer.by)
        return NotClaimed(Outcome.ELSEWHERE)

    def _refused(self, answer: Refused) -> NotClaimed | None:
        now_ns = self._gear.clock.monotonic_ns()
        if answer.holder.job == self._ask.lease.job:
            if now_ns >= self._due_ns:
                self._lock.fire(LockEvent.REFUSED, other_owner=answer.holder.owner)
                return NotClaimed(Outcome.SKIPPED, SkipReason.OVERLAP)
            self._wait(self._due_ns)
            return None
        if now_ns >= self._until_ns:
            self._lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner=answer.holder.owner)
            return NotClaimed(Outcome.SKIPPED, SkipReason.LOCK_HELD)
        self._wait(min(self._until_ns, now_ns + min(answer.retry_after_ns, self._poll_ns)))
        self._poll_ns = min(self._poll_ns * 2, _POLL_MOST_NS)
        return None

    def _unanswered(self, error: StoreUnavailable) -> NotClaimed | None:
        now_ns = self._gear.clock.monotonic_ns()
        if self._failures < len(BACK_OFF_NS) and now_ns + BACK_OFF_NS[self._failures] <= self._until_ns:
            self._wait(now_ns + BACK_OFF_NS[self._failures])
            self._failures += 1
            return None
        if error.kind == "unavailable":
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_UNAVAILABLE)
            return NotClaimed(Outcome.SKIPPED, SkipReason.STORE_UNAVAILABLE)
        self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_ERROR)
        return NotClaimed(Outcome.SKIPPED, SkipReason.STORE_ERROR)

    def _wait(self, until_ns: int) -> None:
        if not self.stopped:
            self._gear.clock.wait(until_ns, self._wake)
