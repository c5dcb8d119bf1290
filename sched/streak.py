"""Decide since when, and how often, a job has not succeeded.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.events import Streak
from tickglass.sched.occurrence import FAILURES, NEUTRAL, Outcome, SkipReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.events import InstantsSkipped
    from tickglass.sched.ports import RunRecord

__all__ = ["RUNS_READ", "prolonged", "prolonged_by_span", "streak_of"]

RUNS_READ: Final = 32  # the latest runs of a longer streak: enough for every alert


def prolonged(streak: Streak, outcome: str, due_ns: int, ended_wall_ns: int, *, reason: str = "") -> Streak:
    """Return the streak after one more occurrence has ended; one that operators did not want run changes nothing."""
    if outcome == Outcome.SUCCESS:
        return Streak(succeeded_wall_ns=ended_wall_ns)
    if outcome in NEUTRAL or reason == SkipReason.PAUSED:
        return streak
    return Streak(
        failures=streak.failures + (outcome in FAILURES),
        since_ns=due_ns if streak.since_ns is None else streak.since_ns,
        latest_ns=due_ns if streak.latest_ns is None else max(streak.latest_ns, due_ns),
        succeeded_wall_ns=streak.succeeded_wall_ns,
    )


def prolonged_by_span(streak: Streak, span: InstantsSkipped) -> Streak:
    """Return the streak after instants that were skipped at once."""
    for due_ns in (span.first_due_ns, span.latest_due_ns):
        streak = prolonged(streak, Outcome.SKIPPED, due_ns, span.wall_ns, reason=span.reason)
    return streak


def streak_of(runs: Sequence[RunRecord]) -> Streak:
    """Return the streak of a job's latest attempts, newest first. Attempts without an end do not count yet."""
    streak = Streak()
    for run in reversed(runs):
        if run.outcome is not None:
            streak = prolonged(streak, run.outcome, run.due_ns, run.ended_wall_ns or run.claimed_wall_ns)
    return streak
