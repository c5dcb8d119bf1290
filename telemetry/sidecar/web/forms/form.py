"""Make the form for an act: what it is about, what will happen, and what is left to choose.

Reads a store, on the thread of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import instant_of
from tickglass.sched.control.orders import ALL, fits
from tickglass.sched.control.roster import read_roster
from tickglass.sched.durations import duration_ns
from tickglass.sched.errors import nearest
from tickglass.telemetry.sidecar.web.control.desks import NotThere
from tickglass.telemetry.sidecar.web.control.ledger import job_named, running
from tickglass.telemetry.sidecar.web.forms import consequences as words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.ports import JobRecord, Store

__all__ = ["ACTS", "Choice", "Form", "form_for"]

PAUSES: Final = ("15m", "1h", "4h", "1d", "7d")
SKIPS_OFFERED: Final = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of the field that is left to choose."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a form shows.

    Args:
        about: what the act is about, as it is sent back.
        effects: what will happen, a sentence each.
        chooses: the name of the field that is left to choose, "" for none; `legend` asks for it.
    """

    act: str
    title: str
    button: str
    about: Mapping[str, str]
    effects: list[str] = field(default_factory=list)
    chooses: str = ""
    legend: str = ""
    choices: list[Choice] = field(default_factory=list)


def form_for(act: str, store: Store, asked: Mapping[str, str]) -> Form:
    """Return the form for an act.

    Args:
        asked: what it is about: a job and its service, a resource and a fence, or an owner and its service.

    Raises:
        NotThere: the act or what it is about is not there.
        ConfigError: several services have such a job.
        StoreUnavailable: the store does not answer.
    """
    if act not in ACTS:
        raise NotThere(f"there is no act {act}")
    return ACTS[act](store, asked)


def _pause(store: Store, asked: Mapping[str, str]) -> Form:
    job, now_ns = _job(store, asked), store.time_ns()
    choices = [Choice("", f"Until it is resumed: {words.pause_words(job, now_ns, None)}")]
    for lasting in PAUSES:
        until_ns = now_ns + duration_ns(lasting, what="for")
        choices.append(Choice(lasting, f"For {lasting}: {words.pause_words(job, now_ns, until_ns)}"))
    return Form(
        act="pause",
        title=f"Pause {job.name} of {job.service}",
        button="Pause",
        about=_about(job),
        effects=["a run in progress goes on to its end", "instants that are skipped are not run later"],
        chooses="for",
        legend="For how long (UTC)",
        choices=choices,
    )


def _resume(store: Store, asked: Mapping[str, str]) -> Form:
    name, service = asked.get("job", ""), asked.get("service", "") or ALL
    meant = [it for it in store.jobs() if fits(it.name, name) and fits(it.service, service)]
    if not meant:
        raise NotThere(f"there is no job {name}")
    what = name if service == ALL else f"{name} of {service}"
    return Form(
        act="resume",
        title=f"Resume {'all jobs' if what == ALL else what}",
        button="Resume",
        about={"job": name, "service": service},
        effects=words.resume_words(meant, store.time_ns()),
    )


def _skip(store: Store, asked: Mapping[str, str]) -> Form:
    job, now_ns = _job(store, asked), store.time_ns()
    due = list(islice(words.due_instants(job, now_ns), SKIPS_OFFERED))
    return Form(
        act="skip",
        title=f"Skip an instant of {job.name} of {job.service}",
        button="Skip",
        about=_about(job),
        effects=["one due instant will be skipped, and not run later; the one after it runs"]
        if due
        else ["its due instants cannot be named: this will be refused, unless an instance has noted the next one"],
        chooses="at",
        legend="Which one (UTC)",
        choices=[Choice(instant_of(it).isoformat(), words.time_text(it, now_ns)) for it in due],
    )


def _trigger(store: Store, asked: Mapping[str, str]) -> Form:
    job = _job(store, asked)
    return Form(
        act="trigger",
        title=f"Run {job.name} of {job.service} now",
        button="Run now",
        about=_about(job),
        effects=words.trigger_words(job, read_roster(store).having(job.job_id), store.leases()),
    )


def _cancel(store: Store, asked: Mapping[str, str]) -> Form:
    job, now_ns = _job(store, asked), store.time_ns()
    runs = running(store, job)
    effects = [
        "the run is asked to stop; its outcome will be cancelled",
        "code that does not look at run.cancelled goes on",
    ]
    return Form(
        act="cancel",
        title=f"Cancel a run of {job.name} of {job.service}",
        button="Cancel the run",
        about=_about(job),
        effects=effects if runs else ["it is not running, so this will be refused"],
        chooses="run_id",
        legend="Which run (UTC)",
        choices=[Choice(run.run_id, words.cancel_words(run, now_ns)) for run in runs],
    )


def _unlock(store: Store, asked: Mapping[str, str]) -> Form:
    resource, fence = asked.get("resource", ""), asked.get("fence", "")
    if not resource or not (fence.isascii() and fence.isdecimal() and len(fence) < 20):
        raise NotThere("an unlock needs a resource, and the fence of its lease")
    lease = next((it for it in store.leases() if it.resource == resource and it.remaining_ns > 0), None)
    return Form(
        act="unlock",
        title=f"Unlock {resource}",
        button="Unlock",
        about={"resource": resource, "fence": fence},
        effects=words.unlock_words(resource, int(fence), lease),
    )


def _drain(store: Store, asked: Mapping[str, str]) -> Form:
    owner, service = asked.get("owner", ""), asked.get("service", "")
    living = [it for it in store.instances() if it.living and it.service == service]
    if not any(it.owner == owner for it in living):
        raise NotThere(f"no instance {owner} of {service} lives", instead=nearest(owner, [it.owner for it in living]))
    now_ns = store.time_ns()
    held = sum(it.owner == owner and it.service == service and bool(it.run_id) for it in store.leases())
    choices = [Choice("", "Until the drain is ended")]
    for lasting in PAUSES:
        until = words.until_text(now_ns + duration_ns(lasting, what="for"), now_ns)
        choices.append(Choice(lasting, f"For {lasting}, until {until}"))
    return Form(
        act="drain",
        title=f"Drain {owner} of {service}",
        button="Drain",
        about={"owner": owner, "service": service},
        effects=words.drain_words(owner, service, living, held),
        chooses="for",
        legend="For how long (UTC)",
        choices=choices,
    )


def _undrain(store: Store, asked: Mapping[str, str]) -> Form:  # noqa: ARG001 - a form's shape
    owner, service = asked.get("owner", ""), asked.get("service", "")
    return Form(
        act="undrain",
        title=f"End the drain of {owner} of {service}",
        button="End the drain",
        about={"owner": owner, "service": service},
        effects=[f"{owner} will start runs again, from the next due instant of each job on"],
    )


ACTS: Final[Mapping[str, Callable[[Store, Mapping[str, str]], Form]]] = {
    "pause": _pause,
    "resume": _resume,
    "skip": _skip,
    "trigger": _trigger,
    "cancel": _cancel,
    "unlock": _unlock,
    "drain": _drain,
    "undrain": _undrain,
}


def _job(store: Store, asked: Mapping[str, str]) -> JobRecord:
    return job_named(store, asked.get("job", ""), asked.get("service", ""))


def _about(job: JobRecord) -> dict[str, str]:
    return {"job": job.name, "service": job.service}
