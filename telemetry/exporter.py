"""Serve /metrics, /healthz and /readyz over HTTP, on threads that a slow client cannot hold up.

Forbidden: to start anything before `start`, to leave anything behind after `stop`.
"""

from __future__ import annotations

import gzip
import logging
import re
import selectors
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from prometheus_client.exposition import gzip_accepted

from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import ConfigError
from tickglass.telemetry.exposition import encode
from tickglass.telemetry.machinery import GcPauses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import CollectorRegistry

    from tickglass.sched.clock import Clock

__all__ = ["DEFAULT_LISTEN", "MetricsServer", "parse_listen"]

DEFAULT_LISTEN: Final = "127.0.0.1:9464"  # the port that OpenTelemetry registered for Prometheus exporters
CLIENT_TIMEOUT_S: Final = 10.0  # a client that neither asks nor reads for so long is let go
GZIP_FROM: Final = 1_400  # bytes; below, an answer fits into one packet anyway
PORT_MOST: Final = 65_535

_log: Final = logging.getLogger(__name__)
_LISTEN: Final = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d+)")
_RIGHT: Final = ('":9464"', '"127.0.0.1:9464"', '"[::1]:9464"')
_TEXT: Final = "text/plain; charset=utf-8"
_INDEX: Final = b"""<!DOCTYPE html><title>Tickglass</title><h1>Tickglass</h1>
<ul><li><a href="/metrics">metrics</a><li><a href="/healthz">health</a><li><a href="/readyz">readiness</a></ul>
"""

_Answer = tuple[HTTPStatus, str, bytes]


def parse_listen(listen: str) -> tuple[str, int]:
    """Read an address to listen on.

    Args:
        listen: "host:port"; without a host, all interfaces; port 0: any that is free.

    Returns:
        Host ("" for all interfaces) and port.

    Raises:
        ConfigError: it is not written so.
    """
    match = _LISTEN.fullmatch(listen) if isinstance(listen, str) else None
    if match is None:
        raise ConfigError("an address to listen on is host:port", given=str(listen), instead=_RIGHT)
    port = int(match["port"])
    if port > PORT_MOST:
        raise ConfigError(f"a port is at most {PORT_MOST}", given=listen, span=match.span("port"), instead=_RIGHT)
    return match["six"] or match["host"] or "", port


class MetricsServer:
    """An HTTP server thread for what Prometheus and the platform ask.

    Args:
        listen: see `parse_listen`.
        registry: what /metrics shows.
        health: asked by /readyz: why not to count on this process; empty when ready.
        clock: for the pauses of the garbage collector, watched while serving.

    Raises:
        ConfigError: the address is not written well.
    """

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        health: Callable[[], Sequence[str]],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._listen = listen
        self._host, self._port = parse_listen(listen)
        self._registry = registry
        self._health = health
        self._pauses = GcPauses(clock or SystemClock())
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and answer from now on.

        Raises:
            ConfigError: the address cannot be listened on; names it.
        """
        try:
            server = _Server(self._host, self._port, self._answer)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on this address: {error.strerror or error}", given=self._listen, instead=_RIGHT
            ) from error
        try:
            self._registry.register(self._pauses)
        except ValueError:  # the registry is served already
            server.server_close()
            raise
        self._server = server
        self._pauses.install()
        self._thread = threading.Thread(target=server.serve, name="tickglass-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join()
        self._server.server_close()
        self._pauses.remove()
        self._registry.unregister(self._pauses)
        self._server = self._thread = None

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for; 0 while not started."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def _answer(self, path: str, accept: str) -> _Answer:
        match path:
            case "/metrics":
                return HTTPStatus.OK, *encode(self._registry, accept)
            case "/healthz":
                return HTTPStatus.OK, _TEXT, b"ok\n"
            case "/readyz":
                reasons = self._health()
                if not reasons:
                    return HTTPStatus.OK, _TEXT, b"ready\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, "".join(f"{why}\n" for why in reasons).encode()
            case "/":
                return HTTPStatus.OK, "text/html; charset=utf-8", _INDEX
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"not found; there are /metrics, /healthz and /readyz\n"


class _Server(ThreadingHTTPServer):
    """One thread per request; daemons, so that a stuck client does not keep the process.

    An idle server sleeps: it is woken by a client or by `stop`, and by no clock.
    """

    daemon_threads = True
    request_queue_size = 64
    timeout = 0  # of `handle_request`: `serve` has waited already

    def __init__(self, host: str, port: int, answer: Callable[[str, str], _Answer]) -> None:
        self.answer = answer
        self._everywhere = not host and socket.has_dualstack_ipv6()
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, address = (
            (socket.AF_INET6, "::") if self._everywhere else (found[0][0], str(found[0][4][0]))
        )
        self._bell, self._ringer = socket.socketpair()
        try:
            super().__init__((address, port), _Handler)
        except OSError:
            self._close_bell()
            raise

    def server_bind(self) -> None:
        """Take both IPv4 and IPv6 where all interfaces are meant; ask no name server who we are."""
        if self._everywhere:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)

    def serve(self) -> None:
        """Answer until `stop`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while all(key.fileobj is self for key, _ in selector.select()):
                self.handle_request()

    def stop(self) -> None:
        """Make `serve` return."""
        self._ringer.send(b"!")

    def server_close(self) -> None:
        """Let go of the address."""
        super().server_close()
        self._close_bell()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's shape
        """A client that went away in the middle is no news; it must not write to standard error."""
        _log.debug("client %s was not answered", client_address, exc_info=True)

    def _close_bell(self) -> None:
        self._bell.close()
        self._ringer.close()


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer with a body."""
        self._send(*self._answered(), with_body=True)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self._send(*self._answered(), with_body=False)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        """Refuse every other method: the base looks for `do_<METHOD>`."""
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def version_string(self) -> str:
        """Say who answers, not on which Python."""
        return "tickglass"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's shape
        """Write an access line at DEBUG: a scrape a second is no news."""
        _log.debug(format, *args)

    def _answered(self) -> _Answer:
        try:
            return self.server.answer(urlsplit(self.path).path, self.headers.get("Accept", ""))
        except Exception:  # noqa: BLE001 - a collector or a health check of somebody else's
            _log.exception("%s could not be answered", self.path)
            return HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"this could not be answered; the log says why\n"

    def _refuse(self) -> None:
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"only GET and HEAD\n", with_body=True)

    def _send(self, status: HTTPStatus, content_type: str, body: bytes, *, with_body: bool) -> None:
        self.send_response(status)
        if len(body) > GZIP_FROM and gzip_accepted(self.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, compresslevel=1)
            self.send_header("Content-Encoding", "gzip")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
