"""Run again, or settle as orphaned, the open claims of instances that died: their leases have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.leasing.holders import holder_of
from tickglass.sched.events import ClaimOrphaned

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.engine.planning.planner import Planner
    from tickglass.sched.engine.running.dispatcher import Dispatcher
    from tickglass.sched.job import Job
    from tickglass.sched.ports import Orphan

__all__ = ["ATTEMPTS_MAX", "Orphans"]

ATTEMPTS_MAX: Final = 3  # a job that takes its process down with it must not do so for ever


class Orphans:
    """Looks for open claims in the ledger, and has each rerun or settled.

    Args:
        planner: reruns an occurrence, or accounts for its end.
        dispatcher: its executions have not died, nor have the runs whose outcomes it has still to write.
    """

    def __init__(self, context: EngineContext, planner: Planner, dispatcher: Dispatcher) -> None:
        self._context = context
        self._planner = planner
        self._dispatcher = dispatcher

    def adopt(self, jobs: JobTable) -> None:
        """Ask the store once, about these jobs.

        Raises:
            StoreUnavailable: the store does not answer; the next sweep finds the same orphans.
        """
        orphans = self._context.store.orphans([self._context.job_id(name) for name in jobs])
        busy = {orphan.job for orphan in orphans if self._dispatcher.busy(orphan.job)}
        # Read after `busy`: the outcome of a run that has ended since then is among these.
        unwritten = self._dispatcher.outbox.run_ids() if orphans else set()
        for orphan in orphans:
            job = jobs[orphan.job]
            if orphan.run_id in unwritten or self._dispatcher.in_doubt.settle(orphan.run_id):
                continue  # it did not die: this instance knows how it ended, and has written it or will
            if not job.rerun or orphan.attempt >= ATTEMPTS_MAX:
                self._settle(job, orphan)
            elif orphan.job in busy or holder_of(job.resource, self._context):
                continue  # a rerun could not start: the next sweep finds it again
            else:
                self._planner.rerun_orphan(job, orphan.due_ns, orphan.kind)

    def _settle(self, job: Job, orphan: Orphan) -> None:
        if not self._context.store.abandon(orphan):
            return
        self._context.sink.record(
            ClaimOrphaned(
                job=orphan.job,
                due_ns=orphan.due_ns,
                attempt=orphan.attempt,
                run_id=orphan.run_id,
                claimant=orphan.owner,
                wall_ns=self._context.clock.wall_ns(),
            )
        )
        self._planner.settle_orphan(job, orphan.due_ns, orphan.kind)
