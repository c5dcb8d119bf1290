"""Claim occurrences on a worker, all that are given in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution
    from tickglass.sched.engine.timing.lead_time import LeadTime
    from tickglass.sched.ports import ClaimAnswer, ClaimAsk

__all__ = ["Claimer"]


class Claimer:
    """Asks the store for occurrences.

    Args:
        lead_time: learns how long a claim takes.
    """

    def __init__(self, context: EngineContext, lead_time: LeadTime) -> None:
        self._store = context.store
        self._clock = context.clock
        self._lead_time = lead_time

    def claim(self, assignments: Sequence[Assignment]) -> Sequence[Execution]:
        """Ask for each of these that has to ask now, in this order; return what is to be started when it is due."""
        now = self._clock.reading()
        asking = [(assignment, ask) for assignment in assignments if (ask := assignment.begin(now)) is not None]
        if not asking:
            return ()
        asked_ns = self._clock.monotonic_ns()  # trust in each lease counts from before the request
        answers = self._answers([ask for _, ask in asking])
        runs = [
            run
            for (assignment, _), answer in zip(asking, answers, strict=True)
            if (run := assignment.answered(answer, asked_ns)) is not None
        ]
        if assignments[0].claimed_undelayed:
            self._lead_time.note(self._clock.monotonic_ns() - assignments[0].handed_ns)
        return runs

    def _answers(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | Exception]:
        """Return an answer for each; an error of a batch is the answer for all of it."""
        try:
            return [self._store.claim(asks[0])] if len(asks) == 1 else self._store.claim_many(asks)
        except Exception as error:  # noqa: BLE001 - unless the store is unavailable, each assignment raises it again
            return [error] * len(asks)
