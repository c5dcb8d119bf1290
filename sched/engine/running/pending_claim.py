"""Wait for the claim of one occurrence without holding a worker.

A worker asks; if the answer is to ask again later, the worker is free until then.
A timer, the release of the resource, a change among the preferred instances or the
stop of the scheduler has a worker ask again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tickglass.sched.engine.running.claim import RetryAt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.membership.head_start import HeadStart
    from tickglass.sched.engine.running.claim import ClaimAttempt, ClaimWon, NotClaimed
    from tickglass.sched.engine.timing.timers import Timer, Timers
    from tickglass.sched.errors import StoreUnavailable
    from tickglass.sched.ports import ClaimAnswer, ClaimAsk, LockStore

__all__ = ["PendingClaim"]


class PendingClaim:
    """One occurrence before its claim.

    Args:
        head_start: that of the attempt, if it has one.
        resource: what the lease of the claim protects.
        store: tells when the resource may have become free.
    """

    def __init__(
        self,
        attempt: ClaimAttempt,
        head_start: HeadStart | None,
        resource: str,
        *,
        store: LockStore,
        timers: Timers,
    ) -> None:
        self._attempt = attempt
        self._head_start = head_start
        self._resource = resource
        self._store = store
        self._timers = timers
        self._resumed: Callable[[], None] = _nothing
        self._mutex = threading.Lock()
        self._giving_up = False
        self._parked: Timer | None = None  # rings when to ask again
        self._unwatch: Callable[[], None] = _nothing

    @property
    def parked(self) -> bool:
        """Whether it waits for the instant at which to ask again, without a worker."""
        return self._parked is not None

    def begin(self, resumed: Callable[[], None]) -> NotClaimed | ClaimAsk | None:
        """On a worker: return what to ask the store, or give up; None: it is parked, and is `resumed` later.

        Args:
            resumed: has a worker `begin` again; called from any thread.
        """
        if self._giving_up:
            return self._attempt.give_up()
        later = self._attempt.begin()
        if later is None:
            return self._attempt.ask
        self._park(later, resumed)
        return None

    def answered(
        self, answer: ClaimAnswer | StoreUnavailable, asked_ns: int, resumed: Callable[[], None]
    ) -> ClaimWon | NotClaimed | None:
        """On a worker: take the store's answer; None: it is parked, and is `resumed` when to ask again.

        Args:
            asked_ns: monotonic, read before the request.
            resumed: has a worker `begin` again; called from any thread.
        """
        decided = self._attempt.answered(answer, asked_ns)
        if isinstance(decided, RetryAt):
            self._park(decided, resumed)
            return None
        return decided

    def resume(self) -> None:
        """Have it asked again now, if it is parked; from any thread."""
        with self._mutex:
            parked, self._parked = self._parked, None
            unwatch, self._unwatch = self._unwatch, _nothing
            resumed, self._resumed = self._resumed, _nothing
        if parked is None:
            return
        parked.cancel()
        unwatch()
        resumed()

    def stop_claiming(self) -> None:
        """Do not ask any more; a request in progress goes on. From any thread."""
        self._giving_up = True
        self.resume()

    def _park(self, later: RetryAt, resumed: Callable[[], None]) -> None:
        """Free the worker until it is time to ask again."""
        with self._mutex:
            self._resumed = resumed  # only now: it refers to what refers to this
            self._parked = self._timers.at(later.at_ns, self.resume)
            held_back = self._head_start if later.held_back else None
            if held_back is not None:
                self._unwatch = held_back.watch(self.resume)
            else:
                self._unwatch = self._store.watch(self._resource, self._freed)
        if self._giving_up or (held_back is not None and held_back.ends_ns() < later.at_ns):
            self.resume()  # what happened before it was parked did not wake it

    def _freed(self) -> None:
        self._attempt.freed()
        self.resume()


def _nothing() -> None:
    """It is not parked."""
