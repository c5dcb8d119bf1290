"""Take leases and run jobs as fast as it goes, and note what is believed: one process of a recorded history.

`python -m chaos.worker` with a `Task` in JSON as its only argument. It uses what
users use: a Scheduler with its jobs, the locks of a Scheduler, and a Lock of its
own. Ends when its standard input does; most are killed before.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from chaos.history import Acknowledged, Claimed, Ended, Finished, Granted, Kept, Measured, Pen, Stepped
from chaos.tally import Tally
from chaos.witness import Witness

from tickglass import Lock, Run, Scheduler, StoreUnavailable, every
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS
from tickglass.sched.events import LockMoved, OccurrenceMoved

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.held_lease import HeldLease
    from tickglass.sched.events import Event
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.ports import EventSink

__all__ = ["RESOURCES", "SERVICE", "Task"]

RESOURCES: Final = ("r0", "r1", "r2", "r3")
SERVICE: Final = "chaos"
_CLOCK: Final = SystemClock()
_STEP_NS: Final = (2 * MS, 30 * MS)
_ON_THE_WAY: Final = 0.5  # how many writes take time between the decision and the witness, as over a network
_LONG: Final = 0.05  # how many locks are kept for about two lease times, which takes renewals


class Task(msgspec.Struct, frozen=True):
    """What a worker is told.

    Args:
        name: of this process, shared with no other and no restart.
        owner: of this place in the fleet; a restart has it again.
        home: folder of the histories, the spools and the witness's socket.
        careless: whether it acts without asking whether it may: such holders must be found out.
    """

    name: str
    owner: str
    url: str
    home: str
    ttl_ms: int
    seed: int
    careless: bool = False

    @property
    def ttl(self) -> str:
        return f"{self.ttl_ms}ms"


def pause(span_ns: int) -> None:
    _CLOCK.wait(_CLOCK.monotonic_ns() + span_ns, Wake())


class Recorder:
    """What this process believes, on its way to the file; also a sink of events."""

    def __init__(self, pen: Pen, witness: Witness, task: Task) -> None:
        self._pen = pen
        self._witness = witness
        self.rng = random.Random(task.seed)
        self._careless = task.careless
        self._door = threading.Lock()
        self._locks: dict[tuple[str, int], LockMachine] = {}
        self._took_from: dict[tuple[str, int], str] = {}

    def work(self, lock: LockMachine, may_act: Callable[[], bool], refused: Callable[[int], None], steps: int) -> None:
        """Hold a lease for so many guarded steps, or until it may not be trusted any more."""
        key = (lock.resource, lock.fence)
        with self._door:
            self._locks[key] = lock
            took_from = self._took_from.pop(key, "")
        at_ns = _CLOCK.monotonic_ns()
        self._pen.note(
            Granted(
                at_ns=at_ns,
                resource=lock.resource,
                fence=lock.fence,
                until_ns=lock.trusted_until_ns,
                job=lock.job,
                took_from=took_from,
            )
        )
        for _ in range(steps):
            asked_ns = _CLOCK.monotonic_ns()
            if not (self._careless or may_act()):
                break
            self._pen.note(Stepped(at_ns=asked_ns, resource=key[0], fence=key[1], until_ns=lock.trusted_until_ns))
            if self.rng.random() < _ON_THE_WAY:  # whatever comes now, it has been decided to write
                pause(self.rng.randint(*_STEP_NS))
            verdict = self._witness.write(*key)
            if not verdict.accepted:
                refused(verdict.newest)
            pause(self.rng.randint(*_STEP_NS))
        self._pen.note(Ended(at_ns=_CLOCK.monotonic_ns(), resource=key[0], fence=key[1], how="done"))
        with self._door:
            del self._locks[key]

    def measured(self, counts: dict[str, int], differences: list[str]) -> None:
        """Note at the end what the metrics say of the faults."""
        self._pen.note(Measured(at_ns=_CLOCK.monotonic_ns(), counts=counts, differences=differences))

    def record(self, event: Event) -> None:
        """Note what concerns leases in hand and claims; see `EventSink`."""
        match event:
            case LockMoved(event="granted"):
                if event.other_owner:
                    with self._door:
                        self._took_from[event.resource, event.fence] = event.other_owner
            case LockMoved(event="renewed"):
                self._renewed(event)
            case LockMoved(event="expired" | "lost"):
                at_ns, how = event.at_ns, str(event.event)
                self._pen.note(Ended(at_ns=at_ns, resource=event.resource, fence=event.fence, how=how))
            case LockMoved(event="released", before="held") if event.job:
                self._pen.note(Acknowledged(at_ns=event.at_ns, run_id=event.run_id))
            case OccurrenceMoved() if event.fence:
                self._occurred(event)
            case _:
                pass

    def _renewed(self, event: LockMoved) -> None:
        with self._door:
            lock = self._locks.get((event.resource, event.fence))
        if lock is not None:
            until_ns = lock.trusted_until_ns
            self._pen.note(Kept(at_ns=event.at_ns, resource=event.resource, fence=event.fence, until_ns=until_ns))

    def _occurred(self, move: OccurrenceMoved) -> None:
        if move.event == "claimed":
            self._pen.note(
                Claimed(
                    at_ns=move.at_ns,
                    job=move.job,
                    due_ns=move.due_ns,
                    attempt=move.attempt,
                    run_id=move.run_id,
                    fence=move.fence,
                )
            )
        elif move.event == "ended" and move.outcome is not None:
            self._pen.note(
                Finished(
                    at_ns=move.at_ns,
                    job=move.job,
                    due_ns=move.due_ns,
                    attempt=move.attempt,
                    run_id=move.run_id,
                    outcome=move.outcome,
                )
            )


class Worker:
    """A scheduler, and two threads that take locks by hand."""

    def __init__(self, task: Task, recorder: Recorder) -> None:
        self._task = task
        self._recorder = recorder
        self._stopping = threading.Event()
        self._tally = Tally()

    def run(self) -> None:
        """Go on until standard input ends."""
        threading.Thread(target=self._await_the_end, daemon=True).start()
        scheduler = self._started()
        hands = [
            threading.Thread(target=self._take_locks, args=(lambda resource: self._of(scheduler, resource),)),
            threading.Thread(target=self._take_locks, args=(self._own,)),
        ]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
        self._await_a_renewal(scheduler)
        scheduler.stop()
        self._recorder.measured(self._tally.counts, self._tally.differences(scheduler._metrics.registry))

    def _await_a_renewal(self, scheduler: Scheduler) -> None:
        """Keep a lease that nobody else wants until it has been renewed: no worker is measured without one.

        The faults are over when a worker is asked to end, so that it comes sooner or later.
        """
        mine = scheduler.lock(f"last of {self._task.name}", ttl=self._task.ttl)
        renewed = False
        while not renewed:
            try:
                lease = mine.acquire()
            except StoreUnavailable:
                pause(50 * MS)
                continue
            if lease is not None:
                renewed = self._renewed(lease)
                mine.release()

    @staticmethod
    def _renewed(lease: HeldLease) -> bool:
        granted_until_ns = lease._lock.trusted_until_ns
        while lease.trusted:
            if lease._lock.trusted_until_ns > granted_until_ns:
                return True
            pause(10 * MS)
        return False

    def _await_the_end(self) -> None:
        sys.stdin.read()
        self._stopping.set()

    def _started(self) -> Scheduler:
        while True:
            scheduler = self._scheduler()
            try:
                scheduler.start()
            except StoreUnavailable:
                if self._stopping.is_set():
                    sys.exit()
                pause(100 * MS)
            else:
                return scheduler

    def _scheduler(self) -> Scheduler:
        task = self._task
        self._tally = Tally()  # one that could not start has metrics of its own
        scheduler = Scheduler(
            task.url,
            service=SERVICE,
            owner=task.owner,
            workers=4,
            drain="2s",
            spool=Path(task.home) / f"spool-{task.owner}",
            sinks={**self._sinks, "tally": self._tally},
        )
        for number, resource in enumerate(RESOURCES):
            scheduler.add(
                self._job, every("400ms"), name=f"job{number}", resource=resource, ttl=task.ttl, misfire_grace="2s"
            )
        return scheduler

    @property
    def _sinks(self) -> dict[str, EventSink]:
        return {"recorder": self._recorder}

    def _job(self, run: Run) -> None:
        steps = self._recorder.rng.randint(1, 8)
        self._recorder.work(run._lock, lambda: not run.cancelled, run.report_stale_fence, steps)

    def _of(self, scheduler: Scheduler, resource: str) -> object:
        with_wait = scheduler.lock(resource, ttl=self._task.ttl, wait="1s")
        lease = with_wait.acquire()
        if lease is not None:
            self._hold(lease)
            with_wait.release()
        return lease

    def _own(self, resource: str) -> object:
        task = self._task
        lock = Lock(
            task.url, resource, ttl=task.ttl, wait="1s", service=SERVICE, owner=f"{task.owner}-own", sinks=self._sinks
        )
        try:
            lease = lock.acquire()
            if lease is not None:
                self._hold(lease)
                lock.release()
        finally:
            lock.close()
        return lease

    def _hold(self, lease: HeldLease) -> None:
        """Mostly briefly; sometimes for longer than the lease lasts without renewals."""
        rng = self._recorder.rng
        steps = rng.randint(1, 10) if rng.random() > _LONG else 4 * self._task.ttl_ms * MS // sum(_STEP_NS)
        self._recorder.work(lease._lock, lambda: lease.trusted, lease.report_stale_fence, steps)

    def _take_locks(self, take: Callable[[str], object]) -> None:
        rng = self._recorder.rng
        while not self._stopping.is_set():
            try:
                take(rng.choice(RESOURCES))
            except StoreUnavailable:
                pause(50 * MS)
            pause(rng.randint(1, 50) * MS)


def main(task: Task) -> None:
    """Work as told."""
    faulthandler.enable()
    logging.basicConfig(level=logging.ERROR)
    home = Path(task.home)
    recorder = Recorder(Pen(home / f"{task.name}.history"), Witness(home / "witness.sock", task.name), task)
    os.write(sys.stdout.fileno(), b"ready\n")
    Worker(task, recorder).run()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Task))
