"""Say what became of one occurrence, and why: `tickglass why`."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console
from rich.text import Text

from tickglass.cli.job_choice import one_job_named
from tickglass.cli.lazy_group import EXIT_NO_ANSWER
from tickglass.cli.sidecar_client import Unreachable, fetch_view, sidecar_options
from tickglass.cli.stores import STORE_ENV, check_one_store, existing_store
from tickglass.cli.text import distance_text, lines_shown, shown, span_text
from tickglass.cli.watch_screen import outcome_text
from tickglass.sched.clock import SystemClock, instant_of, ns_of
from tickglass.sched.errors import ConfigError
from tickglass.sched.identity import JobId
from tickglass.sched.stores import DEFAULT_STORE, redacted_url
from tickglass.sched.triggers.iso import read_iso
from tickglass.telemetry.sidecar.explain.standing import order_words, pause_of, skips_of
from tickglass.telemetry.sidecar.merge.merge import view_of
from tickglass.telemetry.sidecar.merge.occurrences import merged, rows_of
from tickglass.telemetry.sidecar.schedulers.job_history import RECENT_MAX
from tickglass.telemetry.sidecar.stores.ledger_cache import attempts_at
from tickglass.telemetry.sidecar.stores.probe import probe_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.telemetry.sidecar.view import JobView, OccurrenceView, OrderView, View

__all__ = ["why"]

_STORE: Final = "the store"


@click.command(short_help="Say why an occurrence did not run, or ran late.")
@click.argument("job")
@click.argument("instant", required=False)
@sidecar_options
@click.option(
    "--store", "store_url", metavar="STORE_URL", help="Read a store's ledger once, instead of asking a sidecar."
)
@click.option("--service", metavar="NAME", help="The job's service, if several services have a job of that name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def why(
    job: str,
    instant: str | None,
    sidecar_url: str,
    token: str,
    store_url: str | None,
    service: str | None,
    *,
    as_json: bool,
) -> None:
    """Say what became of an occurrence of JOB, and why.

    INSTANT is ISO 8601, such as 2026-01-31T02:30 or 2026-01-31T02:30:00+01:00;
    without an offset it is in this machine's time zone. It picks the occurrence
    that was due then, or else the latest one before. Without INSTANT it is the
    latest one.

    \b
    tickglass why reconcile
    tickglass why reconcile 2026-01-31T02:30+08:00 --json
    tickglass why reconcile --store sqlite:///jobs.db

    A sidecar knows the last 40 occurrences of each job, with what its schedulers
    reported of them. A store's ledger knows what was claimed and how it ended, as
    far back as it is kept, and what no instance claimed, but not what was skipped.

    Where no sidecar answers and none is named, the store is read: $TICKGLASS_STORE,
    or sqlite:///jobs.db in this folder.

    The times of day in a reason are UTC. Exit code 1: nothing is known of such an
    occurrence.
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    asked_ns = None if instant is None else _instant_ns(instant)
    view, older, of_sidecar = _seen(sidecar_url, token, store_url, job, service, asked_ns)
    found = _job_named(view, job, service)
    known = _known(view, found, older)
    occurrences = _at(known, asked_ns)
    if as_json:
        click.echo(json.dumps(_json(view, found, occurrences, asked_ns), indent=2))
    for note in view.unready:
        click.echo(f"note: {shown(note)}", err=True)
    if not occurrences:
        click.echo(shown(_nothing(view, found, known, asked_ns)), err=True)
        if known and of_sidecar:
            click.echo(lines_shown(_ask_the_ledger(view, found, instant)), err=True)
        click.get_current_context().exit(EXIT_NO_ANSWER)
    if not as_json:
        _print(view, found, occurrences, asked_ns)


def _seen(
    sidecar_url: str, token: str, store_url: str | None, job: str, service: str | None, asked_ns: int | None
) -> tuple[View, list[OccurrenceView], bool]:
    """Return a view, older attempts at the occurrence that is asked for, and whether it is a sidecar's."""
    if store_url is None:
        try:
            return fetch_view(sidecar_url, token), [], True
        except Unreachable as error:
            store_url = _store_instead(error)
    return *_of_store(store_url, job, service, asked_ns), False


def _store_instead(unreachable: Unreachable) -> str:
    """Return the store to read where no sidecar was named and none answers: $TICKGLASS_STORE, or the default one.

    Raises:
        Unreachable: a sidecar was named, or there is no such store.
        ConfigError: the variable is wrong.
    """
    if click.get_current_context().get_parameter_source("sidecar_url") is not ParameterSource.DEFAULT:
        raise unreachable
    url = os.environ.get(STORE_ENV)
    try:
        check_one_store(url or DEFAULT_STORE)
    except ConfigError as error:
        raise error.for_variable(STORE_ENV) if url else unreachable from error
    store = redacted_url(url or DEFAULT_STORE)
    click.echo(f"note: {unreachable.format_message()}. This is what {store} knows.", err=True)
    return url or DEFAULT_STORE


def _of_store(url: str, job: str, service: str | None, asked_ns: int | None) -> tuple[View, list[OccurrenceView]]:
    """Return the view of a store, and the attempts at the job's occurrence due at that instant, or last before."""
    clock = SystemClock()
    with existing_store(url) as store:
        snapshot = probe_once(_STORE, store, clock)
        if snapshot.error:
            raise Unreachable(snapshot.error)
        one = one_job_named((record.job_id for record in snapshot.jobs), job, service)
        attempts = [] if asked_ns is None else attempts_at(store, one, asked_ns)
    rows = rows_of(replace(snapshot, runs={one: attempts}), one)
    return view_of([], [snapshot], clock.reading()), merged([], rows)


def _instant_ns(text: str) -> int:
    try:
        instant, finer_ns = read_iso(text)
        return ns_of(instant if instant.tzinfo else instant.astimezone()) + finer_ns
    except (ValueError, OverflowError) as error:
        right = ("2026-01-31T02:30", "2026-01-31T02:30:00+01:00")
        raise ConfigError("INSTANT is not an ISO 8601 instant", given=text, instead=right) from error


def _job_named(view: View, name: str, service: str | None) -> JobView:
    """Return the one job of that name; see `one_job_named` for errors."""
    jobs = {JobId(job.service, job.name): job for job in view.jobs}
    return jobs[one_job_named(jobs, name, service)]


def _known(view: View, job: JobView, older: Sequence[OccurrenceView]) -> list[OccurrenceView]:
    """Return all occurrences of a job, oldest first: those of the last minutes, the recent ones, and older ones."""
    runs = (run for run in view.runs if (run.service, run.job) == (job.service, job.name))
    found = {(run.due_ns, run.attempt, run.run_id, run.state): run for run in (*older, *runs, *job.recent)}
    return [found[key] for key in sorted(found)]


def _at(known: Sequence[OccurrenceView], asked_ns: int | None) -> list[OccurrenceView]:
    """Return the attempts at the occurrence that was due then, or last before."""
    past = [run for run in known if asked_ns is None or run.due_ns <= asked_ns]
    return [run for run in past if run.due_ns == past[-1].due_ns]


def _nothing(view: View, job: JobView, known: Sequence[OccurrenceView], asked_ns: int | None) -> str:
    if asked_ns is None or not known:
        due = "" if job.next_due_ns is None else f"; it is due {_when(job.next_due_ns, view)}"
        return f"nothing is known of an occurrence of {job.name} yet{due}"
    oldest = _when(known[0].due_ns, view)
    return f"nothing is known of an occurrence of {job.name} due by then; the oldest that is known was due {oldest}"


def _ask_the_ledger(view: View, job: JobView, instant: str | None) -> str:
    """Return the command that reads the store, because the ledger reaches further back than a sidecar."""
    in_a_store = job.abandoned is not None
    store = view.stores[0].source if in_a_store and len(view.stores) == 1 else "STORE_URL"
    several = sum(it.name == job.name for it in view.jobs) > 1
    which = [job.name, *([] if instant is None else [instant]), *(["--service", job.service] if several else [])]
    words = shlex.join(["tickglass", "why", *which, "--store", store])
    return f"a sidecar knows the latest {RECENT_MAX} of each job; its store may know older ones:\n    {words}"


def _print(view: View, job: JobView, occurrences: Sequence[OccurrenceView], asked_ns: int | None) -> None:
    first = occurrences[0]
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(shown(f"{job.name} ({job.service}) was due {_when(first.due_ns, view)}")))
    if asked_ns is not None and asked_ns != first.due_ns:
        earlier = span_text(asked_ns - first.due_ns)
        console.print(Text(f"  the latest that is known by then, {earlier} before the instant asked for"))
    for run in occurrences:
        console.print(Text("  ").append_text(outcome_text(run)).append(shown(_sentence(run))))
        facts = _facts(run)
        if facts:
            console.print(Text(shown(f"    {facts}"), style="dim"))
        for other in run.others:
            console.print(Text(shown(f"    {other}"), style="dim"))
    for order in _standing(view, job):
        console.print(Text(shown(f"  {order_words(order, view.at_wall_ns)} (act {order.number})"), style="yellow"))
    if job.contested:
        console.print(Text(shown(f"  {job.name} {job.contested}"), style="yellow"))
    if job.next_due_ns is not None and job.next_due_ns > first.due_ns:
        console.print(Text(f"  next due {_when(job.next_due_ns, view)}"))


def _standing(view: View, job: JobView) -> list[OrderView]:
    """Return what operators have asked for that keeps the job from running."""
    pause = pause_of(view, job)
    return [*([] if pause is None else [pause]), *skips_of(view, job)]


def _sentence(run: OccurrenceView) -> str:
    """Return the reason without the outcome, which is printed before it."""
    text = run.why.removeprefix(run.outcome or run.state).removeprefix(":").strip()
    return f": {text}" if text else ""


def _facts(run: OccurrenceView) -> str:
    """Return the other known facts, on one line."""
    parts = [
        run.owner and f"by {run.owner}",
        f"attempt {run.attempt}" if run.attempt > 1 else "",
        f"{span_text(run.lateness_ns)} late" if run.lateness_ns is not None else "",
        f"ran {span_text(run.ran_ns)}" if run.ran_ns is not None else "",
        f"fence {run.fence}" if run.fence is not None else "",
        run.run_id and f"run {run.run_id}",
    ]
    return " · ".join(part for part in parts if part)


def _when(at_ns: int, view: View) -> str:
    here = instant_of(at_ns).astimezone().isoformat(sep=" ", timespec="milliseconds")
    return f"{here}, {distance_text(at_ns, view.at_wall_ns)}"


def _json(view: View, job: JobView, occurrences: Sequence[OccurrenceView], asked_ns: int | None) -> dict[str, Any]:
    return {
        "job": job.name,
        "service": job.service,
        "asked_at": _iso(asked_ns),
        "occurrences": [
            {**msgspec.to_builtins(run), "due_at": _iso(run.due_ns), "ended_at": _iso(run.ended_wall_ns)}
            for run in occurrences
        ],
        "next_due_ns": job.next_due_ns,
        "next_due_at": _iso(job.next_due_ns),
        "overdue_ns": job.overdue_ns,
        "contested": job.contested,
        "orders": [msgspec.to_builtins(order) for order in _standing(view, job)],
        "unready": view.unready,
    }


def _iso(at_ns: int | None) -> str | None:
    return None if at_ns is None else instant_of(at_ns).isoformat(timespec="microseconds")
