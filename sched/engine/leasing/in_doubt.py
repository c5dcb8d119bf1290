"""Remember claims and locks that were given up without an answer, and end their leases if they were granted.

A store that stopped answering may have granted the last request. No code acts under that lease, but it keeps every
instance from the resource until it ends. An instance that is refused by its own forgotten lease releases it and asks
again. How depends on the occurrence: if it has ended here, its outcome is written, which releases the lease; if it is
to be run again, only the lease is released, and the sweepers find the open claim.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Claimed, Released

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import ClaimAsk, Holder, LeaseAsk, Settlement

__all__ = ["IN_DOUBT_MAX", "TRIES_MAX", "InDoubt", "LockInDoubt"]

_log: Final = logging.getLogger(__name__)
IN_DOUBT_MAX: Final = 1_000  # of each kind; the leases of the oldest run out
TRIES_MAX: Final = 3  # a request that was not found three times will hardly reach the store any more

T = TypeVar("T")


@dataclass(slots=True)
class _Ended:
    """A claim whose occurrence has ended, and how."""

    settlement: Settlement
    tries: int = 0  # how often a sweep has tried to settle it


@dataclass(slots=True)
class LockInDoubt:
    """A lock outside jobs that was asked for, or released, without an answer."""

    ask: LeaseAsk
    tries: int = 0  # how often a release has not found it
    tried_fence: int = 0  # the fence of the latest lease that was found not to be this one


class InDoubt:
    """Requests of this instance whose outcome it does not know.

    Args:
        write_outcome: writes the outcome of a run if it waits for the store, and its claim is therefore open;
            returns whether it is written.
        locks: those that were in doubt before, by token.
    """

    def __init__(
        self,
        context: EngineContext,
        write_outcome: Callable[[str], bool] = lambda _: False,
        locks: Mapping[str, LockInDoubt] = MappingProxyType({}),
    ) -> None:
        self._context = context
        self._write_outcome = write_outcome
        self._mutex = threading.Lock()
        self._ended: OrderedDict[str, _Ended] = OrderedDict()  # by run
        self._open: OrderedDict[str, ClaimAsk] = OrderedDict()  # by run
        self._locks: OrderedDict[str, LockInDoubt] = OrderedDict(locks)  # by token

    @property
    def locks(self) -> dict[str, LockInDoubt]:
        """The locks outside jobs that are in doubt, by token."""
        with self._mutex:
            return dict(self._locks)

    def note(self, settlement: Settlement) -> None:
        """Remember a claim that may be granted, and how its occurrence has ended."""
        self._remember(self._ended, settlement.run_id, _Ended(settlement))

    def note_open(self, ask: ClaimAsk) -> None:
        """Remember a claim whose lease may live though no run is under it; its occurrence is to be run again."""
        self._remember(self._open, ask.lease.run_id, ask)

    def note_lock(self, ask: LeaseAsk) -> None:
        """Remember a lock outside jobs that may be granted though no caller holds it."""
        self._remember(self._locks, ask.token, LockInDoubt(ask))

    def reclaim(self, resource: str, holder: Holder) -> bool:
        """End the lease that is in the way, if no code here acts under it; return whether to ask again at once."""
        try:
            if self.settle(holder.run_id) or self._release_claim(holder) or self._release_locks(resource, holder):
                return True
        except StoreUnavailable as error:
            _log.warning("the lease on %s, under which no code here acts, was not released: %s", resource, error)
            return False
        ours = holder.owner == self._context.owner and holder.run_id != ""
        return ours and self._write_outcome(holder.run_id)

    def release_rerun(self, job: JobId, due_ns: int) -> bool:
        """Release the claim of an earlier attempt at an occurrence that is asked for once more; as `reclaim`."""
        with self._mutex:
            asks = [ask for ask in self._open.values() if (ask.job_id, ask.due_ns) == (job, due_ns)]
        try:
            return any(self._release_again(ask) for ask in asks)
        except StoreUnavailable as error:
            _log.warning("a claim of %s without a run was not released: %s", job, error)
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
        """Settle what may have been granted, before its lease ends and another instance reruns what has ended here.

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
        """Release the locks that it may be: the store does not tell the token, and refuses any other token."""
        tried = False
        for lock in self._locks_of(resource, holder):
            answer = self._context.store.release(lock.ask.untrusted(holder.fence))
            tried = True
            lock.tries, lock.tried_fence = lock.tries + 1, holder.fence
            if isinstance(answer, Released) or lock.tries >= TRIES_MAX:
                self._forget(self._locks, lock.ask.token)
            if isinstance(answer, Released):
                break
        return tried

    def _locks_of(self, resource: str, holder: Holder) -> list[LockInDoubt]:
        who = (resource, holder.owner, holder.run_id)
        with self._mutex:
            in_doubt = list(self._locks.values())
        return [
            it
            for it in in_doubt
            if (it.ask.resource, it.ask.owner, it.ask.run_id) == who and it.tried_fence < holder.fence
        ]

    def _remember(self, in_doubt: OrderedDict[str, T], key: str, it: T) -> None:
        with self._mutex:
            in_doubt[key] = it
            if len(in_doubt) > IN_DOUBT_MAX:
                in_doubt.popitem(last=False)

    def _forget(self, in_doubt: OrderedDict[str, T], key: str) -> None:
        with self._mutex:
            in_doubt.pop(key, None)
