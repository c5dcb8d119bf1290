"""Connect to several servers at once, each on a thread of its own, so that a slow one delays no other.

A connection takes several round trips, each with a time-out. A caller that has a majority does not wait for the rest:
what is connected later is kept for its next call.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Self

from tickglass.sched.durations import SECOND
from tickglass.sched.stores.redis.topology import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tickglass.sched.stores.redis.topology import Connection, Credentials, Server

__all__ = ["Dial", "Dialler"]


class Dialler:
    """Makes connections; any thread may ask.

    Args:
        servers: by their numbers.
    """

    def __init__(self, servers: Sequence[Server], credentials: Credentials) -> None:
        self._servers = servers
        self._credentials = credentials
        self._mutex = threading.Lock()
        self._spares: dict[int, Connection] = {}
        self._closed = False

    def spare(self, number: int) -> Connection | None:
        """Return a connection to this server that came too late for an earlier call; None if there is none."""
        with self._mutex:
            return self._spares.pop(number, None)

    def dial(self, numbers: Sequence[int], timeout_ns: int) -> Dial:
        """Begin to connect to these servers; `timeout_ns` is that of each step."""
        return Dial(self, {number: self._servers[number] for number in numbers}, self._credentials, timeout_ns)

    def keep(self, number: int, connection: Connection) -> None:
        """Keep a connection that came too late: one for each server."""
        with self._mutex:
            if not self._closed and number not in self._spares:
                self._spares[number] = connection
                return
        connection.disconnect()

    def close(self) -> None:
        """Close what is kept, and what still comes."""
        with self._mutex:
            self._closed = True
            spares, self._spares = self._spares, {}
        for connection in spares.values():
            connection.disconnect()


class Dial:
    """Connections under way; use it with `with`. What comes after its end goes to the dialler."""

    def __init__(self, dialler: Dialler, servers: dict[int, Server], credentials: Credentials, timeout_ns: int) -> None:
        self._dialler = dialler
        self._servers = servers
        self._credentials = credentials
        self._timeout_ns = timeout_ns
        self._mutex = threading.Lock()
        self._left = False
        self._found: queue.SimpleQueue[tuple[int, Connection | Exception]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        for number in self._servers:
            threading.Thread(target=self._connect, args=(number,), name="redlock-dial", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._mutex:
            self._left = True
        while not self._found.empty():
            self._keep(*self._found.get())

    def next(self, wait_ns: int | None) -> tuple[int, Connection | Exception] | None:
        """Return the next server that is connected, or why it is not; None if none comes in time.

        Args:
            wait_ns: how long to wait; None: as long as the steps of a connection may take.
        """
        try:
            return self._found.get(timeout=None if wait_ns is None else max(0, wait_ns) / SECOND)
        except queue.Empty:
            return None

    def _connect(self, number: int) -> None:
        found: Connection | Exception
        try:
            found = connect(self._servers[number], self._credentials, timeout_ns=self._timeout_ns)
        except Exception as error:  # noqa: BLE001 - raised, or reported, by the thread that waits for it
            found = error
        with self._mutex:
            if not self._left:
                self._found.put((number, found))
                return
        self._keep(number, found)

    def _keep(self, number: int, found: Connection | Exception) -> None:
        if not isinstance(found, Exception):
            self._dialler.keep(number, found)
