"""Show what operators have asked for: `tickglass orders` and `tickglass audit`. Read-only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from tickglass.cli.act_text import act_json, order_json
from tickglass.cli.job_choice import jobs_named
from tickglass.cli.name_completion import complete_jobs, complete_services
from tickglass.cli.numbers import IntRange
from tickglass.cli.stores import existing_store, store_argument
from tickglass.cli.tables import print_table
from tickglass.cli.text import instant_text, one_line
from tickglass.control import Control
from tickglass.sched.control.orders import Cancel, Drain, Pause, RunNow, Skip, fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.control.audit import Act, ActEntry
    from tickglass.sched.control.orders import Order
    from tickglass.sched.ports import StoreObserver

__all__ = ["audit", "orders"]

ACTS_SHOWN: Final = 50
_PAGE: Final = 500  # acts that are read at once, to find those about a job
_NONE: Final = "-"


@click.command(short_help="Show what operators have asked for, and still stands.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@store_argument
def orders(store_url: str, *, as_json: bool) -> None:
    """Show what stands: pauses, skips, runs and stops that were asked for, drained instances.

    STORE_URL is e.g. redis://localhost:6379; by default $TICKGLASS_STORE, or
    sqlite:///jobs.db in this folder.
    """
    with existing_store(store_url) as store:
        found = Control(store).standing()
    if as_json:
        click.echo(json.dumps([order_json(order) for order in found], indent=2))
    else:
        headings = ("act", "order", "job", "service", "about", "since", "until", "by", "reason")
        print_table("orders", headings, [_order_row(order) for order in found], numbers={0})


@click.command(short_help="Show who did what, and why.")
@click.option("--limit", metavar="N", type=IntRange(min=1), default=ACTS_SHOWN, show_default=True, help="So many.")
@click.option("--service", metavar="NAME", shell_complete=complete_services, help="Only acts on jobs of this service.")
@click.option("--job", metavar="NAME", shell_complete=complete_jobs, help="Only acts on this job.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@store_argument
def audit(store_url: str, job: str | None, service: str | None, limit: int, *, as_json: bool) -> None:
    """Show the acts of operators, newest first: who did what, when, why and until when.

    The store keeps the latest 10,000. With --job, also acts on this job together with
    others. STORE_URL is e.g. redis://localhost:6379; by
    default $TICKGLASS_STORE, or sqlite:///jobs.db in this folder.
    """
    with existing_store(store_url) as store:
        found = _acts(Control(store), job, service, limit)
        if not found:
            _refuse_unknown(store, job, service)
    if as_json:
        click.echo(json.dumps([act_json(act) for act in found], indent=2))
    else:
        headings = ("number", "at", "by", "act", "job", "service", "about", "until", "reason")
        print_table("acts", headings, [_act_row(act) for act in found], numbers={0})


def _acts(control: Control, job: str | None, service: str | None, limit: int) -> list[Act]:
    """Return the latest acts that are about such a job, newest first."""
    if job is None and service is None:
        return list(control.log(limit))
    found: list[Act] = []
    for act in _all_acts(control):
        if _is_about(act.entry, job, service):
            found.append(act)
        if len(found) == limit:
            break
    return found


def _all_acts(control: Control) -> Iterator[Act]:
    page = control.log(_PAGE)
    while page:
        yield from page
        page = control.log(_PAGE, before=page[-1].version)


def _is_about(entry: ActEntry, job: str | None, service: str | None) -> bool:
    if job is not None and not (entry.job and fits(job, entry.job)):
        return False
    return service is None or bool(entry.service and fits(service, entry.service))


def _refuse_unknown(store: StoreObserver, job: str | None, service: str | None) -> None:
    """Refuse names that no job has: no acts might as well mean that nobody acted.

    Raises:
        ConfigError: there is no such job.
    """
    jobs_named((record.job_id for record in store.jobs()), job, service)


def _order_row(order: Order) -> Sequence[str]:
    kind = type(order).__name__
    return [
        str(order.number),
        "run" if kind == "RunNow" else kind.lower(),
        _NONE if isinstance(order, Drain) else order.job,
        order.service,
        _about(order),
        instant_text(order.since_ns),
        _NONE if order.until_ns is None else instant_text(order.until_ns),
        order.by,
        one_line(order.reason),
    ]


def _about(order: Order) -> str:
    match order:
        case Skip() | RunNow():
            return f"due {instant_text(order.due_ns)}"
        case Cancel():
            return f"run {order.run_id}"
        case Drain():
            return order.owner
        case Pause():
            return _NONE


def _act_row(act: Act) -> Sequence[str]:
    entry = act.entry
    due = "" if entry.due_ns is None or entry.target else f"due {instant_text(entry.due_ns)}"
    fence = f" (fence {entry.fence})" if entry.fence else ""
    return [
        str(act.version),
        instant_text(act.at_ns),
        entry.by,
        entry.act,
        entry.job or _NONE,
        entry.service or _NONE,
        f"{entry.target}{fence}" if entry.target else due or _NONE,
        _NONE if entry.until_ns is None else instant_text(entry.until_ns),
        one_line(entry.reason),
    ]
