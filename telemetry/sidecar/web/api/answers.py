"""Say what the API answers.

Instants are RFC 3339 in UTC, durations seconds; null is what is not known, or does not apply.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - read at run time by the encoder of these values
from typing import TYPE_CHECKING

import msgspec

from tickglass.sched.clock import instant_of
from tickglass.sched.control.audit import act_text
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from tickglass.sched.control.audit import Act
    from tickglass.sched.control.orders import Order
    from tickglass.sched.control.roster import Roster
    from tickglass.sched.ports import JobRecord, RunRecord

__all__ = [
    "ActAnswer",
    "ActList",
    "DoneAnswer",
    "JobAnswer",
    "JobList",
    "OrderAnswer",
    "OrderList",
    "RunAnswer",
    "RunList",
    "StoreList",
    "act_answer",
    "done_answer",
    "job_answer",
    "order_answer",
    "run_answer",
]


class StoreList(msgspec.Struct, frozen=True):
    """The names of the stores that the sidecar reads: their URLs without passwords."""

    stores: list[str]


class ActAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One act, as the audit log has it.

    Args:
        number: acts of a store are numbered in their order.
        text: who did what, in words, without the reason.
    """

    number: int
    at: datetime
    act: str
    by: str
    reason: str
    text: str
    service: str = ""
    job: str = ""
    target: str = ""
    due: datetime | None = None
    until: datetime | None = None
    fence: int | None = None


class DoneAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an act.

    Args:
        changed: false: what was asked for stood already, by the earlier act that is answered.
    """

    store: str
    changed: bool
    act: ActAnswer


class ActList(msgspec.Struct, frozen=True, kw_only=True):
    """The latest acts, newest first; `next` is the path of older ones."""

    store: str
    acts: list[ActAnswer]
    next: str | None = None


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was asked for and stands: `order` is pause, skip, run, cancel or drain.

    Args:
        number: of the act that it came with.
    """

    number: int
    order: str
    by: str
    reason: str
    since: datetime
    until: datetime | None = None
    service: str = ""
    job: str = ""
    due: datetime | None = None
    run_id: str = ""
    owner: str = ""


class OrderList(msgspec.Struct, frozen=True, kw_only=True):
    """What stands, oldest first."""

    store: str
    orders: list[OrderAnswer]


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as the ledger has it.

    Args:
        next_due: as last noted by an instance; it is past while no instance has taken it up.
        last_due: the latest instant that an instance has claimed.
        presence: which living instances of its service have it: all, some, retired, no instance or unknown.
        paused_by: who paused it; "" if it is not paused.
    """

    service: str
    job: str
    trigger: str
    resource: str
    next_due: datetime | None = None
    last_due: datetime | None = None
    timeout_s: float | None = None
    grace_s: float | None = None
    presence: str = ""
    paused_by: str = ""


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs of a store, by service and name."""

    store: str
    jobs: list[JobAnswer]


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at one occurrence, as the ledger has it.

    Args:
        outcome: null while it runs, or when its claimant died.
        kind: scheduled, or manual.
    """

    service: str
    job: str
    due: datetime
    attempt: int
    kind: str
    run_id: str
    owner: str
    resource: str
    fence: int
    claimed: datetime
    started: datetime | None = None
    ended: datetime | None = None
    outcome: str | None = None
    detail: str = ""
    lateness_s: float | None = None
    ran_s: float | None = None


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """The latest runs, newest due instant first; `next` is the path of older ones."""

    store: str
    runs: list[RunAnswer]
    next: str | None = None


def act_answer(act: Act) -> ActAnswer:
    """Return an act as it is answered."""
    entry = act.entry
    return ActAnswer(
        number=act.version,
        at=instant_of(act.at_ns),
        act=entry.act,
        by=entry.by,
        reason=entry.reason,
        text=act_text(entry),
        service=entry.service,
        job=entry.job,
        target=entry.target,
        due=_instant(entry.due_ns),
        until=_instant(entry.until_ns),
        fence=entry.fence or None,
    )


def done_answer(store: str, act: Act) -> DoneAnswer:
    """Return what became of an act."""
    return DoneAnswer(store=store, changed=act.changed, act=act_answer(act))


def order_answer(order: Order) -> OrderAnswer:
    """Return an order as it is answered."""
    about = msgspec.to_builtins(order)
    return OrderAnswer(
        number=order.number,
        order=about["order"],
        by=order.by,
        reason=order.reason,
        since=instant_of(order.since_ns),
        until=_instant(order.until_ns),
        due=_instant(about.get("due_ns")),
        **{name: about.get(name, "") for name in ("service", "job", "run_id", "owner")},
    )


def job_answer(job: JobRecord, roster: Roster, paused_by: str) -> JobAnswer:
    """Return a job as it is answered."""
    return JobAnswer(
        service=job.service,
        job=job.name,
        trigger=job.trigger,
        resource=job.resource,
        next_due=_instant(job.next_due_ns),
        last_due=_instant(job.last_due_ns),
        timeout_s=_seconds(job.timeout_ns),
        grace_s=_seconds(job.grace_ns),
        presence=roster.presence(job.job_id).value,
        paused_by=paused_by,
    )


def run_answer(run: RunRecord) -> RunAnswer:
    """Return a run as it is answered."""
    return RunAnswer(
        service=run.service,
        job=run.job,
        due=instant_of(run.due_ns),
        attempt=run.attempt,
        kind=run.kind,
        run_id=run.run_id,
        owner=run.owner,
        resource=run.resource,
        fence=run.fence,
        claimed=instant_of(run.claimed_wall_ns),
        started=_instant(run.started_wall_ns),
        ended=_instant(run.ended_wall_ns),
        outcome=run.outcome,
        detail=run.detail,
        lateness_s=_seconds(run.lateness_ns),
        ran_s=_seconds(run.ran_ns),
    )


def _instant(wall_ns: int | None) -> datetime | None:
    return None if wall_ns is None else instant_of(wall_ns)


def _seconds(span_ns: int | None) -> float | None:
    return None if span_ns is None else span_ns / SECOND
