"""Say what an act does, to people in a sentence and to programs in JSON.

Pure, except for the machine's time zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tickglass.cli.instants import iso_text, second_text
from tickglass.sched.clock import instant_of
from tickglass.sched.control.audit import ActKind, jobs_text
from tickglass.sched.control.foresight import due_between
from tickglass.sched.control.orders import ALL, Pause, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickglass.sched.control.audit import Act, ActEntry
    from tickglass.sched.control.orders import Order
    from tickglass.sched.ports import JobRecord

__all__ = ["act_json", "order_json", "pause_sentence", "resume_sentence", "sentence_of", "until_text"]


def sentence_of(act: Act) -> str:
    """Return what was done, or by whom it had been done already."""
    done, already = _SENTENCES[ActKind(act.entry.act)]
    return done(act.entry) if act.changed else already(act)


def pause_sentence(act: Act, jobs: Sequence[JobRecord]) -> str:
    """Return what a pause does to the due instants of the jobs that it is about, as far as they are known.

    Args:
        jobs: all of the store.
    """
    if not act.changed:
        return sentence_of(act)
    entry = act.entry
    covered = [it for it in jobs if fits(it.service, entry.service) and fits(it.name, entry.job)]
    return f"{sentence_of(act)}; {_skipped(covered, act.at_ns, entry.until_ns)}"


def resume_sentence(act: Act, standing: Sequence[Order]) -> str:
    """Return what a resumption does; jobs may still be paused together with others.

    Args:
        standing: all orders, after the act.
    """
    entry = act.entry
    pauses = [it for it in standing if isinstance(it, Pause)]
    wider = next((it for it in pauses if fits(entry.service, it.service) and fits(entry.job, it.job)), None)
    if wider is None:
        return sentence_of(act)
    also = f"paused by act {wider.number} of {wider.by}, together with {jobs_text(wider.service, wider.job)}"
    return f"ended the pause of {_jobs(entry)} alone; {_it(entry)} {_is(entry)} still {also}"


def _skipped(jobs: Sequence[JobRecord], now_ns: int, until_ns: int | None) -> str:
    if until_ns is None:
        return "what falls due meanwhile will be skipped"
    due = due_between(jobs, now_ns, until_ns)
    if due is None:
        return "what falls due until then will be skipped"
    if not due.exact:
        return f"more than {due.count:,} due instants until then will be skipped"
    if not due.count:
        return "nothing is due until then"
    return f"{due.count:,} due instant{'s' if due.count > 1 else ''} until then will be skipped"


def until_text(until_ns: int | None, undone: str) -> str:
    """Return until when an order stands: "until 2026-12-01T16:00+00:00", "until it is resumed"."""
    return f"until it is {undone}" if until_ns is None else f"until {second_text(until_ns)}"


def _jobs(entry: ActEntry) -> str:
    return jobs_text(entry.service, entry.job)


def _is(entry: ActEntry) -> str:
    return "are" if entry.job == ALL else "is"


def _it(entry: ActEntry) -> str:
    return "they" if entry.job == ALL else "it"


def _said_by(act: Act) -> str:
    return f"act {act.version} by {act.entry.by} at {second_text(act.at_ns)}: {act.entry.reason}"


def _due(entry: ActEntry) -> str:
    return "" if entry.due_ns is None else iso_text(entry.due_ns)


_Sentences = tuple["Callable[[ActEntry], str]", "Callable[[Act], str]"]
_SENTENCES: Final[Mapping[ActKind, _Sentences]] = {
    ActKind.PAUSE: (
        lambda it: f"paused {_jobs(it)} {until_text(it.until_ns, 'resumed')}",
        lambda act: (
            f"{_jobs(act.entry)} {_is(act.entry)} paused already, {until_text(act.entry.until_ns, 'resumed')} "
            f"({_said_by(act)})"
        ),
    ),
    ActKind.RESUME: (
        lambda it: f"resumed {_jobs(it)}: what falls due runs again",
        lambda act: f"{_jobs(act.entry)} {_is(act.entry)} not paused: nothing to resume",
    ),
    ActKind.SKIP: (
        lambda it: f"{_jobs(it)} will be skipped when it is due at {_due(it)}",
        lambda act: f"{_jobs(act.entry)} is to be skipped at {_due(act.entry)} already ({_said_by(act)})",
    ),
    ActKind.TRIGGER: (
        lambda it: (
            f"asked for a run of {_jobs(it)}: one instance starts it within a second, or when its lock is free, "
            f"by {second_text(it.until_ns or 0)} at the latest"
        ),
        lambda act: f"a run of {_jobs(act.entry)} has been asked for already ({_said_by(act)})",
    ),
    ActKind.CANCEL: (
        lambda it: f"asked run {it.target} of {_jobs(it)} to stop",
        lambda act: f"run {act.entry.target} of {_jobs(act.entry)} has been asked to stop already ({_said_by(act)})",
    ),
    ActKind.UNLOCK: (
        lambda it: f"unlocked {it.target}: fence {it.fence} is stale, and its holder is told at its next renewal",
        lambda act: f"{act.entry.target} has been unlocked already ({_said_by(act)})",
    ),
    ActKind.DRAIN: (
        lambda it: (
            f"drained {it.target} of {it.service} {until_text(it.until_ns, 'undrained')}: it starts nothing more, "
            "and its runs go on to their end"
        ),
        lambda act: (
            f"{act.entry.target} of {act.entry.service} is drained already, "
            f"{until_text(act.entry.until_ns, 'undrained')} ({_said_by(act)})"
        ),
    ),
    ActKind.UNDRAIN: (
        lambda it: f"undrained {it.target} of {it.service}: it starts runs again",
        lambda act: f"{act.entry.target} of {act.entry.service} is not drained: nothing to undo",
    ),
}


def act_json(act: Act) -> dict[str, Any]:
    """Return an act's fields, each instant also as ISO 8601 in UTC."""
    entry = act.entry
    return {
        "number": act.version,
        "act": entry.act,
        "by": entry.by,
        "reason": entry.reason,
        "at_ns": act.at_ns,
        "at": _utc(act.at_ns),
        "service": entry.service,
        "job": entry.job,
        "target": entry.target,
        "fence": entry.fence,
        "due_ns": entry.due_ns,
        "due_at": _utc(entry.due_ns),
        "until_ns": entry.until_ns,
        "until_at": _utc(entry.until_ns),
        "changed": act.changed,
    }


def order_json(order: Order | None) -> dict[str, Any] | None:
    """Return an order's fields, each instant also as ISO 8601 in UTC; None of none."""
    if order is None:
        return None
    told: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(order).items():
        told[name] = value
        if name.endswith("_ns"):
            told[f"{name.removesuffix('_ns')}_at"] = _utc(value)
    return told


def _utc(wall_ns: int | None) -> str | None:
    return None if wall_ns is None else instant_of(wall_ns).isoformat(timespec="microseconds")
