"""Those who work on occurrences: pool, event loop, timers, renewer, and what is in hand."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.engine.leasing.in_doubt import InDoubt
from tickglass.sched.engine.leasing.renewer import LeaseRenewer
from tickglass.sched.engine.membership.presence import Presence
from tickglass.sched.engine.planning.misfires import Misfires
from tickglass.sched.engine.running.execution import Execution
from tickglass.sched.engine.running.lead_time import LeadTime
from tickglass.sched.engine.running.loop_lag import LoopLagMonitor
from tickglass.sched.engine.running.outbox import Outbox
from tickglass.sched.engine.timing.timers import Timers
from tickglass.sched.executors.event_loop import EventLoop, EventLoopExecutor
from tickglass.sched.executors.threads import Pool, ThreadExecutor
from tickglass.sched.occurrence import OccurrenceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import Executor

__all__ = ["Dispatcher"]

_log: Final = logging.getLogger(__name__)


class Dispatcher:
    """Takes admitted occurrences and executions each to its end; at most one per job at a time.

    Args:
        workers: size of the pool; None: CPU count x 1.5.
        labels: those of this instance, as preferences name them.
        max_ahead_ns: how far ahead of the store's clock a claim may be; None: any distance.
    """

    def __init__(
        self,
        context: EngineContext,
        *,
        workers: int | None,
        labels: frozenset[str] = frozenset(),
        max_ahead_ns: int | None = None,
    ) -> None:
        self._context = context
        self.max_ahead_ns = max_ahead_ns
        self.pool = Pool("default", workers, clock=context.clock, sink=context.sink)
        self.loop = EventLoop()
        self.timers = Timers(context.clock)
        coroutines = EventLoopExecutor(self.loop, work=self.pool.submit, clock=context.clock)
        executors: tuple[Executor, ...] = (ThreadExecutor(coroutines, clock=context.clock), coroutines)
        self._executors = {executor.name: executor for executor in executors}
        self.loop_lag = LoopLagMonitor(self.loop, self.timers, clock=context.clock, sink=context.sink)
        self.renewer = LeaseRenewer(context.store, clock=context.clock, timers=self.timers)
        self.presence = Presence(context, self.renewer, labels)
        self.lead_time = LeadTime()
        self.outbox = Outbox(context)
        self.in_doubt = InDoubt(context, self.outbox)
        self.misfires = Misfires(context)
        self._executions: dict[str, Execution] = {}
        self._mutex = threading.Lock()
        self._emptied = Wake()
        self._cuts = 0

    def start(self) -> None:
        """Start all threads."""
        self.timers.start()
        self.loop.start()
        self.misfires.start()
        self.pool.start()

    def busy(self, job_name: str) -> bool:
        """Return whether an occurrence of that job is in hand, here."""
        return job_name in self._executions

    def dispatch(
        self,
        job: Job,
        occurrence: OccurrenceMachine,
        *,
        due_ns: int,
        until_ns: int,
        next_due_ns: int | None,
        rerun: bool = False,
    ) -> None:
        """Take an occurrence of a job that is not busy; see `Execution` for the arguments."""
        execution = Execution(
            job,
            occurrence,
            due_ns=due_ns,
            until_ns=until_ns,
            next_due_ns=next_due_ns,
            rerun=rerun,
            context=self._context,
            dispatcher=self,
            ended=self._ended,
        )
        with self._mutex:
            self._executions[job.name] = execution
        occurrence.fire(OccurrenceEvent.ADMITTED)
        self.submit(execution, execution.begin)

    def executor_of(self, job: Job) -> Executor:
        """Return where the code of a job runs."""
        return self._executors["event_loop" if job.coroutine else "threads"]

    def submit(self, execution: Execution, step: Callable[[], None]) -> None:
        """Have a worker take a step of a execution; one that breaks off does not keep its job busy for ever."""
        self.pool.submit(lambda: self.guarded(execution, step))

    def aside(self, execution: Execution, step: Callable[[], None]) -> None:
        """Have a step of a execution taken now, though all workers may be busy; it asks the store, and runs no job."""
        self.renewer.submit(lambda: self.guarded(execution, step))

    def executions(self) -> list[Execution]:
        """Return the executions that have not ended."""
        with self._mutex:
            return list(self._executions.values())

    def drain(self, until_ns: int) -> bool:
        """Claim nothing more, and wait for what is claimed; return whether all of it ended in time."""
        self._each(Execution.stop_claiming)
        while self._executions and not self._was_cut_short():
            if not self._context.clock.wait(until_ns, self._emptied):
                break
        return not self._executions

    def ask_all_to_stop(self, reason: str) -> None:
        """Ask every run in hand to stop."""
        self._each(lambda execution: execution.ask_to_stop(reason))

    def cut_short(self) -> None:
        """Make one `drain` return now: the present one, or the next."""
        with self._mutex:
            self._cuts += 1
        self._emptied.ring()

    def stop(self, until_ns: int) -> None:
        """End all threads; a worker whose job does not return is left behind at `until_ns`."""
        self.pool.close(until_ns)
        self.misfires.stop()
        self.presence.stop()
        self.renewer.stop()
        self.timers.stop()
        self.loop.stop()

    @staticmethod
    def guarded(execution: Execution, step: Callable[[], None]) -> None:
        """Take a step of an execution on this thread; an error of the engine in it ends that execution alone."""
        try:
            step()
        except BaseException:  # noqa: BLE001 - reported; the job goes on
            _log.exception("the execution of %s broke off", execution.job.name)
            execution.abort()

    def _was_cut_short(self) -> bool:
        with self._mutex:
            hurried = self._cuts > 0
            self._cuts -= hurried
        return hurried

    def _each(self, do: Callable[[Execution], None]) -> None:
        for execution in self.executions():
            do(execution)

    def _ended(self, execution: Execution) -> None:
        if execution.prepared_ns is not None:
            self.lead_time.note(execution.prepared_ns)
        with self._mutex:
            if self._executions.get(execution.job.name) is execution:  # one that broke off may say it a second time
                del self._executions[execution.job.name]
            empty = not self._executions
        if empty:
            self._emptied.ring()
