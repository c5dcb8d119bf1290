"""Decide what is wrong, the worst first.

Pure. The limits are those of boards and alerts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from tickglass.sched.durations import SECOND, duration_text, span_text
from tickglass.telemetry.sidecar.explain.tones import Tone
from tickglass.telemetry.thresholds import (
    CLOCK_OFFSET_S,
    EVENTS_MISSED_S,
    FAILED_MIN,
    FAILED_SHARE,
    FAILURES_IN_A_ROW,
    LEFT_OUT_MIN,
    LEFT_OUT_SHARE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tickglass.telemetry.sidecar.view import (
        JobView,
        LockMark,
        LockView,
        OutcomeShare,
        SchedulerView,
        StoreView,
        View,
    )

__all__ = [
    "Problem",
    "headline",
    "job_href",
    "job_names",
    "job_problems",
    "job_tone",
    "mark_words",
    "over_timeout_ns",
    "problems",
    "scheduler_words",
    "store_tone",
]

STOPPING_NS: Final = 2 * SECOND  # how long a run may take to stop after it was asked to
GONE_NS: Final = 3_600 * SECOND  # how long each scheduler that is gone is named; later only one per service
NAMED_MAX: Final = 3  # in the headline; the list below it is longer
_DOTS: Final = frozenset({".", ".."})  # browsers remove them from a path, even when they are quoted


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Args:
        what: "lock", "job", "scheduler", "store" or "view".
        words: what is wrong, without the name: "is stuck: ...".
        href: where the page shows more.
    """

    tone: Tone
    what: str
    name: str
    words: str
    href: str


def problems(view: View) -> list[Problem]:
    """Return all problems, the worst first: locks, stores, schedulers, jobs; then what is not known."""
    job_label = job_names(view.jobs)
    found = [
        *(_lock_problem(lock) for lock in view.locks if lock.stuck),
        *(problem for store in view.stores for problem in _store_problems(store)),
        *(problem for scheduler in view.schedulers for problem in _scheduler_problems(scheduler, view)),
        *(
            replace(problem, name=job_label(job.name, job.service))
            for job in view.jobs
            for problem in job_problems(job, view.at_wall_ns)
        ),
        *(Problem(Tone.WARN, "view", "", reason, "") for reason in view.unready),
    ]
    return sorted(found, key=lambda problem: -problem.tone.weight)


def headline(found: Sequence[Problem]) -> str:
    """Return the line at the top; it contains no ages, so that it changes only when the problems do."""
    if not found:
        return "All well"
    names = [f"{problem.what} {problem.name}" for problem in found if problem.name]
    named = ", ".join(dict.fromkeys(names[:NAMED_MAX]))
    more = len(set(names)) - len(set(names[:NAMED_MAX]))
    if not named:
        return "Not all is known"
    return f"Not well: {named}" + (f" and {more:,} more" if more > 0 else "")


def job_href(name: str, service: str = "") -> str:
    """Return the address of a job's page; without a service, of all jobs of that name."""
    asked = {"name": name} if name in _DOTS else {}
    if service:
        asked["service"] = service
    return f"/jobs/{'' if name in _DOTS else quote(name, safe='')}" + (f"?{urlencode(asked)}" if asked else "")


def job_names(jobs: Iterable[JobView]) -> Callable[[str, str], str]:
    """Return a function that labels a job: its name, with the service if several services have a job of that name."""
    services: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        services[job.name].add(job.service)

    def job_label(name: str, service: str) -> str:
        return f"{service}/{name}" if service and len(services.get(name, ())) > 1 else name

    return job_label


def over_timeout_ns(job: JobView, now_ns: int) -> int:
    """Return for how long its oldest run has been over its timeout; 0 while none is."""
    if not job.running or job.running_since_wall_ns is None or job.timeout_ns is None:
        return 0
    return max(now_ns - job.running_since_wall_ns - job.timeout_ns, 0)


def job_problems(job: JobView, now_ns: int) -> Iterator[Problem]:
    """Yield the problems of one job."""
    href = job_href(job.name, job.service)
    over_ns = over_timeout_ns(job, now_ns)
    if over_ns > STOPPING_NS and job.timeout_ns is not None:
        timeout = duration_text(job.timeout_ns)
        later = span_text(over_ns)
        words = f"has a run that was asked to stop at its timeout of {timeout} and is still running {later} later"
        yield Problem(Tone.BAD, "job", job.name, words, href)
    elif job.overdue_ns > 0:
        words = job.why or f"it was due {span_text(job.overdue_ns)} ago"
        yield Problem(Tone.BAD, "job", job.name, f"is overdue: {words}", href)
    elif job.failures >= FAILURES_IN_A_ROW:
        error = next((run.why or run.error for run in reversed(job.recent) if run.outcome and run.error), job.why)
        words = f"has failed {job.failures:,} times in a row" + (f"; the latest: {error}" if error else "")
        yield Problem(Tone.BAD, "job", job.name, words, href)
    elif often := next(filter(None, map(_share_words, job.shares)), ""):
        yield Problem(Tone.WARN, "job", job.name, often, href)
    elif job.abandoned:
        words = f"has {_counted(job.abandoned, 'claim')} whose lease ended before an outcome was recorded"
        yield Problem(Tone.WARN, "job", job.name, words, href)
    elif job.why:
        yield Problem(Tone.WARN, "job", job.name, job.why, href)
    if job.contested:
        yield Problem(Tone.WARN, "job", job.name, job.contested, href)


def _share_words(share: OutcomeShare) -> str:
    """Return what a job does too often for its successes to be all that is said of it; "" if it does not."""
    window = f"in the last {duration_text(share.window_ns)}"
    if share.failed >= FAILED_MIN and share.failed > FAILED_SHARE * share.runs:
        return f"has failed in {share.failed:,} of {share.runs:,} runs {window}"
    if share.left_out >= LEFT_OUT_MIN and share.left_out > LEFT_OUT_SHARE * share.due:
        return f"was skipped or missed {share.left_out:,} of {share.due:,} times {window}"
    return ""


def job_tone(job: JobView, now_ns: int) -> Tone:
    """Return the tone of a job's worst problem."""
    return max((problem.tone for problem in job_problems(job, now_ns)), key=lambda tone: tone.weight, default=Tone.OK)


def _lock_problem(lock: LockView) -> Problem:
    who = lock.owner or "its holder"
    if lock.state == "expired":
        ago = f" {span_text(-lock.remaining_ns)} ago" if lock.remaining_ns is not None else ""
        words = f"is stuck: the lease of {who} ended{ago} without a release, and no instance has taken the lock since"
    else:
        held = f" for {span_text(lock.held_ns)}" if lock.held_ns is not None else ""
        allowed = f", {duration_text(lock.allowed_ns)} is allowed" if lock.allowed_ns is not None else ""
        words = f"is stuck: {who} has held it{held}{allowed}"
    waiting = f"; {lock.waiters:,} {'waits' if lock.waiters == 1 else 'wait'} for it" if lock.waiters else ""
    return Problem(Tone.BAD, "lock", lock.resource, words + waiting, "#locks")


def store_tone(store: StoreView) -> Tone:
    """Return the tone of a store's worst problem."""
    return max((problem.tone for problem in _store_problems(store)), key=lambda tone: tone.weight, default=Tone.OK)


def _store_problems(store: StoreView) -> Iterator[Problem]:
    if not store.ok:
        age = f"; what is shown of it is {span_text(store.age_ns)} old" if store.age_ns is not None else ""
        words = f"cannot be read{f': {store.error}' if store.error else ''}{age}"
        yield Problem(Tone.BAD, "store", store.source, words, "#stores")
    if store.skew_ns is not None and abs(store.skew_ns) - (store.skew_bound_ns or 0) > CLOCK_OFFSET_S * SECOND:
        side = "ahead of" if store.skew_ns > 0 else "behind"
        words = f"disagrees about the time: our clock is {span_text(abs(store.skew_ns))} {side} the store's"
        yield Problem(Tone.WARN, "store", store.source, words, "#stores")


def scheduler_words(scheduler: SchedulerView, view: View) -> tuple[Tone, str]:
    """Return a scheduler's state for a person."""
    if scheduler.state == "gone":
        return (Tone.BAD if _is_wanted(scheduler, view) else Tone.QUIET), "gone"
    if scheduler.stalled:
        return Tone.BAD, "stalled"
    if scheduler.unready:
        return Tone.BAD, "not ready"
    if not scheduler.connected:
        return Tone.QUIET, scheduler.state or "not connected"
    return (Tone.OK if scheduler.state == "running" else Tone.RUN), scheduler.state or "connected"


def _is_wanted(gone: SchedulerView, view: View) -> bool:
    """Return whether a scheduler that is gone is a problem: no other runs for its service, and it was the last."""
    others = [one for one in view.schedulers if one.service == gone.service and one is not gone]
    if any(one.connected and one.state == "running" and not one.stalled for one in others):
        return False
    since_ns = gone.silent_ns or 0
    return since_ns < GONE_NS or not any(one.state == "gone" and (one.silent_ns or 0) < since_ns for one in others)


def _scheduler_problems(scheduler: SchedulerView, view: View) -> Iterator[Problem]:
    name = f"{scheduler.service}/{scheduler.owner}" if scheduler.service else scheduler.owner
    silent = f" {span_text(scheduler.silent_ns)}" if scheduler.silent_ns is not None else ""
    if scheduler.state == "gone" and _is_wanted(scheduler, view):
        words = f"is gone: its connection ended{f'{silent} ago' if silent else ''}, and it had not reported a stop"
        yield Problem(Tone.BAD, "scheduler", name, words, "#schedulers")
    elif scheduler.stalled:
        words = (
            f"has stalled: it is connected, but its timeline does not tick{f'; silent for{silent}' if silent else ''}"
        )
        yield Problem(Tone.BAD, "scheduler", name, words, "#schedulers")
    elif scheduler.unready:
        yield Problem(Tone.BAD, "scheduler", name, f"is not ready: {'; '.join(scheduler.unready)}", "#schedulers")
    if scheduler.gap_age_ns is not None and scheduler.gap_age_ns < EVENTS_MISSED_S * SECOND:
        ago = span_text(scheduler.gap_age_ns)
        words = f"has lost events: {_counted(scheduler.missed, 'event')} never arrived, the last of them {ago} ago"
        yield Problem(Tone.WARN, "scheduler", name, words, "#schedulers")


def mark_words(mark: LockMark) -> str:
    """Return what happened to a lock."""
    other = f" by {mark.other}" if mark.other else ""
    who = mark.owner or "its holder"
    match mark.what:
        case "lost":
            return f"was lost by {who}{f': {mark.other} has taken it' if mark.other else ''}"
        case "expired":
            return f"could no longer be trusted by {who}{f'; taken{other}' if other else ''}"
        case "rejected":
            return f"refused a write of {who} under a stale fence"
        case "taken over":
            from_whom = "from an earlier run of its own" if mark.other == mark.owner else f"from {mark.other}"
            return f"was taken over by {who}{f' {from_whom}, whose lease had ended' if mark.other else ''}"
        case _:
            return mark.what


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
