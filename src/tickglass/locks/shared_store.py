"""Share what free-standing locks need: one open store for each URL, and one thread for the timers of all.

A `SharedStore` is opened by the first lock that uses it. A server's connections stay for `KEPT_NS` after the last use,
because the next use often comes soon; a file is closed at once, because it may be replaced before the next use. Idle
connections and threads do nothing.

`SHARED_STORES` is the only object of the process that locks share without being given it. It is explicit so that its
two ends are written once: at the exit of the interpreter, what no lock uses is closed, and the rest ends with the
process, as a lease does whose holder dies. A forked child begins with none, because connections, threads and mutexes
belong to the parent.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from tickglass.owner import Slot
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.engine.context import EngineContext, NoTracer
from tickglass.sched.engine.leasing.in_doubt import InDoubt
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.engine.leasing.renewer import LeaseRenewer
from tickglass.sched.engine.locking.manual_lock import ManualLocks
from tickglass.sched.engine.locking.wait_queue import WaitQueues
from tickglass.sched.engine.membership.presence import Presence
from tickglass.sched.engine.timing.timers import Timers
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_url, is_shared, open_store, scheme_of
from tickglass.telemetry.logs import LogSink

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tickglass.sched.ports import EventSink, Store

__all__ = ["KEPT_NS", "SHARED_STORES", "LockIdentity", "SharedLocks", "SharedStore", "SharedStores"]

KEPT_NS: Final = 10 * SECOND  # a new connection to Redis costs 2 ms: nothing, if it is made this seldom
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

    def __init__(self, identity: LockIdentity, owner: str, opened: _OpenStore) -> None:
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


class _OpenStore:
    """A store that is open, and what locks on it share."""

    def __init__(self, store: Store, stores: SharedStores, timers: Timers, clock: SystemClock) -> None:
        self.store = store
        self.timers = timers
        self._stores = stores
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
        self._stores.take_timers_back()

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


class SharedStore:
    """The store of one URL, as all locks of this process on it share it."""

    def __init__(self, url: str, stores: SharedStores) -> None:
        self._url = url
        self._stores = stores
        self._clock = SystemClock()
        self._mutex = threading.Lock()
        self._opened: _OpenStore | None = None
        self._users = 0
        self._unused_since_ns = 0
        self._of_parents: list[_OpenStore | None] = []

    def begin(self, identity: LockIdentity) -> tuple[SharedLocks, ManualLocks]:
        """Open the store, unless it is open, and count one more user; one `end` follows.

        Raises:
            ConfigError: the URL, or the place that it names, is wrong.
            StoreUnavailable: the store is there, but does not answer.
        """
        with self._mutex:
            opened = self._opened
            if opened is None:
                opened = self._open()
            try:
                shared = opened.locks_of(identity)
                locks = shared.begin()
            except BaseException:
                closing = self._taken_if_unused()
                if closing is not None:
                    closing.close()
                raise
            self._users += 1
            return shared, locks

    def end(self, shared: SharedLocks) -> None:
        """Count one user less."""
        with self._mutex:
            opened = self._opened
            if opened is None or shared.opened is not opened:
                return  # it was begun before a fork, in the parent
            presence = shared.end()
            self._users -= 1
            self._unused_since_ns = self._clock.monotonic_ns()
        try:
            if presence is not None:
                presence.stop()
        finally:
            if not opened.store.own_clock:  # a file
                self.close_unused()

    def close_unused(self) -> None:
        """Close the store unless a lock uses it."""
        with self._mutex:
            closing = self._taken_if_unused()
        if closing is not None:
            closing.close()

    def forget_parents(self) -> None:
        """Begin anew in a forked child, with nothing open.

        What the parent has open is not closed, nor collected: closing it could end the parent's connection, or
        unlock the parent's file.
        """
        self._mutex = threading.Lock()
        opened, self._opened, self._users = self._opened, None, 0
        if opened is not None:
            self._of_parents.append(opened)
            opened.close_slots()

    # --- with the mutex held

    def _open(self) -> _OpenStore:
        with ExitStack() as undo:
            timers = self._stores.lend_timers()
            undo.callback(self._stores.take_timers_back)
            store = open_store(self._url, self._clock)
            undo.callback(store.close)
            opened = _OpenStore(store, self._stores, timers, self._clock)
            undo.pop_all()
        self._opened = opened
        if store.own_clock:
            self._unused_since_ns = self._clock.monotonic_ns()
            timers.at(self._unused_since_ns + KEPT_NS, lambda: self._close_if_idle(opened))
        return opened

    def _taken_if_unused(self) -> _OpenStore | None:
        if self._users:
            return None
        closing, self._opened = self._opened, None
        return closing

    # --- on the timers' thread

    def _close_if_idle(self, opened: _OpenStore) -> None:
        with self._mutex:
            if self._opened is not opened:
                return
            now_ns = self._clock.monotonic_ns()
            again_ns = (now_ns if self._users else self._unused_since_ns) + KEPT_NS
            if again_ns > now_ns:
                opened.timers.at(again_ns, lambda: self._close_if_idle(opened))
                return
            self._opened = None
        opened.close()


class SharedStores:
    """The stores of this process that free-standing locks use; see above for its two ends."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._checked: set[str] = set()  # URLs
        self._stores: dict[str, SharedStore] = {}
        self._timers: Timers | None = None
        self._lent = 0  # to so many open stores
        self._hooked = False

    def check(self, url: str) -> None:
        """Refuse a URL that free-standing locks cannot use; nothing is opened.

        Raises:
            ConfigError: it is wrong, or no other process can open its store.
        """
        if isinstance(url, str) and url in self._checked:  # a program makes many locks with one URL
            return
        check_url(url)
        if not is_shared(url):
            raise ConfigError(
                "a lock in its own process's memory excludes no other process",
                given=url,
                instead=('"sqlite:///locks.db"', "scheduler.lock(...)"),
            )
        self._checked.add(url)

    def of(self, url: str) -> SharedStore:
        """Return the store of a URL; nothing is opened."""
        found = self._stores.get(url)
        if found is not None:
            return found
        place = url
        if scheme_of(url) == "sqlite":
            with suppress(OSError):  # the directory was removed
                place = f"{url} in {os.getcwd()}"  # noqa: PTH109 - a relative path leads elsewhere after a chdir
        with self._mutex:
            if place not in self._stores:
                self._stores[place] = SharedStore(url, self)
            return self._stores[place]

    def lend_timers(self) -> Timers:
        """Return the timers of all stores; their thread begins with the first and sleeps until a timer is due."""
        with self._mutex:
            if self._timers is None:
                timers = Timers(SystemClock())
                timers.start()
                self._timers = timers
            if not self._hooked:
                self._hooked = True
                atexit.register(self.close_unused)
                os.register_at_fork(after_in_child=self.forget_parents)
            self._lent += 1
            return self._timers

    def take_timers_back(self) -> None:
        """Note that a store was closed; the thread stays, because the next store often comes soon."""
        with self._mutex:
            self._lent -= 1

    def close_unused(self) -> None:
        """Close all stores that no lock uses, and end the timers if none is left; the next use begins them again."""
        with self._mutex:
            stores = list(self._stores.values())
        for store in stores:
            store.close_unused()
        with self._mutex:
            if self._timers is not None and not self._lent:
                self._timers.stop()
                self._timers = None

    def forget_parents(self) -> None:
        """Begin anew in a forked child."""
        self._mutex, self._timers, self._lent = threading.Lock(), None, 0
        for store in self._stores.values():
            store.forget_parents()


SHARED_STORES: Final = SharedStores()
