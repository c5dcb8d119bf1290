"""Take one lock once: ask, wait in the queue, hold, release. The lock reports every ending.

Where no caller of this process waits for the resource, the store is asked before the caller joins the queue. After a
refusal the waiter asks again: when the store notifies it that the resource is free (`watch`), when the lease in the
way ends, and at the latest after a pause (`backoff.POLL`), half of it at random so that the processes of a fleet do
not ask in step. A waiter that is not preferred waits out the head start, when it becomes the head of the queue and
whenever the resource is freed. A store that does not answer is asked again (`backoff.STORE`), as long as the terms let
the caller wait.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tickglass.sched.clock import Wake
from tickglass.sched.durations import MS
from tickglass.sched.engine.leasing.persist import persist
from tickglass.sched.engine.leasing.unacknowledged import Unacknowledged
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.engine.locking.loss_signal import LossSignal
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease, LockEvent, LockMachine, LockReason, LockState, check_ttl, trusted_until_ns
from tickglass.sched.policies import backoff
from tickglass.sched.ports import Gone, Granted, LeaseAsk, Released

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.in_doubt import InDoubt
    from tickglass.sched.engine.leasing.renewer import KeptLease, LeaseRenewer
    from tickglass.sched.engine.locking.wait_queue import WaitQueues
    from tickglass.sched.engine.membership.head_start import HeadStart
    from tickglass.sched.lock_terms import LockTerms
    from tickglass.sched.ports import Refused
    from tickglass.sched.run import Run
    from tickglass.sched.stop_signal import StopSignal

__all__ = ["Acquisition", "NotAcquired"]

_log: Final = logging.getLogger(__name__)
_POLL_MIN_NS: Final = MS  # a store may say that a lease ends now while it still lasts a little


@dataclass(frozen=True, slots=True)
class NotAcquired:
    """Why there is no lease.

    Args:
        reason: "held", "timeout" or "cancelled".
        holder: owner of the lease that was in the way, "" if none was seen.
    """

    reason: str
    holder: str
    waited_ns: int


class Acquisition:
    """One lock, from the request to the release.

    `take` and `give_back` are called once each, one after the other; `cancel`
    and `abandon` from any thread at any time.

    Args:
        run: the run whose code asks, if any.
        stop: that run's stop signal; the waiting ends when it is asked to stop.
        in_doubt: claims and locks of this instance that may be in its own way.
    """

    def __init__(
        self,
        terms: LockTerms,
        run: Run | None,
        stop: StopSignal | None,
        *,
        context: EngineContext,
        renewer: LeaseRenewer,
        wait_queues: WaitQueues,
        head_start: HeadStart,
        in_doubt: InDoubt,
    ) -> None:
        run_id = "" if run is None else run.run_id
        self._terms = terms
        self._stop = stop
        self._context = context
        self._renewer = renewer
        self._wait_queues = wait_queues
        self._head_start = head_start
        self._in_doubt = in_doubt
        self._ask = LeaseAsk(terms.resource, context.owner, context.service, _new_token(), terms.ttl_ns, run_id=run_id)
        self._lock = LockMachine(
            terms.resource,
            owner=context.owner,
            service=context.service,
            job="",
            run_id=run_id,
            ttl_ns=terms.ttl_ns,
            blocking=terms.blocking,
            renewing=terms.renew,
            clock=context.clock,
            sink=context.sink,
        )
        self._lock.sampled = run is not None and run.sampled
        self._wake: Wake | None = None  # made for those that wait
        self._cancelled = False
        self._mutex = threading.Lock()  # one of give_back, abandon at a time
        self._leaving = False
        self._hold: KeptLease | None = None
        self._loss = LossSignal(terms.resource)
        self._began_ns = context.clock.monotonic_ns()
        self._until_ns = None if terms.wait_ns is None else self._began_ns + terms.wait_ns
        self._allowance_ns = context.store.allowance_ns(terms.ttl_ns)
        self._unacknowledged: Unacknowledged | None = None  # made for those whose request gets no answer
        self._failures = 0
        self._refusals = 0
        self._holder = ""

    # --- asking and waiting

    def take(self) -> HeldLease | NotAcquired:
        """Ask, and wait as the terms allow.

        Raises:
            ConfigError: the TTL is too short for what this store's clock may drift; nothing was asked.
            StoreUnavailable: the store does not answer.
        """
        check_ttl(f"lock {self._terms.resource}", self._terms.ttl_ns, self._allowance_ns)
        self._lock.fire(LockEvent.REQUESTED)
        try:
            return self._take_or_wait() if self._terms.blocking else self._try()
        except StoreUnavailable as error:
            down = error.kind == "unavailable"
            self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_UNAVAILABLE if down else LockReason.STORE_ERROR)
            raise
        except BaseException:  # the waiting thread was interrupted
            if self._lock.state is LockState.WAITING:
                self._in_doubt.note_lock(self._ask)  # the answer may have been on its way
                self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED)
            elif self.holding:
                self.give_back()
            else:
                self._break_off()
            raise
        finally:
            if self._hold is None and self._unacknowledged is not None:
                self._in_doubt.note_lock(self._ask)

    @property
    def holding(self) -> bool:
        """Whether the lease is kept: it was granted, and `give_back` was not called."""
        return self._hold is not None and not self._leaving

    def cancel(self) -> None:
        """End the waiting."""
        self._cancelled = True
        wake = self._wake  # read after `_cancelled` is set: a wait that begins now sees it
        if wake is not None:
            wake.ring()

    def _try(self) -> HeldLease | NotAcquired:
        answer = self._answer()
        if isinstance(answer, HeldLease):
            return self._unless_cancelled(answer)
        self._lock.fire(LockEvent.REFUSED, other_owner=self._holder)
        return self._not_acquired("held")

    def _take_or_wait(self) -> HeldLease | NotAcquired:
        again_ns = None
        if self._may_ask_at_once():
            answer = self._asked_or_pause()  # without a preference there is no head start
            if isinstance(answer, HeldLease):
                return self._unless_cancelled(answer)
            again_ns = answer
        with ExitStack() as waiting:
            return self._wait_for_it(waiting, again_ns)

    def _may_ask_at_once(self) -> bool:
        """Whether the queue is empty, and nothing speaks against a request now."""
        if self._stop is not None or self._terms.prefer is not None or self._cancelled:
            return False
        if self._until_ns is not None and self._began_ns >= self._until_ns:
            return False
        return self._wait_queues.is_empty(self._terms.resource)

    def _wait_for_it(self, waiting: ExitStack, not_before_ns: int | None) -> HeldLease | NotAcquired:
        """Wait in the queue.

        Args:
            not_before_ns: when to ask again, if the store has been asked already.
        """
        terms, clock = self._terms, self._context.clock
        wake = self._wake = Wake()
        waiting.enter_context(self._wait_queues.queued(terms.resource, wake))
        waiting.callback(self._head_start.watch(wake.ring))
        if self._stop is not None:
            waiting.enter_context(self._stop.calling(self.cancel))
        watching = False
        while not self._cancelled:
            again_ns = self._until_ns
            last = again_ns is not None and clock.monotonic_ns() >= again_ns
            first = self._wait_queues.is_head(terms.resource, wake)
            if first or last:
                answer = self._answer_or_pause(last=last) if not_before_ns is None or last else not_before_ns
                not_before_ns = None
                if isinstance(answer, HeldLease):
                    return self._unless_cancelled(answer)
                again_ns = answer if again_ns is None else min(answer, again_ns)
            if last:
                self._lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner=self._holder)
                return self._not_acquired("timeout")
            if first and not watching:  # a release just before this is noticed after the first pause, the shortest
                waiting.callback(self._context.store.watch(terms.resource, self._freed))
                watching = True
            clock.wait(again_ns, wake)
        self._lock.fire(LockEvent.FAILED, reason=LockReason.CANCELLED, other_owner=self._holder)
        return self._not_acquired("cancelled")

    def _unless_cancelled(self, lease: HeldLease) -> HeldLease | NotAcquired:
        """Return the lease; or release it, because the caller does not wait for it any more."""
        if not self._cancelled:
            return lease
        self.give_back()
        return self._not_acquired("cancelled")

    def _freed(self) -> None:
        """On any thread."""
        self._head_start.begin(self._context.clock.monotonic_ns())
        if self._wake is not None:
            self._wake.ring()

    def _answer_or_pause(self, *, last: bool) -> HeldLease | int:
        """Return the lease, or the instant at which to ask again."""
        now_ns = self._context.clock.monotonic_ns()
        if not self._head_start.begun:
            self._head_start.begin(now_ns)
        ends_ns = self._head_start.ends_ns()
        if now_ns < ends_ns and not last:
            return ends_ns
        return self._asked_or_pause()

    def _asked_or_pause(self) -> HeldLease | int:
        """Ask now; otherwise as `_answer_or_pause`."""
        try:
            answer = self._answer()
        except StoreUnavailable:
            now_ns = self._context.clock.monotonic_ns()
            over = self._until_ns is not None and now_ns >= self._until_ns
            self._failures += 1
            if over or backoff.STORE.is_exhausted(self._failures):
                raise  # the store has not said that the resource is held, so this is no refusal
            return now_ns + backoff.STORE.after(self._failures)
        if isinstance(answer, HeldLease):
            return answer
        self._failures = 0
        self._refusals += 1
        pause_ns = backoff.POLL.after(self._refusals)
        pause_ns = random.randint(pause_ns // 2, pause_ns)  # noqa: S311 - fairness, no secret
        return self._context.clock.monotonic_ns() + max(_POLL_MIN_NS, min(pause_ns, answer.retry_after_ns))

    def _answer(self) -> HeldLease | Refused:
        asked_ns = self._context.clock.monotonic_ns()
        try:
            answer = self._context.store.acquire(self._ask)
        except StoreUnavailable:
            if self._unacknowledged is None:
                self._unacknowledged = Unacknowledged(self._context)
            self._unacknowledged.note(asked_ns)
            raise
        if isinstance(answer, Granted):
            return self._take_up(answer, asked_ns)
        if self._in_doubt.reclaim(self._terms.resource, answer.holder):
            return self._answer()
        self._holder = answer.holder.owner
        return answer

    def _take_up(self, granted: Granted, asked_ns: int) -> HeldLease:
        """Report the grant, and have the lease kept from here on."""
        context, terms = self._context, self._terms
        if self._unacknowledged is not None:
            asked_ns = self._unacknowledged.lease_counts_from(self._ask.untrusted(granted.fence), asked_ns)
        trusted_ns = trusted_until_ns(asked_ns, terms.ttl_ns, self._allowance_ns)
        lease = self._ask.trusted(granted.fence, trusted_ns)
        if context.clock.monotonic_ns() >= trusted_ns:
            context.store.release(lease)
            self._ask = replace(self._ask, token=_new_token())  # should that release reach the store late
            raise StoreUnavailable(context.store.name, "acquire", "the lease had run out when the answer came")
        self._lock.fire(
            LockEvent.GRANTED, fence=granted.fence, trusted_until_ns=trusted_ns, other_owner=granted.expired_owner
        )
        held = HeldLease(self._lock, context.clock, self._loss, self._check_trust)
        with self._mutex:
            self._hold = self._renewer.keep(self._lock, lease, asked_ns, self._loss.report, renew=terms.renew)
        return held

    def _not_acquired(self, reason: str) -> NotAcquired:
        return NotAcquired(reason, self._holder, self._context.clock.monotonic_ns() - self._began_ns)

    # --- holding and giving back

    def give_back(self) -> bool:
        """Release the lease if it is still ours; return whether it was ours until then.

        A lost lease is left alone: another instance may have it by now. Without an answer from the store the lease
        runs out, or is released when it is in our way (leasing/in_doubt.py).
        """
        hold = self._hold
        assert hold is not None  # noqa: S101 - it was taken
        try:
            return self._given_back(hold)
        except BaseException:  # the releasing thread was interrupted
            self._renewer.drop(hold)
            self._break_off()
            raise

    def _given_back(self, hold: KeptLease) -> bool:
        with self._mutex:
            self._leaving = True
        self._renewer.check(hold)
        self._renewer.drop(hold)
        answer = None
        if self._lock.state is LockState.HELD:
            answer = self._released(hold.lease)
            if answer is None:
                self._lock.fire(LockEvent.EXPIRED, reason=LockReason.STORE_UNAVAILABLE)
            elif isinstance(answer, Gone):
                self._lock.fire(LockEvent.LOST, other_owner=answer.owner)
        if answer is None:  # the lease may still be ours: a release or a renewal got no answer
            self._in_doubt.note_lock(self._ask)
        return self._lock.fire(LockEvent.RELEASED).before is LockState.HELD

    def abandon(self) -> None:
        """End the waiting; or let the lease run out and report the loss, because it is not renewed any more."""
        self.cancel()
        with self._mutex:
            hold = self._hold
            if self._leaving or hold is None:
                return
            self._renewer.drop(hold)
            if self._lock.state is not LockState.HELD:
                return
            self._lock.fire(LockEvent.EXPIRED, reason=LockReason.CANCELLED)
        self._loss.report()

    def _break_off(self) -> None:
        """End a lease that nothing releases, because an exception came between: it runs out by itself."""
        self._in_doubt.note_lock(self._ask)
        if self._lock.state is LockState.HELD:
            self._lock.fire(LockEvent.EXPIRED, reason=LockReason.CANCELLED)
        if self._lock.state is LockState.LOST:
            self._lock.fire(LockEvent.RELEASED)

    def _check_trust(self) -> None:
        """Have the renewer report an end of trust that has passed."""
        with self._mutex:
            hold = None if self._leaving else self._hold
        if hold is not None:
            self._renewer.check(hold)

    def _released(self, lease: Lease) -> object | None:
        """Return the store's answer, None if there was none."""
        clock = self._context.clock
        try:
            answer, again = persist(partial(self._context.store.release, lease), backoff.STORE, clock)
        except StoreUnavailable as error:
            _log.error("lock %s could not be released, it runs out by itself: %s", lease.resource, error)
            return None
        # While it was trusted, no other instance can have it: an earlier request released it, and its answer was lost.
        if again and answer == Gone() and clock.monotonic_ns() < lease.trusted_until_ns:
            return Released()
        return answer


def _new_token() -> str:
    """Return 128 random bits: not from a buffer, because a forked child would give out the same ones."""
    return os.urandom(16).hex()
