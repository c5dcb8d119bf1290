"""Show which instances there are: `tickglass instances`. Read-only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from tickglass.cli.act_text import order_json
from tickglass.cli.name_completion import complete_services
from tickglass.cli.stores import existing_store, store_argument
from tickglass.cli.tables import print_table
from tickglass.cli.text import record_json, span_text
from tickglass.sched.control.operator import read_book
from tickglass.sched.control.roster import Roster, read_roster
from tickglass.sched.ports import InstanceState

if TYPE_CHECKING:
    from tickglass.sched.control.order_book import OrderBook
    from tickglass.sched.control.orders import Drain
    from tickglass.sched.ports import InstanceRecord

__all__ = ["instances"]


@click.command(short_help="Show the instances: state, version, jobs that differ.")
@click.option("--service", metavar="NAME", shell_complete=complete_services, help="Only instances of this service.")
@click.option("--all", "everything", is_flag=True, help="Also those that have left.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@store_argument
def instances(store_url: str, service: str | None, *, everything: bool, as_json: bool) -> None:
    """Show every instance in the store: its state, its version, when it was seen, and whether its jobs differ.

    An instance that died is "silent" a minute after it was seen last. Those that were
    stopped are left out, unless --all is given. An instance that an operator has drained
    is "drained". Times go by the store's clock.
    STORE_URL is e.g. redis://localhost:6379; by default $TICKGLASS_STORE, or
    sqlite:///jobs.db in this folder.
    """
    with existing_store(store_url) as store:
        roster = read_roster(store)
        book, now_ns = read_book(store), store.time_ns()
    found = [
        it
        for it in roster.instances
        if service in (None, it.service) and (everything or it.state != InstanceState.LEFT)
    ]
    if as_json:
        click.echo(json.dumps([_json(it, roster, _drain_of(it, book, now_ns)) for it in found], indent=2))
    else:
        headings = ("owner", "service", "state", "version", "jobs", "seen", "incarnation")
        print_table("instances", headings, [_row(it, roster, _drain_of(it, book, now_ns)) for it in found])


def _drain_of(it: InstanceRecord, book: OrderBook, now_ns: int) -> Drain | None:
    """Return the order by which a living instance starts nothing."""
    return book.drain_of(it.service, it.owner, now_ns) if it.living else None


def _row(it: InstanceRecord, roster: Roster, drained: Drain | None) -> list[str | Text]:
    names, differs = roster.names.get(it.fingerprint), roster.difference(it)
    count = "-" if names is None else str(len(names))
    silent = not it.living and it.state != InstanceState.LEFT
    state = Text("drained", "yellow") if drained else it.state
    return [
        it.owner,
        it.service,
        Text("silent", "bold red") if silent else state,
        it.version or "-",
        Text(f"{count}: {differs}", "yellow") if differs else count,
        f"{span_text(it.silent_ns)} ago",
        it.incarnation,
    ]


def _json(it: InstanceRecord, roster: Roster, drained: Drain | None) -> dict[str, Any]:
    names = roster.names.get(it.fingerprint)
    jobs = None if names is None else sorted(names)
    more = {"living": it.living, "jobs": jobs, "difference": roster.difference(it), "drained": order_json(drained)}
    return {**record_json(it), **more}
