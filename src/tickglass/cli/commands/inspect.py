"""Show what a store contains: `tickglass jobs`, `locks` and `runs`. Read-only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.text import Text

from tickglass.cli.act_text import order_json, until_text
from tickglass.cli.job_choice import jobs_named
from tickglass.cli.name_completion import complete_jobs, complete_services
from tickglass.cli.numbers import IntRange
from tickglass.cli.stores import existing_store, store_argument
from tickglass.cli.tables import print_table
from tickglass.cli.text import distance_text, instant_text, one_line, record_json, shown, span_text
from tickglass.sched.control.operator import read_book
from tickglass.sched.control.roster import Roster, read_roster
from tickglass.sched.errors import ConfigError
from tickglass.sched.identity import JobId
from tickglass.sched.occurrence import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tickglass.sched.control.order_book import OrderBook
    from tickglass.sched.ports import JobRecord, LeaseRecord, RunRecord, StoreObserver

__all__ = ["jobs", "locks", "runs"]

F = TypeVar("F", bound="Callable[..., Any]")

RUNS_SHOWN: Final = 50
_NONE: Final = "-"
_STYLES: Final[Mapping[str, str]] = {
    Outcome.SUCCESS: "green",
    Outcome.FAILURE: "bold red",
    Outcome.TIMEOUT: "red",
    Outcome.CANCELLED: "yellow",
    Outcome.LOST: "bold magenta",
    Outcome.ORPHANED: "magenta",
    Outcome.ELSEWHERE: "dim",
    Outcome.MISSED: "yellow",
    Outcome.SKIPPED: "yellow",
    "running": "cyan",
    "abandoned": "bold magenta",  # unsettled, and its lease has ended: the claimant died
}


def _store_options(command: F) -> F:
    """Add the options that all three commands share."""
    for decorate in (
        click.option("--limit", metavar="N", type=IntRange(min=1), help="Show so many at most."),
        click.option("--service", metavar="NAME", shell_complete=complete_services, help="Only jobs of this service."),
        click.option(
            "--job",
            metavar="NAME",
            shell_complete=complete_jobs,
            help="Only this job; of several services, if they have one each.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON array."),
        store_argument,
    ):
        command = decorate(command)
    return command


@click.command(short_help="Show the jobs: trigger, next due instant, owner.")
@_store_options
def jobs(store_url: str, job: str | None, service: str | None, limit: int | None, *, as_json: bool) -> None:
    """Show every job in the store: its trigger, its next due instant, and its owner.

    A paused job says so in place of the distance of its next due instant.
    STORE_URL is where schedulers keep their leases, e.g. redis://localhost:6379;
    by default $TICKGLASS_STORE, or sqlite:///jobs.db in this folder. Distances in
    time go by the store's clock.
    """
    with existing_store(store_url) as store:
        chosen = _chosen(store, job, service)
        found = [record for record in store.jobs() if chosen is None or record.job_id in chosen][:limit]
        roster = read_roster(store)
        book = read_book(store)
        now_ns = store.time_ns()
    if as_json:
        _print_json(found, [_more(record, now_ns, roster, book) for record in found])
    else:
        headings = ("job", "service", "trigger", "resource", "next due", "", "owner", "last due", "instances")
        print_table("jobs", headings, [_job_row(record, now_ns, roster, book) for record in found])


@click.command(short_help="Show who holds which lock, and for how long.")
@_store_options
def locks(store_url: str, job: str | None, service: str | None, limit: int | None, *, as_json: bool) -> None:
    """Show every lock in the store: who holds it, since when and for how long.

    An expired lease stays listed until an instance takes or releases it.
    STORE_URL is e.g. redis://localhost:6379; by default $TICKGLASS_STORE, or
    sqlite:///jobs.db in this folder.
    """
    with existing_store(store_url) as store:
        chosen = _chosen(store, job, service)
        held = ((JobId(record.service, record.job), record) for record in store.leases())
        found = [record for holder, record in held if chosen is None or holder in chosen][:limit]
    if as_json:
        _print_json(found)
    else:
        headings = ("resource", "owner", "service", "job", "held for", "lease left", "ttl", "fence", "run id")
        print_table("locks", headings, [_lock_row(record) for record in found], numbers={4, 5, 6, 7})


@click.command(short_help="Show the latest runs: outcome, lateness, duration.")
@_store_options
def runs(store_url: str, job: str | None, service: str | None, limit: int | None, *, as_json: bool) -> None:
    """Show the latest runs, newest first: outcome, lateness, duration, and who ran them.

    50 of them, unless --limit says otherwise. A run without an outcome is
    "running", or "abandoned" if its lease has ended: then its scheduler died.
    STORE_URL is e.g. redis://localhost:6379; by default $TICKGLASS_STORE, or
    sqlite:///jobs.db in this folder.
    """
    with existing_store(store_url) as store:
        found = _runs_of(store, _chosen(store, job, service), limit or RUNS_SHOWN)
        alive = {lease.run_id for lease in store.leases() if lease.remaining_ns > 0}
    if as_json:
        _print_json(found)
    else:
        headings = (
            "job",
            "service",
            "due",
            "attempt",
            "outcome",
            "lateness",
            "duration",
            "owner",
            "fence",
            "run id",
            "detail",
        )
        print_table("runs", headings, [_run_row(record, alive) for record in found], numbers={3, 5, 6, 8})


def _chosen(store: StoreObserver, job: str | None, service: str | None) -> list[JobId] | None:
    """Return the jobs that the options name; None: they name none, so all are meant.

    Raises:
        ConfigError: with the names that are nearest; for the name of a resource, with the jobs that use it.
    """
    if job is None and service is None:
        return None
    records = store.jobs()
    if job not in {record.name for record in records}:
        of_resource = tuple(record.name for record in records if record.resource == job)
        if of_resource:
            raise ConfigError("this is a resource, and no job", given=job, instead=of_resource)
    return jobs_named((record.job_id for record in records), job, service)


def _runs_of(store: StoreObserver, chosen: Sequence[JobId] | None, limit: int) -> Sequence[RunRecord]:
    if chosen is None:
        return store.runs(None, limit)
    found = [run for job in chosen for run in store.runs(job, limit)]
    return sorted(found, key=lambda run: (run.due_ns, run.job_id, run.attempt), reverse=True)[:limit]


def _job_row(record: JobRecord, now_ns: int, roster: Roster, book: OrderBook) -> list[str | Text]:
    due = record.next_due_ns
    last = record.last_due_ns
    return [
        record.name,
        record.service,
        record.trigger,
        record.resource,
        _NONE if due is None else instant_text(due),
        _coming(record, now_ns, book),
        record.owner,
        _NONE if last is None else instant_text(last),
        roster.presence(record.job_id),
    ]


def _coming(record: JobRecord, now_ns: int, book: OrderBook) -> str | Text:
    """Return how far the next due instant is, or that an operator has asked for it not to run."""
    pause, due = book.pause_of(record.job_id, now_ns), record.next_due_ns
    if pause is not None:
        return Text(f"paused {until_text(pause.until_ns, 'resumed')}", "yellow")
    if due is None:
        return ""
    if book.skip_of(record.job_id, due) is not None:
        skipped = "to be skipped" if due > now_ns else "skipped"
        return Text(f"{distance_text(due, now_ns)}, {skipped}", "yellow")
    return distance_text(due, now_ns)


def _more(record: JobRecord, now_ns: int, roster: Roster, book: OrderBook) -> dict[str, object]:
    """Return what a job's JSON says beside its record."""
    due = record.next_due_ns
    return {
        "instances": roster.presence(record.job_id),
        "paused": order_json(book.pause_of(record.job_id, now_ns)),
        "skip": None if due is None else order_json(book.skip_of(record.job_id, due)),
    }


def _lock_row(record: LeaseRecord) -> list[str | Text]:
    left_ns = record.remaining_ns
    left: str | Text = span_text(left_ns)
    if left_ns <= 0:
        left = Text(f"expired {span_text(-left_ns)} ago", "bold red")
    return [
        record.resource,
        record.owner,
        record.service,
        record.job or _NONE,
        span_text(record.held_ns),
        left,
        span_text(record.ttl_ns),
        str(record.fence),
        record.run_id or _NONE,
    ]


def _run_row(record: RunRecord, alive: Collection[str]) -> list[str | Text]:
    outcome = record.outcome or ("running" if record.run_id in alive else "abandoned")
    started, ended = record.started_wall_ns, record.ended_wall_ns
    # An older version wrote the start by its instance's clock and the end by the store's.
    ran_ns = None if started is None or ended is None or ended < started else ended - started
    return [
        record.job,
        record.service,
        instant_text(record.due_ns),
        str(record.attempt),
        Text(shown(outcome), _STYLES.get(outcome, "")),
        _NONE if record.lateness_ns is None else span_text(record.lateness_ns),
        _NONE if ran_ns is None else span_text(ran_ns),
        record.owner,
        str(record.fence),
        record.run_id,
        one_line(record.detail),
    ]


def _print_json(
    records: Sequence[JobRecord | LeaseRecord | RunRecord], more: Sequence[Mapping[str, object]] = ()
) -> None:
    told = [record_json(record) for record in records]
    for record, others in zip(told, more, strict=False):
        record.update(others)
    click.echo(json.dumps(told, indent=2))
