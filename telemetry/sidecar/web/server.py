"""Serve the sidecar's web application with uvicorn, on a thread of its own.

Forbidden: to listen before `start`, to leave anything behind after `stop`.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.exporter import parse_listen

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["SidecarServer"]

CONNECTIONS_MOST: Final = 256
DRAIN_S: Final = 2  # for answers under way when it stops


class SidecarServer:
    """Where the application listens.

    Args:
        listen: "host:port"; without a host, all interfaces; port 0: any that is free.
        app: what `sidecar_app` returned.

    Raises:
        ConfigError: the address is not written well.
    """

    def __init__(self, listen: str, app: Starlette) -> None:
        self._listen = listen
        self._address = parse_listen(listen)
        self._app = app
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and answer from now on.

        Raises:
            ConfigError: the address cannot be listened on; names it.
        """
        try:
            self._socket = _listening(*self._address)
        except OSError as error:
            words = f"cannot listen on this address: {error.strerror or error}"
            raise ConfigError(words, given=self._listen, instead=('"127.0.0.1:9464"',)) from error
        self._server = _Server(self._app)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="tickglass-sidecar-web", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and end what is open; a second call does nothing."""
        if self._server is None or self._thread is None or self._socket is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._server = self._thread = self._socket = None

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for; 0 while not started."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])


class _Server(uvicorn.Server):
    """Ends the open event streams before it waits for connections to end: else it would wait for ever."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MOST,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        self._hub = app.state.hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See the class."""
        self._hub.close()
        await super().shutdown(sockets)


def _listening(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server((str(address[0]), int(address[1])), family=family)
