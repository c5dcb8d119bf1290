"""Locks as context managers and as pairs of calls, over a scheduler's store or one that all locks of a URL share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tickglass.locks.shared_locks import LockIdentity
from tickglass.locks.shared_store import SHARED_STORES
from tickglass.sched.engine.locking.acquisition import NotAcquired
from tickglass.sched.engine.locking.manual_lock import ManualLock
from tickglass.sched.errors import ConfigError, LockInUse, LockNotAcquired
from tickglass.sched.job import TTL_DEFAULT, checked_name
from tickglass.sched.lock_terms import lock_terms
from tickglass.sched.policies.preference import checked_labels
from tickglass.sinks import checked_sinks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tickglass.locks.shared_locks import SharedLocks
    from tickglass.locks.shared_store import SharedStore
    from tickglass.sched.durations import Duration
    from tickglass.sched.engine.locking.held_lease import HeldLease
    from tickglass.sched.engine.locking.manual_lock import LockHost, ManualLocks
    from tickglass.sched.lock_terms import LockTerms
    from tickglass.sched.policies.preference import Preference
    from tickglass.sched.ports import EventSink

__all__ = ["Lock", "SchedulerLock", "SchedulerLockHost"]


class _ManualLockBase:
    """One lock as a context manager, synchronous and asynchronous, and as a pair of calls.

    Not re-entrant, and for one holder at a time: make one object for each thread or task.
    It may be used again after its release.
    """

    def __init__(self, terms: LockTerms, host: LockHost) -> None:
        self._lock = ManualLock(terms, host)

    @property
    def resource(self) -> str:
        """What the lock protects."""
        return self._lock.terms.resource

    def acquire(self) -> HeldLease | None:
        """Take the lock, waiting as declared; None if another holder kept it.

        Raises:
            LockInUse: it is held or waited for through this object.
            StoreUnavailable: the store does not answer.
        """
        answer = self._lock.acquire()
        return None if isinstance(answer, NotAcquired) else answer

    def release(self) -> bool:
        """Release the lock; return False if it had been lost before: then no lease is changed.

        A store that does not answer is asked again after 100, 300 and 800 ms;
        then the lease is left to run out by itself. Neither raises.

        Raises:
            LockNotHeld: it was not acquired, or was released.
        """
        return self._lock.release()

    def __enter__(self) -> HeldLease:
        answer = self._lock.acquire()
        try:
            return self._entered(answer)
        except LockNotAcquired:
            raise
        except BaseException:  # interrupted by a signal's handler, say: the block is not entered
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock.held:  # else the body released it
            self._lock.release()

    async def __aenter__(self) -> HeldLease:
        from tickglass.aside import LOCK_THREADS, entered_on  # noqa: PLC0415 - asyncio: only for coroutines

        use = object()
        self._lock.reserve(use)
        try:
            entering = LOCK_THREADS.begin(lambda: self._entered(self._lock.acquire_reserved()))
        except BaseException:  # no more threads are to be had
            self._lock.unreserve()
            raise
        leave = partial(self.__exit__, None, None, None)
        return await entered_on(LOCK_THREADS.begin, entering, partial(self._lock.cancel, use), leave)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from tickglass.aside import LOCK_THREADS  # noqa: PLC0415 - likewise

        await LOCK_THREADS.begin(lambda: self.__exit__(kind, error, trace))

    def _entered(self, answer: HeldLease | NotAcquired) -> HeldLease:
        if isinstance(answer, NotAcquired):
            raise LockNotAcquired(self.resource, answer.holder, answer.waited_ns / 1e9, reason=answer.reason)
        return answer


class SchedulerLock(_ManualLockBase):
    """A lock by hand under a scheduler's name, kept by its renewer; made by `Scheduler.lock`."""


class SchedulerLockHost:
    """Takes locks through a scheduler while it runs.

    Args:
        manual_locks: returns the scheduler's manual locks; None if it has not started.
    """

    def __init__(self, manual_locks: Callable[[], ManualLocks | None], resource: str) -> None:
        self._manual_locks = manual_locks
        self._resource = resource

    def open(self) -> ManualLocks:
        """See `LockHost`."""
        manual_locks = self._manual_locks()
        if manual_locks is None:
            raise ConfigError(
                f"the scheduler has not been started, and would not renew the lock {self._resource}",
                instead=("scheduler.start()", f'tickglass.Lock(store, "{self._resource}")'),
            )
        return manual_locks

    def shut(self) -> None:
        """See `LockHost`."""


class Lock(_ManualLockBase):
    """A lock without a scheduler: for scripts, migrations, and programs with loops of their own.

    Nothing is opened before the first use. All locks of a process on the same
    store share its connections, and a thread for the timers, which sleeps while no
    lock is held. A server's connections are closed ten seconds after the last use,
    at `close`, and at the exit of the interpreter; a file at the end of each use.
    The next use opens the store again. A forked process opens its own.

    Args:
        store: URL of the store that all parties share.
        resource: what the lock protects.
        ttl: how long the lease lasts if this process dies.
        wait: how long to wait while another holder has it; None: for ever.
        blocking: False: do not wait at all.
        renew: False: the lease ends after `ttl`, and is not renewed.
        prefer: labels of the instances that should have it, as for `Scheduler.lock`.
        labels: by which this instance may be preferred, such as {"region": "a"}; it counts as
            there while it holds the lock or waits for it.
        service: the name of what this belongs to; a metric label.
        owner: the name of the holder that others see; default: host/service/slot.
        sinks: your own `EventSink`s, by name, beside the log: a `MetricSink` or
            a `SpanSink` of `tickglass.telemetry`, for example. One that blocks holds up the
            renewals of other locks.

    Raises:
        ConfigError: naming the argument that is wrong.
    """

    def __init__(
        self,
        store: str,
        resource: str,
        *,
        ttl: Duration = TTL_DEFAULT,
        wait: Duration | None = None,
        blocking: bool = True,
        renew: bool = True,
        prefer: str | Preference | None = None,
        labels: Mapping[str, str] | None = None,
        service: str = "default",
        owner: str | None = None,
        sinks: Mapping[str, EventSink] | None = None,
    ) -> None:
        SHARED_STORES.check(store)
        terms = lock_terms(resource, ttl=ttl, wait=wait, blocking=blocking, renew=renew, prefer=prefer)
        identity = LockIdentity(
            checked_name(service, "service"),
            None if owner is None else checked_name(owner, "owner"),
            checked_sinks(sinks),
            checked_labels(labels),
        )
        self._store = store
        super().__init__(terms, _SharedLockHost(store, identity))

    def close(self) -> None:
        """Release the lock if it is held, and close the store unless other locks use it; the next use opens it again.

        Raises:
            LockInUse: another thread waits for the lock.
        """
        if self._lock.held:
            self._lock.release()
        if self._lock.in_use:
            raise LockInUse(self.resource)
        SHARED_STORES.close_if_unused(self._store)


class _SharedLockHost:
    """Takes the locks of one `Lock` through the store that all locks of its URL share; one `open` at a time."""

    def __init__(self, url: str, identity: LockIdentity) -> None:
        self._url = url
        self._identity = identity
        self._using: tuple[SharedStore, SharedLocks] | None = None

    def open(self) -> ManualLocks:
        """See `LockHost`."""
        store, shared, locks = SHARED_STORES.begin(self._url, self._identity)
        self._using = store, shared
        return locks

    def shut(self) -> None:
        """See `LockHost`."""
        using, self._using = self._using, None
        if using is not None:
            store, shared = using
            store.end(shared)
