"""Serve a scrape inside an application: as an ASGI app, or as a WSGI app, to be mounted at a path of its choice.

The application's own server decides who may ask, unless the app is given a token.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tickglass.telemetry.endpoint.access import bears, checked_token
from tickglass.telemetry.endpoint.exposition import scrape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping

    from prometheus_client.registry import Collector

    Message = MutableMapping[str, Any]

__all__ = ["MetricsAsgiApp", "MetricsWsgiApp"]

_PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


class _MetricsApp:
    """What both have in common.

    Args:
        collector: what is shown: `Scheduler.collector`, or a registry with it.
        token: required as Authorization: Bearer TOKEN; "": none.

    Raises:
        ConfigError: the token cannot be sent in a header.
    """

    def __init__(self, collector: Collector, *, token: str = "") -> None:
        self._collector = collector
        self._token = checked_token(token, "token=") if token else ""

    def _answer(self, method: str, headers: Mapping[str, str]) -> tuple[HTTPStatus, dict[str, str], bytes]:
        """Return status, headers and body; `headers` are the request's, in lower case."""
        if method not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, {**_PLAIN, "Allow": "GET, HEAD"}, b"only GET and HEAD\n"
        if self._token and not bears(headers, self._token):
            challenge = {**_PLAIN, "WWW-Authenticate": 'Bearer realm="tickglass"'}
            return HTTPStatus.UNAUTHORIZED, challenge, b"this endpoint asks for a token: Authorization: Bearer ...\n"
        content_type, encoding, body = scrape(
            self._collector, headers.get("accept", ""), headers.get("accept-encoding", "")
        )
        answered = {"Content-Type": content_type, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        if encoding:
            answered["Content-Encoding"] = encoding
        return HTTPStatus.OK, answered, b"" if method == "HEAD" else body


class MetricsAsgiApp(_MetricsApp):
    """An ASGI app: `app.mount("/metrics", MetricsAsgiApp(scheduler.collector))`. A scrape is written on a thread."""

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request, or follow the server's start and stop.

        Raises:
            ValueError: it is neither, but a web socket, say.
        """
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"metrics are served over HTTP, not {scope['type']}")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        loop = asyncio.get_running_loop()
        status, answered, body = await loop.run_in_executor(None, self._answer, scope["method"], headers)
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answered.items()]
        await send({"type": "http.response.start", "status": status.value, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    async def _live(
        self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        event = ""
        while event != "lifespan.shutdown":
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})


class MetricsWsgiApp(_MetricsApp):
    """A WSGI app: `DispatcherMiddleware(app, {"/metrics": MetricsWsgiApp(scheduler.collector)})`."""

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer one request."""
        headers = {
            name[5:].replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        status, answered, body = self._answer(environ["REQUEST_METHOD"], headers)
        start_response(f"{status.value} {status.phrase}", list(answered.items()))
        return [body]
