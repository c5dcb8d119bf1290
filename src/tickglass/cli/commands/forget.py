"""Remove a job from a store: `tickglass forget JOB`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tickglass.cli.job_choice import one_job_named
from tickglass.cli.name_completion import complete_jobs
from tickglass.cli.stores import existing_store, store_argument
from tickglass.cli.text import shown, span_text
from tickglass.sched.control.roster import read_roster
from tickglass.sched.errors import nearest
from tickglass.sched.identity import JobId

if TYPE_CHECKING:
    from tickglass.sched.ports import Store

__all__ = ["forget"]


@click.command(short_help="Remove a job that no instance has any more.")
@click.option("--service", metavar="NAME", help="The service of the job, if several have one of this name.")
@click.argument("job", metavar="JOB", shell_complete=complete_jobs)
@store_argument
def forget(job: str, store_url: str, service: str | None) -> None:
    """Remove a job's record and its runs from the store.

    It is refused while a living instance has the job. A second call does nothing;
    where the store has no such job, similar names are shown.
    STORE_URL is e.g. redis://localhost:6379; by default $TICKGLASS_STORE, or
    sqlite:///jobs.db in this folder.
    """
    with existing_store(store_url) as store:
        meant = _meant(store, job, service)
        if meant is None:
            _echo_unknown(store, job, shown(job))
            return
        having = read_roster(store).having(meant)
        if having:
            who = ", ".join(f"{shown(it.owner)} ({it.state}, seen {span_text(it.silent_ns)} ago)" for it in having)
            raise click.ClickException(f"{shown(str(meant))} is not forgotten, because a living instance has it: {who}")
        if store.forget(meant):
            click.echo(f"forgot {shown(str(meant))}")
        else:
            _echo_unknown(store, job, shown(str(meant)))


def _echo_unknown(store: Store, name: str, words: str) -> None:
    """Say that there is no such job, and which names are similar, because it may be misspelled."""
    click.echo(f"there is no job {words}: nothing to forget")
    near = nearest(name, {record.name for record in store.jobs()} - {name})
    if near:
        click.echo(f"note: the store has {', '.join(shown(other) for other in near)}", err=True)


def _meant(store: Store, name: str, service: str | None) -> JobId | None:
    """Return the job; None if no service has one of that name.

    Raises:
        ConfigError: several services have one.
    """
    if service is not None:
        return JobId(service, name)
    known = [record.job_id for record in store.jobs() if record.name == name]
    return one_job_named(known, name, None) if known else None
