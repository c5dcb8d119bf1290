"""Share what free-standing locks need: one open store for each URL, and one thread for the timers of all.

A `SharedStore` is opened by the first lock that uses it. A server's connections stay for `KEPT_NS` after the last use,
because the next use often comes soon; a file is closed at once, because it may be replaced before the next use. Idle
connections and threads do nothing.

`SHARED_STORES` is an object of the process, which locks use without being given it. It is explicit so that its two ends
are written once: at the exit of the interpreter, what no lock uses is closed, and the rest ends with the
process, as a lease does whose holder dies. A forked child begins with none, because connections, threads and mutexes
belong to the parent.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from tickglass.locks.shared_locks import LocksInDoubt, OpenStore
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.timing.timers import Timers
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_url, is_shared, open_store, scheme_of

if TYPE_CHECKING:
    from tickglass.locks.shared_locks import LockIdentity, SharedLocks
    from tickglass.sched.engine.locking.manual_lock import ManualLocks
    from tickglass.sched.engine.membership.presence import Presence

__all__ = ["KEPT_NS", "SHARED_STORES", "SharedStore", "SharedStores"]

_CHECKED_MAX: Final = 1_000  # URLs; a check costs some microseconds
KEPT_NS: Final = 10 * SECOND  # a new connection to Redis costs 2 ms: nothing, if it is made this seldom


class SharedStore:
    """The store of one URL, as all locks of this process on it share it; it is open at most once.

    Args:
        place: the URL, made definite.
    """

    def __init__(self, url: str, place: str, stores: SharedStores) -> None:
        self.place = place
        self._url = url
        self._stores = stores
        self._clock = SystemClock()
        self._mutex = threading.Lock()
        self._opened: OpenStore | None = None
        self._users = 0
        self._unused_since_ns = 0
        self._dropped = False

    def begin(self, identity: LockIdentity) -> tuple[SharedLocks, ManualLocks] | None:
        """Open the store, unless it is open, and count one more user; one `end` follows.

        Returns:
            None: it was closed and dropped meanwhile, and another object has its place.

        Raises:
            ConfigError: the URL, or the place that it names, is wrong.
            StoreUnavailable: the store is there, but does not answer.
        """
        with self._mutex:
            if self._dropped:
                return None
            try:
                opened = self._opened or self._open()
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
            if presence is None:
                self._leave()
        try:
            if presence is not None:
                self._stop(presence, shared)
        finally:
            if not opened.store.own_clock:  # a file
                self.close_unused()

    def close_unused(self) -> None:
        """Close the store unless a lock uses it."""
        with self._mutex:
            closing = self._taken_if_unused()
        if closing is not None:
            closing.close()

    def forget_parents(self) -> OpenStore | None:
        """Begin anew in a forked child, with nothing open; return what the parent has open."""
        self._mutex = threading.Lock()
        opened, self._opened, self._users = self._opened, None, 0
        if opened is not None:
            opened.close_slots()
        return opened

    def _stop(self, presence: Presence, shared: SharedLocks) -> None:
        """Stop a presence: it releases leases, so it counts as a user until then."""
        try:
            presence.stop()
        finally:
            with self._mutex:
                shared.stopped()
                self._leave()

    # --- with the mutex held

    def _open(self) -> OpenStore:
        with ExitStack() as undo:
            timers = self._stores.lend_timers()
            undo.callback(self._stores.take_timers_back)
            store = open_store(self._url, self._clock)
            undo.callback(store.close)
            opened = OpenStore(
                store,
                timers,
                self._clock,
                place=self.place,
                in_doubt=self._stores.in_doubt,
                closed=self._stores.take_timers_back,
            )
            undo.pop_all()
        self._opened = opened
        if store.own_clock:
            self._unused_since_ns = self._clock.monotonic_ns()
            timers.at(self._unused_since_ns + KEPT_NS, lambda: self._close_if_idle(opened))
        return opened

    def _leave(self) -> None:
        self._users -= 1
        self._unused_since_ns = self._clock.monotonic_ns()

    def _taken_if_unused(self) -> OpenStore | None:
        return None if self._users else self._taken()

    def _taken(self) -> OpenStore | None:
        """Take what is open, and let the next use of the place begin with another object."""
        self._dropped = True
        self._stores.drop(self)
        closing, self._opened = self._opened, None
        return closing

    # --- on the timers' thread

    def _close_if_idle(self, opened: OpenStore) -> None:
        with self._mutex:
            if self._opened is not opened:
                return
            now_ns = self._clock.monotonic_ns()
            again_ns = (now_ns if self._users else self._unused_since_ns) + KEPT_NS
            if again_ns > now_ns:
                opened.timers.at(again_ns, lambda: self._close_if_idle(opened))
                return
            self._taken()
        opened.close()


class SharedStores:
    """The stores of this process that free-standing locks use; see above for its two ends."""

    def __init__(self) -> None:
        self.in_doubt = LocksInDoubt()
        self._mutex = threading.Lock()
        self._checked: set[str] = set()  # URLs
        self._stores: dict[str, SharedStore] = {}  # by place: those that are in use or open
        self._of_parents: list[OpenStore] = []
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
        if len(self._checked) >= _CHECKED_MAX:
            self._checked.clear()
        self._checked.add(url)

    def begin(self, url: str, identity: LockIdentity) -> tuple[SharedStore, SharedLocks, ManualLocks]:
        """Begin to use the store of a URL; its `end` follows.

        Raises:
            ConfigError: see `SharedStore.begin`.
            StoreUnavailable: likewise.
        """
        while True:
            store = self.of(url)
            begun = store.begin(identity)
            if begun is not None:
                return store, *begun

    def of(self, url: str) -> SharedStore:
        """Return the store of a URL; nothing is opened."""
        found = self._stores.get(url)
        if found is not None:
            return found
        place = _place_of(url)
        with self._mutex:
            if place not in self._stores:
                self._stores[place] = SharedStore(url, place, self)
            return self._stores[place]

    def close_if_unused(self, url: str) -> None:
        """Close the store of a URL unless a lock uses it."""
        found = self._stores.get(_place_of(url))
        if found is not None:
            found.close_unused()

    def drop(self, store: SharedStore) -> None:
        """Forget a store that is closed: a program may use a file for each of its tenants."""
        with self._mutex:
            if self._stores.get(store.place) is store:
                del self._stores[store.place]

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
        """Begin anew in a forked child.

        What the parent has open is not closed, nor collected: closing it could end the parent's connection, or
        unlock the parent's file.
        """
        self._mutex, self._timers, self._lent = threading.Lock(), None, 0
        self.in_doubt = LocksInDoubt()  # the parent releases its own
        opened = [store.forget_parents() for store in self._stores.values()]
        self._of_parents += [it for it in opened if it is not None]
        self._stores = {}


def _place_of(url: str) -> str:
    if scheme_of(url) == "sqlite":
        with suppress(OSError):  # the directory was removed
            return f"{url} in {os.getcwd()}"  # noqa: PTH109 - a relative path leads elsewhere after a chdir
    return url


SHARED_STORES: Final = SharedStores()
