"""Act on all schedulers of a store: `tickglass pause`, `resume`, `skip`, `trigger`, `cancel`, `unlock`, `drain`.

Each is one call of `tickglass.Control`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tickglass.cli.act_options import act_options, acting, ending_options, service_option, tell
from tickglass.cli.act_text import pause_sentence, resume_sentence, sentence_of
from tickglass.cli.instants import read_duration, read_instant
from tickglass.cli.name_completion import complete_jobs, complete_owners, complete_resources
from tickglass.cli.numbers import IntRange
from tickglass.control import RUN_WITHIN
from tickglass.sched.control.orders import ALL

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["cancel", "drain", "pause", "resume", "skip", "trigger", "undrain", "unlock"]

_job_argument = click.argument("job", metavar="JOB", shell_complete=complete_jobs)
_owner_argument = click.argument("owner", metavar="OWNER", shell_complete=complete_owners)
_one_service = service_option("The job's service, if several services have a job of this name.")
_services = service_option("Only jobs of this service, or of those that fit this pattern.")
_of_service = service_option("The instance's service, if several services have an instance of this name.")


@click.command(short_help="Have due instants of a job skipped.")
@_services
@ending_options
@_job_argument
@act_options
def pause(
    job: str,
    store_url: str,
    reason: str,
    by: str | None,
    service: str | None,
    for_: str | None,
    until: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Have due instants of JOB skipped, until a time or until it is resumed.

    JOB is a name, or a pattern in quotes: "report-*", or "*" for every job. Instances
    obey within a second. Runs in progress go on. Skipped instants are not run later.

    \b
    tickglass pause nightly --for 2h --reason "the warehouse is moved"
    tickglass pause "*" --service billing --until 2026-01-31T06:00 --reason audit
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    with acting(store_url, by) as (control, store):
        act = control.pause(job, service=service or ALL, reason=reason, for_=for_, until=until)
        jobs = store.jobs()
    tell(act, pause_sentence(act, jobs), as_json=as_json)


@click.command(short_help="End a pause.")
@_services
@_job_argument
@act_options
def resume(job: str, store_url: str, reason: str, by: str | None, service: str | None, *, as_json: bool) -> None:
    """End the pauses of JOB, and take back the skips of its instants to come.

    JOB is a name or a pattern, as for pause. Jobs that are paused together are
    resumed together.
    """
    with acting(store_url, by) as (control, _):
        act = control.resume(job, service=service or ALL, reason=reason)
        standing = control.standing()
    tell(act, resume_sentence(act, standing), as_json=as_json)


@click.command(short_help="Have one due instant of a job skipped.")
@_one_service
@click.option("--at", metavar="INSTANT", callback=read_instant, help="The due instant. Default: the next one.")
@_job_argument
@act_options
def skip(
    job: str,
    store_url: str,
    reason: str,
    by: str | None,
    service: str | None,
    at: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Have the next due instant of JOB skipped, or the one that --at names.

    INSTANT is ISO 8601; without an offset it is in this machine's time zone.
    """
    with acting(store_url, by) as (control, _):
        act = control.skip(job, service=service, reason=reason, at=at)
    tell(act, sentence_of(act), as_json=as_json)


@click.command(short_help="Have a job run once, now.")
@_one_service
@click.option(
    "--within",
    metavar="DURATION",
    default=RUN_WITHIN,
    show_default=True,
    callback=read_duration,
    help="How long it may wait for the job's lock and for a worker.",
)
@_job_argument
@act_options
def trigger(
    job: str,
    store_url: str,
    reason: str,
    by: str | None,
    service: str | None,
    within: str,
    *,
    as_json: bool,
) -> None:
    """Have JOB run once, now, also if it is paused: by one instance of the fleet.

    The run is an occurrence of its own, of kind "manual". What has not started
    --within that time is not run.
    """
    with acting(store_url, by) as (control, _):
        act = control.trigger(job, service=service, reason=reason, within=within)
    tell(act, sentence_of(act), as_json=as_json)


@click.command(short_help="Ask a run to stop.")
@_one_service
@click.option("--run", "run_id", metavar="ID", help="The run, or the beginning of its id, if several are in progress.")
@_job_argument
@act_options
def cancel(
    job: str,
    store_url: str,
    reason: str,
    by: str | None,
    service: str | None,
    run_id: str | None,
    *,
    as_json: bool,
) -> None:
    """Ask the run of JOB that is in progress to stop.

    Its code sees run.cancelled, a coroutine is cancelled. Its outcome is "cancelled".
    """
    with acting(store_url, by) as (control, _):
        act = control.cancel(job, service=service, reason=reason, run_id=run_id)
    tell(act, sentence_of(act), as_json=as_json)


@click.command(short_help="Take a lock from its holder.")
@click.option(
    "--fence", metavar="N", type=IntRange(min=1), required=True, help="The fence that tickglass locks shows for it."
)
@click.argument("resource", metavar="RESOURCE", shell_complete=complete_resources)
@act_options
def unlock(resource: str, store_url: str, reason: str, by: str | None, fence: int, *, as_json: bool) -> None:
    """Take the lock on RESOURCE from its holder, if it is still held under that fence.

    The holder is told at its next renewal. If it is a run, its outcome is "orphaned",
    and its instant is not run again; its fenced writes are refused once the next
    holder has written.
    """
    with acting(store_url, by) as (control, _):
        act = control.unlock(resource, fence=fence, reason=reason)
    tell(act, sentence_of(act), as_json=as_json)


@click.command(short_help="Have an instance start nothing more.")
@_of_service
@ending_options
@_owner_argument
@act_options
def drain(
    owner: str,
    store_url: str,
    reason: str,
    by: str | None,
    service: str | None,
    for_: str | None,
    until: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Have the instance OWNER start nothing more; its runs go on to their end.

    It is not ready meanwhile. Other instances run what falls due. OWNER is as
    tickglass instances shows it, such as web-1/billing/0.
    """
    with acting(store_url, by) as (control, _):
        act = control.drain(owner, service=service, reason=reason, for_=for_, until=until)
    tell(act, sentence_of(act), as_json=as_json)


@click.command(short_help="Let a drained instance start runs again.")
@_of_service
@_owner_argument
@act_options
def undrain(owner: str, store_url: str, reason: str, by: str | None, service: str | None, *, as_json: bool) -> None:
    """Let the drained instance OWNER start runs again."""
    with acting(store_url, by) as (control, _):
        act = control.undrain(owner, service=service, reason=reason)
    tell(act, sentence_of(act), as_json=as_json)
