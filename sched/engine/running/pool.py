"""Own the worker threads: they claim, wait until due, run and settle, each as leader_followers.py says."""

from __future__ import annotations

import logging
import math
import os
import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.durations import US
from tickglass.sched.engine.running.leader_followers import LeaderFollowers, Worker
from tickglass.sched.engine.running.run_queue import Step
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import PoolMoved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution
    from tickglass.sched.engine.running.leader_followers import Settlements
    from tickglass.sched.ports import EventSink

__all__ = ["SPIN_NS", "Pool", "checked_size", "default_size"]

_log: Final = logging.getLogger(__name__)
SPIN_NS: Final = 200 * US  # longer than the wake-up of a thread takes on an idle machine, which is 0.1 ms
_MAX: Final = 10_000


def default_size() -> int:
    """Return CPU count x 1.5, rounded up: of the CPUs that this process may use."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(cpus * 1.5)


def checked_size(size: int | None) -> int:
    """Return the size of a pool; None means `default_size()`.

    Raises:
        ConfigError: not a whole number from 1 to 10,000.
    """
    if size is None:
        return default_size()
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _MAX:
        raise ConfigError(f"workers must be a whole number from 1 to {_MAX}", given=repr(size))
    return size


class Pool:
    """Worker threads that are started once and reused.

    Args:
        size: how many; see `checked_size`.
        spin_ns: for how long a worker looks at the clock before a due instant, instead of sleeping.
        claim: claims a batch on the worker that calls it, and returns what is to be started when it is due.
        settlements: of the runs that ended here.
    """

    def __init__(
        self,
        name: str,
        size: int | None,
        *,
        spin_ns: int = 0,
        claim: Callable[[list[Assignment]], Sequence[Execution]],
        settlements: Settlements,
        clock: Clock,
        sink: EventSink,
    ) -> None:
        self.name = name
        self.size = checked_size(size)
        self._spin_ns = spin_ns
        self._claim = claim
        self._settlements = settlements
        self._clock = clock
        self._sink = sink
        self._team = LeaderFollowers(claim=self._claim_batch, settlements=settlements, clock=clock)
        self._mutex = threading.Lock()
        self._reporting = threading.RLock()  # a sink may submit something
        self._unended = self.size  # workers
        self._ended = Wake()
        self._threads = [
            threading.Thread(target=self._work, name=f"tickglass-{name}-{number}", daemon=True)
            for number in range(1, self.size + 1)
        ]

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()
        self._report()

    def wait_ns(self, dispatched: int) -> int:
        """Return how long what is offered next would wait for its start; 0 while the pool keeps up.

        Args:
            dispatched: how many will be offered before it.
        """
        return self._team.queue.wait_ns(self._clock.monotonic_ns(), dispatched)

    def submit(self, task: Callable[[], None]) -> None:
        """Give a task to the next free worker; never waits for one.

        After `close`, a thread of its own does it: a coroutine may end long after the pool.
        """
        with self._mutex:
            if not self._unended:
                late = f"tickglass-{self.name}-late"
                threading.Thread(target=self._do_late, args=(task,), name=late, daemon=True).start()
                return
            self._team.queue.submit(Step(self._clock.monotonic_ns(), task))
            called = self._team.call_one()
        if not called:  # it may be that no worker moves any more, and so none reports it
            self._report()

    def offer(self, assignments: Sequence[Assignment]) -> None:
        """Have workers claim these, in this order, as many together as they can start soon."""
        with self._mutex:
            self._team.queue.offer(assignments, self._clock.monotonic_ns())
            called = self._team.call_one()
        if not called:
            self._report()

    def add_runs(self, runs: Sequence[Execution]) -> None:
        """Have workers start these when they are due; called on a worker, which will be one of them."""
        if not runs:
            return
        with self._mutex:
            self._team.add_runs(runs)

    def close(self, until_ns: int) -> bool:
        """Let the workers end when nothing is left to do.

        Args:
            until_ns: the monotonic instant at which to stop waiting for them.

        Returns:
            Whether everything that was submitted is done.
        """
        with self._mutex:
            self._team.closing = True
            self._team.call_all()
        while any(thread.is_alive() for thread in self._threads):
            if not self._clock.wait(until_ns, self._ended):
                return False
            if not self._unended:
                for thread in self._threads:
                    thread.join()
        return True

    # --- on a worker

    def _work(self) -> None:
        worker = Worker()
        while (do := self._next(worker)) is not None:
            _guarded(do)
        self._ended.ring()

    def _do_late(self, task: Callable[[], None]) -> None:
        _guarded(task)
        _guarded(self._settlements.flush)

    def _next(self, worker: Worker) -> Callable[[], None] | None:
        """Return what to do next, when there is something; None: the pool is closed, and nothing is left."""
        team = self._team
        until_ns: int | None = None
        woken = False  # from sleep, and nothing has reported it
        while True:
            now_ns = self._clock.monotonic_ns()
            with self._mutex:
                work = team.next_work(worker, now_ns)
                if work is None:
                    if team.closing and team.queue.empty:
                        self._unended -= 1
                        team.retire(worker)
                        return None
                    until_ns = team.begin_to_wait(worker, now_ns)
            if work is not None:
                for waited_ns, taken in work.waited:
                    self._report(waited_ns, taken)
            if woken and (until_ns is not None if work is None else not work.waited):
                self._report()
            if work is not None:
                return work.do
            self._wait(worker, until_ns)
            woken = until_ns is None

    def _claim_batch(self, assignments: list[Assignment]) -> None:
        self.add_runs(self._claim(assignments))

    def _wait(self, worker: Worker, until_ns: int | None) -> None:
        if until_ns is None:
            self._report()
            worker.wake.wait()
            return
        spin_ns = self._spin_ns if worker.leads else 0
        rung = self._clock.wait(until_ns - spin_ns, worker.wake)
        while spin_ns and not rung and self._clock.monotonic_ns() < until_ns:
            rung = worker.wake.rung
        with self._mutex:
            self._team.end_wait(worker, rung=rung)

    def _report(self, waited_ns: int | None = None, taken: int = 1) -> None:
        """Report the present state, one thread at a time: the last report is of the last state."""
        with self._reporting:
            self._sink.record(
                PoolMoved(
                    pool=self.name,
                    slots=self.size,
                    in_use=self.size - self._team.sleeping,
                    waiting=self._team.queue.waiting,
                    waited_ns=waited_ns,
                    taken=taken,
                )
            )


def _guarded(do: Callable[[], None]) -> None:
    try:
        do()
    except BaseException:  # noqa: BLE001 - reported; the worker goes on
        _log.exception("a pool task raised")
