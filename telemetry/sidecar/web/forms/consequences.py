"""Say what an act will do, before it is done: to which due instants, runs and instances.

Pure: of what was read from a store.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import MS, SECOND, span_text
from tickglass.sched.triggers.text import trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.ports import InstanceRecord, JobRecord, LeaseRecord, RunRecord

__all__ = [
    "cancel_words",
    "drain_words",
    "due_instants",
    "pause_words",
    "resume_words",
    "time_text",
    "trigger_words",
    "unlock_words",
    "until_text",
]

COUNTED_MAX: Final = 1_000
_NAMED: Final = 5


def time_text(wall_ns: int, beside_ns: int) -> str:
    """Return an instant in UTC, as short as it can be: "12:15", "12:15:05", or with its date on another day."""
    instant, beside = instant_of(wall_ns), instant_of(beside_ns)
    text = f"{instant:%H:%M}" if not wall_ns % (60 * SECOND) else f"{instant:%H:%M:%S}"
    if wall_ns % SECOND:
        text += f".{wall_ns // MS % 1_000:03}"
    return text if instant.date() == beside.date() else f"{instant:%Y-%m-%d} {text}"


def until_text(wall_ns: int, beside_ns: int) -> str:
    """Return an end in UTC, to the second that it lies in."""
    return time_text(wall_ns // SECOND * SECOND, beside_ns)


def due_instants(job: JobRecord, after_ns: int, until_ns: int | None = None) -> Iterator[int]:
    """Yield a job's due instants after one instant and before another, ascending; none if its trigger is not ours."""
    trigger = trigger_of(job.trigger, job.name)
    due_ns = None if trigger is None else trigger.next_after_ns(after_ns)
    while trigger is not None and due_ns is not None and (until_ns is None or due_ns < until_ns):
        yield due_ns
        due_ns = trigger.next_after_ns(due_ns)


def pause_words(job: JobRecord, now_ns: int, until_ns: int | None) -> str:
    """Return which due instants a pause skips."""
    if trigger_of(job.trigger, job.name) is None:
        return "its due instants will be skipped; they cannot be named, because its trigger is not one of ours"
    if until_ns is None:
        first = list(islice(due_instants(job, now_ns), 3))
        named = ", ".join(time_text(it, now_ns) for it in first)
        more = " and so on" if len(first) == 3 else ""
        return f"every due instant will be skipped: {named}{more}" if first else _NONE
    found = list(islice(due_instants(job, now_ns, until_ns), COUNTED_MAX + 1))
    until = until_text(until_ns, now_ns)
    if not found:
        return f"no instant is due until {until}, so none will be skipped"
    count = f"more than {COUNTED_MAX:,}" if len(found) > COUNTED_MAX else f"{len(found):,}"
    instants = "due instant" if len(found) == 1 else "due instants"
    return f"{count} {instants} until {until} will be skipped: {_named(found, now_ns)}"


def resume_words(jobs: Sequence[JobRecord], now_ns: int) -> list[str]:
    """Return which jobs run again, and from when on."""
    words = []
    for job in jobs[:_NAMED]:
        due_ns = next(due_instants(job, now_ns), None)
        from_ns = "its next due instant on" if due_ns is None else f"{time_text(due_ns, now_ns)} on"
        words.append(f"{job.name} of {job.service} will run again from {from_ns}")
    if len(jobs) > _NAMED:
        words.append(f"so will {len(jobs) - _NAMED:,} other jobs")
    return [*words, "Instants that passed during the pause are not run later"]


def trigger_words(job: JobRecord, having: Sequence[InstanceRecord], leases: Sequence[LeaseRecord]) -> list[str]:
    """Return where a run on request will be."""
    where = "no living instance has the job, so this will be refused"
    if having:
        where = f"one run will start now, on {_one_of(len(having))}, also if the job is paused"
    held = next((it for it in leases if it.resource == job.resource and it.remaining_ns > 0), None)
    if held is None:
        return [where]
    waits = "the run waits for it 60 s at most, and is missed after that"
    return [where, f"{held.owner} holds its lock {job.resource}: {waits}"]


def cancel_words(run: RunRecord, now_ns: int) -> str:
    """Return which run will stop."""
    since_ns = run.started_wall_ns or run.claimed_wall_ns
    return (
        f"{run.run_id[:8]} on {run.owner}, due {time_text(run.due_ns, now_ns)},"
        f" in progress for {span_text(max(now_ns - since_ns, 0))}"
    )


def unlock_words(resource: str, fence: int, lease: LeaseRecord | None) -> list[str]:
    """Return who will lose a lock."""
    if lease is None or lease.fence != fence:
        return [f"{resource} is not held under fence {fence} any more, so this will be refused"]
    words = [
        f"{lease.owner} will lose {resource}, which it has held for {span_text(lease.held_ns)} under fence {fence}",
        "it is told at its next renewal; until then its code goes on, and may still write",
        "the next instance that waits for the lock gets it at once",
    ]
    if lease.run_id:
        words.append(f"the run {lease.run_id[:8]} of {lease.job} ends as orphaned, and is not run again")
    return words


def drain_words(owner: str, service: str, living: Sequence[InstanceRecord], running: int) -> list[str]:
    """Return what an instance will not do, and who will."""
    others = [it for it in living if it.owner != owner]
    words = [f"{owner} of {service} will start no run; {_runs(running)}"]
    if others:
        words.append(f"{_instances(len(others))} of {service} will run its jobs")
    else:
        words.append(f"no other instance of {service} lives, so none of its jobs will run")
    return words


_NONE: Final = "no instant is due any more, so none will be skipped"


def _named(due: Sequence[int], now_ns: int) -> str:
    if len(due) <= _NAMED:
        return ", ".join(time_text(it, now_ns) for it in due)
    first = ", ".join(time_text(it, now_ns) for it in due[: _NAMED - 2])
    return f"{first} and so on" if len(due) > COUNTED_MAX else f"{first}, … {time_text(due[-1], now_ns)}"


def _one_of(count: int) -> str:
    return "the one instance that has it" if count == 1 else f"one of {count:,} instances"


def _instances(count: int) -> str:
    return "one other instance" if count == 1 else f"{count:,} other instances"


def _runs(count: int) -> str:
    if not count:
        return "nothing runs there now"
    return f"{'one run goes' if count == 1 else f'{count:,} runs go'} on to the end"
