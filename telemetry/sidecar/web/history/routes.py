"""Show the runs of a job, and one run, as the ledger has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tickglass.sched.control.audit import act_text
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.telemetry.sidecar.web.bodies import number_in
from tickglass.telemetry.sidecar.web.control.desks import NotThere
from tickglass.telemetry.sidecar.web.history.runs import one_run, page_of_runs
from tickglass.telemetry.sidecar.web.messages import failed, visitor_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from tickglass.telemetry.endpoint.run_links import RunLink
    from tickglass.telemetry.sidecar.web.access import Access
    from tickglass.telemetry.sidecar.web.control.desks import Desks
    from tickglass.telemetry.sidecar.web.page import Pages

__all__ = ["history_routes"]


def history_routes(desks: Desks, access: Access, pages: Pages, links: Sequence[RunLink]) -> list[Route]:
    """Return the routes of the pages of runs."""

    async def history(request: Request) -> Response:
        asked = request.query_params
        name, service = asked.get("job", ""), asked.get("service", "")
        before_ns = number_in(asked.get("before", ""))
        try:
            store = await desks.having(asked.get("store", ""), name, service)
            shown = await desks.ask(store, lambda it: page_of_runs(it, name, service, before_ns))
        except (NotThere, StoreUnavailable, ConfigError) as error:
            return failed(pages, error)
        visitor = visitor_of(request, access, desks)
        return HTMLResponse(pages.history(visitor, store=store, shown=shown, first=before_ns is None))

    async def run(request: Request) -> Response:
        asked = request.query_params
        name, service, run_id = (asked.get(it, "") for it in ("job", "service", "run_id"))
        due_ns = number_in(asked.get("due", ""))
        if due_ns is None:
            return failed(pages, NotThere("a run is named by its job, its due instant and its id"))
        try:
            store = await desks.having(asked.get("store", ""), name, service)
            found = await desks.ask(store, lambda it: one_run(it, name, service, due_ns, run_id))
            elsewhere = [(link.name, link.to(found.record, found.now_ns)) for link in links]
        except (NotThere, StoreUnavailable, ConfigError) as error:
            return failed(pages, error)
        visitor = visitor_of(request, access, desks)
        told = [(act, act_text(act.entry)) for act in found.acts]
        return HTMLResponse(pages.run(visitor, store=store, found=found, acts=told, elsewhere=elsewhere))

    return [Route("/history", history), Route("/run", run)]
