"""Hear which resources are freed, and which occurrences claimed: one connection per store, made at the first wish.

Only hints: whatever was missed while there was no connection is made up for by telling
everybody once there is one again.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis.rights import forbids
from tickglass.sched.stores.redis.scripts import claimed_by, told_claim
from tickglass.sched.stores.redis.scripts import freed as freed_on
from tickglass.sched.stores.redis.topology import call, driver
from tickglass.sched.stores.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.stores.redis.connections import RedisConnections
    from tickglass.sched.stores.redis.topology import Link

__all__ = ["RedisWatch"]

_log: Final = logging.getLogger(__name__)
_PING_EVERY_S: Final = 10.0  # a server that vanished without a word is missed after two of these
_AGAIN_NS: Final = (100 * MS, 5 * SECOND)  # first and longest pause before a broken subscription is begun anew


class RedisWatch:
    """Tells who waits for a resource when a server says that it is free, and who remembers claims of those."""

    def __init__(self, links: RedisConnections) -> None:
        self._links = links
        self._errors = driver()
        self._watchers = Watchers()
        self._claims: dict[str, Callable[[str, int, str], None]] = {}  # by channel
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
            self._begin()
        return remove

    def add_claims(self, service: str, heard: Callable[[str, int, str], None]) -> Callable[[], None]:
        """Call `heard` for each claim of a service, until the function that is returned was called."""
        channel = claimed_by(self._links.base, service)
        with self._lock:
            self._claims[channel] = heard
            self._hang_up()  # it is made anew, with this channel
            self._begin()

        def remove() -> None:
            with self._lock:
                self._claims.pop(channel, None)

        return remove

    def close(self) -> None:
        """End the subscription."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._hang_up()
        self._wake.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- with the lock in hand

    def _begin(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="tickglass-redis-watch", daemon=True)
            self._thread.start()

    def _hang_up(self) -> None:
        waiting = None if self._connection is None else self._connection._sock  # noqa: SLF001 - no other way to end a read
        if waiting is not None:
            with contextlib.suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)

    # --- in the thread

    def _run(self) -> None:
        pause_ns, longest_ns = _AGAIN_NS
        warned = False
        while not self._closed:
            try:
                connection = self._subscribed()
                pause_ns = _AGAIN_NS[0]
                self._listen(connection)
            except (self._errors.RedisError, OSError, UnicodeError) as error:
                if forbids(error) and not warned:
                    warned = True
                    _log.warning("nothing is heard of freed resources and claims: %s", self._links.cured(str(error)))
                # Begun anew below; what was missed is made up for then.
            except Exception:  # noqa: BLE001 - the thread's outer edge
                _log.exception("hearing of freed resources and claims failed, and begins anew")
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
            channels = list(self._claims)
        call(connection, "SUBSCRIBE", freed_on(self._links.base))
        if channels:
            connection.send_packed_command(connection.pack_command("SUBSCRIBE", *channels), check_health=False)
        for resource in self._watchers.resources():
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
        if message[0] != "message":
            return
        if message[1] == freed_on(self._links.base):
            self._watchers.freed(message[2])
            return
        with self._lock:
            heard = self._claims.get(message[1])
        if heard is None:
            return
        try:
            claim = told_claim(message[2])
        except ValueError:  # not from one of us: whoever reaches the server may publish
            return
        heard(*claim)

    def _let_go(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
