"""Lend locks to whoever takes them by hand, and know which of them are taken.

A `HandLock` is one lock in one pair of hands at a time; a `Hands` is what all
of a scheduler's share.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from tickglass.sched.engine.membership.head_start import HeadStart
from tickglass.sched.engine.locking.wait_queue import Lines
from tickglass.sched.engine.locking.acquisition import NotTaken, Taking
from tickglass.sched.errors import ConfigError, LockInUse, LockNotHeld
from tickglass.sched.run import current_run

if TYPE_CHECKING:
    from tickglass.sched.engine.leasing.in_doubt import Doubts
    from tickglass.sched.engine.context import Gear
    from tickglass.sched.engine.locking.held_lease import HeldLease
    from tickglass.sched.engine.leasing.renewer import Keeper
    from tickglass.sched.engine.membership.presence import Presence
    from tickglass.sched.lock_terms import LockTerms

__all__ = ["Bench", "HandLock", "Hands"]


class Hands:
    """What locks taken by hand share: the ports, the keeper, who else is there, and the lines of those who wait."""

    def __init__(self, gear: Gear, keeper: Keeper, presence: Presence, doubts: Doubts) -> None:
        self._gear = gear
        self._doubts = doubts
        self._keeper = keeper
        self._presence = presence
        self._lines = Lines()
        self._door = threading.Lock()
        self._takings: set[Taking] = set()
        self._stopped = False

    def begin(self, terms: LockTerms) -> Taking:
        """Return a new taking, in the name of the run whose code calls this.

        Raises:
            ConfigError: nobody keeps leases here any more.
        """
        self._presence.look_for(terms.prefer)
        head_start = HeadStart(terms.prefer, self._presence)
        taking = Taking(
            terms,
            current_run(),
            gear=self._gear,
            keeper=self._keeper,
            lines=self._lines,
            head_start=head_start,
            doubts=self._doubts,
        )
        with self._door:
            if self._stopped:
                raise ConfigError(f"the scheduler has stopped: nobody would renew the lock {terms.resource}")
            self._takings.add(taking)
        return taking

    def end(self, taking: Taking) -> None:
        """Forget a taking that has come to its end."""
        with self._door:
            self._takings.discard(taking)

    def stop(self) -> None:
        """End all waiting. Leases in hand are lost to their holders, and run out by themselves."""
        with self._door:
            self._stopped = True
            takings = list(self._takings)
        for taking in takings:
            taking.abandon()


class Bench(Protocol):
    """Where a lock finds its `Hands` when it needs them."""

    def open(self) -> Hands:
        """Return them, at work; followed by one `shut`, unless it raises."""
        ...

    def shut(self) -> None:
        """They are not needed any more, for now."""
        ...


class HandLock:
    """One lock, taken by one party at a time; any thread may release what another acquired."""

    def __init__(self, terms: LockTerms, bench: Bench) -> None:
        self.terms = terms
        self._bench = bench
        self._door = threading.Lock()
        self._in_use = False
        self._cancelled = False
        self._hands: Hands | None = None
        self._taking: Taking | None = None
        self._lease: HeldLease | None = None

    @property
    def held(self) -> bool:
        """Whether there is something to release, be it lost or not."""
        return self._lease is not None

    def acquire(self) -> HeldLease | NotTaken:
        """Take the lock, waiting as its terms allow.

        Raises:
            LockInUse: it is held or waited for through this object.
            StoreUnavailable: the store does not answer.
            ConfigError: there is nobody to keep the lease.
        """
        with self._door:
            if self._in_use:
                raise LockInUse(self.terms.resource)
            self._in_use, self._cancelled = True, False
        try:
            answer = self._taken(self._begun())
        except BaseException:
            self._end()
            raise
        if isinstance(answer, NotTaken):
            self._end()
        return answer

    def release(self) -> bool:
        """Give the lock back; return whether it was ours to the end, False if it had been lost before.

        Raises:
            LockNotHeld: it was not acquired, or was released.
        """
        with self._door:
            taking = self._taking
            if self._lease is None or taking is None:
                raise LockNotHeld(self.terms.resource)
            self._lease = None
        try:
            return taking.give_back()
        finally:
            self._end()

    def cancel(self) -> bool:
        """End the waiting, if there is any; return False if it is too late: the lock is held."""
        with self._door:
            if self._lease is not None:
                return False
            self._cancelled = True
            if self._taking is not None:
                self._taking.cancel()
            return True

    def _begun(self) -> Taking:
        self._hands = self._bench.open()
        taking = self._hands.begin(self.terms)
        with self._door:
            self._taking = taking
            if self._cancelled:
                taking.cancel()
        return taking

    def _taken(self, taking: Taking) -> HeldLease | NotTaken:
        answer = taking.take()
        with self._door:
            if isinstance(answer, NotTaken):
                return answer
            if not self._cancelled:
                self._lease = answer
                return answer
        taking.give_back()  # granted in the moment in which it was cancelled
        return NotTaken("cancelled", "", 0)

    def _end(self) -> None:
        """Let go of everything, so that the next one may acquire."""
        if self._hands is not None:
            if self._taking is not None:
                self._hands.end(self._taking)
            self._bench.shut()
        with self._door:
            self._hands = self._taking = self._lease = None
            self._in_use = False
