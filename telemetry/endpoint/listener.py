"""Serve small HTTP requests on one thread, whatever clients do: bounded connections, and a deadline for each.

A client that sends slowly, or does not read its answer, holds a connection for ten seconds at most, and less
if the limit is reached. An idle listener sleeps until a client connects or `stop` is called.
Forbidden: to start anything before `start`, to leave anything behind after `stop`.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import logging
import os
import queue
import re
import socket
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TEXT", "Answer", "Listener", "Request", "SerialWorker", "listening"]

CONNECTIONS_MAX: Final = 256
REQUEST_MAX_S: Final = 10.0  # from the connection until the answer was read; Prometheus gives up after the same time
HEAD_MAX: Final = 16_384  # bytes of a request line and its headers
DRAIN_S: Final = 2.0  # for unfinished answers at the stop
TEXT: Final = "text/plain; charset=utf-8"

_BACKLOG: Final = 1_024  # connections that the kernel queues, so that a probe among many is not refused
_AT_ONCE: Final = 64  # accepted before the loop reads again, so that requests are read before their deadline
_ENDS: Final = (b"\n\r\n", b"\n\n")  # of a head; people type the second one
_REQUEST_LINE: Final = re.compile(r"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<target>\S+) HTTP/1\.\d\r?")

_log: Final = logging.getLogger(__name__)


class Answer(NamedTuple):
    """An answer; `headers` come in addition to those that every answer has."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    headers: Mapping[str, str] = {}


class Request:
    """A request, and how to answer it.

    Args:
        headers: names in lower case.
        local: the address of ours that was connected to.
    """

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str], local: str, send: Callable[[Answer], None]
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.local = local
        self.answer = send  # call it once, on any thread
        self.gone = False  # whether the client has disconnected


class SerialWorker:
    """One daemon thread that answers one request after the other.

    Requests queue here, so that clients cannot multiply threads. Work that never returns
    blocks this worker, but neither the listener nor the end of the process.

    Args:
        work: answers a request; an exception is logged, and answered as an internal error.
    """

    def __init__(self, name: str, work: Callable[[Request], Answer]) -> None:
        self._work = work
        self._name = name
        self._waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current request, and wait a while for that; a second call does nothing."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(DRAIN_S)
            self._thread = None

    def put(self, request: Request) -> None:
        """Queue a request."""
        self._waiting.put(request)

    def _serve(self) -> None:
        while (request := self._waiting.get()) is not None:
            if not request.gone:
                request.answer(self._answer(request))

    def _answer(self, request: Request) -> Answer:
        try:
            return self._work(request)
        except Exception:  # noqa: BLE001 - from a collector or a health check of the user
            _log.exception("%s could not be answered", request.path)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error; see the log\n")


class Listener:
    """An HTTP server on a thread of its own; one request per connection.

    Args:
        at: a socket that listens; closed by `stop`.
        take: called with each whole request, on that thread: it must not block, and must make sure that
            the request is answered.
    """

    def __init__(self, at: socket.socket, take: Callable[[Request], None]) -> None:
        self.take = take
        self._socket = at
        self.loop = asyncio.SelectorEventLoop()
        self._slow: dict[_Connection, None] = {}  # waiting for the client to send or read, the longest first
        self._asked: dict[_Connection, None] = {}  # waiting for our answer, the longest first
        self._stopping = asyncio.Event()
        self._emptied = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="tickglass-metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; unfinished answers get a little time."""
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._socket.close()

    def abandon(self) -> None:
        """Close the port in a process that was forked from the one that listens, and has not its thread."""
        self._socket.close()

    def enter(self, connection: _Connection) -> None:
        """Add a connection that has sent no request yet, and close another one at the limit.

        The connection whose client has been slow for longest is closed. A quarter of the limit is reserved for
        connections without a request, or a new probe would be closed at once by the next connection.
        """
        if len(self._slow) + len(self._asked) >= CONNECTIONS_MAX:
            enough = len(self._slow) > CONNECTIONS_MAX // 4 or not self._asked
            next(iter(self._slow if enough else self._asked)).give_up()
        self._slow[connection] = None

    def asked(self, connection: _Connection) -> None:
        """Note that the connection waits for our answer."""
        self._slow.pop(connection, None)
        self._asked[connection] = None

    def answered(self, connection: _Connection) -> None:
        """Note that the connection waits for the client to read."""
        self._asked.pop(connection, None)
        self._slow[connection] = None

    def leave(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._slow.pop(connection, None)
        self._asked.pop(connection, None)
        if not self._slow and not self._asked:
            self._emptied.set()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await self.loop.create_server(lambda: _Connection(self), sock=self._socket, backlog=_AT_ONCE)
        self._socket.listen(_BACKLOG)  # asyncio takes one number for both
        await self._stopping.wait()
        server.close()
        for connection in [it for it in self._slow if not it.is_answered]:
            connection.give_up()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._all_gone()
        except TimeoutError:
            for connection in [*self._slow, *self._asked]:
                connection.give_up()
        await asyncio.sleep(0)  # aborted connections are closed in the loop's next iteration

    async def _all_gone(self) -> None:
        while self._slow or self._asked:
            self._emptied.clear()
            await self._emptied.wait()


class _Connection(asyncio.Protocol):
    """One client: its request and its answer; it ends by the deadline at the latest."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._head = bytearray()
        self._request: Request | None = None
        self.is_answered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # asyncio's own shape
        """See `asyncio.Protocol`."""
        self._transport = transport
        self._deadline = self._listener.loop.call_later(REQUEST_MAX_S, self.give_up)
        self._listener.enter(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        searched_to = max(0, len(self._head) - 2)
        self._head += data
        if any(self._head.find(end, searched_to) >= 0 for end in _ENDS):
            self._transport.pause_reading()  # what the client sends after that stays in the kernel
            self._ask()
        elif len(self._head) > HEAD_MAX:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"too long a request\n")

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`; a client that sends no more may still read."""
        return self._request is not None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own shape
        """See `asyncio.Protocol`; a client that disconnects early is not an error."""
        self._deadline.cancel()
        self._let_go()

    def give_up(self) -> None:
        """Close at once; the unsent rest of an answer is dropped."""
        self._transport.abort()
        self._let_go()

    def _let_go(self) -> None:
        if self._request is not None:
            self._request.gone = True
        self._listener.leave(self)

    def _ask(self) -> None:
        try:
            self._request = _parsed(bytes(self._head), self._transport.get_extra_info("sockname"), self._send_soon)
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, b"this is no HTTP request\n")
            return
        _log.debug("%s %s", self._request.method, self._request.path)
        self._listener.asked(self)
        self._listener.take(self._request)

    def _refuse(self, status: HTTPStatus, words: bytes) -> None:
        self._send(Answer(status, words))

    def _send_soon(self, answer: Answer) -> None:
        try:
            self._listener.loop.call_soon_threadsafe(self._send, answer)
        except RuntimeError:  # the loop has ended, and every connection with it
            _log.debug("an answer came after the end")

    def _send(self, answer: Answer) -> None:
        if self._transport.is_closing():
            return
        self.is_answered = True
        self._listener.answered(self)
        with_body = self._request is None or self._request.method != "HEAD"
        self._transport.write(_head(answer) + (answer.body if with_body else b""))
        self._transport.close()  # after all of it was read


def listening(host: str, port: int) -> socket.socket:
    """Return a listening socket; "" means every interface, over IPv4 and IPv6 if the machine has both.

    Raises:
        OSError: the address cannot be listened on.
    """
    if not host and socket.has_dualstack_ipv6():
        found = _bound(("", port), socket.AF_INET6, both=True)
    else:
        passive = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # IPv4 first: many containers name ::1 as localhost and have no IPv6.
        family, _, _, _, address = min(passive, key=lambda found: found[0] != socket.AF_INET)
        found = _bound((str(address[0]), int(address[1])), family, both=False)
    # Accepted sockets inherit it. asyncio sets it only if a socket names its protocol, which these do not: an
    # answer in two pieces over a connection that stays open then waits for the client's delayed acknowledgement, 40 ms.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _bound(address: tuple[str, int], family: int, *, both: bool) -> socket.socket:
    try:
        return socket.create_server(address, family=family, dualstack_ipv6=both, backlog=_BACKLOG)
    except OSError as error:  # its text repeats the address
        raise OSError(error.errno, os.strerror(error.errno or 0)) from error


def _parsed(head: bytes, local: object, send: Callable[[Answer], None]) -> Request:
    """Read the head of a request.

    Raises:
        ValueError: it is not a valid request.
    """
    line, _, rest = head.lstrip(b"\r\n").partition(b"\n")
    match = _REQUEST_LINE.fullmatch(line.decode("latin-1"))
    if match is None:
        raise ValueError("no request line")
    try:
        headers = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException as error:
        raise ValueError("no headers") from error
    lower = {name.lower(): value for name, value in headers.items()}
    address = str(local[0]) if isinstance(local, tuple) else ""
    return Request(match["method"], urlsplit(match["target"]).path, lower, address, send)


def _head(answer: Answer) -> bytes:
    headers = {
        "Content-Type": answer.content_type,
        "Content-Length": str(len(answer.body)),
        "Connection": "close",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **answer.headers,
    }
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        *(f"{name}: {it}" for name, it in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
