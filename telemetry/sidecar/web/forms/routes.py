"""Show the form of an act, do what it asks, and show what was done.

The page needs no script for it: a link leads to a form, the form to an act, and the act to its row in the log. Only an
operator gets a form, and each form carries a key that no page of another site knows.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tickglass.sched.control.audit import act_text, read_act
from tickglass.sched.control.operator import read_book
from tickglass.sched.errors import ConfigError, ControlRefused, StoreUnavailable
from tickglass.telemetry.sidecar.web.auth import address_of
from tickglass.telemetry.sidecar.web.bodies import form_of, number_in
from tickglass.telemetry.sidecar.web.control.asks import AnyAsk
from tickglass.telemetry.sidecar.web.control.desks import NotThere
from tickglass.telemetry.sidecar.web.forms.form import form_for
from tickglass.telemetry.sidecar.web.messages import failed, message, visitor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from tickglass.sched.control.audit import Act
    from tickglass.sched.control.orders import Order
    from tickglass.sched.ports import Store
    from tickglass.telemetry.sidecar.web.access import Access, Actor
    from tickglass.telemetry.sidecar.web.control.desks import Desks
    from tickglass.telemetry.sidecar.web.page import Pages

__all__ = ["form_routes"]

ACTS_SHOWN: Final = 50
_OLD_FORM: Final = "This form is old, or comes from elsewhere. Nothing was done: look at it again."
_VIEWER: Final = "You may look, and not act: that needs the operators' token, or a user who is an operator."


def form_routes(desks: Desks, access: Access, pages: Pages) -> list[Route]:
    """Return the routes of forms and of the log; without operators there are no forms."""
    door = _Door(desks, access, pages)
    found = [Route("/audit", door.audit)]
    if access.can_act:
        found += [Route("/act/{act}", door.show), Route("/act/{act}", door.do, methods=["POST"])]
    return found


class _Door:
    """The handlers."""

    def __init__(self, desks: Desks, access: Access, pages: Pages) -> None:
        self._desks = desks
        self._access = access
        self._pages = pages

    async def show(self, request: Request) -> Response:
        """Answer with the form of an act."""
        actor = self._operator(request)
        if actor is None and self._access.can_sign_in:
            page = self._pages.sign_in(address_of(request), wrong=False, acting=True)
            return HTMLResponse(page, HTTPStatus.FORBIDDEN)
        if actor is None:
            return message(self._pages, HTTPStatus.FORBIDDEN, _VIEWER)
        return await self._form(request, actor, dict(request.query_params), HTTPStatus.OK)

    async def do(self, request: Request) -> Response:
        """Do what a form asks, and lead to its row in the log; if it is refused, show the form again, with why."""
        actor = self._operator(request)
        if actor is None:
            return message(self._pages, HTTPStatus.FORBIDDEN, _VIEWER)
        given = await form_of(request)
        if not self._access.is_form_key(given.pop("key", ""), actor):
            return await self._form(request, actor, given, HTTPStatus.FORBIDDEN, _OLD_FORM)
        try:
            store = await self._desks.having(given.get("store", ""), given.get("job", ""), given.get("service", ""))
            asked = {**_filled(given), "act": request.path_params["act"], "store": store}
            act = await self._desks.act(msgspec.convert(asked, AnyAsk, strict=False), actor)
        except (NotThere, StoreUnavailable) as error:
            return failed(self._pages, error)
        except (msgspec.ValidationError, ConfigError, ControlRefused) as error:
            status = HTTPStatus.CONFLICT if isinstance(error, ControlRefused) else HTTPStatus.BAD_REQUEST
            words = error.problem if isinstance(error, ConfigError) else str(error)
            return await self._form(request, actor, given, status, f"Nothing was done: {words}.")
        query = {"store": store, "act": act.version} | ({} if act.changed else {"stood": 1})
        return RedirectResponse(f"/audit?{urlencode(query)}", HTTPStatus.SEE_OTHER)

    async def audit(self, request: Request) -> Response:
        """Answer with what stands and what was done."""
        asked = request.query_params
        before = number_in(asked.get("before", ""))
        try:
            store = self._desks.named(asked.get("store", "") or self._desks.names[0] if self._desks.names else "")
            orders, acts = await self._desks.ask(store, lambda it: _standing_and_log(it, before))
        except (NotThere, StoreUnavailable) as error:
            return failed(self._pages, error)
        shown = acts[:ACTS_SHOWN]
        number = number_in(asked.get("act", ""))
        return HTMLResponse(
            self._pages.audit(
                visitor_of(request, self._access, self._desks),
                store=store,
                stores=self._desks.names,
                orders=orders,
                acts=[(act, act_text(act.entry)) for act in shown],
                older=shown[-1].version if len(acts) > ACTS_SHOWN else None,
                done=next((act_text(act.entry) for act in shown if act.version == number), ""),
                number=number,
                stood=asked.get("stood") == "1",
            )
        )

    def _operator(self, request: Request) -> Actor | None:
        actor = self._access.actor(request)
        return actor if actor is not None and actor.may_act else None

    async def _form(
        self, request: Request, actor: Actor, asked: Mapping[str, str], status: HTTPStatus, refusal: str = ""
    ) -> Response:
        act = request.path_params["act"]
        try:
            store = await self._desks.having(asked.get("store", ""), asked.get("job", ""), asked.get("service", ""))
            form = await self._desks.ask(store, lambda it: form_for(act, it, asked))
        except (NotThere, StoreUnavailable, ConfigError) as error:
            return failed(self._pages, error)
        page = self._pages.act(
            visitor_of(request, self._access, self._desks),
            form=form,
            store=store,
            several=len(self._desks.names) > 1,
            key=self._access.form_key(actor),
            given=asked,
            refusal=refusal,
        )
        return HTMLResponse(page, status)


def _standing_and_log(store: Store, before: int | None) -> tuple[list[tuple[Order, dict[str, Any]]], list[Act]]:
    orders = read_book(store).standing(store.time_ns())
    acts = [read_act(row) for row in store.audit(ACTS_SHOWN + 1, before=before)]
    return [(order, msgspec.to_builtins(order)) for order in orders], acts


def _filled(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if value.strip()}
