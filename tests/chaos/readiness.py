"""Find instances that say that they are ready and are not, or the other way round.

Pure; part of the checker.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from chaos.history import Violation

from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.history import History, Sampled
    from chaos.spells import Conduct

__all__ = ["UNREADY_WITHIN_NS", "untrue_readiness"]

UNREADY_WITHIN_NS: Final = 3_500 * MS  # three times the longest wait of the timeline, and the time to look
_SKEWED_WITHIN_NS: Final = 2 * SECOND  # a step is noticed within a second, and the store asked some times a second
_AT_ONCE_NS: Final = SECOND  # between two failures of one trouble
_SKEW_NS: Final = SECOND + 100 * MS  # allowed by default, and the error of measuring


def untrue_readiness(history: History, conduct: Conduct) -> Iterator[Violation]:
    """Return all violations of what is promised of one process's readiness."""
    yield from _found("ready, and reaches no store", conduct, lambda it: not it.unready and _cut_off(conduct, it))
    yield from _found(
        "ready, and claims nothing", conduct, lambda it: not it.unready and _failing(conduct, it), lasting_ns=SECOND
    )  # for less than that after a heartbeat that was granted, which the history does not have
    yield from _found("ready with a blocked loop", conduct, lambda it: not it.unready and _blocked(conduct, it))
    if history.setting.keeps_time:
        yield from _found("ready with a wrong clock", conduct, lambda it: not it.unready and _skewed(conduct, it))
    yield from _found("unready in good health", conduct, lambda it: bool(it.unready) and _healthy(conduct, it))


def _found(
    rule: str, conduct: Conduct, wrong: Callable[[Sampled], bool], *, lasting_ns: int = 0
) -> Iterator[Violation]:
    """Return one violation for the samples in a row that are wrong, if they are for so long."""
    since_ns: int | None = None
    found = False
    for sample in conduct.samples:
        if not wrong(sample):
            since_ns, found = None, False
            continue
        since_ns = sample.at_ns if since_ns is None else since_ns
        if not found and sample.at_ns - since_ns >= lasting_ns:
            found = True
            yield Violation(rule, f"{conduct.name} at {sample.at_ns} {sample.unready or ''}".rstrip())


def _cut_off(conduct: Conduct, sample: Sampled) -> bool:
    """Return whether it ran for so long, open, and no writing call was answered: whatever was due was not claimed."""
    since_ns = sample.at_ns - UNREADY_WITHIN_NS
    before = bisect_right(conduct.reached_ns, sample.at_ns)
    answered = before > 0 and conduct.reached_ns[before - 1] >= since_ns
    return not answered and conduct.open.covers(since_ns, sample.at_ns) and conduct.ran(since_ns, sample.at_ns)


def _failing(conduct: Conduct, sample: Sampled) -> bool:
    """Return whether calls that write have failed for so long, just before and just after, and none was granted."""
    after = bisect_right(conduct.unanswered, sample.at_ns, key=lambda entry: entry.at_ns)
    if after in (0, len(conduct.unanswered)):
        return False
    last_ns, next_ns = (entry.at_ns for entry in conduct.unanswered[after - 1 : after + 1])
    if next_ns - last_ns > _AT_ONCE_NS:
        return False  # perhaps it is over, and the next grant is still to come
    since_ns = sample.at_ns - UNREADY_WITHIN_NS
    return any(spell.covers(since_ns, next_ns) and conduct.open.covers(since_ns, next_ns) for spell in conduct.failing)


def _blocked(conduct: Conduct, sample: Sampled) -> bool:
    return any(spell.begins_ns + UNREADY_WITHIN_NS < sample.at_ns < spell.ends_ns for spell in conduct.blocked)


def _skewed(conduct: Conduct, sample: Sampled) -> bool:
    for wrong in conduct.wrong_clocks:
        since_ns = max(wrong.spell.begins_ns, conduct.open.begins_ns)
        if abs(wrong.offset_ns) > _SKEW_NS and since_ns + _SKEWED_WITHIN_NS < sample.at_ns < wrong.spell.ends_ns:
            return conduct.reached(since_ns, sample.at_ns)
    return False


def _healthy(conduct: Conduct, sample: Sampled) -> bool:
    """Return whether nothing was wrong with it for so long, and every call was answered."""
    since_ns = sample.at_ns - UNREADY_WITHIN_NS
    before = bisect_right(conduct.unanswered, sample.at_ns, key=lambda entry: entry.at_ns)
    answered = before == 0 or conduct.unanswered[before - 1].at_ns < since_ns
    return answered and conduct.was_healthy(since_ns, sample.at_ns) and conduct.ran(since_ns, sample.at_ns)
