"""Decide how a job has done lately: since when, and how often, it did not succeed.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.events import Streak
from tickglass.sched.occurrence import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.ports import RunRecord

__all__ = ["FAILURES", "NO_VERDICT", "RUNS_READ", "prolonged", "streak_of"]

FAILURES: Final = frozenset(
    outcome.value for outcome in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.LOST, Outcome.ORPHANED)
)
# An operator cancels; an elsewhere is reported by the instance that ran it.
NO_VERDICT: Final = frozenset({Outcome.CANCELLED.value, Outcome.ELSEWHERE.value})
RUNS_READ: Final = 32  # of a longer streak these are the latest: long enough for every alert


def prolonged(streak: Streak, outcome: str, due_ns: int, ended_wall_ns: int) -> Streak:
    """Return the streak after one more occurrence has ended."""
    if outcome == Outcome.SUCCESS:
        return Streak(succeeded_wall_ns=ended_wall_ns)
    if outcome in NO_VERDICT:
        return streak
    return Streak(
        failures=streak.failures + (outcome in FAILURES),
        since_ns=due_ns if streak.since_ns is None else streak.since_ns,
        latest_ns=due_ns if streak.latest_ns is None else max(streak.latest_ns, due_ns),
        succeeded_wall_ns=streak.succeeded_wall_ns,
    )


def streak_of(runs: Sequence[RunRecord]) -> Streak:
    """Return the streak of a job's latest attempts, newest first; those without an end say nothing yet."""
    streak = Streak()
    for run in reversed(runs):
        if run.outcome is not None:
            streak = prolonged(streak, run.outcome, run.due_ns, run.ended_wall_ns or run.claimed_wall_ns)
    return streak
