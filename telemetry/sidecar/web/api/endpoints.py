"""Declare every route of the API: what it is asked with, what it answers, and how a store is asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from tickglass.sched.control.audit import read_act
from tickglass.sched.control.operator import read_book
from tickglass.sched.control.roster import read_roster
from tickglass.sched.errors import ConfigError
from tickglass.telemetry.sidecar.web.api.answers import (
    ActList,
    DoneAnswer,
    JobList,
    OrderList,
    RunList,
    StoreList,
    act_answer,
    done_answer,
    job_answer,
    order_answer,
    run_answer,
)
from tickglass.telemetry.sidecar.web.control.asks import NAME_MAX, AnyAsk
from tickglass.telemetry.sidecar.web.control.ledger import job_named, whole_instants
from tickglass.telemetry.sidecar.web.problem_details import API

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import RunRecord, Store
    from tickglass.telemetry.sidecar.web.access import Actor
    from tickglass.telemetry.sidecar.web.control.desks import Desks

__all__ = ["ENDPOINTS", "Endpoint"]

LIMIT_MAX: Final = 1_000
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many at most.")]
Before = Annotated[int, Meta(ge=0, le=(1 << 63) - 1, description="Older ones than this, as in `next`.")]
Named = Annotated[str, Meta(max_length=NAME_MAX)]
T = TypeVar("T", bound=msgspec.Struct)


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing."""


class StoreQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which store; needed where the sidecar reads several."""

    store: Named = ""


class ActsQuery(StoreQuery, frozen=True, kw_only=True):
    """Which acts."""

    limit: Limit = 100
    before: Before | None = None


class RunsQuery(StoreQuery, frozen=True, kw_only=True):
    """Which runs: of one job, or of all."""

    job: Named = ""
    service: Named = ""
    limit: Limit = 100
    before: Before | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route.

    Args:
        name: its operation's id in the document.
        query: the type of its query string.
        body: the type of its body; None: it has none.
        answer: the type of its answer.
        handle: is given the stores, the query or the body, and who asks.
    """

    name: str
    method: str
    path: str
    summary: str
    query: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    handle: Callable[[Desks, Any, Actor], Awaitable[msgspec.Struct]]
    body: Any = None

    def next_page(self, asked: ActsQuery | RunsQuery, before: int | None) -> str | None:
        """Return the path of the next page; None after the last."""
        if before is None:
            return None
        query = {**msgspec.to_builtins(asked), "before": before}
        return f"{self.path}?{urlencode({name: value for name, value in query.items() if value != ''})}"


async def _stores(desks: Desks, _asked: NoQuery, _actor: Actor) -> StoreList:
    return StoreList(desks.names)


async def _orders(desks: Desks, asked: StoreQuery, _actor: Actor) -> OrderList:
    def read(store: Store) -> OrderList:
        standing = read_book(store).standing(store.time_ns())
        return OrderList(store=desks.named(asked.store), orders=[order_answer(order) for order in standing])

    return await desks.ask(asked.store, read)


async def _log(desks: Desks, asked: ActsQuery, _actor: Actor) -> ActList:
    rows = await desks.ask(asked.store, lambda store: store.audit(asked.limit + 1, before=asked.before))
    shown = [read_act(row) for row in rows[: asked.limit]]
    before = shown[-1].version if len(rows) > asked.limit else None
    return ActList(
        store=desks.named(asked.store),
        acts=[act_answer(act) for act in shown],
        next=ACTS.next_page(asked, before),
    )


async def _act(desks: Desks, asked: AnyAsk, actor: Actor) -> DoneAnswer:
    return done_answer(desks.named(asked.store), await desks.act(asked, actor))


async def _jobs(desks: Desks, asked: StoreQuery, _actor: Actor) -> JobList:
    def read(store: Store) -> JobList:
        roster, book, now_ns = read_roster(store), read_book(store), store.time_ns()
        paused = [(job, book.pause_of(job.job_id, now_ns)) for job in store.jobs()]
        listed = [job_answer(job, roster, "" if pause is None else pause.by) for job, pause in paused]
        return JobList(store=desks.named(asked.store), jobs=listed)

    return await desks.ask(asked.store, read)


async def _runs(desks: Desks, asked: RunsQuery, _actor: Actor) -> RunList:
    def read(store: Store) -> tuple[Sequence[RunRecord], int | None]:
        job = _job_meant(store, asked)
        return whole_instants(lambda limit: store.runs(job, limit, before_ns=asked.before), asked.limit)

    runs, before = await desks.ask(asked.store, read)
    return RunList(
        store=desks.named(asked.store), runs=[run_answer(run) for run in runs], next=RUNS.next_page(asked, before)
    )


def _job_meant(store: Store, asked: RunsQuery) -> JobId | None:
    if not asked.job:
        if asked.service:
            raise ConfigError("say which job of the service; without a job, runs of all services are answered")
        return None
    return job_named(store, asked.job, asked.service).job_id


ACTS: Final = Endpoint("listActs", "GET", f"{API}/acts", "The audit log.", ActsQuery, ActList, _log)
RUNS: Final = Endpoint("listRuns", "GET", f"{API}/runs", "Runs, as the ledger has them.", RunsQuery, RunList, _runs)
ENDPOINTS: Final = (
    Endpoint("listStores", "GET", f"{API}/stores", "The stores.", NoQuery, StoreList, _stores),
    Endpoint("listJobs", "GET", f"{API}/jobs", "The jobs.", StoreQuery, JobList, _jobs),
    RUNS,
    Endpoint("listOrders", "GET", f"{API}/orders", "What stands.", StoreQuery, OrderList, _orders),
    ACTS,
    Endpoint("act", "POST", f"{API}/acts", "Do an act.", NoQuery, DoneAnswer, _act, body=AnyAsk),
)
