"""Remember the claims and locks that were given up without an answer, and take back what was granted all the same.

A store that went away may have heard the last request. Nobody acts under such a
lease, yet it keeps everybody from its resource until it ends. An instance that is
refused because of it takes it back, and asks again. What is taken back depends on
how the occurrence ended here: its outcome is written; or, where it is still to be
run, only its lease is released, and its claim is left for the sweepers.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Claimed, Released

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.running.outbox import Outbox
    from tickglass.sched.ports import ClaimAsk, Holder, LeaseAsk, Settlement

__all__ = ["IN_DOUBT_MAX", "TRIES_MAX", "InDoubt"]

_log: Final = logging.getLogger(__name__)
IN_DOUBT_MAX: Final = 1_000  # of each kind; the oldest run out by themselves
TRIES_MAX: Final = 3  # a request that three attempts in vain have not found will hardly arrive any more

T = TypeVar("T")


@dataclass(slots=True)
class _Ended:
    """A claim whose occurrence has ended, and how."""

    settlement: Settlement
    tries: int = 0  # how often a sweep settled it in vain


@dataclass(slots=True)
class _LockDoubt:
    """A lock by hand that was asked for, or given back, without an answer."""

    ask: LeaseAsk
    tries: int = 0  # how often it was released in vain
    tried_fence: int = 0  # the latest lease that was found not to be this one


class InDoubt:
    """What this instance has asked for, and does not know whether it has.

    Args:
        outbox: has the outcomes that wait for the store, and whose claims are therefore open.
    """

    def __init__(self, context: EngineContext, outbox: Outbox) -> None:
        self._context = context
        self._outbox = outbox
        self._mutex = threading.Lock()
        self._ended: OrderedDict[str, _Ended] = OrderedDict()  # by run
        self._open: OrderedDict[str, ClaimAsk] = OrderedDict()  # by run
        self._locks: OrderedDict[str, _LockDoubt] = OrderedDict()  # by token

    def note(self, settlement: Settlement) -> None:
        """Remember a claim that may be granted unheard, and how its occurrence has ended."""
        self._remember(self._ended, settlement.run_id, _Ended(settlement))

    def note_open(self, ask: ClaimAsk) -> None:
        """Remember a claim whose lease may live though nobody runs under it; its occurrence is to be run again."""
        self._remember(self._open, ask.lease.run_id, ask)

    def note_lock(self, ask: LeaseAsk) -> None:
        """Remember a lock by hand that may be granted though nobody has it."""
        self._remember(self._locks, ask.token, _LockDoubt(ask))

    def reclaim(self, resource: str, holder: Holder) -> bool:
        """End the lease that is in the way, if nobody here acts under it; return whether to ask again at once."""
        try:
            if self.settle(holder.run_id) or self._release_claim(holder) or self._release_locks(resource, holder):
                return True
        except StoreUnavailable as error:
            _log.warning("the lease on %s, which nobody here acts under, was not taken back: %s", resource, error)
            return False
        ours = holder.owner == self._context.owner and holder.run_id != ""
        return ours and self._outbox.reclaim(holder.run_id)

    def take_back_rerun(self, job: str, due_ns: int) -> bool:
        """Release the claim of an earlier attempt at an occurrence that is asked for once more; as `reclaim`."""
        with self._mutex:
            asks = [ask for ask in self._open.values() if (ask.lease.job, ask.due_ns) == (job, due_ns)]
        try:
            return any(self._release_again(ask) for ask in asks)
        except StoreUnavailable as error:
            _log.warning("a claim of %s that nobody runs under was not taken back: %s", job, error)
            return False

    def settle(self, run_id: str) -> bool:
        """Write how the occurrence of this claim has ended, if that is known here; return whether it is.

        Raises:
            StoreUnavailable: the store does not answer; the claim stays in doubt.
        """
        with self._mutex:
            ended = self._ended.get(run_id)
        if ended is None:
            return False
        self._context.store.settle(ended.settlement)
        self._forget(self._ended, run_id)
        return True

    def settle_all(self) -> None:
        """Settle what may have been granted, before its lease ends and somebody runs again what has ended here.

        Raises:
            StoreUnavailable: the store does not answer; the rest stays in doubt.
        """
        with self._mutex:
            untried = [(run_id, ended) for run_id, ended in self._ended.items() if ended.tries < TRIES_MAX]
        for run_id, ended in untried:
            if self._context.store.settle(ended.settlement).recorded:
                self._forget(self._ended, run_id)
            ended.tries += 1

    def _release_claim(self, holder: Holder) -> bool:
        with self._mutex:
            ask = self._open.get(holder.run_id)
        if ask is None:
            return False
        self._context.store.release(ask.lease.untrusted(holder.fence))
        self._forget(self._open, holder.run_id)
        return True

    def _release_again(self, ask: ClaimAsk) -> bool:
        """Ask for the claim once more, which tells its fence, and release it; return whether it was there."""
        answer = self._context.store.claim(ask)
        if not isinstance(answer, Claimed):
            return False
        self._context.store.release(ask.lease.untrusted(answer.fence))
        self._forget(self._open, ask.lease.run_id)
        return True

    def _release_locks(self, resource: str, holder: Holder) -> bool:
        """Release those that it may be: the store does not tell the token, and refuses a release by any other."""
        tried = False
        for doubt in self._locks_of(resource, holder):
            answer = self._context.store.release(doubt.ask.untrusted(holder.fence))
            tried = True
            doubt.tries, doubt.tried_fence = doubt.tries + 1, holder.fence
            if isinstance(answer, Released) or doubt.tries >= TRIES_MAX:
                self._forget(self._locks, doubt.ask.token)
            if isinstance(answer, Released):
                break
        return tried

    def _locks_of(self, resource: str, holder: Holder) -> list[_LockDoubt]:
        who = (resource, holder.owner, holder.run_id)
        with self._mutex:
            in_doubt = list(self._locks.values())
        return [
            it
            for it in in_doubt
            if (it.ask.resource, it.ask.owner, it.ask.run_id) == who and it.tried_fence < holder.fence
        ]

    def _remember(self, in_doubt: OrderedDict[str, T], key: str, doubt: T) -> None:
        with self._mutex:
            in_doubt[key] = doubt
            if len(in_doubt) > IN_DOUBT_MAX:
                in_doubt.popitem(last=False)

    def _forget(self, in_doubt: OrderedDict[str, T], key: str) -> None:
        with self._mutex:
            in_doubt.pop(key, None)
