"""Subscribe to what callbacks wait for, freed resources and won claims: one connection per store, made when needed.

Only hints. Messages are lost while there is no connection; so once there is one again, all waiters are woken. The
thread alone uses the connection. It subscribes when a callback is added, and drops subscriptions that no callback
needs when it wakes the next time, because the next waiter for a resource often comes soon. Without callbacks there is
no connection, and the thread does not wake.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis.rights import forbids
from tickglass.sched.stores.redis.scripts import read_claim_message
from tickglass.sched.stores.redis.socket_wake import SocketWake
from tickglass.sched.stores.redis.topology import call, driver
from tickglass.sched.stores.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.stores.redis.connections import RedisConnections
    from tickglass.sched.stores.redis.topology import Connection

__all__ = ["RedisWatch"]

_log: Final = logging.getLogger(__name__)
_PING_EVERY_NS: Final = 10 * SECOND  # a server that vanished without closing is noticed after two of these
_RECONNECT_NS: Final = (100 * MS, 5 * SECOND)  # first and longest pause before a broken subscription is replaced


class RedisWatch:
    """Calls the waiters of a resource when a server publishes that it is free, and the listeners of claims."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._channels = connections.channels
        self._errors = driver()
        self._watchers = Watchers()
        self._claims: dict[str, tuple[str, Callable[[str, int, str], None]]] = {}  # by service: owner, callback
        self._lock = threading.Lock()
        self._wake = SocketWake()
        self._clock = SystemClock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._changed = True  # whether other channels may be wanted than are subscribed to
        # Of the connection, in the thread only: what each channel is about, a resource or a callback for claims.
        self._subscribed: dict[str, str | Callable[[str, int, str], None]] = {}

    def add(self, resource: str, freed: Callable[[], None]) -> Callable[[], None]:
        """Call `freed` each time the resource is freed, until the returned function is called."""
        remove_one = self._watchers.add(resource, freed)
        self._changed = True  # before the next line: the thread may be about to drop this subscription
        if self._channels.freed(resource) not in self._subscribed:
            self._start()

        def remove() -> None:
            remove_one()
            self._changed = True

        return remove

    def add_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> Callable[[], None]:
        """Call `on_claim` for each claim of a service by other owners, until the returned function is called."""
        with self._lock:
            self._claims[service] = owner, on_claim
        self._changed = True
        self._start()

        def remove() -> None:
            with self._lock:
                self._claims.pop(service, None)
            self._changed = True

        return remove

    def close(self) -> None:
        """End the subscription."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wake.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- inside

    def _start(self) -> None:
        """Have the thread subscribe to what is wanted now."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="tickglass-redis-watch", daemon=True)
                self._thread.start()
        self._wake.ring()

    def _wanted(self) -> dict[str, str | Callable[[str, int, str], None]]:
        with self._lock:
            claims = list(self._claims.items())
        wanted: dict[str, str | Callable[[str, int, str], None]] = {
            self._channels.freed(resource): resource for resource in self._watchers.resources()
        }
        for service, (owner, on_claim) in claims:
            wanted |= dict.fromkeys(self._channels.claims_of_others(service, owner), on_claim)
        return wanted

    # --- in the thread

    def _run(self) -> None:
        pause_ns, longest_ns = _RECONNECT_NS
        warned = False
        while not self._closed:
            if not self._wanted():
                self._wake.wait(None)
                continue
            connection = None
            try:
                connection = self._connections.open()
                self._begin(connection)
                pause_ns = _RECONNECT_NS[0]
                self._listen(connection)
                continue
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
            finally:
                self._subscribed = {}
                if connection is not None:
                    connection.disconnect()
            self._pause(pause_ns)
            pause_ns = min(2 * pause_ns, longest_ns)
        self._wake.close()

    def _pause(self, pause_ns: int) -> None:
        until_ns = self._clock.monotonic_ns() + pause_ns
        while not self._closed and self._clock.monotonic_ns() < until_ns:
            self._wake.wait(until_ns - self._clock.monotonic_ns())

    def _begin(self, connection: Connection) -> None:
        """Subscribe, and wake all waiters: releases that were published before are not heard."""
        self._changed = False
        self._subscribed = self._wanted()
        if self._subscribed:
            call(connection, "SUBSCRIBE", *self._subscribed)
        for about in self._subscribed.values():
            if isinstance(about, str):
                self._watchers.freed(about)

    def _listen(self, connection: Connection) -> None:
        """Handle messages until there is nothing to wait for any more."""
        server = self._connections.server()
        quiet_ns, pinged = self._clock.monotonic_ns(), False
        while not self._closed:
            if self._changed:
                self._subscribe_anew(connection)
                continue  # it may have changed meanwhile
            if connection.can_read(0):
                self._handle(connection.read_response())
                quiet_ns, pinged = self._clock.monotonic_ns(), False
                continue
            left_ns = quiet_ns + _PING_EVERY_NS - self._clock.monotonic_ns()
            if left_ns > 0:
                self._wake.wait(left_ns, connection._sock)  # noqa: SLF001 - there is no other way to wait for two things
                continue
            if not self._subscribed:
                return
            if pinged:
                raise self._errors.ConnectionError("no answer")
            if self._connections.server() != server:  # of a replica, a script on the master does not see subscribers
                raise self._errors.ConnectionError("another server has the keys now")
            _send(connection, "PING")
            quiet_ns, pinged = self._clock.monotonic_ns(), True

    def _subscribe_anew(self, connection: Connection) -> None:
        self._changed = False
        before, wanted = self._subscribed, self._wanted()
        self._subscribed = wanted
        _send(connection, "SUBSCRIBE", *(channel for channel in wanted if channel not in before))
        _send(connection, "UNSUBSCRIBE", *(channel for channel in before if channel not in wanted))

    def _handle(self, message: Any) -> None:  # noqa: ANN401 - ["message", channel, text], or an answer to another command
        if message[0] != "message":
            return
        about = self._subscribed.get(message[1])
        if about is None:
            return
        if isinstance(about, str):
            self._watchers.freed(about)
            return
        try:
            claim = read_claim_message(message[2])
        except ValueError:
            return
        about(*claim)


def _send(connection: Connection, command: str, *channels: str) -> None:
    """Send a command whose answer is read with the messages; none for no channels."""
    if channels or command == "PING":
        connection.send_packed_command(connection.pack_command(command, *channels), check_health=False)
