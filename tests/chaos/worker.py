"""Take leases and run jobs as fast as it goes, and note what is believed: one process of a recorded history.

`python -m chaos.worker` with a `Task` in JSON as its only argument. It uses what
users use: a Scheduler with its jobs, the locks of a Scheduler, and a Lock of its
own. Ends when its standard input does; most are killed before.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from chaos.history import Clocked, Opened, Pen, Sampled, Stopping
from chaos.jobs import Jobs
from chaos.observer import Witness
from chaos.recorder import LOOK_NS, STEP_NS, Line, Recorder, pause
from chaos.steering import SetClock, SteeredClock, order_of
from chaos.tally import Tally

from tickglass import Lock, Run, Scheduler, StoreUnavailable, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.locking.held_lease import HeldLease
    from tickglass.sched.ports import EventSink

__all__ = ["RESOURCES", "SERVICE", "Task"]

RESOURCES: Final = ("r0", "r1", "r2", "r3")
SERVICE: Final = "chaos"
_CLOCK: Final = SystemClock()
_LONG: Final = 0.05  # how many locks are kept for about two lease times, which takes renewals


class Task(msgspec.Struct, frozen=True):
    """What a worker is told.

    Args:
        name: of this process, shared with no other and no restart.
        owner: of this place in the fleet; a restart has it again.
        home: folder of the histories, the spools and the witness's socket.
        careless: whether it acts without asking whether it may: such holders must be found out.
        clock_offset_ns: by how much its wall clock is wrong when it starts.
    """

    name: str
    owner: str
    url: str
    home: str
    ttl_ms: int
    seed: int
    careless: bool = False
    clock_offset_ns: int = 0

    @property
    def ttl(self) -> str:
        return f"{self.ttl_ms}ms"


class Worker:
    """A scheduler, and two threads that take locks by hand."""

    def __init__(self, task: Task, recorder: Recorder) -> None:
        self._task = task
        self._recorder = recorder
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._tally = Tally()
        self._clock = SteeredClock()
        self._jobs = Jobs(task, self._clock, recorder, self._stopping.is_set)
        self._opened = threading.Event()
        self._scheduler: Scheduler  # set before that
        self._set_clock(task.clock_offset_ns)

    def run(self) -> None:
        """Go on until standard input ends."""
        threading.Thread(target=self._follow_orders, daemon=True).start()
        scheduler = self._scheduler = self._started()
        self._recorder.note(Opened(at_ns=_CLOCK.monotonic_ns()))
        self._opened.set()
        self._jobs.note_declared()
        sampler = threading.Thread(target=self._sample, args=(scheduler,))
        sampler.start()
        manual_locks = [
            threading.Thread(target=self._take_locks, args=(lambda resource: self._of(scheduler, resource),)),
            threading.Thread(target=self._take_locks, args=(self._own,)),
        ]
        for hand in manual_locks:
            hand.start()
        for hand in manual_locks:
            hand.join()
        self._await_a_renewal(scheduler)
        self._jobs.join()
        scheduler.stop()
        self._stopped.set()
        sampler.join()
        metrics = scheduler._assembly.metrics
        assert metrics is not None
        self._recorder.measured(self._tally.counts, self._tally.differences(metrics.registry))

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

    def _follow_orders(self) -> None:
        """Do as told, line by line; the end of the lines is the last order."""
        for line in sys.stdin:
            order = order_of(line)
            if isinstance(order, SetClock):
                self._set_clock(order.offset_ns)
            elif self._opened.wait(order.for_ns / SECOND):  # else it has other problems
                self._jobs.follow(order, self._scheduler)
        self._recorder.note(Stopping(at_ns=_CLOCK.monotonic_ns()))
        self._stopping.set()

    def _set_clock(self, offset_ns: int) -> None:
        self._clock.offset_ns = offset_ns
        self._recorder.note(Clocked(at_ns=_CLOCK.monotonic_ns(), offset_ns=offset_ns))

    def _sample(self, scheduler: Scheduler) -> None:
        while not self._stopped.is_set():
            at_ns = _CLOCK.monotonic_ns()
            self._recorder.note(Sampled(at_ns=at_ns, unready=scheduler.unready()))
            pause(LOOK_NS)

    def _started(self) -> Scheduler:
        while True:
            scheduler = self._made()
            try:
                scheduler.start()
            except StoreUnavailable:
                if self._stopping.is_set():
                    sys.exit()
                pause(100 * MS)
            else:
                return scheduler

    def _made(self) -> Scheduler:
        task = self._task
        self._tally = Tally()  # one that could not start has metrics of its own
        scheduler = Scheduler(
            task.url,
            service=SERVICE,
            owner=task.owner,
            workers=4,
            drain="2s",
            spool=Path(task.home) / f"spool-{task.owner}",
            sinks={**self._sinks, "tally": self._tally, "line": Line(self._recorder)},
            clock=self._clock,
        )
        for number, resource in enumerate(RESOURCES):
            scheduler.add(
                self._job, every("400ms"), name=f"job{number}", resource=resource, ttl=task.ttl, misfire_grace="2s"
            )
        self._jobs.declare(scheduler)
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
        steps = rng.randint(1, 10) if rng.random() > _LONG else 4 * self._task.ttl_ms * MS // sum(STEP_NS)
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
    pen, witness = Pen(home / f"{task.name}.history"), Witness(home / "witness.sock", task.name)
    recorder = Recorder(pen, witness, seed=task.seed, careless=task.careless)
    os.write(sys.stdout.fileno(), b"ready\n")
    Worker(task, recorder).run()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Task))
