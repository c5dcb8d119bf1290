"""Subscribe to freed resources and won claims: one connection per store, made when it is first needed.

Only hints. Messages are lost while there is no connection; so once there is one again, all
waiters are woken.
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
from tickglass.sched.stores.redis.scripts import claims_channel, freed_channel, read_claim_message
from tickglass.sched.stores.redis.topology import call, driver
from tickglass.sched.stores.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.stores.redis.connections import RedisConnections
    from tickglass.sched.stores.redis.topology import Connection

__all__ = ["RedisWatch"]

_log: Final = logging.getLogger(__name__)
_PING_EVERY_S: Final = 10.0  # a server that vanished without closing is noticed after two of these
_RECONNECT_NS: Final = (100 * MS, 5 * SECOND)  # first and longest pause before a broken subscription is replaced


class RedisWatch:
    """Calls the waiters of a resource when a server publishes that it is free, and the listeners of claims."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._errors = driver()
        self._watchers = Watchers()
        self._claims: dict[str, Callable[[str, int, str], None]] = {}  # by channel
        self._lock = threading.Lock()
        self._wake = Wake()
        self._clock = SystemClock()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._closed = False

    def add(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """Call `freed` each time the resource is freed, until the returned function is called."""
        remove = self._watchers.add(resource, freed)
        with self._lock:
            self._start()
        return remove

    def add_claims(self, service: str, on_claim: Callable[[str, int, str], None]) -> Callable[[], None]:
        """Call `on_claim` for each claim of a service, until the returned function is called."""
        channel = claims_channel(self._connections.base, service)
        with self._lock:
            self._claims[channel] = on_claim
            self._disconnect()  # the next connection subscribes to this channel too
            self._start()

        def remove() -> None:
            with self._lock:
                self._claims.pop(channel, None)

        return remove

    def close(self) -> None:
        """End the subscription."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._disconnect()
        self._wake.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- with the lock held

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="tickglass-redis-watch", daemon=True)
            self._thread.start()

    def _disconnect(self) -> None:
        waiting = None if self._connection is None else self._connection._sock  # noqa: SLF001 - no other way to end a read
        if waiting is not None:
            with contextlib.suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)

    # --- in the thread

    def _run(self) -> None:
        pause_ns, longest_ns = _RECONNECT_NS
        warned = False
        while not self._closed:
            try:
                connection = self._subscribed()
                pause_ns = _RECONNECT_NS[0]
                self._listen(connection)
            except (self._errors.RedisError, OSError, UnicodeError) as error:
                if forbids(error) and not warned:
                    warned = True
                    _log.warning(
                        "no subscription to freed resources and claims: %s",
                        self._connections.with_cure_for(str(error)),
                    )
                # Replaced below; then all waiters are woken.
            except Exception:  # noqa: BLE001 - the thread's outer edge
                _log.exception("the subscription to freed resources and claims failed; it is replaced")
            self._drop_connection()
            if not self._closed:
                self._clock.wait(self._clock.monotonic_ns() + pause_ns, self._wake)
                pause_ns = min(2 * pause_ns, longest_ns)

    def _subscribed(self) -> Connection:
        connection = self._connections.open()
        with self._lock:
            self._connection = connection
            if self._closed:
                raise self._errors.ConnectionError("closed")
            channels = list(self._claims)
        call(connection, "SUBSCRIBE", freed_channel(self._connections.base))
        if channels:
            connection.send_packed_command(connection.pack_command("SUBSCRIBE", *channels), check_health=False)
        for resource in self._watchers.resources():
            self._watchers.freed(resource)
        return connection

    def _listen(self, connection: Connection) -> None:
        pinged = False
        while not self._closed:
            if connection.can_read(_PING_EVERY_S):
                self._handle(connection.read_response())
                pinged = False
            elif pinged:
                raise self._errors.ConnectionError("no answer")
            else:
                connection.send_packed_command(connection.pack_command("PING"), check_health=False)
                pinged = True

    def _handle(self, message: Any) -> None:  # noqa: ANN401 - ["message", channel, resource], or ["pong", ""]
        if message[0] != "message":
            return
        if message[1] == freed_channel(self._connections.base):
            self._watchers.freed(message[2])
            return
        with self._lock:
            on_claim = self._claims.get(message[1])
        if on_claim is None:
            return
        try:
            claim = read_claim_message(message[2])
        except ValueError:  # not from Tickglass: any client may publish
            return
        on_claim(*claim)

    def _drop_connection(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
