"""Let callers take locks outside jobs, and know which of them are held or waited for.

A `ManualLock` is one lock with at most one holder at a time; `ManualLocks` is what all locks of a scheduler share.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from tickglass.sched.engine.locking.acquisition import Acquisition, NotAcquired
from tickglass.sched.engine.locking.wait_queue import WaitQueues
from tickglass.sched.engine.membership.head_start import HeadStart
from tickglass.sched.errors import ConfigError, LockInUse, LockNotHeld
from tickglass.sched.run import current_run, current_stop

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.in_doubt import InDoubt
    from tickglass.sched.engine.leasing.renewer import LeaseRenewer
    from tickglass.sched.engine.locking.held_lease import HeldLease
    from tickglass.sched.engine.membership.presence import Presence
    from tickglass.sched.lock_terms import LockTerms

__all__ = ["LockHost", "ManualLock", "ManualLocks"]


class ManualLocks:
    """What locks outside jobs share: the ports, the renewer, presence, locks in doubt, and the wait queues.

    Args:
        wait_queues: if others than these locks wait for the same resources; else they have their own.
    """

    def __init__(
        self,
        context: EngineContext,
        renewer: LeaseRenewer,
        presence: Presence,
        in_doubt: InDoubt,
        *,
        wait_queues: WaitQueues | None = None,
    ) -> None:
        self._context = context
        self._in_doubt = in_doubt
        self._renewer = renewer
        self._presence = presence
        self._wait_queues = wait_queues or WaitQueues()
        self._mutex = threading.Lock()
        self._acquisitions: set[Acquisition] = set()
        self._stopped = False

    def begin(self, terms: LockTerms) -> Acquisition:
        """Return a new acquisition, on behalf of the run whose code calls this, if any.

        Raises:
            ConfigError: the scheduler has stopped.
        """
        if terms.prefer is not None:
            self._presence.watch_labels(terms.prefer)
        acquisition = Acquisition(
            terms,
            current_run(),
            current_stop(),
            context=self._context,
            renewer=self._renewer,
            wait_queues=self._wait_queues,
            head_start=HeadStart(terms.prefer, self._presence),
            in_doubt=self._in_doubt,
        )
        with self._mutex:
            if self._stopped:
                raise ConfigError(f"the scheduler has stopped: no thread would renew the lock {terms.resource}")
            self._acquisitions.add(acquisition)
        return acquisition

    def end(self, acquisition: Acquisition) -> None:
        """Forget an acquisition that has ended."""
        with self._mutex:
            self._acquisitions.discard(acquisition)

    def stop(self) -> None:
        """End all waiting. Leases that are held count as lost, and run out by themselves."""
        with self._mutex:
            self._stopped = True
            acquisitions = list(self._acquisitions)
        for acquisition in acquisitions:
            acquisition.abandon()


class LockHost(Protocol):
    """Where a lock finds its `ManualLocks` when it needs them."""

    def open(self) -> ManualLocks:
        """Return them, started; one `shut` follows, unless this raises."""
        ...

    def shut(self) -> None:
        """Note that the caller does not need them any more, for now."""
        ...


class ManualLock:
    """One lock with at most one holder at a time; any thread may release what another one acquired.

    One use of it is an acquisition and, if that succeeds, the release. The caller of a use that begins on another
    thread reserves the lock for it before, so that nothing comes between.
    """

    def __init__(self, terms: LockTerms, lock_host: LockHost) -> None:
        self.terms = terms
        self._lock_host = lock_host
        self._mutex = threading.Lock()
        self._use: object | None = None
        self._cancelled = False
        self._manual_locks: ManualLocks | None = None
        self._acquisition: Acquisition | None = None
        self._lease: HeldLease | None = None

    @property
    def held(self) -> bool:
        """Whether there is a lease to release, lost or not."""
        return self._lease is not None

    @property
    def in_use(self) -> bool:
        """Whether it is held, waited for or reserved."""
        return self._use is not None

    def reserve(self, use: object) -> None:
        """Begin a use; `acquire_reserved` or `unreserve` follows.

        Args:
            use: tells this use from all others.

        Raises:
            LockInUse: it is held, waited for or reserved.
        """
        with self._mutex:
            if self._use is not None:
                raise LockInUse(self.terms.resource)
            self._use, self._cancelled = use, False

    def unreserve(self) -> None:
        """End a use without having acquired."""
        self._end()

    def acquire(self) -> HeldLease | NotAcquired:
        """Take the lock, waiting as its terms allow.

        Raises:
            LockInUse: it is held, waited for or reserved through this object.
            StoreUnavailable: the store does not answer.
            ConfigError: no scheduler runs that would renew the lease.
        """
        use = object()
        try:
            self.reserve(use)
            return self.acquire_reserved()
        except BaseException:
            if self._use is use:  # interrupted between two steps
                self._break_off()
            raise

    def acquire_reserved(self) -> HeldLease | NotAcquired:
        """Take the lock that is reserved for the caller; otherwise as `acquire`."""
        try:
            answer = self._taken()
        except BaseException:
            self._break_off()
            raise
        if isinstance(answer, NotAcquired):
            self._end()
        return answer

    def release(self) -> bool:
        """Release the lock; return whether it was ours until now, False if it had been lost before.

        Raises:
            LockNotHeld: it was not acquired, or was released.
        """
        acquisition = None
        try:
            with self._mutex:
                if self._lease is None:
                    raise LockNotHeld(self.terms.resource)  # noqa: TRY301 - an interruption may come at any step
                acquisition, self._lease = self._acquisition, None
            assert acquisition is not None  # noqa: S101 - there was a lease
            return acquisition.give_back()
        except BaseException:
            if acquisition is not None:
                acquisition.abandon()  # the caller was interrupted before the release began
            raise
        finally:
            if acquisition is not None:
                self._end()

    def cancel(self, use: object | None = None) -> bool:
        """End the waiting, if there is any; return False if it is too late, because the lock is held.

        Args:
            use: cancel no other use than this one.
        """
        with self._mutex:
            if self._lease is not None or (use is not None and use is not self._use):
                return False
            self._cancelled = True
            if self._acquisition is not None:
                self._acquisition.cancel()
            return True

    def _taken(self) -> HeldLease | NotAcquired:
        self._manual_locks = self._lock_host.open()
        acquisition = self._manual_locks.begin(self.terms)
        with self._mutex:
            self._acquisition = acquisition
            if self._cancelled:
                acquisition.cancel()
        answer = acquisition.take()
        with self._mutex:
            if isinstance(answer, NotAcquired):
                return answer
            if not self._cancelled:
                self._lease = answer
                return answer
        acquisition.give_back()  # granted while it was cancelled
        return NotAcquired("cancelled", "", 0)

    def _break_off(self) -> None:
        """End a use in which an exception was raised, by a signal's handler for example; nothing stays held."""
        try:
            if self._acquisition is not None and self._acquisition.holding:
                self._acquisition.give_back()
        finally:
            self._end()

    def _end(self) -> None:
        """Forget the acquisition, so that the next caller may acquire."""
        if self._manual_locks is not None:
            if self._acquisition is not None:
                self._manual_locks.end(self._acquisition)
            self._lock_host.shut()
        with self._mutex:
            self._manual_locks = self._acquisition = self._lease = None
            self._use = None
