"""Decide what a free worker does next: run what is due, take a step, claim what was admitted, or wait, and until when.

Not safe for threads: the pool has one lock around it. No I/O, no waiting, no clock reads.

A claim that waits here keeps other instances from the occurrence, so no more is claimed than the free workers are
expected to start within `AHEAD_NS`, and nothing that cannot start within its grace at the present pace.

Short runs are started by one worker, one after the other, because waking another one costs more than they do; a
watcher helps when they turn out to be long.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.durations import MS, US
from tickglass.sched.ports import BATCH_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution

__all__ = ["AHEAD_NS", "CLAIM_NS", "LONG_NS", "WATCH_NS", "Batch", "RunQueue", "Step"]

AHEAD_NS: Final = 20 * MS  # what is claimed is expected to start within this, as far as workers are free
LONG_NS: Final = 500 * US  # a run that is expected to take longer has a worker of its own
WATCH_NS: Final = MS  # so long may due runs wait for the worker that starts them before another one looks
CLAIM_NS: Final = 100 * US  # so long may the claim of each occurrence take before the others count as waiting
PROGRESS: Final = 4  # runs or steps taken within that time by which the watcher sees that they are short
_QUEUE_MIN: Final = 16  # occurrences, so that workers find some at any time
_SMOOTHED: Final = 4  # batches
_PAUSE_NS: Final = 2 * MS  # without work for so long, the workers are no measure of how fast they could be


class Step(NamedTuple):
    """Something to do on a worker, and since when it waits for one (monotonic)."""

    submitted_ns: int
    take: Callable[[], None]


class Batch(NamedTuple):
    """Admitted occurrences to be claimed together, and since when they wait for a worker."""

    assignments: list[Assignment]
    submitted_ns: list[int]


class RunQueue:
    """What waits for a worker: steps, occurrences that are to be claimed, and claimed ones until they are due."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._offered: deque[tuple[int, Assignment]] = deque()
        self._runs: list[tuple[int, int, Execution]] = []  # a heap by due instant
        self._order = count()
        self._expected_ns = 0  # of all claimed runs here
        self._long = 0  # how many of them are expected to be long
        self._claimed: tuple[int, int] | None = None  # when the last batch was taken and how many; None: before a pause
        self._idle_since_ns: int | None = None  # since when a worker has found nothing to do; None: it has not
        self._pace_ns = 0  # from one claimed occurrence to the next, while the workers have no pause
        self.moves = 0  # how often something was taken

    def submit(self, step: Step) -> None:
        """Add a step; steps are taken in this order."""
        self._steps.append(step)

    def offer(self, assignments: Sequence[Assignment], now_ns: int) -> None:
        """Add admitted occurrences, to be claimed in this order."""
        if self._idle_since_ns is not None and now_ns - self._idle_since_ns > _PAUSE_NS:
            self._claimed = None
            self._pace_ns -= self._pace_ns // _SMOOTHED  # they have kept up, so it may have changed
        self._idle_since_ns = None
        self._offered.extend((now_ns, assignment) for assignment in assignments)

    def add_runs(self, runs: Sequence[Execution]) -> bool:
        """Add claimed occurrences; return whether one of them is due before all that were here."""
        head_ns = self.due_ns
        for run in runs:
            heapq.heappush(self._runs, (run.due_ns, next(self._order), run))
            self._expected_ns += run.expected_ns
            self._long += run.expected_ns >= LONG_NS
        due_ns = self.due_ns
        return due_ns is not None and (head_ns is None or due_ns < head_ns)

    @property
    def due_ns(self) -> int | None:
        """When the next claimed run is due; None: there is none."""
        return self._runs[0][0] if self._runs else None

    @property
    def waiting(self) -> int:
        """How much waits for a worker; claimed runs do not, because a worker waits for them."""
        return len(self._steps) + len(self._offered)

    def wait_ns(self, now_ns: int, dispatched: int) -> int:
        """Return how long what is offered next would wait for its start, at the pace that was seen last.

        Claimed runs count from the instant at which the first of them is due: until then they keep no worker busy.
        0 while little waits, because workers shall find something at any time.

        Args:
            dispatched: how many will be offered before it.
        """
        ahead = len(self._offered) + dispatched
        first = self._runs[:1]  # a copy in one step: this is asked without the pool's lock
        if first and first[0][0] <= now_ns:
            ahead += len(self._runs)
        return self._pace_ns * ahead if ahead >= _QUEUE_MIN else 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not (self._steps or self._offered or self._runs)

    @property
    def next_is_long(self) -> bool:
        """Whether the claimed run that is due next is expected to be long."""
        return bool(self._runs) and self._runs[0][2].expected_ns >= LONG_NS

    @property
    def claimed(self) -> int:
        """How many claimed runs wait until they are due, or for a worker."""
        return len(self._runs)

    @property
    def lanes(self) -> int:
        """How many workers the claimed runs are to be started by: one for each long one, and one for all short ones."""
        return self._long + (len(self._runs) > self._long)

    @property
    def shared(self) -> bool:
        """Whether a worker has more than one run to start, and another one must watch whether it can."""
        return len(self._runs) > self.lanes

    def next_run(self, now_ns: int) -> Execution | None:
        """Take the next run that is due."""
        if not self._runs or self._runs[0][0] > now_ns:
            return None
        run = heapq.heappop(self._runs)[2]
        self._expected_ns -= run.expected_ns
        self._long -= run.expected_ns >= LONG_NS
        self.moves += 1
        return run

    def next_step(self) -> Step | None:
        """Take the next step."""
        if not self._steps:
            return None
        self.moves += 1
        return self._steps.popleft()

    def next_batch(self, free: int, now_ns: int) -> Batch | None:
        """Take the occurrences that are to be claimed now: the first, and others that can start within their grace.

        None while what is claimed already keeps the free workers busy.

        Args:
            free: how many workers can begin to run something; the one that asks is one of them.
        """
        if not self._offered:
            if self._idle_since_ns is None and (not self._runs or self._runs[0][0] > now_ns):
                self._idle_since_ns = now_ns
            return None
        self._note_pace(now_ns)
        batch, passed_over, claimed = Batch([], []), [], 0
        expected_ns, most_ns = self._expected_ns, AHEAD_NS * free
        start_ns = now_ns + self._pace_ns * len(self._runs)
        while self._offered and len(batch.assignments) < BATCH_MAX:
            submitted_ns, assignment = self._offered[0]
            if (claimed or self._runs) and expected_ns >= most_ns:
                break
            self._offered.popleft()
            if assignment.start_by_ns >= now_ns:  # otherwise it ends without a claim
                if claimed and start_ns > assignment.start_by_ns:
                    passed_over.append((submitted_ns, assignment))
                    continue
                claimed += 1
                start_ns += self._pace_ns
                expected_ns += min(assignment.expected_ns, AHEAD_NS)
            batch.assignments.append(assignment)
            batch.submitted_ns.append(submitted_ns)
        if not batch.assignments:
            return None
        self._offered.extendleft(reversed(passed_over))
        if claimed:
            self._claimed = now_ns, claimed
        self.moves += PROGRESS
        return batch

    def _note_pace(self, now_ns: int) -> None:
        if self._claimed is not None:
            then_ns, claimed = self._claimed
            self._pace_ns += ((now_ns - then_ns) // claimed - self._pace_ns) // _SMOOTHED
