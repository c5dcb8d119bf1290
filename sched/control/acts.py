"""Decide what an act makes of what stands: the next version of the book, nothing if it stands already, or a refusal.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tickglass.sched.clock import instant_of
from tickglass.sched.control.audit import ActEntry, ActKind
from tickglass.sched.control.orders import ALL, Cancel, Drain, Pause, RunNow, Skip, fits
from tickglass.sched.errors import ControlRefused, nearest
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.control.order_book import AnyOrder, OrderBook
    from tickglass.sched.control.orders import Order
    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import InstanceRecord, JobRecord, LeaseRecord, RunRecord

__all__ = ["Asked", "Decided", "cancel", "drain", "pause", "resume", "run_now", "skip", "undrain", "unlock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, why, when, and until when it is to stand.

    Args:
        now_ns: the store's wall clock; `until_ns` is on it too.
    """

    by: str
    reason: str
    now_ns: int
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What an act makes of a book.

    Args:
        book: its next version; None: what was asked for stands already, or has ended already.
        earlier: the order that says so.
    """

    entry: ActEntry
    book: OrderBook | None = None
    earlier: Order | None = None


def pause(book: OrderBook, asked: Asked, *, service: str, job: str, known: Sequence[JobId]) -> Decided:
    """Have due instants of these jobs skipped; another end or reason replaces the pause of the same jobs.

    Raises:
        ControlRefused: no job fits, or the end is not in the future.
    """
    _refuse_past(asked)
    _refuse_unknown(service, job, known)
    entry = _entry(ActKind.PAUSE, asked, service=service, job=job)
    same = [it for it in _standing(book, Pause, asked) if (it.service, it.job) == (service, job)]
    if same and (same[0].until_ns, same[0].reason) == (asked.until_ns, asked.reason):
        return Decided(entry, earlier=same[0])
    order = Pause(**_terms(book, asked), service=service, job=job)
    return Decided(entry, book.revised(asked.now_ns, add=[order], end=same))


def resume(book: OrderBook, asked: Asked, *, service: str, job: str, known: Sequence[JobId]) -> Decided:
    """End the pauses of these jobs, and take back the skips of their instants to come.

    Raises:
        ControlRefused: they are paused together with other jobs; or nothing of theirs stands, and no job fits.
    """
    entry = _entry(ActKind.RESUME, asked, service=service, job=job)
    pauses, skips = _standing(book, Pause, asked), _standing(book, Skip, asked)
    stand: list[Pause | Skip] = [*pauses, *skips]
    ending = [it for it in stand if fits(it.service, service) and fits(it.job, job)]
    if ending:
        return Decided(entry, book.revised(asked.now_ns, end=ending))
    wider = next((it for it in pauses if fits(service, it.service) and fits(job, it.job)), None)
    if wider is not None:
        raise ControlRefused(
            f"{job} is paused together with other jobs, by {wider.by} (act {wider.number}); resume all of them",
            instead=(_pattern(wider.service, wider.job),),
        )
    _refuse_unknown(service, job, known)
    return Decided(entry)


def skip(book: OrderBook, asked: Asked, *, record: JobRecord, due_ns: int | None) -> Decided:
    """Have one due instant of a job skipped; None: the next one.

    Raises:
        ControlRefused: it is none of the job's due instants, it has passed, or the next one cannot be known.
    """
    meant_ns = _next_due(record, asked.now_ns) if due_ns is None else _checked_due(record, asked.now_ns, due_ns)
    job = record.job_id
    entry = _entry(ActKind.SKIP, asked, service=job.service, job=job.name, due_ns=meant_ns)
    earlier = book.skip_of(job, meant_ns)
    if earlier is not None and earlier.stands_at(asked.now_ns):
        return Decided(entry, earlier=earlier)
    terms = _terms(book, asked) | {"until_ns": meant_ns + 1}
    order = Skip(**terms, service=job.service, job=job.name, due_ns=meant_ns)
    return Decided(entry, book.revised(asked.now_ns, add=[order]))


def run_now(book: OrderBook, asked: Asked, *, job: JobId, having: Sequence[InstanceRecord]) -> Decided:
    """Have a job run once, now; until `asked.until_ns` it may wait for its lock or for a worker.

    Raises:
        ControlRefused: no living instance has the job.
    """
    if not having:
        raise ControlRefused(f"no living instance has {job.name} of {job.service}, so nothing would run it")
    entry = _entry(ActKind.TRIGGER, asked, service=job.service, job=job.name, due_ns=asked.now_ns)
    order = RunNow(**_terms(book, asked), service=job.service, job=job.name, due_ns=asked.now_ns)
    return Decided(entry, book.revised(asked.now_ns, add=[order]))


def cancel(book: OrderBook, asked: Asked, *, job: JobId, run_id: str | None, running: Sequence[RunRecord]) -> Decided:
    """Ask a run to stop; None: the one run of the job that is in progress.

    Args:
        running: the attempts of the job that have not ended.

    Raises:
        ControlRefused: there is no such run in progress, or several are and none was named.
    """
    meant = [run for run in running if run_id is None or run.run_id.startswith(run_id)]
    if not meant:
        named = "" if run_id is None else f" as {run_id}"
        raise ControlRefused(
            f"{job.name} of {job.service} is not running{named}", instead=tuple(run.run_id for run in running)
        )
    if len(meant) > 1:
        raise ControlRefused(
            f"several runs of {job.name} of {job.service} are in progress: say which one",
            instead=tuple(run.run_id for run in meant),
        )
    run = meant[0]
    entry = _entry(
        ActKind.CANCEL, asked, service=job.service, job=job.name, due_ns=run.due_ns, target=run.run_id, fence=run.fence
    )
    earlier = book.cancel_of(run.run_id)
    if earlier is not None:
        return Decided(entry, earlier=earlier)
    order = Cancel(**_terms(book, asked), service=job.service, job=job.name, run_id=run.run_id)
    return Decided(entry, book.revised(asked.now_ns, add=[order]))


def unlock(book: OrderBook, asked: Asked, *, resource: str, fence: int, leases: Sequence[LeaseRecord]) -> Decided:
    """Log that a lease is taken from its holder. No order stands for it: the store does it.

    Args:
        fence: of the lease as it was seen; another holder's is never taken.
        leases: those of the store.

    Raises:
        ControlRefused: the resource is free, or held under another fence.
    """
    held = next((it for it in leases if it.resource == resource and it.remaining_ns > 0), None)
    if held is None:
        locked = [it.resource for it in leases if it.remaining_ns > 0]
        raise ControlRefused(f"{resource} is not locked", instead=nearest(resource, locked))
    if held.fence != fence:
        raise ControlRefused(
            f"{resource} is held under fence {held.fence} by {held.owner}, not under {fence}: look at it again"
        )
    entry = _entry(ActKind.UNLOCK, asked, service=held.service, job=held.job, target=resource, fence=fence)
    return Decided(entry, book.revised(asked.now_ns))


def drain(book: OrderBook, asked: Asked, *, owner: str, service: str, living: Sequence[InstanceRecord]) -> Decided:
    """Have an instance start nothing more.

    Raises:
        ControlRefused: no such instance lives.
    """
    _refuse_past(asked)
    if not any((it.owner, it.service) == (owner, service) for it in living):
        raise ControlRefused(
            f"no instance {owner} of {service} lives",
            instead=nearest(owner, [it.owner for it in living if it.service == service]),
        )
    entry = _entry(ActKind.DRAIN, asked, service=service, target=owner)
    earlier = book.drain_of(service, owner, asked.now_ns)
    if earlier is not None and (earlier.until_ns, earlier.reason) == (asked.until_ns, asked.reason):
        return Decided(entry, earlier=earlier)
    order = Drain(**_terms(book, asked), service=service, owner=owner)
    return Decided(entry, book.revised(asked.now_ns, add=[order], end=[earlier] if earlier else []))


def undrain(book: OrderBook, asked: Asked, *, owner: str, service: str) -> Decided:
    """Let a drained instance start runs again."""
    entry = _entry(ActKind.UNDRAIN, asked, service=service, target=owner)
    earlier = book.drain_of(service, owner, asked.now_ns)
    return Decided(entry) if earlier is None else Decided(entry, book.revised(asked.now_ns, end=[earlier]))


def _next_due(record: JobRecord, now_ns: int) -> int:
    trigger = trigger_of(record.trigger, record.name)
    due_ns = record.next_due_ns if trigger is None else trigger.next_after_ns(now_ns)
    if due_ns is None or due_ns <= now_ns:
        why = "its trigger names no more" if trigger is not None else "its trigger is not one of ours: name the instant"
        raise ControlRefused(f"the next due instant of {record.name} of {record.service} is not known: {why}")
    return due_ns


def _checked_due(record: JobRecord, now_ns: int, due_ns: int) -> int:
    if due_ns <= now_ns:
        raise ControlRefused(f"{instant_of(due_ns)} has passed")
    trigger = trigger_of(record.trigger, record.name)
    if trigger is not None and trigger.next_after_ns(due_ns - 1) != due_ns:
        after_ns = trigger.next_after_ns(due_ns)
        near = () if after_ns is None else (instant_of(after_ns).isoformat(),)
        raise ControlRefused(
            f"{record.name} of {record.service} is not due at {instant_of(due_ns)}, but by {record.trigger}",
            instead=near,
        )
    return due_ns


def _refuse_past(asked: Asked) -> None:
    if asked.until_ns is not None and asked.until_ns <= asked.now_ns:
        raise ControlRefused(f"{instant_of(asked.until_ns)} has passed: it would end before it begins")


def _refuse_unknown(service: str, job: str, known: Sequence[JobId]) -> None:
    if (service, job) == (ALL, ALL) or any(fits(it.service, service) and fits(it.name, job) for it in known):
        return
    if job != ALL and not any(fits(it.name, job) for it in known):
        raise ControlRefused(f"there is no job {job}", instead=nearest(job, {it.name for it in known}))
    services = {it.service for it in known if fits(it.name, job)}
    problem = f"there is no service {service}" if job == ALL else f"{service} has no job {job}"
    raise ControlRefused(problem, instead=nearest(service, services) or tuple(sorted(services)))


def _standing(book: OrderBook, kind: type[AnyOrder], asked: Asked) -> list[AnyOrder]:
    return [it for it in book.of_kind(kind) if it.stands_at(asked.now_ns)]


def _terms(book: OrderBook, asked: Asked) -> dict[str, Any]:
    return {
        "number": book.version + 1,
        "by": asked.by,
        "reason": asked.reason,
        "since_ns": asked.now_ns,
        "until_ns": asked.until_ns,
    }


def _entry(act: ActKind, asked: Asked, **about: Any) -> ActEntry:  # noqa: ANN401 - fields of an entry
    return ActEntry(act=act, by=asked.by, reason=asked.reason, until_ns=asked.until_ns, **about)


def _pattern(service: str, job: str) -> str:
    return job if service == ALL else f"{job} of {service}"
