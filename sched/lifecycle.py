"""Decide which way a scheduler's life can go.

Pure: no I/O, no logging. Time comes from the injected clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.events import SchedulerMoved
from tickglass.sched.state_machine import StateMachine, Word, moves_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink
    from tickglass.sched.state_machine import Move

__all__ = ["SCHEDULER_TRANSITIONS", "STOP_GRACE_NS", "SchedulerEvent", "SchedulerMachine", "SchedulerState"]

STOP_GRACE_NS: Final = 5 * SECOND  # for a run to end after it was asked to


class SchedulerState(Word):
    """Where a scheduler stands."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


class SchedulerEvent(Word):
    """What can happen to it."""

    START_ASKED = "start_asked"
    STARTED = "started"
    START_FAILED = "start_failed"
    STOP_ASKED = "stop_asked"
    STOPPED = "stopped"


SCHEDULER_TRANSITIONS: Final[Mapping[tuple[SchedulerState, SchedulerEvent], SchedulerState]] = {
    (SchedulerState.NEW, SchedulerEvent.START_ASKED): SchedulerState.STARTING,
    (SchedulerState.STARTING, SchedulerEvent.STARTED): SchedulerState.RUNNING,
    (SchedulerState.STARTING, SchedulerEvent.START_FAILED): SchedulerState.STOPPED,
    (SchedulerState.RUNNING, SchedulerEvent.STOP_ASKED): SchedulerState.DRAINING,
    (SchedulerState.DRAINING, SchedulerEvent.STOPPED): SchedulerState.STOPPED,
    (SchedulerState.STOPPED, SchedulerEvent.START_ASKED): SchedulerState.STARTING,
}
_MOVES: Final = moves_of(SCHEDULER_TRANSITIONS)


class SchedulerMachine(StateMachine[SchedulerState, SchedulerEvent]):
    """One scheduler, from a start to the stop that follows.

    Args:
        begins: where it stands: `STOPPED`, if it was started and stopped before.
    """

    def __init__(
        self, owner: str, service: str, clock: Clock, sink: EventSink, *, begins: SchedulerState = SchedulerState.NEW
    ) -> None:
        super().__init__(("scheduler",), _MOVES, begins, clock, sink)
        self._owner = owner
        self._service = service

    def fire(self, event: SchedulerEvent) -> Move[SchedulerState, SchedulerEvent]:
        """Make one move and report it.

        Raises:
            IllegalTransition: the table has no such move; nothing changed.
        """
        with self._mutex:
            move = self._make(event)
            self._sink.record(
                SchedulerMoved(
                    owner=self._owner,
                    service=self._service,
                    before=self.before,
                    event=self.event,
                    after=self.after,
                    wall_ns=self.wall_ns,
                )
            )
            return move
