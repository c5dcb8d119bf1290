"""Say what the orders that stand mean for this instance: which due instants are declined, whether it is drained.

No I/O. One thread replaces the book, any thread asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import Pause
from tickglass.sched.occurrence import SkipReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.control.orders import Drain
    from tickglass.sched.engine.context import EngineContext

__all__ = ["StandingOrders"]


class StandingOrders:
    """The latest book that this instance has read."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self.book = OrderBook()

    def declines(self, job_name: str, due_ns: int, *, manual: bool = False) -> SkipReason | None:
        """Return why a due instant (wall clock) is not run here; None: no order is against it.

        Args:
            manual: whether an operator asked for it: pauses and skips are about what a trigger names.
        """
        book = self.book
        if not book.orders:
            return None
        job = self._context.job_id(job_name)
        if not manual and book.pause_of(job, due_ns) is not None:
            return SkipReason.PAUSED
        if not manual and book.skip_of(job, due_ns) is not None:
            return SkipReason.REQUESTED
        return None if self.drain is None else SkipReason.DRAINING

    @property
    def drain(self) -> Drain | None:
        """The order by which this instance starts nothing; None: there is none."""
        context = self._context
        return self.book.drain_of(context.service, context.owner, context.clock.wall_ns())

    def paused(self, job_names: Iterable[str]) -> tuple[str, ...]:
        """Return those of these jobs that are paused now, sorted."""
        now_ns = self._context.clock.wall_ns()
        pauses = [pause for pause in self.book.of_kind(Pause) if pause.stands_at(now_ns)]
        if not pauses:
            return ()
        job_id = self._context.job_id
        return tuple(sorted(name for name in job_names if any(pause.covers(job_id(name)) for pause in pauses)))
