"""Account for due instants that passed, or came too late: those of a paused job are skipped, the others are misfires.

No instance ran what was due after its job had been paused, so the ledger is not asked about it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from tickglass.sched.engine.planning.trigger_calls import counted, next_due_ns
from tickglass.sched.events import InstantsSkipped
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.sched.ports import MANUAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.misfires import Misfires
    from tickglass.sched.engine.planning.trigger_calls import TriggerCalls
    from tickglass.sched.engine.standing_orders import StandingOrders
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.triggers import InstantCount, Trigger

__all__ = ["PassedInstants"]


class _Part(NamedTuple):
    """Instants in [first_ns, before_ns), all of them paused or none."""

    first_ns: int
    before_ns: int
    instants: InstantCount
    paused: bool


class PassedInstants:
    """Gives each instant that no execution here starts its outcome, or to those who ask the ledger for it."""

    def __init__(
        self, context: EngineContext, misfires: Misfires, orders: StandingOrders, triggers: TriggerCalls
    ) -> None:
        self._context = context
        self._misfires = misfires
        self._orders = orders
        self._triggers = triggers

    def span(self, job: Job, first_ns: int, before_ns: int, instants: InstantCount, *, reason: str) -> None:
        """Account for the instants in [first_ns, before_ns), which are due instants both.

        Args:
            instants: how many there are.
            reason: of those that were missed: see `InstantsMissed`.
        """
        for part in self._parts(job, first_ns, before_ns, instants):
            if part.paused:
                self._skip(job, part)
            else:
                self._misfires.span_passed(job, part.first_ns, part.before_ns, part.instants, reason=reason)

    def too_late(self, job: Job, occurrence: OccurrenceMachine, *, reason: str) -> None:
        """End an occurrence that came too late to be run here; `reason` is as of `span`."""
        manual = occurrence.kind == MANUAL
        if not manual and self._orders.paused_when_due(job.name, occurrence.due_ns):
            words = self._orders.words(job.name, occurrence.due_ns)
            occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.PAUSED, error=words)
            return
        self._misfires.too_late(occurrence, reason=reason, trigger="" if manual else str(job.trigger))

    def _parts(self, job: Job, first_ns: int, before_ns: int, instants: InstantCount) -> Sequence[_Part]:
        paused_spans = self._orders.paused_spans(job.name, first_ns, before_ns)
        if paused_spans:
            try:
                return _parts(job.trigger, first_ns, before_ns, paused_spans)
            except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
                self._triggers.failed(job, error)
        return [_Part(first_ns, before_ns, instants, paused=False)]

    def _skip(self, job: Job, part: _Part) -> None:
        latest_ns = part.instants.latest_ns
        self._context.sink.record(
            InstantsSkipped(
                job=job.name,
                reason=SkipReason.PAUSED,
                count=part.instants.count,
                exact=part.instants.exact,
                first_due_ns=part.first_ns,
                latest_due_ns=part.first_ns if latest_ns is None else latest_ns,
                next_due_ns=part.before_ns,
                wall_ns=self._context.clock.wall_ns(),
                error=self._orders.words(job.name, part.first_ns),
            )
        )


def _parts(trigger: Trigger, first_ns: int, before_ns: int, paused_spans: Sequence[tuple[int, int]]) -> list[_Part]:
    """Cut a span where pauses begin and end; a part without instants is left out."""
    edges = sorted({first_ns, before_ns, *(edge for span in paused_spans for edge in span)})
    parts = []
    for begin_ns, end_ns in pairwise(edges):
        instants = counted(trigger, begin_ns - 1, end_ns - 1)
        if instants.latest_ns is not None:
            part_ns = next_due_ns(trigger, begin_ns - 1) or begin_ns, next_due_ns(trigger, end_ns - 1) or end_ns
            paused = any(since_ns <= begin_ns < until_ns for since_ns, until_ns in paused_spans)
            parts.append(_Part(*part_ns, instants, paused))
    return parts
