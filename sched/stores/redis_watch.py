"""Hear which resources are freed: one subscription per store, begun at the first wish.

Only hints: whatever was missed while there was no connection is made up for by telling
everybody once there is one again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis_scripts import freed as channel_of
from tickglass.sched.stores.redis_servers import driver, talk
from tickglass.sched.stores.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.stores.redis_links import RedisLinks
    from tickglass.sched.stores.redis_servers import Link

__all__ = ["RedisWatch"]

_PING_EVERY_S: Final = 10.0  # a server that vanished without a word is missed after two of these
_AGAIN_NS: Final = (100 * MS, 5 * SECOND)  # first and longest pause before a broken subscription is begun anew


class RedisWatch:
    """Tells who waits for a resource when a server says that it is free."""

    def __init__(self, links: RedisLinks) -> None:
        self._links = links
        self._errors = driver()
        self._watchers = Watchers()
        self._watched: set[str] = set()
        self._lock = threading.Lock()
        self._wake = Wake()
        self._clock = SystemClock()
        self._thread: threading.Thread | None = None
        self._connection: Link | None = None
        self._closed = False

    def add(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """Call `freed` for each freeing of the resource, until the function that is returned was called."""
        remove = self._watchers.add(resource, freed)
        with self._lock:
            self._watched.add(resource)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="tickglass-redis-watch", daemon=True)
                self._thread.start()
        return remove

    def close(self) -> None:
        """End the subscription."""
        with self._lock:
            self._closed = True
            thread, connection = self._thread, self._connection
        self._wake.ring()
        waiting = None if connection is None else connection._sock  # noqa: SLF001 - no other way to end a read
        if waiting is not None:
            with contextlib.suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- in the thread

    def _run(self) -> None:
        pause_ns, longest_ns = _AGAIN_NS
        while not self._closed:
            try:
                connection = self._subscribed()
                pause_ns = _AGAIN_NS[0]
                self._listen(connection)
            except (self._errors.RedisError, OSError, UnicodeError):
                pass  # begun anew below; what was missed is made up for then
            self._let_go()
            if not self._closed:
                self._clock.wait(self._clock.monotonic_ns() + pause_ns, self._wake)
                pause_ns = min(2 * pause_ns, longest_ns)

    def _subscribed(self) -> Link:
        connection = self._links.open()
        with self._lock:
            self._connection = connection
            if self._closed:
                raise self._errors.ConnectionError("closed")
        talk(connection, "SUBSCRIBE", channel_of(self._links.base))
        with self._lock:
            self._watched = {resource for resource in self._watched if self._watchers.watched(resource)}
            missed = list(self._watched)
        for resource in missed:
            self._watchers.freed(resource)
        return connection

    def _listen(self, connection: Link) -> None:
        pinged = False
        while not self._closed:
            if connection.can_read(_PING_EVERY_S):
                self._take(connection.read_response())
                pinged = False
            elif pinged:
                raise self._errors.ConnectionError("no answer")
            else:
                connection.send_packed_command(connection.pack_command("PING"), check_health=False)
                pinged = True

    def _take(self, message: Any) -> None:  # noqa: ANN401 - ["message", channel, resource], or ["pong", ""]
        if message[0] == "message":
            self._watchers.freed(message[2])

    def _let_go(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
