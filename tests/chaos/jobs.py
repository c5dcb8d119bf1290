"""Jobs that do what jobs should not, and jobs that only show that they are run.

Those that every worker has: `beat` and `light` are brief, a function and a
coroutine. `deaf` and `numb`, a function and a coroutine, run for several times
their timeout and their lease whatever they are told, and write all the while.
`leftover` returns, and a thread of its own goes on writing. None of them shares
its resource. Those that a worker is ordered to have, once each and for itself
alone, fill its pool or block its event loop.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chaos.faults import LONGEST_BLOCK_NS
from chaos.history import Began, Blocked, Crowded, Declared, Returned, Unblocked, Wrote
from chaos.recorder import pause
from chaos.steering import BlockLoop, Crowd

from tickglass import StoreUnavailable, at, every
from tickglass.sched.clock import SystemClock, instant_of
from tickglass.sched.durations import MS, duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from chaos.recorder import Recorder
    from chaos.steering import SteeredClock
    from chaos.worker import Task

    from tickglass import Run, Scheduler

__all__ = ["Jobs"]

_CLOCK: Final = SystemClock()
_BRIEF_NS: Final = 10 * MS
_WRITE_EVERY_NS: Final = 40 * MS
_OUTLIVES: Final = 3  # leases, and many timeouts
_LEFT_OVER_NS: Final = 300 * MS
_SOON_NS: Final = 250 * MS  # from an order to the instant at which its jobs fall due
_CROWD: Final = 8  # jobs, twice as many as a worker of the fleet has threads
_CROWD_GRACE: Final = "300ms"
_CROWD_NS: Final = 1_000 * MS  # how long each of them takes


class Jobs:
    """The jobs of one worker.

    Args:
        clock: the one by which its scheduler knows what is due.
        over: whether the worker comes to its end: then even the deaf hear.
    """

    def __init__(self, task: Task, clock: SteeredClock, recorder: Recorder, over: Callable[[], bool]) -> None:
        self._task = task
        self._clock = clock
        self._recorder = recorder
        self._over = over
        self._outlives_ns = _OUTLIVES * task.ttl_ms * MS
        self._orders = 0
        self._left_over: list[threading.Thread] = []

    def declare(self, scheduler: Scheduler) -> None:
        """Add those that every worker has."""
        ttl = self._task.ttl
        scheduler.add(self._job(self._beat, "400ms"), every("400ms"), name="beat", ttl=ttl, misfire_grace="400ms")
        light = self._coroutine(self._light, "300ms")
        scheduler.add(light, every("400ms"), name="light", ttl=ttl, misfire_grace="300ms", timeout="300ms")
        deaf, numb = self._job(self._deaf, "600ms"), self._coroutine(self._numb, "600ms")
        scheduler.add(deaf, every("600ms"), name="deaf", ttl=ttl, misfire_grace="600ms", timeout="150ms")
        scheduler.add(numb, every("600ms"), name="numb", ttl=ttl, misfire_grace="600ms", timeout="150ms")
        leftover = self._job(self._leave_over, "1s")
        scheduler.add(leftover, every("1s"), name="leftover", ttl=ttl, misfire_grace="1s")

    def note_declared(self) -> None:
        """Note what the checker has to know of them."""
        now_ns = _CLOCK.monotonic_ns()
        outlives_ns = self._outlives_ns + 100 * MS
        for job, interval_ns, lasts_ns in (
            ("beat", 400 * MS, 50 * MS),
            ("light", 400 * MS, 300 * MS),  # claimed for a loop that does not turn, it is given up at its grace
            ("deaf", 600 * MS, outlives_ns),
            ("numb", 600 * MS, outlives_ns + LONGEST_BLOCK_NS),
            ("leftover", 1_000 * MS, 50 * MS),
        ):
            self._recorder.note(Declared(at_ns=now_ns, job=job, interval_ns=interval_ns, lasts_ns=lasts_ns))

    def follow(self, order: Crowd | BlockLoop, scheduler: Scheduler) -> None:
        """Add what was ordered; while the store cannot be told of it, try again until it would be over."""
        self._orders += 1
        ttl, name, began_ns = self._task.ttl, f"{self._task.name} {self._orders}", _CLOCK.monotonic_ns()
        due = at(instant_of(self._clock.wall_ns() + _SOON_NS))
        until_ns = began_ns + order.for_ns
        if isinstance(order, BlockLoop):
            block = self._coroutine(lambda run: self._block(run, until_ns), "2s")
            self._add(partial(scheduler.add, block, due, name=f"block {name}", ttl=ttl, misfire_grace="2s"), until_ns)
            return
        self._recorder.note(Crowded(at_ns=began_ns, until_ns=until_ns + _CROWD // 4 * _CROWD_NS))
        for number in range(_CROWD):
            long = self._job(lambda _: self._last(_CROWD_NS), _CROWD_GRACE)
            crowd = f"crowd {name}.{number}"
            add = partial(scheduler.add, long, due, name=crowd, ttl=ttl, misfire_grace=_CROWD_GRACE)
            self._add(add, until_ns)

    def join(self) -> None:
        """Wait for the threads that were left over."""
        for thread in self._left_over:
            thread.join()

    def _add(self, add: Callable[[], None], until_ns: int) -> None:
        while _CLOCK.monotonic_ns() < until_ns and not self._over():
            with suppress(StoreUnavailable):
                add()
                return
            pause(50 * MS)

    # --- what they do

    def _beat(self, _: Run) -> None:
        pause(_BRIEF_NS)

    async def _light(self, _: Run) -> None:
        await asyncio.to_thread(pause, _BRIEF_NS)

    def _deaf(self, run: Run) -> None:
        until_ns = _CLOCK.monotonic_ns() + self._outlives_ns
        while _CLOCK.monotonic_ns() < until_ns and not self._over():
            self._write(run)
            pause(_WRITE_EVERY_NS)

    async def _numb(self, run: Run) -> None:
        until_ns = _CLOCK.monotonic_ns() + self._outlives_ns
        while _CLOCK.monotonic_ns() < until_ns and not self._over():
            self._write(run)
            with suppress(asyncio.CancelledError):
                await asyncio.to_thread(pause, _WRITE_EVERY_NS)

    def _leave_over(self, run: Run) -> None:
        self._write(run)
        thread = threading.Thread(target=self._go_on, args=(run,), daemon=True)
        thread.start()
        self._left_over = [*(it for it in self._left_over if it.is_alive()), thread]  # which `join` may read now

    def _go_on(self, run: Run) -> None:
        until_ns = _CLOCK.monotonic_ns() + _LEFT_OVER_NS
        while _CLOCK.monotonic_ns() < until_ns and not self._over():
            pause(_WRITE_EVERY_NS)
            self._write(run)

    def _last(self, span_ns: int) -> None:
        until_ns = _CLOCK.monotonic_ns() + span_ns
        while _CLOCK.monotonic_ns() < until_ns and not self._over():
            pause(_WRITE_EVERY_NS)

    async def _block(self, _: Run, until_ns: int) -> None:
        now_ns = _CLOCK.monotonic_ns()
        self._recorder.note(Blocked(at_ns=now_ns))
        self._last(until_ns - now_ns)
        self._recorder.note(Unblocked(at_ns=_CLOCK.monotonic_ns()))

    # --- and what is noted of it

    def _write(self, run: Run) -> None:
        """Write without asking; note what the answer would have been."""
        at_ns = _CLOCK.monotonic_ns()
        cancelled, remaining_ns = run.cancelled, int(run.remaining() * 1e9)
        accepted = self._recorder.write(run.resource, run.fence, run.report_stale_fence)
        self._recorder.note(
            Wrote(at_ns=at_ns, run_id=run.run_id, cancelled=cancelled, remaining_ns=remaining_ns, accepted=accepted)
        )

    def _job(self, work: Callable[[Run], None], grace: str) -> Callable[[Run], None]:
        def job(run: Run) -> None:
            with self._noted(run, grace):
                work(run)

        return job

    def _coroutine(self, work: Callable[[Run], Coroutine[Any, Any, None]], grace: str) -> Callable[[Run], Any]:
        async def job(run: Run) -> None:
            with self._noted(run, grace):
                await work(run)

        return job

    @contextmanager
    def _noted(self, run: Run, grace: str) -> Iterator[None]:
        began_ns = _CLOCK.monotonic_ns()
        self._recorder.note(
            Began(
                at_ns=began_ns,
                job=run.job,
                due_ns=run._due_ns,
                attempt=run.attempt,
                run_id=run.run_id,
                resource=run.resource,
                fence=run.fence,
                grace_ns=duration_ns(grace, what="grace"),
            )
        )
        with self._recorder.holding(run._lock):
            yield
        self._recorder.note(Returned(at_ns=_CLOCK.monotonic_ns(), run_id=run.run_id))
