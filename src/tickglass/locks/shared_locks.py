"""Say as whom a lock asks, and keep for each identity what its locks on one open store share."""

from __future__ import annotations

import threading
from collections import OrderedDict
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
    from tickglass.sched.engine.leasing.in_doubt import LockInDoubt
    from tickglass.sched.engine.timing.timers import Timers
    from tickglass.sched.ports import EventSink, Store

__all__ = ["LockIdentity", "LocksInDoubt", "OpenStore", "SharedLocks"]

_REMEMBERED_MAX: Final = 64  # identities whose locks are in doubt on a store that is closed
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


class LocksInDoubt:
    """The locks that may be granted though no caller holds them, of stores that are closed, by place and identity.

    The lease of such a lock may last much longer than a store stays open for the next use. Those of the identity
    that was added first make room.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._kept: OrderedDict[tuple[str, Hashable], dict[str, LockInDoubt]] = OrderedDict()

    def keep(self, place: str, identity: LockIdentity, locks: dict[str, LockInDoubt]) -> None:
        """Keep these until they are taken."""
        if locks:
            with self._mutex:
                self._kept.setdefault((place, identity.key), {}).update(locks)
                if len(self._kept) > _REMEMBERED_MAX:
                    self._kept.popitem(last=False)

    def take(self, place: str, identity: LockIdentity) -> dict[str, LockInDoubt]:
        """Return what was kept."""
        with self._mutex:
            return self._kept.pop((place, identity.key), {})


class SharedLocks:
    """One identity on an open store; its caller holds the mutex of the `SharedStore`.

    Args:
        in_doubt: the identity's locks that were in doubt when the store was open before.
    """

    def __init__(self, identity: LockIdentity, owner: str, opened: OpenStore, in_doubt: dict[str, LockInDoubt]) -> None:
        self.opened = opened
        self.users = 0
        self.stopping = 0  # presences that are about to release their leases
        self.identity = identity  # keeps the sinks alive, by whose ids it is found
        clock = opened.clock
        sink = Broadcast({"logs": LogSink(), **identity.sinks}, clock)
        store = InstrumentedStore(opened.store, clock=clock, sink=sink)
        self._context = EngineContext(clock, store, sink, NoTracer(), owner, identity.service)
        self._in_doubt = InDoubt(self._context, locks=in_doubt)
        self._renewer = LeaseRenewer(store, clock=clock, timers=opened.timers)
        self._working: tuple[ManualLocks, Presence] | None = None

    def begin(self) -> ManualLocks:
        """Count one more user."""
        if self._working is None:
            presence = Presence(self._context, self._renewer, self.identity.labels)
            presence.start()
            locks = ManualLocks(
                self._context, self._renewer, presence, self._in_doubt, wait_queues=self.opened.wait_queues
            )
            self._working = locks, presence
        self.users += 1
        return self._working[0]

    def end(self) -> Presence | None:
        """Count one user less; return what is to be stopped without the mutex: labels count while there are users.

        What is returned uses the store until `stopped`.
        """
        self.users -= 1
        if self.users or self._working is None or self._working[1].idle:
            return None
        _, presence = self._working
        self._working = None
        self.stopping += 1
        return presence

    def stopped(self) -> None:
        """Note that what `end` returned has stopped."""
        self.stopping -= 1

    def close(self) -> dict[str, LockInDoubt]:
        """End the threads that renewed leases; return the locks that are in doubt."""
        self._renewer.stop()
        return self._in_doubt.locks


class OpenStore:
    """A store that is open, and what locks on it share.

    Args:
        place: where it is.
        in_doubt: keeps the locks that are in doubt while it is closed.
        closed: called when it is closed.
    """

    def __init__(
        self,
        store: Store,
        timers: Timers,
        clock: Clock,
        *,
        place: str,
        in_doubt: LocksInDoubt,
        closed: Callable[[], None],
    ) -> None:
        self.store = store
        self._place = place
        self._in_doubt = in_doubt
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
            owner = self._owner_of(identity)
            in_doubt = self._in_doubt.take(self._place, identity)
            found = self._by_identity[identity.key] = SharedLocks(identity, owner, self, in_doubt)
        return found

    def close(self) -> None:
        """Close it all; nobody uses it."""
        for shared in self._by_identity.values():
            self._close_one(shared)
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
            if not shared.users and not shared.stopping:
                self._close_one(shared)
                del self._by_identity[key]
                return

    def _close_one(self, shared: SharedLocks) -> None:
        self._in_doubt.keep(self._place, shared.identity, shared.close())
