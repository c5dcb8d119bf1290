"""Find a job of a store, and read its runs in pages.

Called on a thread, because a store is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError, nearest
from tickglass.telemetry.sidecar.web.control.desks import NotThere

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.ports import JobRecord, RunRecord, Store

__all__ = ["job_named", "running", "whole_instants"]

_OPEN_RUNS_READ: Final = 100


def job_named(store: Store, name: str, service: str) -> JobRecord:
    """Return the job that is meant.

    Args:
        service: "" is any that has it.

    Raises:
        NotThere: there is none.
        ConfigError: several services have one.
    """
    jobs = store.jobs()
    named = [it for it in jobs if it.name == name]
    found = [it for it in named if service in ("", it.service)]
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(it.service for it in found)} each have a job {name}: say of which service")
    if not found:
        near = tuple(it.service for it in named) or nearest(name, {it.name for it in jobs})
        raise NotThere(f"there is no job {name}{f' of {service}' if named else ''}", instead=near)
    return found[0]


def running(store: Store, job: JobRecord) -> list[RunRecord]:
    """Return the runs of a job that are in progress."""
    abandoned = {run.run_id for run in store.abandoned(_OPEN_RUNS_READ)}
    runs = store.runs(job.job_id, _OPEN_RUNS_READ)
    return [run for run in runs if run.outcome is None and run.run_id not in abandoned]


def whole_instants(read: Callable[[int], Sequence[RunRecord]], limit: int) -> tuple[Sequence[RunRecord], int | None]:
    """Return the latest runs, and the due instant before which the next ones are; None: there are no more.

    Pages end between due instants, because the next one begins before an instant: there are at most `limit` runs, or
    more if so many are due at one instant.

    Args:
        read: returns at most so many runs, newest due instant first.
    """
    asked = limit + 1
    while len(runs := read(asked)) == asked:
        whole = [run for run in runs if run.due_ns != runs[-1].due_ns]
        if whole:
            return whole, whole[-1].due_ns
        asked *= 2
    return runs, None
