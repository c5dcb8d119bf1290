"""Answer the requests of programs: check who asks and what, ask a store on a thread, and say what goes wrong."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from tickglass.sched.errors import ConfigError, ControlRefused, StoreUnavailable, TickglassError
from tickglass.telemetry.sidecar.web.api.endpoints import ENDPOINTS
from tickglass.telemetry.sidecar.web.api.openapi import document
from tickglass.telemetry.sidecar.web.bodies import FIELDS_MAX, body_of
from tickglass.telemetry.sidecar.web.control.desks import NotThere
from tickglass.telemetry.sidecar.web.problem_details import API, problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from tickglass.telemetry.sidecar.web.access import Access, Actor
    from tickglass.telemetry.sidecar.web.api.endpoints import Endpoint
    from tickglass.telemetry.sidecar.web.control.desks import Desks

__all__ = ["BODY_MAX", "api_routes"]

BODY_MAX: Final = 65_536  # bytes
RETRY_S: Final = 2
READ_ONLY: Final = "this sidecar is read-only: --allow-control lets operators act"
_JSON: Final = "application/json"
_STATUS: Final = (
    (NotThere, HTTPStatus.NOT_FOUND),
    (ControlRefused, HTTPStatus.CONFLICT),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConfigError, HTTPStatus.BAD_REQUEST),
)


class _RequestError(Exception):
    """A request that is answered with a problem before any store is asked."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        self.status = status
        super().__init__(words)


def api_routes(desks: Desks, access: Access) -> list[Route]:
    """Return the routes of the API."""

    def route(path: str) -> Route:
        here = {it.method: it for it in ENDPOINTS if it.path == path}

        async def answer(request: Request) -> Response:
            return await _answer(here[request.method if request.method in here else "GET"], request, desks, access)

        return Route(path, answer, methods=list(here))

    return [Route(f"{API}/openapi.json", _openapi), *map(route, dict.fromkeys(it.path for it in ENDPOINTS))]


async def _openapi(request: Request) -> Response:  # noqa: ARG001 - a route's shape
    return Response(document(), media_type=_JSON)


async def _answer(endpoint: Endpoint, request: Request, desks: Desks, access: Access) -> Response:
    actor = access.actor(request)
    assert actor is not None  # noqa: S101 - AuthMiddleware has refused it otherwise
    try:
        asked = _query(endpoint, request)
        if endpoint.body is not None:
            _check_acting(access, actor)
            asked = await _body(endpoint, request)
        done = await endpoint.handle(desks, asked, actor)
    except _RequestError as error:
        return problem(error.status, str(error))
    except TickglassError as error:
        return _problem_of(error)
    return Response(msgspec.json.encode(done), media_type=_JSON)


def _check_acting(access: Access, actor: Actor) -> None:
    if not access.can_act:
        raise _RequestError(HTTPStatus.FORBIDDEN, READ_ONLY)
    if not actor.may_act:
        raise _RequestError(HTTPStatus.FORBIDDEN, "you may look, and not act: an operator's token is needed")


def _query(endpoint: Endpoint, request: Request) -> msgspec.Struct:
    try:
        given = parse_qsl(
            request.scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_MAX
        )
        twice = [name for name, times in Counter(name for name, _ in given).items() if times > 1]
        if twice:
            raise _RequestError(HTTPStatus.BAD_REQUEST, f"{twice[0]} is given more than once")
        return msgspec.convert(dict(given), endpoint.query, strict=False)
    except ValueError as error:  # msgspec's are ones
        raise _RequestError(HTTPStatus.BAD_REQUEST, f"the query: {error}") from error


async def _body(endpoint: Endpoint, request: Request) -> Any:  # noqa: ANN401 - as the endpoint declares
    # JSON alone: the form of another site cannot send it, and a script of one is not let through.
    if request.headers.get("content-type", "").partition(";")[0].strip().casefold() != _JSON:
        raise _RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body is sent as {_JSON}")
    body = await body_of(request, BODY_MAX)
    if body is None:
        raise _RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has at most {BODY_MAX:,} bytes")
    try:
        return msgspec.json.decode(body, type=endpoint.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _RequestError(HTTPStatus.BAD_REQUEST, f"the body: {error}") from error


def _problem_of(error: TickglassError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None:
        raise error
    if isinstance(error, NotThere | ControlRefused | ConfigError):
        return problem(status, error.problem, instead=error.instead)
    return problem(status, str(error), headers={"Retry-After": str(RETRY_S)})
