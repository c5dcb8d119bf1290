"""Serve the sidecar's web application with uvicorn, on a thread of its own.

A client that only holds a connection cannot block other clients: the connection is closed after a while, and sooner if
the limit is reached. Forbidden: to listen before `start`, to leave anything behind after `stop`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.endpoint.address import SIDECAR_PORT, parse_listen
from tickglass.telemetry.endpoint.listener import listening

if TYPE_CHECKING:
    import asyncio
    import socket

    from starlette.applications import Starlette

__all__ = ["SidecarServer"]

CONNECTIONS_MAX: Final = 256
REQUEST_MAX_S: Final = 10.0  # from the first byte of a request, or from connecting, to its last; for an answer as well
DRAIN_S: Final = 2  # for unfinished answers at the stop


class SidecarServer:
    """The HTTP server of the application.

    Args:
        listen: "host:port"; without a host, all interfaces; without a port, SIDECAR_PORT, because that is where
            `tickglass watch` and Prometheus look; port 0: any that is free.
        app: what `sidecar_app` returned.

    Raises:
        ConfigError: the address is malformed.
    """

    def __init__(self, listen: str, app: Starlette) -> None:
        self._listen = listen
        self._host, port = parse_listen(listen)
        self._port = SIDECAR_PORT if port is None else port
        self._app = app
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to listen and to answer.

        Raises:
            ConfigError: the address cannot be listened on; the message names it.
        """
        try:
            self._socket = listening(self._host, self._port)
        except OSError as error:
            words = f"cannot listen on this address: {error.strerror or error}"
            raise ConfigError(words, given=self._listen, instead=('"127.0.0.1:0"',)) from error
        self._server = _Server(self._app)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="tickglass-sidecar-web", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and end open connections; a second call does nothing."""
        if self._server is None or self._thread is None or self._socket is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._server = self._thread = self._socket = None

    @property
    def port(self) -> int:
        """The port in use, also if 0 was configured; 0 while not started."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])


class _Server(uvicorn.Server):
    """Ends the open event streams before it waits for connections to end, because they never end by themselves."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # whom a proxy names as its client is no proxy of ours: see access.py
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        self._hub = app.state.hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See the class."""
        self._hub.close()
        await super().shutdown(sockets)


class _Connection(H11Protocol):
    """Closes itself if no whole request arrives in time, or if the client does not read the answer in time.

    uvicorn itself closes a connection that stays idle after an answer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - what uvicorn gives, as it is
        super().__init__(*arguments, **options)
        self.heard_s = self.loop.time()  # when it connected, or sent its last whole request
        self._patience: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for the client, because no whole request has arrived."""
        latest = self.cycle
        return latest is None or latest.more_body or latest.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own shape
        """See `asyncio.Protocol`; at the limit, the connection that has waited longest for its client is closed."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) >= CONNECTIONS_MAX:
            others = (it for it in self.connections if isinstance(it, _Connection) and it is not self and it.waits)
            longest = min(others, key=lambda it: it.heard_s, default=None)
            if longest is not None:
                longest.give_up()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """See `H11Protocol`; part of the next request may be here already."""
        super().on_response_complete()
        if self.cycle.more_body:
            self._watch()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`; the client is not reading. The events of a page have a limit of their own."""
        super().pause_writing()
        if self._taking is None:
            self._taking = self.loop.call_later(REQUEST_MAX_S, self._give_up_answer)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._stop_watching_answer()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop_watching()
        self._stop_watching_answer()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close the connection at once; the unsent rest of an answer is dropped."""
        self._stop_watching()
        self._stop_watching_answer()
        self.connections.discard(self)
        self.transport.abort()

    def _give_up_answer(self) -> None:
        if self.waits:
            self.give_up()

    def _watch(self) -> None:
        if not self.waits:
            self.heard_s = self.loop.time()
            self._stop_watching()
        elif self._patience is None:
            self._patience = self.loop.call_later(REQUEST_MAX_S, self.give_up)

    def _stop_watching(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _stop_watching_answer(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
