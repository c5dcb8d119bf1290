"""Say to a person why a page is not what was asked for, and who looks at it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.telemetry.sidecar.web.page import Visitor

if TYPE_CHECKING:
    from starlette.requests import Request

    from tickglass.telemetry.sidecar.web.access import Access
    from tickglass.telemetry.sidecar.web.control.desks import Desks, NotThere
    from tickglass.telemetry.sidecar.web.page import Pages

__all__ = ["failed", "message", "visitor_of"]


def visitor_of(request: Request, access: Access, desks: Desks) -> Visitor:
    """Return who looks."""
    actor = access.actor(request)
    if actor is None:
        return Visitor()
    return Visitor(
        may_act=actor.may_act,
        name=actor.name,
        can_sign_in=access.can_act and access.can_sign_in and not actor.may_act,
        sees_log=bool(desks.names),
    )


def failed(pages: Pages, error: NotThere | StoreUnavailable | ConfigError) -> Response:
    """Return a page that says what is not there, not clear, or does not answer."""
    if isinstance(error, StoreUnavailable):
        words = f"{error}. If you asked for an act, it may have been done: look at the log"
        return message(pages, HTTPStatus.SERVICE_UNAVAILABLE, f"{words}.")
    near = f" Perhaps {' or '.join(error.instead)} is meant." if error.instead else ""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, ConfigError) else HTTPStatus.NOT_FOUND
    return message(pages, status, f"{error.problem}.{near}")


def message(pages: Pages, status: HTTPStatus, text: str) -> Response:
    """Return a page with a sentence."""
    return HTMLResponse(pages.message(status.phrase, text[:1].upper() + text[1:]), status)
