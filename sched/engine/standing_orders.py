"""Say what the orders that stand mean for this instance: which due instants are declined, whether it is drained.

No I/O. One thread replaces the book, any thread asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.clock import instant_of
from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import Drain, Pause, Skip, fits

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext

__all__ = ["StandingOrders"]


class StandingOrders:
    """The latest book that this instance has read."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self.book = OrderBook()

    def pauses(self, job_name: str, due_ns: int, *, manual: bool = False) -> bool:
        """Return whether an order is against running a due instant (wall clock) here.

        Args:
            manual: whether an operator asked for it: pauses and skips are about what a trigger names.
        """
        return self._against(job_name, due_ns, manual=manual) is not None

    def paused_spans(self, job_name: str, begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Return when in [begin_ns, end_ns) a job was paused: see `OrderBook`."""
        book = self.book
        return book.paused_spans(self._context.job_id(job_name), begin_ns, end_ns) if book.orders else []

    def paused_when_due(self, job_name: str, due_ns: int) -> bool:
        """Return whether an order was against running an instant on any instance, before it was due."""
        book = self.book
        if not book.orders:
            return False
        job = self._context.job_id(job_name)
        return book.skip_of(job, due_ns) is not None or book.paused_spans(job, due_ns, due_ns + 1) != []

    def words(self, job_name: str, due_ns: int) -> str:
        """Return who does not want a due instant run here, and why; "" if no order is against it."""
        order = self._against(job_name, due_ns)
        if order is None:
            return ""
        until = "" if order.until_ns is None or isinstance(order, Skip) else f" until {_instant(order.until_ns)}"
        what = {Pause: "paused it", Skip: "had this instant skipped", Drain: "drained this instance"}[type(order)]
        return f"{order.by} {what}{until}: {order.reason} (act {order.number})"

    def _against(self, job_name: str, due_ns: int, *, manual: bool = False) -> Pause | Skip | Drain | None:
        book = self.book
        if not book.orders:
            return None
        job = self._context.job_id(job_name)
        declined = None if manual else book.pause_of(job, due_ns) or book.skip_of(job, due_ns)
        return declined or self.drain

    @property
    def drain(self) -> Drain | None:
        """The order by which this instance starts nothing; None: there is none."""
        context = self._context
        return self.book.drain_of(context.service, context.owner, context.clock.wall_ns())

    def paused(self) -> tuple[str, ...]:
        """Return the names and patterns of the jobs of this service that are paused now, sorted."""
        now_ns, service = self._context.clock.wall_ns(), self._context.service
        pauses = [it for it in self.book.of_kind(Pause) if it.stands_at(now_ns) and fits(service, it.service)]
        return tuple(sorted({pause.job for pause in pauses}))


def _instant(wall_ns: int) -> str:
    return instant_of(wall_ns).isoformat(sep=" ", timespec="seconds")
