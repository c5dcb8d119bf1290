"""A desk: locks taken by hand on a rig, in this thread or in others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickglass.locks import SchedulerLock
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.engine.locking.manual_lock import ManualLock, ManualLocks
from tickglass.sched.events import LockMoved, StoreCalled
from tickglass.sched.lease import Lease
from tickglass.sched.lock_terms import lock_terms
from tickglass.sched.ports import Granted, LeaseAsk

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from kit.rig import Rig

    from tickglass.sched.engine.locking.acquisition import NotAcquired


class LockHost:
    """ManualLocks that are always there."""

    def __init__(self, rig: Rig) -> None:
        self.manual_locks = ManualLocks(
            rig.context, rig.dispatcher.renewer, rig.dispatcher.presence, rig.dispatcher.in_doubt
        )

    def open(self) -> ManualLocks:
        return self.manual_locks

    def shut(self) -> None:
        """Nothing to do."""


class Desk:
    """Where the tests take locks: by name, in this thread or in another."""

    def __init__(self, rig: Rig, threads: ThreadPoolExecutor) -> None:
        self.rig = rig
        self.lock_host = LockHost(rig)
        self._threads = threads

    def lock(self, resource: str = "printer", **terms: Any) -> ManualLock:  # noqa: ANN401 - see `lock_terms`
        return ManualLock(lock_terms(resource, **terms), self.lock_host)

    def face(self, resource: str = "printer", **terms: Any) -> SchedulerLock:  # noqa: ANN401 - see `lock_terms`
        return SchedulerLock(lock_terms(resource, **terms), self.lock_host)

    def take(self, resource: str = "printer", **terms: Any) -> tuple[ManualLock, HeldLease]:  # noqa: ANN401 - see `lock_terms`
        lock = self.lock(resource, **terms)
        lease = lock.acquire()
        assert isinstance(lease, HeldLease)
        return lock, lease

    def taken_by_the_other(self, ttl_ns: int = 30 * SECOND) -> Lease:
        ask = LeaseAsk("printer", "other", "svc", "token of the other", ttl_ns)
        granted = self.rig.store.acquire(ask)
        assert isinstance(granted, Granted)
        return Lease("printer", "other", ask.token, granted.fence, ttl_ns, 0)

    def waiting(self, lock: ManualLock, *, asleep: int = 2) -> Future[HeldLease | NotAcquired]:
        """Have another thread acquire; return when it waits. The timers sleep as well."""
        future = self._threads.submit(lock.acquire)
        self.rig.clock.wait_for_sleepers(asleep)
        return future

    def events(self) -> list[str]:
        return [move.event for move in self.rig.sink.of(LockMoved)]

    def calls(self, operation: str) -> int:
        return sum(call.operation == operation for call in self.rig.sink.of(StoreCalled))

    def called(self, operation: str, count: int) -> None:
        self.rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == operation, count=count)

    def metric(self, name: str, **labels: str) -> float | None:
        labels = {"resource": "printer", **labels}
        return self.rig.metrics.registry.get_sample_value(f"distributed_lock_{name}", labels)
