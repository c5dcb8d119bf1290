"""Decide which worker does what next, and which of those without work wait, for what, and how long.

Not safe for threads: the pool has one lock around it, and every ring of a worker is under it. No threads, no waiting.

Every worker does what the run queue (run_queue.py) says is next. Short runs are started by one worker, and claims made
by one, because threads that compute side by side wait for each other. At most as many workers wait for a due instant as
there are runs for them. One more watches while anything waits: it takes over when the others do not get on, and has
another one watch in its place. The rest sleeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence  # noqa: TC003 - of a NamedTuple's fields
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tickglass.sched.clock import Wake
from tickglass.sched.engine.running.run_queue import CLAIM_NS, LONG_NS, PROGRESS, WATCH_NS, RunQueue

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution

__all__ = ["LeaderFollowers", "Settlements", "Work", "Worker"]

_NEVER_NS: Final = 2**63 - 1


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


class Worker:
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


class Work(NamedTuple):
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


class LeaderFollowers:
    """All workers of a pool, and what there is for them: the pattern Leader/Followers of Schmidt et al. (POSA 2).

    Args:
        claim: claims a batch on the worker that calls it.
        settlements: of the runs that ended here.
    """

    def __init__(self, *, claim: Callable[[list[Assignment]], None], settlements: Settlements, clock: Clock) -> None:
        self._claim = claim
        self._settlements = settlements
        self._clock = clock
        self.queue = RunQueue()
        self.closing = False
        self._asleep: list[Worker] = []  # the last one is called first: its caches are warm
        self._timed: dict[Worker, None] = {}  # those that wait for an instant, in the order in which they began
        self._leading = 0  # how many of them wait for the next due instant
        # It waits a little longer, and looks whether the others get on. There is one while anything waits that no
        # worker is sure to take, and a worker sleeps.
        self._watcher: Worker | None = None
        self._hurrying = 0  # how many workers will soon ask what is next
        self._draining = 0  # how many of them start runs, and wait for no store
        self._patient_until_ns = 0  # until then one of them is likely to wait for the store

    @property
    def sleeping(self) -> int:
        """How many workers sleep."""
        return len(self._asleep)

    def next_work(self, worker: Worker, now_ns: int) -> Work | None:
        """Note that this worker is back, and return what it does now; None: nothing."""
        self._hurrying -= worker.hurries
        self._draining -= worker.drains
        work = self._chosen(worker, now_ns)
        worker.hurries = work is not None and work.short
        worker.drains = worker.hurries and work is not None and work.is_run
        self._hurrying += worker.hurries
        self._draining += worker.drains
        return work

    def add_runs(self, runs: Sequence[Execution]) -> None:
        """Have workers start these when they are due; the caller is one of them."""
        if self.queue.add_runs(runs):
            for worker in self._timed:
                worker.wake.ring()  # it waits for a later one
        wanted = self.queue.lanes - self._leading - 1
        for _ in range(min(wanted, len(self._asleep))):
            self._asleep.pop().wake.ring()
        if self.queue.shared:
            self._call_watcher()

    def _chosen(self, worker: Worker, now_ns: int) -> Work | None:
        queue = self.queue
        left = self._is_left_to_others(worker, now_ns)
        came, worker.came = worker.came, False
        if left:
            if self._settlements.is_due(now_ns):
                return self._flush(worker)
            if self._settlements.waiting:
                self._settlements.hold()
            return None
        # Once the pool is closed every run was asked to stop, and ends when it is begun.
        due_by_ns = _NEVER_NS if self.closing else now_ns
        if (run := queue.next_run(due_by_ns)) is not None:
            begin = run.begin_waited if came else run.begin
            if not run.keeps_worker and (others := queue.next_handed_on(due_by_ns)):
                begin = partial(_begin_all, begin, others)
            chosen = Work(begin, short=run.expected_ns < LONG_NS, is_run=True)
        elif (step := queue.next_step()) is not None:
            chosen = Work(step.take, ((now_ns - step.submitted_ns, 1),))
        elif (batch := queue.next_batch(1 + len(self._asleep), now_ns)) is not None:
            waited = Counter(now_ns - submitted_ns for submitted_ns in batch.submitted_ns)
            chosen = Work(partial(self._claim, batch.assignments), waited.items())
            self._patient_until_ns = now_ns + WATCH_NS + CLAIM_NS * len(batch.assignments)
        elif self._settlements.waiting:
            return self._flush(worker)
        else:
            return None
        self._leave_watch(worker)
        watched = self._watcher is not None and self._watcher.until_ns <= now_ns + 2 * WATCH_NS
        if self._settlements.waiting and not watched:
            self._settlements.hold()
        return chosen

    def _flush(self, worker: Worker) -> Work:
        self._leave_watch(worker)
        return Work(self._settlements.flush)

    def _leave_watch(self, worker: Worker) -> None:
        """Note that this worker does something, and see that what is left for others is watched."""
        if worker is self._watcher:
            self._watcher = None
        if self.queue.waiting or self.queue.claimed > self._leading:
            self._call_watcher()

    def _is_left_to_others(self, worker: Worker, now_ns: int) -> bool:
        """Return whether what is next is for a worker that is about to come back.

        One worker alone starts all short runs that are due, and one alone claims, because threads that compute side
        by side wait for each other. The watcher takes over from them when too little is taken.
        """
        queue = self.queue
        due = queue.due_ns is not None and queue.due_ns <= now_ns
        if worker.came or not (self._draining if due else self._hurrying) or (due and queue.next_is_long):
            return False
        if worker is not self._watcher:
            return True
        return queue.moves - worker.seen >= PROGRESS or (not due and now_ns < self._patient_until_ns)

    def begin_to_wait(self, worker: Worker, now_ns: int) -> int | None:
        """Note that this worker waits; return the instant until which, None: until it is called."""
        worker.wake.rung = False  # what it was rung for has just been looked at, under the lock of those who ring
        due_ns, waiting = self.queue.due_ns, self.queue.waiting > 0
        if due_ns is not None and due_ns > now_ns and self._leading < self.queue.lanes:
            worker.leads, worker.until_ns = True, due_ns
            self._leading += 1
        elif (due_ns is not None or waiting) and self._watcher in (None, worker):
            self._watcher, worker.seen = worker, self.queue.moves
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

    def end_wait(self, worker: Worker, *, rung: bool) -> None:
        """Note that the instant has come for which this worker waited, or that it was called before."""
        del self._timed[worker]
        self._leading -= worker.leads
        worker.came, worker.leads = worker.leads and not rung, False

    def retire(self, worker: Worker) -> None:
        """Note that this worker ends, because the pool is closed and nothing is left."""
        if worker is self._watcher:
            self._watcher = None
        self.call_all()

    def call_one(self) -> bool:
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
        elif not self.queue.waiting or watcher.until_ns <= self._clock.monotonic_ns() + WATCH_NS:
            return  # it looks soon enough
        watcher.seen = self.queue.moves - PROGRESS
        watcher.wake.ring()

    def call_all(self) -> None:
        """Have every worker look what there is."""
        for worker in (*self._asleep, *self._timed):
            worker.wake.ring()
        self._asleep.clear()


def _begin_all(begin: Callable[[], None], others: Sequence[Execution]) -> None:
    """Begin a run and others, none of which raises or keeps this worker."""
    begin()
    for run in others:
        run.begin()
