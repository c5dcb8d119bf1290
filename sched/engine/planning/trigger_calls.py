"""Ask triggers: they may be foreign code, which may answer anything, or raise.

What a trigger raises is reported. An exit that is meant for the whole program is raised again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.foreign_errors import is_program_exit
from tickglass.sched.engine.planning.upcoming import Upcoming
from tickglass.sched.errors import failure_text
from tickglass.sched.events import TriggerFailed
from tickglass.sched.triggers import LATEST_NS, InstantCount

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.job import Job
    from tickglass.sched.triggers import Trigger

__all__ = ["COUNTED_MAX", "TriggerCalls", "counted", "next_due_ns"]

COUNTED_MAX: Final = 10_000  # instants counted one by one after a long absence


def next_due_ns(trigger: Trigger, after_ns: int) -> int | None:
    """Return the trigger's first instant after this one, which a store can hold; None: none comes.

    Raises:
        TypeError: it is no whole number.
        ValueError: it does not lie after this one.
        BaseException: whatever the trigger raises.
    """
    following = trigger.next_after_ns(after_ns)
    if following is None:
        return None
    if not isinstance(following, int):
        raise TypeError(f"next_after_ns({after_ns}) is whole nanoseconds or None, not {following!r}")
    if following <= after_ns:
        raise ValueError(f"next_after_ns({after_ns}) went back to {following}")
    return following if following <= LATEST_NS else None


def counted(trigger: Trigger, after_ns: int, until_ns: int) -> InstantCount:
    """Return what the trigger counts in (after_ns, until_ns].

    Raises:
        TypeError: it does not count.
        BaseException: whatever the trigger raises.
    """
    answer = trigger.count_between(after_ns, until_ns, COUNTED_MAX)
    if not isinstance(answer, InstantCount):
        raise TypeError(f"count_between returns an InstantCount, not {answer!r}")
    return answer


class TriggerCalls:
    """Asks for what the caller can do without, and reports what triggers raise."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context

    def upcoming(self, job: Job, after_ns: int) -> Upcoming:
        """Return the next two instants; as if none came if the trigger raises."""
        try:
            first = next_due_ns(job.trigger, after_ns)
            return Upcoming(after_ns, first, None if first is None else next_due_ns(job.trigger, first))
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self.failed(job, error)
            return Upcoming(after_ns, None, None)

    def failed(self, job: Job, error: BaseException) -> None:
        """Report what a trigger raised; an exit that is meant for the whole program is raised again."""
        if is_program_exit(error):
            raise error
        now_ns = self._context.clock.wall_ns()
        self._context.sink.record(TriggerFailed(job=job.name, error=failure_text(error), wall_ns=now_ns))
