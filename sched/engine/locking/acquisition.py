"""Take one lock once: ask, wait in line, hold, give back. Every ending is reported by the lock.

A refusal is waited out: until the resource is freed, as far as the store can
tell (`watch`); until the lease in the way ends; and at the latest after a pause
that grows from 5 to 250 ms, half of it at random, so that the processes of a
fleet do not ask in step. Who is not preferred lets the others go first, when its
turn has come and whenever the resource is freed. A store that does not answer is
asked again after 100, 300 and 800 ms, as long as the terms let it wait.
"""

from __future__ import annotations

import logging
import random
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tickglass.sched.clock import Wake
from tickglass.sched.durations import MS
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.engine.leasing.renewer import BACK_OFF_NS
from tickglass.sched.engine.leasing.unacknowledged import Unheard
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease, LockEvent, LockMachine, LockReason, LockState, check_ttl, trusted_until_ns
from tickglass.sched.ports import Gone, Granted, LeaseAsk, Released

if TYPE_CHECKING:
    from tickglass.sched.engine.leasing.in_doubt import Doubts
    from tickglass.sched.engine.context import Gear
    from tickglass.sched.engine.membership.head_start import HeadStart
    from tickglass.sched.engine.leasing.renewer import Hold, Keeper
    from tickglass.sched.engine.locking.wait_queue import Lines
    from tickglass.sched.lock_terms import LockTerms
    from tickglass.sched.ports import Refused
    from tickglass.sched.run import Run

__all__ = ["NotTaken", "Taking"]

_log: Final = logging.getLogger(__name__)
_POLL_FIRST_NS: Final = 5 * MS
_POLL_MOST_NS: Final = 250 * MS  # a release by another process is noticed within this
_POLL_LEAST_NS: Final = MS  # a store may say that a lease ends now, and mean soon


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why there is no lease.

    Args:
        reason: "held", "timeout" or "cancelled".
        holder: owner of the lease that was in the way, "" if none was seen.
    """

    reason: str
    holder: str
    waited_ns: int


class Taking:
    """One lock from the request to the release.

    `take` and `give_back` are called once each, one after the other; `cancel`
    and `abandon` from any thread at any time.

    Args:
        run: whose code asks; the waiting ends when that run is asked to stop.
        doubts: locks of this instance that may be in its own way.
    """

    def __init__(
        self,
        terms: LockTerms,
        run: Run | None,
        *,
        gear: Gear,
        keeper: Keeper,
        lines: Lines,
        head_start: HeadStart,
        doubts: Doubts,
    ) -> None:
        run_id = "" if run is None else run.run_id
        self._terms = terms
        self._run = run
        self._gear = gear
        self._keeper = keeper
        self._lines = lines
        self._head_start = head_start
        self._doubts = doubts
        self._ask = LeaseAsk(terms.resource, gear.owner, gear.service, str(uuid4()), terms.ttl_ns, run_id=run_id)
        self._lock = LockMachine(
            terms.resource,
            owner=gear.owner,
            service=gear.service,
            job="",
            run_id=run_id,
            ttl_ns=terms.ttl_ns,
            blocking=terms.blocking,
            renewing=terms.renew,
            clock=gear.clock,
            sink=gear.sink,
        )
        self._lock.sampled = run is not None and run._lock.sampled  # noqa: SLF001 - the engine's side of a run
        self._bell = Wake()
        self._cancelled = False
        self._door = threading.Lock()  # one of give_back, abandon at a time
        self._leaving = False
        self._hold: Hold | None = None
        self._lease: HeldLease | None = None
        self._began_ns = gear.clock.monotonic_ns()
        self._until_ns = None if terms.wait_ns is None else self._began_ns + terms.wait_ns
        self._unheard = Unheard(gear)
        self._failures = 0
        self._poll_ns = _POLL_FIRST_NS
        self._holder = ""

    # --- asking and waiting

    def take(self) -> HeldLease | NotTaken:
        """Ask, and wait as the terms allow.

        Raises:
            ConfigError: the TTL is too short for what this store's clock may drift; nothing was asked.
            StoreUnavailable: the store does not answer.
        """
        ttl_ns = self._terms.ttl_ns
        check_ttl(f"lock {self._terms.resource}", ttl_ns, self._gear.store.allowance_ns(ttl_ns))
        self._lock.fire(LockEvent.REQUESTED)
        try:
            with ExitStack() as waiting:
                return self._take_in_line(waiting) if self._terms.blocking else self._try()
        except StoreUnavailable as error:
            down = error.kind == "unavailable"
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_UNAVAILABLE if down else LockReason.STORE_ERROR)
            raise
        except BaseException:  # the waiting thread itself was interrupted
            if self._lock.state is LockState.WAITING:
                self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED)
            elif self._hold is not None:
                self.give_back()
            raise
        finally:
            if self._hold is None and self._unheard.any:
                self._doubts.note_lock(self._ask)

    def cancel(self) -> None:
        """End the waiting."""
        self._cancelled = True
        self._bell.ring()

    def _try(self) -> HeldLease | NotTaken:
        answer = self._answer()
        if isinstance(answer, HeldLease):
            return self._unless_cancelled(answer)
        self._lock.fire(LockEvent.REFUSED, other_owner=self._holder)
        return self._not_taken("held")

    def _take_in_line(self, waiting: ExitStack) -> HeldLease | NotTaken:
        terms, clock = self._terms, self._gear.clock
        waiting.enter_context(self._lines.place(terms.resource, self._bell))
        waiting.callback(self._head_start.watch(self._bell.ring))
        if self._run is not None:
            waiting.enter_context(self._run._stopping(self.cancel))  # noqa: SLF001 - the engine's side of a run
        watching = False
        while not self._cancelled:
            again_ns = self._until_ns
            last = again_ns is not None and clock.monotonic_ns() >= again_ns
            first = self._lines.is_first(terms.resource, self._bell)
            if first or last:
                answer = self._answer_or_pause(last=last)
                if isinstance(answer, HeldLease):
                    return self._unless_cancelled(answer)
                again_ns = answer if again_ns is None else min(answer, again_ns)
            if last:
                self._lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner=self._holder)
                return self._not_taken("timeout")
            if first and not watching:  # what was freed just before this is noticed after the first, shortest pause
                waiting.callback(self._gear.store.watch(terms.resource, self._freed))
                watching = True
            clock.wait(again_ns, self._bell)
        self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED, other_owner=self._holder)
        return self._not_taken("cancelled")

    def _unless_cancelled(self, lease: HeldLease) -> HeldLease | NotTaken:
        """Return the lease, or give it back: it was granted when nobody would look after it any more."""
        if not self._cancelled:
            return lease
        self.give_back()
        return self._not_taken("cancelled")

    def _freed(self) -> None:
        """On any thread."""
        self._head_start.begin(self._gear.clock.monotonic_ns())
        self._bell.ring()

    def _answer_or_pause(self, *, last: bool) -> HeldLease | int:
        """Return the lease, or the instant at which to ask, or to ask again."""
        now_ns = self._gear.clock.monotonic_ns()
        if not self._head_start.begun:
            self._head_start.begin(now_ns)
        over_ns = self._head_start.over_ns()
        if now_ns < over_ns and not last:
            return over_ns
        try:
            answer = self._answer()
        except StoreUnavailable:
            now_ns = self._gear.clock.monotonic_ns()
            over = self._until_ns is not None and now_ns >= self._until_ns
            if over or self._failures == len(BACK_OFF_NS):
                raise  # nobody said that somebody has it
            self._failures += 1
            return now_ns + BACK_OFF_NS[self._failures - 1]
        if isinstance(answer, HeldLease):
            return answer
        self._failures = 0
        pause_ns = random.randint(self._poll_ns // 2, self._poll_ns)  # noqa: S311 - fairness, no secret
        self._poll_ns = min(self._poll_ns * 2, _POLL_MOST_NS)
        return self._gear.clock.monotonic_ns() + max(_POLL_LEAST_NS, min(pause_ns, answer.retry_after_ns))

    def _answer(self) -> HeldLease | Refused:
        asked_ns = self._gear.clock.monotonic_ns()
        try:
            answer = self._gear.store.acquire(self._ask)
        except StoreUnavailable:
            self._unheard.note(asked_ns)
            raise
        if isinstance(answer, Granted):
            return self._take_up(answer, asked_ns)
        if self._doubts.take_back(self._terms.resource, answer.holder):
            return self._answer()
        self._holder = answer.holder.owner
        return answer

    def _take_up(self, granted: Granted, asked_ns: int) -> HeldLease:
        """Report the grant, and have the lease kept from here on."""
        gear, terms = self._gear, self._terms
        lease = Lease(terms.resource, gear.owner, self._ask.token, granted.fence, terms.ttl_ns, 0)
        asked_ns = self._unheard.counts_from(lease, asked_ns)
        trusted_ns = self._trusted_ns(asked_ns)
        lease = replace(lease, trusted_until_ns=trusted_ns)
        if gear.clock.monotonic_ns() >= trusted_ns:
            gear.store.release(lease)
            self._ask = replace(self._ask, token=str(uuid4()))  # should that release arrive late
            raise StoreUnavailable(gear.store.name, "acquire", "the lease had run out when the answer came")
        self._lock.fire(
            LockEvent.GRANTED, fence=granted.fence, trusted_until_ns=trusted_ns, other_owner=granted.expired_owner
        )
        held = HeldLease(self._lock, gear.clock, self._find_out)
        with self._door:
            self._lease = held
            self._hold = self._keeper.keep(
                self._lock,
                lease,
                asked_ns,
                held._say_lost,  # noqa: SLF001 - the engine's side of a lease
                renew=terms.renew,
            )
        return held

    def _trusted_ns(self, asked_ns: int) -> int:
        ttl_ns = self._terms.ttl_ns
        return trusted_until_ns(asked_ns, ttl_ns, self._gear.store.allowance_ns(ttl_ns))

    def _not_taken(self, reason: str) -> NotTaken:
        return NotTaken(reason, self._holder, self._gear.clock.monotonic_ns() - self._began_ns)

    # --- holding and giving back

    def give_back(self) -> bool:
        """Release the lease if it is still ours; return whether it was, to the end.

        One that was lost is left alone: by now it may be somebody else's. One
        that the store does not take back runs out by itself, or is taken back
        when it is in our way (engine/doubts.py).
        """
        with self._door:
            self._leaving = True
            hold = self._hold
        assert hold is not None  # noqa: S101 - it was taken
        self._keeper.check(hold)
        self._keeper.drop(hold)
        answer = None
        if self._lock.state is LockState.HELD:
            answer = self._released(hold.lease)
            if answer is None:
                self._lock.fire(LockEvent.EXPIRED, reason=LockReason.STORE_UNAVAILABLE)
            elif isinstance(answer, Gone):
                self._lock.fire(LockEvent.LOST, other_owner=answer.owner)
        if answer is None:  # a request without an answer, be it a release or a renewal, may have left it with us
            self._doubts.note_lock(self._ask)
        return self._lock.fire(LockEvent.RELEASED).before is LockState.HELD

    def abandon(self) -> None:
        """End the waiting; or let the lease run out, and tell its holder, for nobody will renew it any more."""
        self.cancel()
        with self._door:
            hold, lease = self._hold, self._lease
            if self._leaving or hold is None or lease is None:
                return
            self._keeper.drop(hold)
            if self._lock.state is not LockState.HELD:
                return
            self._lock.fire(LockEvent.EXPIRED, reason=LockReason.CANCELLED)
        lease._say_lost()  # noqa: SLF001 - the engine's side of a lease

    def _find_out(self) -> None:
        """Have the keeper say at once what its alarm would have said."""
        with self._door:
            hold = None if self._leaving else self._hold
        if hold is not None:
            self._keeper.check(hold)

    def _released(self, lease: Lease) -> object | None:
        """Return the store's answer, None if there was none."""
        again = False
        for pause_ns in (*BACK_OFF_NS, None):
            try:
                answer = self._gear.store.release(lease)
            except StoreUnavailable as error:
                if pause_ns is None:
                    _log.error("lock %s could not be given back, it runs out by itself: %s", lease.resource, error)
                    return None
                self._gear.clock.wait(self._gear.clock.monotonic_ns() + pause_ns, Wake())
                again = True
            else:
                # Nobody else can have it yet: it was an earlier request that did it, and its answer was lost.
                trusted = self._gear.clock.monotonic_ns() < lease.trusted_until_ns
                return Released() if again and trusted and answer == Gone() else answer
        return None
