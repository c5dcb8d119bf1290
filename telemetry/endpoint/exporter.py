"""Serve /metrics, /healthz and /readyz over HTTP, on three threads, whatever the clients do.

One listens, one writes scrapes, one asks whether the process is ready: a scrape that takes long holds up no probe.
Forbidden: to start anything before `start`, to leave anything behind after `stop`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.escaping import shown
from tickglass.telemetry.endpoint.access import (
    PROBES,
    TOKEN_ENV,
    UNREADY,
    bears,
    checked_token,
    is_loopback,
    is_smuggled,
)
from tickglass.telemetry.endpoint.address import listening_at, parse_listen, url_at
from tickglass.telemetry.endpoint.exposition import scrape
from tickglass.telemetry.endpoint.listener import Answer, Listener, SerialWorker
from tickglass.telemetry.internals import GcPauses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from prometheus_client import CollectorRegistry

    from tickglass.sched.clock import Clock
    from tickglass.telemetry.endpoint.listener import Request

__all__ = ["MetricsServer"]


_log: Final = logging.getLogger(__name__)
_INDEX: Final = b"""<!DOCTYPE html><title>Tickglass</title><h1>Tickglass</h1>
<ul><li><a href="/metrics">metrics</a><li><a href="/healthz">health</a><li><a href="/readyz">readiness</a></ul>
"""


class MetricsServer:
    """An HTTP server for Prometheus and the platform's probes.

    Args:
        listen: see `parse_listen`; a host alone: the first free port from 9464 on.
        registry: what /metrics shows.
        health: asked by /readyz: why not to count on this process; empty when ready.
        clock: for the pauses of the garbage collector, watched while serving.
        token: required for all paths but /healthz, and for the reasons that /readyz gives; "" for none.

    Raises:
        ConfigError: the address or the token is not written well.
    """

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        health: Callable[[], Sequence[str]],
        *,
        clock: Clock | None = None,
        token: str = "",
    ) -> None:
        self._listen = listen
        self._host, _ = parse_listen(listen)
        self._registry = registry
        self._health = health
        self._pauses = GcPauses(clock or SystemClock())
        self._token = checked_token(token, "token=") if token else ""
        self._bound: socket | None = None  # until the listener has it
        self._listener: Listener | None = None
        self._scrapes = SerialWorker("tickglass-metrics-scrape", self._scrape)
        self._checks = SerialWorker("tickglass-metrics-ready", self._readiness)

    def bind(self) -> None:
        """Take the address, and answer nothing yet: clients that connect wait until the start.

        Raises:
            ConfigError: the address cannot be listened on; the message names it.
        """
        if self._bound is None:
            self._bound = listening_at(self._listen)

    def start(self) -> None:
        """Start to answer, at the address that was bound, or is bound now.

        Raises:
            ConfigError: see `bind`.
        """
        self.bind()
        at, self._bound = self._bound, None
        assert at is not None  # noqa: S101 - `bind` raises
        try:
            self._registry.register(self._pauses)
        except ValueError:  # the registry is served already
            at.close()
            raise
        self._pauses.install()
        self._scrapes.start()
        self._checks.start()
        self._listener = Listener(at, self._take)
        self._listener.start()
        _log.info("metrics are served at %s/metrics", url_at(self._host, self.port))
        if not is_loopback(self._host) and not self._token:
            _log.warning(
                "everybody who reaches %s reads the names of jobs, locks and owners: %s sets a token to ask for",
                self._listen,
                TOKEN_ENV,
            )

    def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        self._release()
        if self._listener is None:
            return
        self._listener.stop()
        self._listener = None
        self._scrapes.stop()
        self._checks.stop()
        self._pauses.remove()
        self._registry.unregister(self._pauses)

    def abandon(self) -> None:
        """Close the port in a process that was forked from the one that serves it."""
        self._release()
        if self._listener is not None:
            self._listener.abandon()

    def _release(self) -> None:
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    @property
    def port(self) -> int:
        """The port in use, also if 0 was configured; 0 while not started."""
        return 0 if self._listener is None else self._listener.port

    def _take(self, request: Request) -> None:
        """Answer /healthz at once; pass scrapes and readiness to their threads."""
        refusal = self._refusal(request)
        if refusal is not None:
            request.answer(refusal)
            return
        match request.path:
            case "/metrics":
                self._scrapes.put(request)
            case "/readyz":
                self._checks.put(request)
            case "/healthz":
                request.answer(Answer(HTTPStatus.OK, b"ok\n"))
            case "/":
                request.answer(Answer(HTTPStatus.OK, _INDEX, "text/html; charset=utf-8"))
            case _:
                words = b"not found; there are /metrics, /healthz and /readyz\n"
                request.answer(Answer(HTTPStatus.NOT_FOUND, words))

    def _refusal(self, request: Request) -> Answer | None:
        if is_smuggled(request.headers, request.local, has_token=bool(self._token)):
            words = b"not for other sites' pages; ask by localhost or an address, or set a token\n"
            return Answer(HTTPStatus.MISDIRECTED_REQUEST, words)
        if request.method not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD"}
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n", headers=allow)
        if request.path not in PROBES and not self._is_trusted(request):
            challenge = {"WWW-Authenticate": 'Bearer realm="tickglass"'}
            words = b"this scheduler asks for its token: Authorization: Bearer ...\n"
            return Answer(HTTPStatus.UNAUTHORIZED, words, headers=challenge)
        return None

    def _is_trusted(self, request: Request) -> bool:
        return not self._token or bears(request.headers, self._token)

    def _scrape(self, request: Request) -> Answer:
        asked = request.headers
        content_type, encoding, body = scrape(self._registry, asked.get("accept", ""), asked.get("accept-encoding", ""))
        return Answer(HTTPStatus.OK, body, content_type, {"Content-Encoding": encoding} if encoding else {})

    def _readiness(self, request: Request) -> Answer:
        reasons = self._health()
        if not reasons:
            return Answer(HTTPStatus.OK, b"ready\n")
        if not self._is_trusted(request):
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, UNREADY.encode())
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{shown(why)}\n" for why in reasons).encode())
