"""How late ticks start: of a scheduler with all its sinks, beside a sidecar that dies, and of a bare asyncio timer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tickglass import Scheduler, every
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import OccurrenceMoved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.events import Event

PERIOD_NS = 10 * MS


class Lateness:
    """A sink that keeps each start's lateness, in nanoseconds."""

    def __init__(self) -> None:
        self.ns: list[int] = []

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        if isinstance(event, OccurrenceMoved) and event.lateness is not None:
            self.ns.append(event.lateness.total_ns)


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """Keep so many threads of this interpreter computing meanwhile."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1_000))

    threads = [threading.Thread(target=compute, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def scheduler_ticker(store: str, seconds: int, busy: int) -> list[int]:
    """Run a job that ends at once every 10 ms."""
    lateness, clock = Lateness(), SystemClock()
    scheduler = Scheduler(store, service="bench", owner="bench", sinks={"lateness": lateness})
    scheduler.add(lambda: None, every("10ms"), name="tick")
    with busy_threads(busy), scheduler:
        clock.wait(clock.monotonic_ns() + seconds * SECOND, Wake())
    return lateness.ns


def sidecar_ticker(store: str, socket: Path, seconds: int, busy: int, *, killed: bool) -> list[int]:
    """Run the same job and tell a sidecar of it; with `killed` it dies, and what starts from then on is measured."""
    lateness, clock = Lateness(), SystemClock()
    tickglass = str(Path(sys.executable).with_name("tickglass"))
    command = [tickglass, "sidecar", "--socket", str(socket), "--listen", "127.0.0.1:0", "--log-level", "error"]
    scheduler = Scheduler(
        store, service="bench", owner="bench", sinks={"lateness": lateness}, telemetry=f"unix://{socket}"
    )
    scheduler.add(lambda: None, every("10ms"), name="tick")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sidecar:
        if sidecar.stdout is None or not sidecar.stdout.readline():
            raise RuntimeError("the sidecar did not start")
        with busy_threads(busy), scheduler:
            clock.wait(clock.monotonic_ns() + SECOND, Wake())  # it is connected, and has been told
            if killed:
                sidecar.kill()
            from_here = len(lateness.ns)
            clock.wait(clock.monotonic_ns() + seconds * SECOND, Wake())
        sidecar.kill()
    return lateness.ns[from_here:]


def asyncio_ticker(seconds: int, busy: int) -> list[int]:
    """Wake up every 10 ms on a fixed grid, with asyncio's own timer."""
    late: list[int] = []

    async def tick() -> None:
        loop, begin = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for count in range(1, seconds * SECOND // PERIOD_NS):
            due = begin + count * PERIOD_NS / 1e9
            await asyncio.sleep(due - loop.time())
            late.append(round((loop.time() - due) * 1e9))

    with busy_threads(busy):
        asyncio.run(tick())
    return late
