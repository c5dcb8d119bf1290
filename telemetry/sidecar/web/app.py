"""Answer what people and machines ask of a sidecar: pages, events, view, metrics, health. Read-only.

What looks and draws runs on threads: it takes locks, and the event loop must not wait for them.
"""

from __future__ import annotations

import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import msgspec
from prometheus_client.exposition import gzip_accepted
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tickglass.sched.escaping import shown
from tickglass.telemetry.sidecar.web.auth import TokenAuth, path_back
from tickglass.telemetry.sidecar.web.auth_middleware import SIGN_IN, AuthMiddleware
from tickglass.telemetry.sidecar.web.hub import EventStream, Hub
from tickglass.telemetry.sidecar.web.page import ASSETS, Pages
from tickglass.telemetry.sidecar.web.selection import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from tickglass.telemetry.sidecar.view import View

__all__ = ["sidecar_app"]

GZIP_FROM: Final = 1_400  # bytes; below, an answer fits into one packet anyway
FORM_MAX: Final = 8_192  # bytes of a form
FIELDS_MAX: Final = 8
FOR_EVER: Final = "public, max-age=31536000, immutable"
_HTML: Final = "text/html; charset=utf-8"


def sidecar_app(
    view: Callable[[], View],
    scrape: Callable[[str], tuple[str, bytes]],
    unready: Callable[[], Sequence[str]],
    *,
    token: str = "",
    every_s: float = 1.0,
) -> Starlette:
    """Return the sidecar's web application.

    Args:
        view: what is known now; called on several threads.
        scrape: content type and text of the metrics, for an Accept header; likewise.
        unready: why not to count on what is shown; empty when ready; likewise.
        token: asked of everybody, but for /healthz; "" to ask for none.
        every_s: how often open pages are drawn again.
    """
    auth, pages = TokenAuth(token), Pages()
    handlers = _Handlers(view, scrape, unready, auth, pages, every_s)
    app = Starlette(
        routes=handlers.routes(),
        middleware=[Middleware(AuthMiddleware, auth=auth, pages=pages)],
        exception_handlers={HTTPException: handlers.http_error},
    )
    app.state.hub = handlers.hub
    return app


class _Handlers:
    """Where requests are answered."""

    def __init__(
        self,
        view: Callable[[], View],
        scrape: Callable[[str], tuple[str, bytes]],
        unready: Callable[[], Sequence[str]],
        auth: TokenAuth,
        pages: Pages,
        every_s: float,
    ) -> None:
        self._view = view
        self._scrape = scrape
        self._unready = unready
        self._auth = auth
        self._pages = pages
        self.hub = Hub(self._draw, every_s)

    def routes(self) -> list[Route]:
        """Return all there is."""
        found = [
            Route("/", self.overview),
            Route("/jobs/{name:path}", self.job),
            Route("/events", self.events),
            Route("/view.json", self.view_json),
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/static/{name}", self.asset),
        ]
        if self._auth:
            found.append(Route(SIGN_IN, self.sign_in, methods=["GET", "POST"]))
        return found

    async def overview(self, request: Request) -> Response:
        """Show everything."""
        subject = _subject(request, None)
        return await run_in_threadpool(lambda: _packed(request, _HTML, self._pages.whole(self._view(), subject)))

    async def job(self, request: Request) -> Response:
        """Show one job."""
        subject = _subject(request, request.path_params["name"] or request.query_params.get("name", ""))

        def answer() -> Response:
            view = self._view()
            known = any(subject.has(job) for job in view.jobs)
            status = HTTPStatus.OK if known else HTTPStatus.NOT_FOUND
            return _packed(request, _HTML, self._pages.whole(view, subject), status)

        return await run_in_threadpool(answer)

    async def events(self, request: Request) -> EventStream:
        """Send what changes on a page, as server-sent events."""
        return EventStream(self.hub, _subject(request, request.query_params.get("job")))

    async def view_json(self, request: Request) -> Response:
        """Say everything to a program."""
        kind = "application/json"
        return await run_in_threadpool(lambda: _packed(request, kind, msgspec.json.encode(self._view())))

    async def metrics(self, request: Request) -> Response:
        """Answer a scrape."""
        accept = request.headers.get("accept", "")
        return await run_in_threadpool(lambda: _packed(request, *self._scrape(accept)))

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - a route's shape
        """Say that the process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        """Say whether to count on what is shown."""
        reasons = await run_in_threadpool(self._unready)
        if not reasons:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("".join(f"{shown(why)}\n" for why in reasons), HTTPStatus.SERVICE_UNAVAILABLE)

    async def asset(self, request: Request) -> Response:
        """Send one of the files that pages refer to, and none else."""
        asset = ASSETS.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        answer = _packed(request, asset.content_type, asset.body)
        if request.query_params.get("v") == asset.version:
            answer.headers["Cache-Control"] = FOR_EVER
        return answer

    async def sign_in(self, request: Request) -> Response:
        """Take the token from a form, and give a cookie for it."""
        if request.method != "POST":
            return HTMLResponse(self._pages.sign_in("/", wrong=False))
        form = await _form(request)
        back = path_back(form.get("back", "/"))
        if not self._auth.is_token(form.get("token", "").strip()):
            return HTMLResponse(self._pages.sign_in(back, wrong=True), HTTPStatus.UNAUTHORIZED)
        answer = RedirectResponse(back, HTTPStatus.SEE_OTHER)
        # Lax, not Strict: links to this page come from alerts and chats, and nothing here can be changed by a request.
        answer.set_cookie(
            self._auth.cookie,
            self._auth.cookie_value,
            httponly=True,
            samesite="lax",
            secure=request.scope["scheme"] == "https",  # not `request.url`: it cannot be read under each Host header
        )
        return answer

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Say that there is no such page, or that it is not to be had in this way."""
        if not isinstance(error, HTTPException):
            raise error
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(headers.get("Allow", "GET, HEAD").split(", ")))
            return PlainTextResponse(f"only {headers['Allow'].replace(', ', ' and ')}\n", status, headers)
        if "text/html" not in request.headers.get("accept", ""):
            there = "/, /jobs/NAME, /view.json, /metrics, /healthz and /readyz"
            return PlainTextResponse(f"{status.phrase.lower()}; there are {there}\n", status, headers)
        return HTMLResponse(self._pages.message(status.phrase, "There is no such page here."), status, headers)

    def _draw(self, subjects: Sequence[Subject]) -> Mapping[Subject, Mapping[str, str]]:
        view = self._view()
        return {subject: self._pages.regions(view, subject) for subject in subjects}


def _subject(request: Request, job: str | None) -> Subject:
    asked = request.query_params
    return Subject.of(job, asked.get("q", ""), asked.get("page", "1"), asked.get("service"))


def _packed(request: Request, content_type: str, body: str | bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer, compressed if it is large and the client can read that."""
    data = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding, Cookie"}
    if len(data) > GZIP_FROM and gzip_accepted(request.headers.get("accept-encoding", "")):
        data = gzip.compress(data, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(data, status, headers)


async def _form(request: Request) -> dict[str, str]:
    """Read a small form; one that is not small is nobody's, and has no fields."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_MAX:
                return {}
    except ClientDisconnect:
        return {}  # nobody is there to read the answer
    try:
        fields = parse_qs(body.decode("latin-1"), max_num_fields=FIELDS_MAX)
    except ValueError:
        return {}  # too many of them
    return {name: values[0] for name, values in fields.items()}
