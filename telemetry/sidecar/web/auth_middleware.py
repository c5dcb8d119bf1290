"""Set security headers on every answer, and refuse requests without credentials, or of another site's page."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from tickglass.telemetry.endpoint.access import PROBES
from tickglass.telemetry.sidecar.web.auth import address_of
from tickglass.telemetry.sidecar.web.problem_details import is_api, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tickglass.telemetry.sidecar.web.access import Access
    from tickglass.telemetry.sidecar.web.page import Pages

__all__ = ["HEADERS", "NO_SUCH_ANSWER", "SIGN_IN", "AuthMiddleware", "refusal", "refused"]

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer", the Origin of our own forms would be "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SIGN_IN: Final = "/sign-in"
NO_SUCH_ANSWER: Final = "internal error; see the log\n"
_UNKNOWN: Final = "this sidecar requires its token: Authorization: Bearer ..."
_SMUGGLED: Final = (
    "refused: the request names another host or comes from another site;"
    " use localhost or an address, or give the sidecar a token"
)
_FORGED: Final = "refused: the request would change something, and comes from another site's page"
_OPEN: Final = (*PROBES, SIGN_IN)
_OPEN_FOLDER: Final = "/static/"  # not secret, and the sign-in form needs it

_log: Final = logging.getLogger(__name__)


class AuthMiddleware:
    """ASGI middleware: see the module."""

    def __init__(self, app: ASGIApp, access: Access, pages: Pages) -> None:
        self._app = app
        self._access = access
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refused(Request(scope)) or self._app
        try:
            await answer(scope, receive, send_guarded)
        except Exception:
            _log.exception("%s could not be answered", scope["path"])
            if started:
                raise
            await PlainTextResponse(NO_SUCH_ANSWER, HTTPStatus.INTERNAL_SERVER_ERROR)(scope, receive, send_guarded)

    def _refused(self, request: Request) -> ASGIApp | None:
        if self._access.is_smuggled(request):
            return refused(request, HTTPStatus.MISDIRECTED_REQUEST, _SMUGGLED)
        path = request.scope["path"]  # not `request.url`: it is built from the Host header, which clients choose
        is_open = path in _OPEN or path.startswith(_OPEN_FOLDER)
        if not is_open and self._access.actor(request) is None:
            return refusal(request, self._pages)
        if self._access.is_forged(request):
            return refused(request, HTTPStatus.FORBIDDEN, _FORGED)
        return None


def refused(request: Request, status: HTTPStatus, words: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that says why there is no other: as a problem under /api/, else as a line of text."""
    if is_api(request.scope["path"]):
        return problem(status, words, headers=headers)
    return PlainTextResponse(f"{words}\n", status, headers)


def refusal(request: Request, pages: Pages) -> ASGIApp:
    """Return the answer to a request without the token: a form for a person, a line for a program."""
    challenge = {"WWW-Authenticate": 'Bearer realm="tickglass"'}
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(pages.sign_in(address_of(request), wrong=False), HTTPStatus.UNAUTHORIZED, challenge)
    return refused(request, HTTPStatus.UNAUTHORIZED, _UNKNOWN, challenge)
