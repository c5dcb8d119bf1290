"""Stand between a client and a server, and do to their bytes what networks do.

One thread carries all links. A link passes on everything, in order, until it is
told to hold bytes back (either way, or only the answers), to delay them, or to
reset its connections. What was held back arrives late, it is not lost: a server
may thus hear of a wish long after its client has given up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Self

__all__ = ["BOTH_WAYS", "ONLY_ANSWERS", "Link", "Proxy"]

T = TypeVar("T")

ONLY_ANSWERS: Final = frozenset({"answers"})
BOTH_WAYS: Final = frozenset({"wishes", "answers"})
_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # a close that is a reset
_PATIENCE_S: Final = 30.0


class _Pipe:
    """Bytes in one direction of one connection."""

    def __init__(self, link: Link, way: str, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._way = way
        self._loop = loop
        self._queue: deque[tuple[float, bytes]] = deque()  # when it may be passed on
        self._closing = False
        self._later: asyncio.TimerHandle | None = None  # one at a time: else each byte that is delayed adds one
        self.out: asyncio.Transport | None = None

    def put(self, data: bytes) -> None:
        self._queue.append((self._loop.time() + self._link.delay_s, data))
        self.flow()

    def close(self) -> None:
        """Close the far end when everything has been passed on."""
        self._closing = True
        self.flow()

    def flow(self) -> None:
        """Pass on what may be."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self.out is None or self._way in self._link.held:
            return
        while self._queue:
            if self.out.is_closing():  # nobody is there any more
                self._queue.clear()
                break
            wait_s = self._queue[0][0] - self._loop.time()
            if wait_s > 0:
                self._later = self._loop.call_later(wait_s, self.flow)
                return
            self.out.write(self._queue.popleft()[1])
        if self._closing:
            self.out.close()


class _End(asyncio.Protocol):
    """One end of a connection: what it hears goes into `hears`, what is for it comes out of `told`."""

    def __init__(self, connection: _Connection, hears: _Pipe, told: _Pipe) -> None:
        self._connection = connection
        self._hears = hears
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._connection.ends.add(transport)
        self._transport = transport
        self._told.out = transport
        self._told.flow()

    def data_received(self, data: bytes) -> None:
        self._hears.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost(self._transport)
        self._hears.close()


class _Connection:
    """A client, and the server behind it."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self.pipes = (_Pipe(link, "wishes", loop), _Pipe(link, "answers", loop))
        self.ends: set[asyncio.Transport] = set()  # that are open
        self._link = link
        self._loop = loop
        self._dialling: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing of it is open, or will be."""
        return not self.ends and self._dialling is not None and self._dialling.done()

    def taken(self) -> _End:
        """Return the client's end, and call the server."""
        self._dialling = self._loop.create_task(self._dial())
        wishes, answers = self.pipes
        return _End(self, hears=wishes, told=answers)

    async def _dial(self) -> None:
        wishes, answers = self.pipes
        try:
            await self._loop.create_connection(lambda: _End(self, hears=answers, told=wishes), *self._link.target)
        except OSError:
            self.reset()

    def reset(self) -> None:
        for end in self.ends:
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            end.abort()

    async def end(self) -> None:
        """Reset it, and wait until nothing of it is left."""
        if self._dialling is not None:
            await asyncio.wait([self._dialling])
        if self.ends:
            self._gone.clear()
            self.reset()
            await self._gone.wait()

    def lost(self, end: asyncio.Transport) -> None:
        """Note that one end is closed."""
        self.ends.discard(end)
        if not self.ends:
            self._gone.set()


class Link:
    """One loopback port that leads to a server; made by `Proxy.link`."""

    def __init__(self, target: tuple[str, int], proxy: Proxy) -> None:
        self.target = target
        self.port = 0
        self.held: frozenset[str] = frozenset()
        self.delay_s = 0.0
        self._proxy = proxy
        self._connections: list[_Connection] = []

    def hold(self, ways: frozenset[str]) -> None:
        """Hold back the bytes of these ways, and let all others flow."""

        async def do() -> None:
            self.held = ways
            self._flow()

        self._proxy.do(do())

    def delay(self, delay_s: float) -> None:
        """Pass on each byte so much later."""

        async def do() -> None:
            self.delay_s = delay_s

        self._proxy.do(do())

    def reset(self) -> None:
        """Reset all connections; new ones are taken."""

        async def do() -> None:
            for connection in self._connections:
                connection.reset()

        self._proxy.do(do())

    async def open(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        """Listen; on the proxy's thread."""
        server = await loop.create_server(lambda: self._take(loop), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _take(self, loop: asyncio.AbstractEventLoop) -> _End:
        self._connections = [connection for connection in self._connections if not connection.over]
        connection = _Connection(self, loop)
        self._connections.append(connection)
        return connection.taken()

    async def end(self) -> None:
        """Reset all connections and wait for their ends; on the proxy's thread, when nobody listens any more."""
        for connection in self._connections:
            await connection.end()

    def _flow(self) -> None:
        for connection in self._connections:
            for pipe in connection.pipes:
                pipe.flow()


class Proxy:
    """The thread that carries all links; use it with `with`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._links: list[Link] = []

    def link(self, port: int) -> Link:
        """Return a new link to a server on the loopback address."""
        link = Link(("127.0.0.1", port), self)
        self._servers.append(self.do(link.open(self._loop)))
        self._links.append(link)
        return link

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Do something on the proxy's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(_PATIENCE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for link in self._links:
            await link.end()
