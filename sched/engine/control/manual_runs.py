"""Run the jobs that were asked for, once each: one instance of the fleet wins the claim, as for any due instant.

What has not started by the end of its order is accounted for like an instant that came too late: the ledger knows
whether another instance ran it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.control.orders import RunNow

if TYPE_CHECKING:
    from tickglass.sched.control.order_book import OrderBook
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.engine.planning.planner import Planner

__all__ = ["ManualRuns"]


class ManualRuns:
    """Hands each run that was asked for to the planner; called by one thread.

    Args:
        jobs: those of this instance.
    """

    def __init__(self, context: EngineContext, planner: Planner, jobs: JobTable) -> None:
        self._context = context
        self._planner = planner
        self._jobs = jobs
        self._handled: set[int] = set()  # numbers of orders in the book

    def obey(self, book: OrderBook) -> None:
        """Plan the runs that were asked for, as far as their jobs are here and their orders stand."""
        asked = {it.number: it for it in book.of_kind(RunNow) if it.service == self._context.service}
        self._handled &= asked.keys()
        now_ns = self._context.clock.wall_ns()
        for number, order in asked.items():
            job = self._jobs.get(order.job)
            if number in self._handled or job is None or not order.stands_at(now_ns):
                continue
            self._handled.add(number)
            until_ns = order.due_ns if order.until_ns is None else order.until_ns
            self._planner.run_manually(job, order.due_ns, until_ns - order.due_ns)
