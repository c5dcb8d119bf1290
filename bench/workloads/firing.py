"""Run jobs under a Tickglass scheduler, as its users would, and see when they start."""

from __future__ import annotations

import inspect
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tickglass import Run, Scheduler, every
from tickglass.sched.clock import ns_of
from tickglass.sched.job import Policies
from workloads.cell import Cell, Place, Result, Unsupported
from workloads.disturbances import disturbed
from workloads.meter import Start, grid_window, pause, wall_ns, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

__all__ = ["add_jobs", "measure", "new_scheduler"]

WARM_UP_S: Final = 0.8  # caches are filled, and the lead has settled


def new_scheduler(cell: Cell, place: Place, *, owner: str = "bench", **options: Any) -> Scheduler:  # noqa: ANN401
    """Return a scheduler as it is in production: with its endpoint, not started."""
    if cell.spin and spin_is_asked_of_scheduler():
        options["precision"] = "spin"
    return Scheduler(
        place.url(cell.store),
        service="bench",
        owner=owner,
        metrics="127.0.0.1:0",
        spool=Path(place.home, f"spool-{owner}"),
        workers=cell.workers,
        **options,
    )


def spin_is_asked_of_scheduler() -> bool:
    """Whether a scheduler is what spins before an instant, and not a job.

    Raises:
        Unsupported: in this checkout neither can.
    """
    if "precision" in inspect.signature(Scheduler).parameters:
        return True
    if "precision" in Policies.__annotations__:
        return False
    raise Unsupported('precision="spin" does not exist in this checkout')


def add_jobs(cell: Cell, scheduler: Scheduler, began: Callable[[str, datetime, int], object]) -> None:
    """Add the cell's jobs; each tells its name, its due instant and when it began."""
    work_s = cell.work_ms / 1e3

    def job(run: Run) -> None:
        began_ns = wall_ns()
        began(run.job, run.due_at, began_ns)
        if work_s:
            pause(work_s)

    async def coroutine(run: Run) -> None:
        began_ns = wall_ns()
        began(run.job, run.due_at, began_ns)

    policies: Any = {"precision": "spin"} if cell.spin and not spin_is_asked_of_scheduler() else {}
    function = coroutine if cell.coroutine else job
    for number in range(cell.jobs):
        scheduler.add(function, every(f"{cell.period_ms}ms"), name=f"job-{number}", **policies)


@contextmanager
def sidecar(cell: Cell, place: Place) -> Iterator[Callable[[], None]]:
    """Run a sidecar beside the scheduler if the cell wants one; yield what kills it if the cell wants that."""
    if not cell.sidecar:
        yield lambda: None
        return
    tickglass = str(Path(sys.executable).with_name("tickglass"))
    socket = Path(place.home, "sidecar.sock")
    command = [tickglass, "sidecar", "--socket", str(socket), "--listen", "127.0.0.1:0", "--log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the sidecar did not start")
        yield process.kill if cell.sidecar == "killed" else lambda: None
        process.kill()


def measure(cell: Cell, place: Place) -> Result:
    """Run the cell's jobs and see when they start."""
    begun: list[tuple[datetime, int]] = []
    with sidecar(cell, place) as kill:
        told = {"telemetry": f"unix://{place.home}/sidecar.sock"} if cell.sidecar else {}
        scheduler = new_scheduler(cell, place, **told)
        add_jobs(cell, scheduler, lambda _job, due_at, at_ns: begun.append((due_at, at_ns)))
        scheduler.start()
        with disturbed(cell):
            window = grid_window(cell, WARM_UP_S)
            pause((window.begin_ns - wall_ns()) / 1e9)
            kill()
            # Due instants are converted at the end, because a run that is measured does no more than it must.
            return watch(cell, window, lambda: [Start(ns_of(due_at), began_ns) for due_at, began_ns in tuple(begun)])
