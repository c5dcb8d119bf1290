"""Take admitted occurrences, at most one per job at a time, and own the threads that work on them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from tickglass.sched.clock import Wake
from tickglass.sched.engine.leasing.in_doubt import InDoubt
from tickglass.sched.engine.leasing.renewer import LeaseRenewer
from tickglass.sched.engine.membership.presence import Presence
from tickglass.sched.engine.running.admitted import Admitted
from tickglass.sched.engine.running.assignment import Assignment
from tickglass.sched.engine.running.claimer import Claimer
from tickglass.sched.engine.running.loop_lag import LoopLagMonitor
from tickglass.sched.engine.running.outbox import Outbox
from tickglass.sched.engine.running.pool import Pool
from tickglass.sched.engine.running.run_times import RunTimes
from tickglass.sched.engine.running.settlement import SettlementGroup
from tickglass.sched.engine.timing.lead_time import LeadTime
from tickglass.sched.engine.timing.timers import Timers
from tickglass.sched.executors.application_loop import ApplicationLoop
from tickglass.sched.executors.event_loop import EventLoop, EventLoopExecutor
from tickglass.sched.executors.threads import ThreadExecutor
from tickglass.sched.occurrence import OccurrenceEvent
from tickglass.sched.ports import BATCH_MAX

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.running.first_run import FirstRun
    from tickglass.sched.executors.job_loop import JobLoop
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import Executor

__all__ = ["Dispatcher", "LateOccurrences"]


class LateOccurrences(Protocol):
    """Accounts for occurrences that cannot start within their grace."""

    def too_late(self, occurrence: OccurrenceMachine, *, reason: str = "") -> None:
        """End the occurrence: as missed, for this reason, unless another instance has claimed it."""
        ...


class Dispatcher:
    """Takes admitted occurrences, each to its end; at most one per job at a time.

    Args:
        workers: size of the pool; None: CPU count x 1.5.
        spin_ns: for how long a worker looks at the clock before a due instant, instead of sleeping.
        misfires: is given what came too late to be run here.
        first_run: is told of each run that has ended.
        freed: called when an occurrence has ended, after its job is not busy any more; given the job's name.
        labels: those of this instance, as preferences name them.
        max_ahead_ns: how far ahead of the store's clock a claim may be; None: any distance.
        loop: the application's event loop, for coroutine jobs; None: one of our own.
    """

    def __init__(
        self,
        context: EngineContext,
        *,
        workers: int | None,
        spin_ns: int = 0,
        misfires: LateOccurrences,
        first_run: FirstRun,
        freed: Callable[[str], None],
        labels: frozenset[str] = frozenset(),
        max_ahead_ns: int | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._context = context
        self._max_ahead_ns = max_ahead_ns
        self.loop: JobLoop = EventLoop() if loop is None else ApplicationLoop(loop)
        self._emptied = Wake()
        self.timers = Timers(context.clock)
        self.renewer = LeaseRenewer(context.store, clock=context.clock, timers=self.timers)
        self.presence = Presence(context, self.renewer, labels)
        self.lead_time = LeadTime()
        self.outbox = Outbox(context)
        self.in_doubt = InDoubt(context, self.outbox.reclaim)
        self._settlements = SettlementGroup(
            context,
            outbox=self.outbox,
            in_doubt=self.in_doubt,
            timers=self.timers,
            submit_aside=self.renewer.submit,
        )
        self._claimer = Claimer(context, self.lead_time)
        self.pool = Pool(
            "default",
            workers,
            spin_ns=spin_ns,
            claim=self._claimer.claim,
            settlements=self._settlements,
            clock=context.clock,
            sink=context.sink,
        )
        coroutines = EventLoopExecutor(self.loop, work=self.pool.submit, at=self.timers.at, clock=context.clock)
        executors: tuple[Executor, ...] = (ThreadExecutor(coroutines, clock=context.clock), coroutines)
        self._executors = {executor.name: executor for executor in executors}
        self.loop_lag = LoopLagMonitor(
            self.loop, self.timers, clock=context.clock, sink=context.sink, ended=self._emptied.ring
        )
        self._run_times = RunTimes()
        self._first_run = first_run
        self._misfires = misfires
        self._freed = freed
        self._assignments: dict[str, Assignment] = {}  # by job
        self._offered: list[Assignment] = []  # until the end of the tick, by the timeline's thread
        self._mutex = threading.Lock()
        self._cuts = 0

    def start(self) -> None:
        """Start all threads."""
        self.timers.start()
        self.loop.start()
        self.pool.start()

    def busy(self, job_name: str) -> bool:
        """Return whether an occurrence of that job is in hand, here."""
        return job_name in self._assignments

    def dispatch(
        self,
        job: Job,
        occurrence: OccurrenceMachine,
        *,
        due_ns: int,
        until_ns: int,
        next_due_ns: int | None,
        visited_ns: int,
        found_ns: int | None = None,
    ) -> None:
        """Take an occurrence of a job that is not busy; see `Admitted` for the arguments. `hand_over` follows."""
        assignment = Assignment(
            Admitted(
                job,
                occurrence,
                due_ns,
                until_ns,
                next_due_ns,
                visited_ns,
                found_ns,
                self._run_times.expected_ns(job),
            ),
            context=self._context,
            max_ahead_ns=self._max_ahead_ns,
            executor=self._executors["event_loop" if job.coroutine else "threads"],
            timers=self.timers,
            presence=self.presence,
            renewer=self.renewer,
            in_doubt=self.in_doubt,
            settlements=self._settlements,
            claim=self._claim_again,
            missed=lambda occurrence: self._misfires.too_late(occurrence, reason="pool"),
            ended=self._ended,
        )
        with self._mutex:
            self._assignments[job.name] = assignment
        occurrence.fire(OccurrenceEvent.ADMITTED)
        self._offered.append(assignment)
        if len(self._offered) >= BATCH_MAX:
            self.hand_over()

    def wait_ns(self) -> int:
        """Return how long what is dispatched now would wait for its start; 0 while the pool keeps up."""
        return self.pool.wait_ns(len(self._offered))

    def hand_over(self) -> None:
        """Have workers claim what was dispatched in this tick, together."""
        offered, self._offered = self._offered, []
        if offered:
            self.pool.offer(offered)

    def assignments(self) -> list[Assignment]:
        """Return the occurrences in hand."""
        with self._mutex:
            return list(self._assignments.values())

    def drain(self, until_ns: int) -> bool:
        """Claim nothing more, and wait for what is claimed; return whether all of it ended in time.

        Coroutines on an event loop that does not run are not waited for: they could not end.
        """
        for assignment in self.assignments():
            assignment.stop_claiming()
        self.loop.give_up_lost()
        while self._assignments and not self._was_cut_short() and not self._waits_in_vain():
            if not self._context.clock.wait(until_ns, self._emptied):
                break
        return not self._assignments

    def ask_all_to_stop(self, reason: str) -> None:
        """Ask every run in hand to stop."""
        for assignment in self.assignments():
            assignment.ask_to_stop(reason)

    def cut_short(self) -> None:
        """Make one `drain` return now: the present one, or the next."""
        with self._mutex:
            self._cuts += 1
        self._emptied.ring()

    def stop(self, until_ns: int) -> None:
        """End all threads; a worker whose job does not return is left behind at `until_ns`."""
        self.loop.stop()  # first: workers report the ends of the coroutines that this cancels
        self.pool.close(until_ns)
        self.presence.stop()
        self.renewer.stop()
        self.timers.stop()

    def _waits_in_vain(self) -> bool:
        return self.loop.trouble is not None and 0 < len(self._assignments) <= self.loop.unended

    def _was_cut_short(self) -> bool:
        with self._mutex:
            cut = self._cuts > 0
            self._cuts -= cut
        return cut

    def _claim_again(self, assignment: Assignment) -> None:
        self.pool.submit(lambda: self.pool.add_runs(self._claimer.claim([assignment])))

    def _ended(self, assignment: Assignment) -> None:
        if assignment.ran_ns is not None:
            self._run_times.note(assignment.job_name, assignment.ran_ns)
            self._first_run.note(assignment.job_name, *assignment.due_and_started_ns)
        with self._mutex:
            in_hand = self._assignments.get(assignment.job_name) is assignment  # one that was aborted may say it twice
            if in_hand:
                del self._assignments[assignment.job_name]
            empty = not self._assignments
        if in_hand:
            self._freed(assignment.job_name)
        if empty:
            self._emptied.ring()
