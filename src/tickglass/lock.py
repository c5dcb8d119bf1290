"""Locks outside jobs, which users take by hand: under a scheduler, or without one."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from tickglass.owner import Slot
from tickglass.sched.clock import SystemClock
from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.engine.context import EngineContext, NoTracer
from tickglass.sched.engine.leasing.in_doubt import InDoubt
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.engine.leasing.renewer import LeaseRenewer
from tickglass.sched.engine.locking.acquisition import NotAcquired
from tickglass.sched.engine.locking.manual_lock import ManualLock, ManualLocks
from tickglass.sched.engine.membership.presence import Presence
from tickglass.sched.engine.timing.timers import Timers
from tickglass.sched.errors import ConfigError, LockInUse, LockNotAcquired
from tickglass.sched.job import TTL_DEFAULT, checked_name
from tickglass.sched.lock_terms import lock_terms
from tickglass.sched.policies.preference import checked_labels
from tickglass.sched.stores import check_url, is_shared, open_store
from tickglass.sinks import checked_sinks
from tickglass.telemetry.logs import LogSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tickglass.sched.durations import Duration
    from tickglass.sched.engine.locking.held_lease import HeldLease
    from tickglass.sched.engine.locking.manual_lock import LockHost
    from tickglass.sched.lock_terms import LockTerms
    from tickglass.sched.policies.preference import Preference
    from tickglass.sched.ports import EventSink

__all__ = ["Lock", "SchedulerLock", "SchedulerLockHost"]

_THREAD: Final = "tickglass-lock"


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
        if isinstance(answer, NotAcquired):
            raise LockNotAcquired(self.resource, answer.holder, answer.waited_ns / 1e9, reason=answer.reason)
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock.held:  # else the body released it
            self._lock.release()

    async def __aenter__(self) -> HeldLease:
        from tickglass.aside import entered_aside  # noqa: PLC0415 - asyncio: only for coroutines

        return await entered_aside(self.__enter__, self._lock.cancel, lambda: self.__exit__(None, None, None), _THREAD)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from tickglass.aside import aside  # noqa: PLC0415 - likewise

        await aside(lambda: self.__exit__(kind, error, trace), _THREAD)


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

    Nothing is opened before the first use. The store stays open until `close`,
    or the end of a `with` block; threads look after the lease while the lock is
    held or waited for, and none otherwise.

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
            a `SpanSink` of `tickglass.telemetry`, for example.

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
        check_url(store)
        if not is_shared(store):
            raise ConfigError(
                "a lock in its own process's memory excludes no other process",
                given=store,
                instead=('"sqlite:///locks.db"', "scheduler.lock(...)"),
            )
        terms = lock_terms(resource, ttl=ttl, wait=wait, blocking=blocking, renew=renew, prefer=prefer)
        self._own = _OwnLockHost(
            store,
            checked_name(service, "service"),
            None if owner is None else checked_name(owner, "owner"),
            {"logs": LogSink(), **checked_sinks(sinks)},
            checked_labels(labels),
        )
        super().__init__(terms, self._own)

    def close(self) -> None:
        """Release the lock if it is held, and close the store; the next use opens it again.

        Raises:
            LockInUse: another thread waits for the lock.
        """
        if self._lock.held:
            self._lock.release()
        if not self._own.close():
            raise LockInUse(self.resource)

    def __enter__(self) -> HeldLease:
        try:
            return super().__enter__()
        except BaseException:
            self._own.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._own.close()


class _OwnLockHost:
    """A store, and the threads that renew one lease; one `open` at a time."""

    def __init__(
        self, url: str, service: str, owner: str | None, sinks: Mapping[str, EventSink], labels: frozenset[str]
    ) -> None:
        self._url = url
        self._service = service
        self._owner = owner
        self._sinks = sinks
        self._labels = labels
        self._clock = SystemClock()
        self._mutex = threading.Lock()
        self._undo = ExitStack()
        self._kept: tuple[EngineContext, InDoubt] | None = None  # from one acquisition to the next
        self._working: tuple[Timers, LeaseRenewer, Presence] | None = None

    def open(self) -> ManualLocks:
        """See `LockHost`."""
        with self._mutex:
            if self._kept is None:
                opened = self._opened()
                self._kept = opened, InDoubt(opened)
            context, in_doubt = self._kept
            timers = Timers(self._clock)
            renewer = LeaseRenewer(context.store, clock=self._clock, timers=timers)
            presence = Presence(context, renewer, self._labels)
            timers.start()
            presence.start()
            self._working = timers, renewer, presence
            return ManualLocks(context, renewer, presence, in_doubt)

    def shut(self) -> None:
        """See `LockHost`."""
        with self._mutex:
            if self._working is None:
                return
            timers, renewer, presence = self._working
            presence.stop()
            renewer.stop()
            timers.stop()
            self._working = None

    def close(self) -> bool:
        """Close the store; return False if it is in use."""
        with self._mutex:
            if self._working is not None:
                return False
            self._kept = None
            self._undo.pop_all().close()
            return True

    def _opened(self) -> EngineContext:
        with ExitStack() as undo:
            store = open_store(self._url, self._clock)
            undo.callback(store.close)
            owner = self._owner
            if owner is None:
                slot = Slot(self._service)
                undo.callback(slot.close)
                owner = slot.owner
            sink = Broadcast(self._sinks, self._clock)
            instrumented = InstrumentedStore(store, clock=self._clock, sink=sink)
            context = EngineContext(self._clock, instrumented, sink, NoTracer(), owner, self._service)
            self._undo = undo.pop_all()
        return context
