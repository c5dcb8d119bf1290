"""Say as whom a lock asks, and keep for each identity what its locks on one open store share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tickglass.owner import Slot
from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.engine.context import EngineContext, NoTracer
from tickglass.sched.engine.leasing.in_doubt import InDoubt
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.engine.leasing.renewer import LeaseRenewer
from tickglass.sched.engine.locking.manual_lock import ManualLocks
from tickglass.sched.engine.locking.wait_queue import WaitQueues
from tickglass.sched.engine.membership.presence import Presence
from tickglass.telemetry.logs import LogSink

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.timing.timers import Timers
    from tickglass.sched.ports import EventSink, Store

__all__ = ["LockIdentity", "OpenStore", "SharedLocks"]

_UNUSED_MAX: Final = 16  # with so many identities, one without a user makes room; a program seldom has more


class LockIdentity:
    """As whom a lock asks, and to whom it reports. Locks with the same identity share all but their terms.

    Args:
        owner: None: host/service/slot.
        sinks: the user's, beside the log.

    Attributes:
        key: what identities are compared by: sinks need not be hashable.
    """

    __slots__ = ("key", "labels", "owner", "service", "sinks")

    def __init__(self, service: str, owner: str | None, sinks: Mapping[str, EventSink], labels: frozenset[str]) -> None:
        self.service = service
        self.owner = owner
        self.sinks = sinks
        self.labels = labels
        self.key: Hashable = (service, owner, labels, tuple((name, id(sink)) for name, sink in sinks.items()))


class SharedLocks:
    """One identity on an open store; its caller holds the mutex of the `SharedStore`."""

    def __init__(self, identity: LockIdentity, owner: str, opened: OpenStore) -> None:
        self.opened = opened
        self.users = 0
        self._identity = identity  # keeps the sinks alive, by whose ids it is found
        clock = opened.clock
        sink = Broadcast({"logs": LogSink(), **identity.sinks}, clock)
        store = InstrumentedStore(opened.store, clock=clock, sink=sink)
        self._context = EngineContext(clock, store, sink, NoTracer(), owner, identity.service)
        self._in_doubt = InDoubt(self._context)
        self._renewer = LeaseRenewer(store, clock=clock, timers=opened.timers)
        self._working: tuple[ManualLocks, Presence] | None = None

    def begin(self) -> ManualLocks:
        """Count one more user."""
        if self._working is None:
            presence = Presence(self._context, self._renewer, self._identity.labels)
            presence.start()
            locks = ManualLocks(
                self._context, self._renewer, presence, self._in_doubt, wait_queues=self.opened.wait_queues
            )
            self._working = locks, presence
        self.users += 1
        return self._working[0]

    def end(self) -> Presence | None:
        """Count one user less; return what is to be stopped without the mutex: labels count while there are users."""
        self.users -= 1
        if self.users or self._working is None or self._working[1].idle:
            return None
        _, presence = self._working
        self._working = None
        return presence

    def close(self) -> None:
        """End the threads that renewed leases."""
        self._renewer.stop()


class OpenStore:
    """A store that is open, and what locks on it share.

    Args:
        closed: called when it is closed.
    """

    def __init__(self, store: Store, timers: Timers, clock: Clock, closed: Callable[[], None]) -> None:
        self.store = store
        self.timers = timers
        self._closed = closed
        self.clock = clock
        self.wait_queues = WaitQueues()
        self._slots: dict[str, Slot] = {}  # by service
        self._by_identity: dict[Hashable, SharedLocks] = {}  # the oldest is the first

    def locks_of(self, identity: LockIdentity) -> SharedLocks:
        """Return what an identity has here.

        Raises:
            ConfigError: it needs a slot for its name, and none can be taken.
        """
        found = self._by_identity.get(identity.key)
        if found is None:
            if len(self._by_identity) >= _UNUSED_MAX:
                self._drop_oldest_unused()
            found = self._by_identity[identity.key] = SharedLocks(identity, self._owner_of(identity), self)
        return found

    def close(self) -> None:
        """Close it all; nobody uses it."""
        for shared in self._by_identity.values():
            shared.close()
        self.store.close()
        self.close_slots()
        self._closed()

    def close_slots(self) -> None:
        """Free the names that were taken; a forked child only closes its copies of the files."""
        slots, self._slots = self._slots, {}
        for slot in slots.values():
            with suppress(OSError):  # in a child: the parent was closing it
                slot.close()

    def _owner_of(self, identity: LockIdentity) -> str:
        if identity.owner is not None:
            return identity.owner
        if identity.service not in self._slots:
            self._slots[identity.service] = Slot(identity.service)
        return self._slots[identity.service].owner

    def _drop_oldest_unused(self) -> None:
        for key, shared in self._by_identity.items():
            if not shared.users:
                shared.close()
                del self._by_identity[key]
                return
