"""Say in one sentence why an occurrence did not run, ran late, or was lost.

Pure. A sentence contains only known facts. Clock times are UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import MS, duration_text, span_text
from tickglass.sched.events import Lateness  # noqa: TC001 - a field's type
from tickglass.sched.occurrence import OccurrenceState, Outcome, SkipReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LATE_NS", "OUTCOMES", "SKIPS", "STATES", "Facts", "clock_text", "why"]

LATE_NS: Final = 8 * MS  # the limit that starts are measured against
_PARTS: Final = (
    ("timer_ns", "of it because the timer woke late"),
    ("pool_ns", "of it waiting for a worker, or for its turn behind others that were due"),
    ("lock_ns", "of it waiting for the claim and its lock"),
    ("start_ns", "of it between claim and start"),
)

# The state of an occurrence that had not started when the next one fell due.
_BEFORE: Final[Mapping[str, str]] = {
    OccurrenceState.ADMITTED: "was still waiting for a free worker",
    OccurrenceState.CLAIMING: "was still waiting for its claim",
    OccurrenceState.CLAIMED: "had its claim and was about to start",
    OccurrenceState.UNCLAIMED: "was about to start without a claim",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The known facts of one occurrence; None, "" and 0 stand for unknown ones.

    Args:
        outcome: a value of `Outcome`, "" while there is none; then `state` is as in `OccurrenceView`.
        by: the other instance involved; `by_job`: its job.
        earlier_ns: how long before us it claimed the occurrence.
        there: the outcome on that instance.
        since_wall_ns: when the previous run, or the hold of the lock, began.
        before_ns: when the previous occurrence was due, if it had not ended; `before_state`: its state.
        seen_wall_ns: when the outcome was reported.
        store: the operation of the store that failed, and how, e.g. "redis, claim: unavailable".
        repeated: whether a later attempt is known.
        absent: why no instance took it up, e.g. "billing/host-1 went away 4m05s ago".
        now_ns: wall clock.
    """

    due_ns: int
    outcome: str = ""
    state: str = ""
    reason: str = ""
    resource: str = ""
    owner: str = ""
    by: str = ""
    by_job: str = ""
    earlier_ns: int | None = None
    there: str = ""
    since_wall_ns: int | None = None
    before_ns: int | None = None
    before_state: str = ""
    seen_wall_ns: int | None = None
    claimed_wall_ns: int | None = None
    lateness: Lateness | None = None
    lateness_ns: int | None = None
    ran_ns: int | None = None
    grace_ns: int | None = None
    timeout_ns: int | None = None
    skew_ns: int | None = None
    store: str = ""
    error: str = ""
    absent: str = ""
    attempt: int = 1
    repeated: bool = False
    count: int = 1
    exact: bool = True
    until_ns: int | None = None
    now_ns: int | None = None


def why(facts: Facts) -> str:
    """Return the sentence; "" for a plain success, or if all is well so far."""
    if facts.outcome:
        tell = OUTCOMES.get(facts.outcome)
        return facts.outcome if tell is None else tell(facts)
    tell = STATES.get(facts.state)
    return "" if tell is None else tell(facts)


def clock_text(wall_ns: int, beside_ns: int | None = None) -> str:
    """Return an instant as UTC, e.g. "02:30:00.004Z"; with its date, unless that is the other instant's."""
    text = instant_of(wall_ns).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds") + "Z"
    same_day = beside_ns is not None and instant_of(wall_ns).date() == instant_of(beside_ns).date()
    return text.partition(" ")[2] if same_day else text


# --- what ran


def _success(facts: Facts) -> str:
    again = _again(facts)
    late = _late(facts)
    return "; ".join(words for words in (again, late) if words)


def _failure(facts: Facts) -> str:
    return f"failed{_after(facts)}" + (f": {_first_line(facts.error)}" if facts.error else "") + _and_late(facts)


def _timeout(facts: Facts) -> str:
    limit = f" of {duration_text(facts.timeout_ns)}" if facts.timeout_ns else ""
    ended = f"; it ended after {span_text(facts.ran_ns)}" if facts.ran_ns is not None else ""
    return f"timeout: it ran over its timeout{limit} and was asked to stop{ended}" + _and_late(facts)


def _cancelled(facts: Facts) -> str:
    who = "an operator" if facts.reason == "cancelled" else f"its scheduler{_owner(facts)} stopped, and"
    return f"cancelled: {who} asked it to stop; {_so_far(facts)}"


def _lost(facts: Facts) -> str:
    lease = f"its lease on {facts.resource}" if facts.resource else "its lease"
    cause = f"{facts.by} has it now" if facts.by else "no renewal was confirmed in time"
    return f"lost: {lease} could no longer be trusted, because {cause}; {_so_far(facts)}"


# --- what did not


def _orphaned(facts: Facts) -> str:
    who = facts.by or "the instance that had claimed it"
    further = f"; attempt {facts.attempt + 1} followed" if facts.repeated else ", and there is no further attempt"
    return f"orphaned: {who} died before it recorded an outcome{further}"


def _elsewhere(facts: Facts) -> str:
    who = f"claimed by {facts.by}" if facts.by else "another instance has it"
    when = f" {span_text(facts.earlier_ns)} earlier" if facts.earlier_ns is not None else ""
    there = f", where it ended as {facts.there}" if facts.there else ""
    return f"elsewhere: {who}{when}{there}"


def _instants(facts: Facts) -> str:
    most = "" if facts.exact else "at least "
    until = f" and {clock_text(facts.until_ns, facts.due_ns)}" if facts.until_ns is not None else ""
    between = f" between {clock_text(facts.due_ns, facts.now_ns)}{until}" if until else ""
    return f"{most}{facts.count} due instants{between}"


def _missed(facts: Facts) -> str:
    if facts.count > 1:
        cause = (
            f"no worker{_of(facts.owner)} was free" if facts.reason == "pool" else "no instance was there to run them"
        )
        return f"missed: {_instants(facts)} passed while {cause}"
    late = ""
    if facts.seen_wall_ns is not None and facts.seen_wall_ns > facts.due_ns:
        late = f"; it was noticed {span_text(facts.seen_wall_ns - facts.due_ns)} after it was due"
    cause = "no instance took it up in time"
    if facts.reason == "pool":
        cause = f"no worker{_of(facts.owner)} was free in time"
    elif facts.reason == "late" or facts.claimed_wall_ns is not None:
        cause = f"{facts.owner or 'an instance'} claimed it and could not start it in time"
    return f"missed: {cause}{late}{_grace(facts, ', past its grace')}"


def _skipped(facts: Facts) -> str:
    tell = SKIPS.get(facts.reason)
    because = facts.reason or "a policy refused it" if tell is None else tell(facts)
    return f"skipped: {because}" if facts.count == 1 else f"skipped: {_instants(facts)}: {because}"


def _overlap(facts: Facts) -> str:
    if facts.since_wall_ns is not None:
        where = f" on {facts.by}" if facts.by and facts.by != facts.owner else ""
        return (
            f"its previous run{where}, which started {clock_text(facts.since_wall_ns, facts.due_ns)}, was still running"
        )
    due = f", due {clock_text(facts.before_ns, facts.due_ns)}," if facts.before_ns is not None else ""
    store = f"; the store's latest failure: {facts.store}" if facts.store else ""
    return f"its previous occurrence{due} {_BEFORE.get(facts.before_state, 'had not ended')}{store}"


def _lock_held(facts: Facts) -> str:
    what = facts.resource or "its lock"
    who = f"{facts.by}{_of_job(facts)} held {what}" if facts.by else f"another holder had {what}"
    since = f", since {clock_text(facts.since_wall_ns, facts.due_ns)}," if facts.since_wall_ns else ""
    return f"{who}{since} for all of its grace{_grace(facts, '')}"


def _store_unavailable(facts: Facts) -> str:
    return f"the store did not answer{_store(facts)}, and a run needs a claim"


def _store_error(facts: Facts) -> str:
    return f"the store answered with a failure{_store(facts)}, and a run needs a claim"


def _skew(facts: Facts) -> str:
    size = f" by {span_text(abs(facts.skew_ns))}" if facts.skew_ns is not None else ""
    ahead = "" if facts.skew_ns is None else " ahead of" if facts.skew_ns > 0 else " behind"
    apart = f"our clock is{ahead} the store's{size}" if ahead else "our clock and the store's are too far apart"
    return f"{apart}, which is too much to decide what is due"


def _stopping(facts: Facts) -> str:
    return f"its scheduler{_owner(facts)} was stopping"


def _paused(facts: Facts) -> str:
    return facts.error or "an operator did not want it run"


# --- what has not ended


def _waiting(facts: Facts) -> str:
    if not facts.by:
        return ""
    since = f" since {clock_text(facts.since_wall_ns, facts.due_ns)}" if facts.since_wall_ns else ""
    return f"waits for {facts.resource or 'its lock'}, which {facts.by}{_of_job(facts)} has held{since}"


def _running(facts: Facts) -> str:
    return "; ".join(words for words in (_again(facts), _late(facts)) if words)


def _asked_to_stop(facts: Facts) -> str:
    limit = f" of {duration_text(facts.timeout_ns)}" if facts.timeout_ns else ""
    causes = {
        "timeout": f"it is over its timeout{limit}",
        "lost": "its lease can no longer be trusted",
        "cancelled": "an operator cancelled it",
    }
    cause = causes.get(facts.reason, "its scheduler stops")
    return f"was asked to stop, because {cause}, and has not ended yet"


def _left(facts: Facts) -> str:
    when = f" at {clock_text(facts.seen_wall_ns, facts.due_ns)}" if facts.seen_wall_ns is not None else ""
    return f"its scheduler{_owner(facts)} went away{when}, and nothing says how it ended"


def _abandoned(facts: Facts) -> str:
    who = facts.by or facts.owner or "an instance"
    when = f" at {clock_text(facts.claimed_wall_ns, facts.due_ns)}" if facts.claimed_wall_ns is not None else ""
    return f"abandoned: {who} claimed it{when}, and its lease ended before an outcome was recorded"


def _overdue(facts: Facts) -> str:
    late = f"it was due {span_text(facts.now_ns - facts.due_ns)} ago" if facts.now_ns is not None else "it was due"
    grace = _grace(facts, ", its grace") + " has passed" if facts.grace_ns is not None else ""
    cause = f", and {facts.absent}" if facts.absent else ""
    if facts.by:
        since = f" since {clock_text(facts.since_wall_ns, facts.due_ns)}" if facts.since_wall_ns else ""
        cause = f", and {facts.resource or 'its lock'} is held by {facts.by}{_of_job(facts)}{since}"
    return f"no instance claimed it: {late}{grace}{cause}"


# --- parts of sentences


def _late(facts: Facts) -> str:
    total_ns = facts.lateness.total_ns if facts.lateness is not None else facts.lateness_ns
    if total_ns is None or total_ns < LATE_NS:
        return ""
    text = f"started {span_text(total_ns)} late"
    if facts.lateness is None:
        return text
    name, words = max(_PARTS, key=lambda part: int(getattr(facts.lateness, part[0])))
    return f"{text}, {span_text(getattr(facts.lateness, name))} {words}"


def _and_late(facts: Facts) -> str:
    late = _late(facts)
    return f"; {late}" if late else ""


def _again(facts: Facts) -> str:
    if facts.attempt < 2:
        return ""
    died = f"{facts.by}, which had claimed it before," if facts.by else "the instance that had claimed it before"
    return f"attempt {facts.attempt}: {died} did not record how it ended"


def _after(facts: Facts) -> str:
    return f" after {span_text(facts.ran_ns)}" if facts.ran_ns is not None else ""


def _so_far(facts: Facts) -> str:
    return f"it ran for {span_text(facts.ran_ns)}" if facts.ran_ns is not None else "it had not started"


def _owner(facts: Facts) -> str:
    return f", {facts.owner}," if facts.owner else ""


def _of(owner: str) -> str:
    return f" of {owner}" if owner else ""


def _of_job(facts: Facts) -> str:
    return f" (job {facts.by_job})" if facts.by_job else ""


def _grace(facts: Facts, words: str) -> str:
    return f"{words} of {duration_text(facts.grace_ns)}" if facts.grace_ns is not None else ""


def _store(facts: Facts) -> str:
    return f" ({facts.store})" if facts.store else ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


SKIPS: Final[Mapping[str, Callable[[Facts], str]]] = {
    SkipReason.OVERLAP: _overlap,
    SkipReason.LOCK_HELD: _lock_held,
    SkipReason.STORE_UNAVAILABLE: _store_unavailable,
    SkipReason.STORE_ERROR: _store_error,
    SkipReason.SKEW: _skew,
    SkipReason.STOPPING: _stopping,
    SkipReason.PAUSED: _paused,
}
OUTCOMES: Final[Mapping[str, Callable[[Facts], str]]] = {
    Outcome.SUCCESS: _success,
    Outcome.FAILURE: _failure,
    Outcome.TIMEOUT: _timeout,
    Outcome.CANCELLED: _cancelled,
    Outcome.LOST: _lost,
    Outcome.ORPHANED: _orphaned,
    Outcome.ELSEWHERE: _elsewhere,
    Outcome.MISSED: _missed,
    Outcome.SKIPPED: _skipped,
}
STATES: Final[Mapping[str, Callable[[Facts], str]]] = {
    OccurrenceState.CLAIMING: _waiting,
    OccurrenceState.RUNNING: _running,
    OccurrenceState.STOPPING: _asked_to_stop,
    "left": _left,
    "abandoned": _abandoned,
    "overdue": _overdue,
}
