"""Answer HTTP requests to a sidecar: pages, events, view, metrics, health. api/ answers programs that act.

Views are built and rendered on threads, because they take locks and the event loop must not wait for them.
"""

from __future__ import annotations

import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client.exposition import gzip_accepted
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tickglass.sched.escaping import shown
from tickglass.telemetry.endpoint.access import UNREADY
from tickglass.telemetry.sidecar.web.access import Access
from tickglass.telemetry.sidecar.web.api.routes import api_routes
from tickglass.telemetry.sidecar.web.auth import came_over_tls, path_back
from tickglass.telemetry.sidecar.web.auth_middleware import SIGN_IN, AuthMiddleware, refused
from tickglass.telemetry.sidecar.web.bodies import form_of
from tickglass.telemetry.sidecar.web.control.desks import Desks
from tickglass.telemetry.sidecar.web.forms.routes import form_routes
from tickglass.telemetry.sidecar.web.history.routes import history_routes
from tickglass.telemetry.sidecar.web.hub import EventStream, Hub
from tickglass.telemetry.sidecar.web.messages import visitor_of
from tickglass.telemetry.sidecar.web.page import ASSETS, Pages
from tickglass.telemetry.sidecar.web.problem_details import API, is_api
from tickglass.telemetry.sidecar.web.selection import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from tickglass.telemetry.endpoint.operators import Operators
    from tickglass.telemetry.endpoint.run_links import RunLink
    from tickglass.telemetry.sidecar.view import View

__all__ = ["sidecar_app"]

GZIP_FROM: Final = 1_400  # bytes; a smaller answer fits into one packet anyway
FOR_EVER: Final = "public, max-age=31536000, immutable"
_HTML: Final = "text/html; charset=utf-8"


def sidecar_app(
    view: Callable[[], View],
    scrape: Callable[[str], tuple[str, bytes]],
    unready: Callable[[], Sequence[str]],
    *,
    token: str = "",
    operators: Operators | None = None,
    desks: Desks | None = None,
    links: Sequence[RunLink] = (),
    every_s: float = 1.0,
) -> Starlette:
    """Return the sidecar's web application.

    Args:
        view: returns the present view; called on several threads.
        scrape: returns content type and text of the metrics, for an Accept header; likewise.
        unready: returns why the sidecar is not ready; empty when it is; likewise.
        token: required for all paths but /healthz, and for the reasons that /readyz gives; "" for none.
        operators: who may act; None: nobody may.
        desks: the stores that are acted on, and read for the API; None: none.
        links: what the page of each run links to elsewhere.
        every_s: how often open pages are updated.
    """
    access, pages, desks = Access(token, operators), Pages(), desks or Desks({})
    handlers = _Handlers(view, scrape, unready, access, desks, pages, every_s)
    app = Starlette(
        routes=[
            *handlers.routes(),
            *history_routes(desks, access, pages, links),
            *form_routes(desks, access, pages),
            *api_routes(desks, access),
        ],
        middleware=[Middleware(AuthMiddleware, access=access, pages=pages)],
        exception_handlers={HTTPException: handlers.http_error},
    )
    app.state.hub = handlers.hub
    return app


class _Handlers:
    """The handlers of all paths."""

    def __init__(
        self,
        view: Callable[[], View],
        scrape: Callable[[str], tuple[str, bytes]],
        unready: Callable[[], Sequence[str]],
        access: Access,
        desks: Desks,
        pages: Pages,
        every_s: float,
    ) -> None:
        self._view = view
        self._scrape = scrape
        self._unready = unready
        self._access = access
        self._desks = desks
        self._pages = pages
        self.hub = Hub(self._draw, every_s)

    def routes(self) -> list[Route]:
        """Return the routes."""
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
        if self._access.can_sign_in:
            found.append(Route(SIGN_IN, self.sign_in, methods=["GET", "POST"]))
        return found

    async def overview(self, request: Request) -> Response:
        """Answer with the overview page."""
        subject = self._subject(request, None)
        visitor = visitor_of(request, self._access, self._desks)
        return await run_in_threadpool(
            lambda: _packed(request, _HTML, self._pages.whole(self._view(), subject, visitor))
        )

    async def job(self, request: Request) -> Response:
        """Answer with the page of one job."""
        subject = self._subject(request, request.path_params["name"] or request.query_params.get("name", ""))

        visitor = visitor_of(request, self._access, self._desks)

        def answer() -> Response:
            view = self._view()
            known = any(subject.has(job) for job in view.jobs)
            status = HTTPStatus.OK if known else HTTPStatus.NOT_FOUND
            return _packed(request, _HTML, self._pages.whole(view, subject, visitor), status)

        return await run_in_threadpool(answer)

    async def events(self, request: Request) -> EventStream:
        """Send the changed regions of a page, as server-sent events."""
        return EventStream(self.hub, self._subject(request, request.query_params.get("job")))

    async def view_json(self, request: Request) -> Response:
        """Answer with the view as JSON."""
        kind = "application/json"
        return await run_in_threadpool(lambda: _packed(request, kind, msgspec.json.encode(self._view())))

    async def metrics(self, request: Request) -> Response:
        """Answer a scrape."""
        accept = request.headers.get("accept", "")
        return await run_in_threadpool(lambda: _packed(request, *self._scrape(accept)))

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - a route's shape
        """Answer that the process runs."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """Answer whether the sidecar is ready; if not, tell a client that has the token why."""
        reasons = await run_in_threadpool(self._unready)
        if not reasons:
            return PlainTextResponse("ready\n")
        if self._access.actor(request) is None:
            return PlainTextResponse(UNREADY, HTTPStatus.SERVICE_UNAVAILABLE)
        return PlainTextResponse("".join(f"{shown(why)}\n" for why in reasons), HTTPStatus.SERVICE_UNAVAILABLE)

    async def asset(self, request: Request) -> Response:
        """Send one of the static files of the pages."""
        asset = ASSETS.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        answer = _packed(request, asset.content_type, asset.body)
        if request.query_params.get("v") == asset.version:
            answer.headers["Cache-Control"] = FOR_EVER
        return answer

    async def sign_in(self, request: Request) -> Response:
        """Check the token of a form, and set a cookie for it."""
        acting = self._access.actor(request) is not None
        if request.method != "POST":
            return HTMLResponse(self._pages.sign_in("/", wrong=False, acting=acting))
        form = await form_of(request)
        back = path_back(form.get("back", "/"))
        cookie = self._access.cookie_for(form.get("token", "").strip())
        if cookie is None:
            return HTMLResponse(self._pages.sign_in(back, wrong=True, acting=acting), HTTPStatus.UNAUTHORIZED)
        answer = RedirectResponse(back, HTTPStatus.SEE_OTHER)
        # Lax, not Strict: links to this page come from alerts and chats. Other sites' forms are refused: see access.py.
        answer.set_cookie(*cookie, httponly=True, samesite="lax", secure=came_over_tls(request))
        return answer

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Answer that the page does not exist, or that the method is not allowed."""
        if not isinstance(error, HTTPException):
            raise error
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(headers.get("Allow", "GET, HEAD").split(", ")))
            return refused(request, status, f"only {headers['Allow'].replace(', ', ' and ')}", headers)
        if is_api(request.scope["path"]):
            return refused(request, status, f"there is no such path; {API}/openapi.json lists all", headers)
        if "text/html" not in request.headers.get("accept", ""):
            there = "/, /jobs/NAME, /view.json, /metrics, /healthz and /readyz"
            return PlainTextResponse(f"{status.phrase.lower()}; there are {there}\n", status, headers)
        return HTMLResponse(self._pages.message(status.phrase, "There is no such page here."), status, headers)

    def _subject(self, request: Request, job: str | None) -> Subject:
        asked, actor = request.query_params, self._access.actor(request)
        acts = actor is not None and actor.may_act
        page, service, only = asked.get("page", "1"), asked.get("service"), asked.get("only", "")
        return Subject.of(job, asked.get("q", ""), page, service, acts=acts, only=only)

    def _draw(self, subjects: Sequence[Subject]) -> Mapping[Subject, Mapping[str, str]]:
        view = self._view()
        return {subject: self._pages.regions(view, subject) for subject in subjects}


def _packed(request: Request, content_type: str, body: str | bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer, compressed if it is large and the client accepts gzip."""
    data = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding, Cookie"}
    if len(data) > GZIP_FROM and gzip_accepted(request.headers.get("accept-encoding", "")):
        data = gzip.compress(data, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(data, status, headers)
