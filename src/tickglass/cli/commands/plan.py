"""Show what a deploy would change: `tickglass plan`. Read-only."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Final

import click

from tickglass.cli.commands.run import find_scheduler
from tickglass.cli.lazy_group import EXIT_NO_ANSWER
from tickglass.cli.numbers import IntRange
from tickglass.cli.plan_text import plan_json, plan_lines
from tickglass.cli.stores import existing_store
from tickglass.plan import Known, plan_of
from tickglass.sched.control.roster import read_roster
from tickglass.sched.durations import SECOND

__all__ = ["plan"]

_DAY_NS: Final = 86_400 * SECOND


@click.command(short_help="Show what a deploy of a scheduler's jobs would change.")
@click.argument("where", metavar="MODULE:SCHEDULER")
@click.option("--store", "store_url", metavar="URL", help="The store to compare with. Default: the scheduler's own.")
@click.option("--days", metavar="N", type=IntRange(min=1, max=366), default=7, show_default=True, help="Look so far.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--check", is_flag=True, help="Exit with 1 if there is any difference.")
def plan(where: str, store_url: str | None, days: int, *, as_json: bool, check: bool) -> None:
    """Compare the jobs that a program declares with those that its store knows.

    The program is imported and not started, as `tickglass run` finds it. Shown
    are the jobs that are new, changed or gone, which due instants of the next
    days come, go or move, and which jobs of one resource would fall due
    together. Nothing is changed.
    """
    scheduler = find_scheduler(where)
    url = scheduler.store_url if store_url is None else store_url
    with existing_store(url) as store:
        known = Known(store.jobs(), read_roster(store), store.time_ns())
    found = plan_of(scheduler.service, scheduler.jobs, known, span_ns=days * _DAY_NS, version=version("tickglass"))
    if as_json:
        click.echo(json.dumps(plan_json(found), indent=2))
    else:
        for line in plan_lines(found):
            click.echo(line)
    if check and found.differs:
        click.get_current_context().exit(EXIT_NO_ANSWER)
