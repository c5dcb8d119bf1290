"""Ask the runs to stop that operators have cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.control.orders import Cancel

if TYPE_CHECKING:
    from tickglass.sched.control.order_book import OrderBook
    from tickglass.sched.engine.running.dispatcher import Dispatcher

__all__ = ["Cancels"]


class Cancels:
    """Looks for the runs of this instance among those that are to stop."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def obey(self, book: OrderBook) -> None:
        """Ask each of them; a run that has been asked goes on as it is."""
        run_ids = {order.run_id for order in book.of_kind(Cancel)}
        if not run_ids:
            return
        for assignment in self._dispatcher.assignments():
            if assignment.run_id in run_ids:
                assignment.ask_to_stop("cancelled")
