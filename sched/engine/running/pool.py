"""Own the worker threads: they claim, wait until due, run and settle.

Every worker does what the run queue (run_queue.py) says is next. At most as many workers wait for a due instant as
there are runs for them, plus one that watches: it takes over when the others do not get on. The rest sleeps.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection  # noqa: TC003 - of a NamedTuple's fields
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tickglass.sched.clock import Wake
from tickglass.sched.durations import US
from tickglass.sched.engine.running.run_queue import CLAIM_NS, LONG_NS, PROGRESS, WATCH_NS, RunQueue, Step
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import PoolMoved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution
    from tickglass.sched.ports import EventSink

__all__ = ["SPIN_NS", "Pool", "Settlements", "checked_size", "default_size"]

_log: Final = logging.getLogger(__name__)
SPIN_NS: Final = 200 * US  # longer than the wake-up of a thread takes on an idle machine, which is 0.1 ms
_MAX: Final = 10_000
_NEVER_NS: Final = 2**63 - 1


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


class Settlements(Protocol):
    """Outcomes that wait to be written together."""

    @property
    def waiting(self) -> bool:
        """Whether there are any."""
        ...

    def is_due(self, now_ns: int) -> bool:
        """Return whether they must not wait any longer."""
        ...

    def flush(self) -> None:
        """Write them; called on a worker."""
        ...

    def hold(self) -> None:
        """See that they are written soon, because a worker is about to do something else first."""
        ...


class _Worker:
    """What a worker waits for."""

    __slots__ = ("came", "drains", "hurries", "leads", "seen", "until_ns", "wake")

    def __init__(self) -> None:
        self.wake = Wake()
        self.leads = False  # it waits for the next due instant
        self.until_ns = 0  # when the wait ends
        self.seen = 0  # for the watcher: how much had been taken when it last looked
        self.came = False  # whether the due instant came for which it waited
        self.hurries = False  # whether what it does now is expected to be short
        self.drains = False  # whether that is a run


class _Chosen(NamedTuple):
    """What a worker does next.

    Args:
        waited: how long that waited for a worker: nanoseconds, and how often.
        short: whether the worker is expected to be back soon.
        is_run: whether it is a run.
    """

    do: Callable[[], None]
    waited: Collection[tuple[int, int]] = ()
    short: bool = True
    is_run: bool = False


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
        self._mutex = threading.Lock()
        self._reporting = threading.RLock()  # a sink may submit something
        self._queue = RunQueue()
        self._asleep: list[_Worker] = []  # the last one is called first: its caches are warm
        self._timed: dict[_Worker, None] = {}  # those that wait for an instant, in the order in which they began
        self._leading = 0  # how many of them wait for the next due instant
        # It waits a little longer, and looks whether the others get on. There is one while anything waits that no
        # worker is sure to take, and a worker sleeps.
        self._watcher: _Worker | None = None
        self._hurrying = 0  # how many workers will soon ask what is next
        self._draining = 0  # how many of them start runs, and wait for no store
        self._patient_until_ns = 0  # until then one of them is likely to wait for the store
        self._unended = self.size  # workers
        self._closing = False
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

    @property
    def saturated(self) -> bool:
        """Whether there is more to do than can be started soon."""
        return self._queue.saturated

    def submit(self, task: Callable[[], None]) -> None:
        """Give a task to the next free worker; never waits for one.

        After `close`, a thread of its own does it: a coroutine may end long after the pool.
        """
        with self._mutex:
            if not self._unended:
                late = f"tickglass-{self.name}-late"
                threading.Thread(target=self._do_late, args=(task,), name=late, daemon=True).start()
                return
            self._queue.submit(Step(self._clock.monotonic_ns(), task))
            called = self._call_one()
        if not called:  # it may be that no worker moves any more, and so none reports it
            self._report()

    def offer(self, assignments: Sequence[Assignment]) -> None:
        """Have workers claim these, in this order, as many together as they can start soon."""
        with self._mutex:
            self._queue.offer(assignments, self._clock.monotonic_ns())
            called = self._call_one()
        if not called:
            self._report()

    def add_runs(self, runs: Sequence[Execution]) -> None:
        """Have workers start these when they are due; called on a worker, which will be one of them."""
        if not runs:
            return
        with self._mutex:
            if self._queue.add_runs(runs):
                for worker in self._timed:
                    worker.wake.ring()  # it waits for a later one
            wanted = self._queue.lanes - self._leading - 1
            for _ in range(min(wanted, len(self._asleep))):
                self._asleep.pop().wake.ring()
            if self._queue.shared:
                self._call_watcher()

    def close(self, until_ns: int) -> bool:
        """Let the workers end when nothing is left to do.

        Args:
            until_ns: the monotonic instant at which to stop waiting for them.

        Returns:
            Whether everything that was submitted is done.
        """
        with self._mutex:
            self._closing = True
            self._call_all()
        while any(thread.is_alive() for thread in self._threads):
            if not self._clock.wait(until_ns, self._ended):
                return False
            if not self._unended:
                for thread in self._threads:
                    thread.join()
        return True

    # --- on a worker

    def _work(self) -> None:
        worker = _Worker()
        while (do := self._next(worker)) is not None:
            _guarded(do)
        self._ended.ring()

    def _do_late(self, task: Callable[[], None]) -> None:
        _guarded(task)
        _guarded(self._settlements.flush)

    def _next(self, worker: _Worker) -> Callable[[], None] | None:
        """Return what to do next, when there is something; None: the pool is closed, and nothing is left."""
        until_ns: int | None = None
        woken = False  # from sleep, and nothing has reported it
        while True:
            now_ns = self._clock.monotonic_ns()
            with self._mutex:
                self._hurrying -= worker.hurries
                self._draining -= worker.drains
                chosen = self._chosen(worker, now_ns)
                worker.hurries = chosen is not None and chosen.short
                worker.drains = worker.hurries and chosen is not None and chosen.is_run
                self._hurrying += worker.hurries
                self._draining += worker.drains
                if chosen is None:
                    if self._closing and self._queue.empty:
                        self._unended -= 1
                        self._call_all()
                        return None
                    until_ns = self._begin_to_wait(worker, now_ns)
            if chosen is not None:
                for waited_ns, taken in chosen.waited:
                    self._report(waited_ns, taken)
            if woken and (until_ns is not None if chosen is None else not chosen.waited):
                self._report()
            if chosen is not None:
                return chosen.do
            self._wait(worker, until_ns)
            woken = until_ns is None

    def _chosen(self, worker: _Worker, now_ns: int) -> _Chosen | None:
        """Return what this worker does now; None: nothing."""
        queue = self._queue
        left = self._is_left_to_others(worker, now_ns)
        came, worker.came = worker.came, False
        if left:
            return self._flush(worker) if self._settlements.is_due(now_ns) else None
        # Once the pool is closed every run was asked to stop, and ends when it is begun.
        if (run := queue.next_run(_NEVER_NS if self._closing else now_ns)) is not None:
            begin = run.begin_waited if came else run.begin
            chosen = _Chosen(begin, short=run.expected_ns < LONG_NS, is_run=True)
        elif (step := queue.next_step()) is not None:
            chosen = _Chosen(step.take, ((now_ns - step.submitted_ns, 1),))
        elif (batch := queue.next_batch(1 + len(self._asleep), now_ns)) is not None:
            waited = Counter(now_ns - submitted_ns for submitted_ns in batch.submitted_ns)
            chosen = _Chosen(partial(self._claim_batch, batch.assignments), waited.items())
            self._patient_until_ns = now_ns + WATCH_NS + CLAIM_NS * len(batch.assignments)
        elif self._settlements.waiting:
            return self._flush(worker)
        else:
            return None
        self._leave_watch(worker)
        if self._settlements.waiting and self._watcher is None:
            self._settlements.hold()
        return chosen

    def _flush(self, worker: _Worker) -> _Chosen:
        self._leave_watch(worker)
        return _Chosen(self._settlements.flush)

    def _leave_watch(self, worker: _Worker) -> None:
        """Note that this worker does something, and see that what is left for others is watched."""
        if worker is self._watcher:
            self._watcher = None
        if self._queue.waiting or self._queue.claimed > self._leading:
            self._call_watcher()

    def _is_left_to_others(self, worker: _Worker, now_ns: int) -> bool:
        """Return whether what is next is for a worker that is about to come back.

        One worker alone starts all short runs that are due, and one alone claims, because threads that compute side
        by side wait for each other. The watcher takes over from them when too little is taken.
        """
        queue = self._queue
        due = queue.due_ns is not None and queue.due_ns <= now_ns
        if worker.came or not (self._draining if due else self._hurrying) or (due and queue.next_is_long):
            return False
        if worker is not self._watcher:
            return True
        return queue.moves - worker.seen >= PROGRESS or (not due and now_ns < self._patient_until_ns)

    def _claim_batch(self, assignments: list[Assignment]) -> None:
        self.add_runs(self._claim(assignments))

    def _begin_to_wait(self, worker: _Worker, now_ns: int) -> int | None:
        """Note that this worker waits; return the instant until which, None: until it is called."""
        worker.wake.rung = False  # what it was rung for has just been looked at, under the lock of those who ring
        due_ns, waiting = self._queue.due_ns, self._queue.waiting > 0
        if due_ns is not None and due_ns > now_ns and self._leading < self._queue.lanes:
            worker.leads, worker.until_ns = True, due_ns
            self._leading += 1
        elif (due_ns is not None or waiting) and self._watcher in (None, worker):
            self._watcher, worker.seen = worker, self._queue.moves
            worker.until_ns = WATCH_NS + (now_ns if waiting or due_ns is None else max(now_ns, due_ns))
        else:
            if worker is self._watcher:
                self._watcher = None
            self._asleep.append(worker)
            return None
        if worker.leads and worker is self._watcher:
            self._watcher = None
        self._timed[worker] = None
        return worker.until_ns

    def _wait(self, worker: _Worker, until_ns: int | None) -> None:
        if until_ns is None:
            self._report()
            worker.wake.wait()
            return
        spin_ns = self._spin_ns if worker.leads else 0
        rung = self._clock.wait(until_ns - spin_ns, worker.wake)
        while spin_ns and not rung and self._clock.monotonic_ns() < until_ns:
            rung = worker.wake.rung
        with self._mutex:
            del self._timed[worker]
            self._leading -= worker.leads
        worker.came, worker.leads = worker.leads and not rung, False

    # --- with the lock held

    def _call_one(self) -> bool:
        """Have a worker come; return whether one will.

        Not if one is about to come by itself: threads that compute side by side only wait for each other. Then
        another one watches whether it does come.
        """
        if self._hurrying and (self._watcher is not None or self._asleep):
            self._call_watcher()
        elif self._asleep:
            self._asleep.pop().wake.ring()
        elif self._timed:
            next(reversed(self._timed)).wake.ring()
        else:
            return False
        return True

    def _call_watcher(self) -> None:
        """See that somebody watches whether the others get on, from now on."""
        watcher = self._watcher
        if watcher is None:
            if not self._asleep:
                return
            watcher = self._watcher = self._asleep.pop()
        elif not self._queue.waiting or watcher.until_ns <= self._clock.monotonic_ns() + WATCH_NS:
            return  # it looks soon enough
        watcher.seen = self._queue.moves - PROGRESS
        watcher.wake.ring()

    def _call_all(self) -> None:
        for worker in (*self._asleep, *self._timed):
            worker.wake.ring()
        self._asleep.clear()

    # ---

    def _report(self, waited_ns: int | None = None, taken: int = 1) -> None:
        """Report the present state, one thread at a time: the last report is of the last state."""
        with self._reporting:
            self._sink.record(
                PoolMoved(
                    pool=self.name,
                    slots=self.size,
                    in_use=self.size - len(self._asleep),
                    waiting=self._queue.waiting,
                    waited_ns=waited_ns,
                    taken=taken,
                )
            )


def _guarded(do: Callable[[], None]) -> None:
    try:
        do()
    except BaseException:  # noqa: BLE001 - reported; the worker goes on
        _log.exception("a pool task raised")
