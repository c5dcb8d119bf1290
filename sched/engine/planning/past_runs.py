"""Ask the ledger about the runs that a job had before it was registered here: its latest claim, and its streak."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import Streak
from tickglass.sched.ports import SCHEDULED
from tickglass.sched.streak import RUNS_READ, streak_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import JobRecord, RunRecord, StoreObserver
    from tickglass.sched.registration import Registered

__all__ = ["claims_before", "streaks_of", "without_claims_ahead"]

_log: Final = logging.getLogger(__name__)


def without_claims_ahead(registered: Registered, until_ns: int, store: StoreObserver) -> Registered:
    """Return what a registration did, with the latest claim up to an instant instead of a later one.

    An instance whose clock was ahead has made the later claims. They stay in the ledger, so their own due instants
    are not run again; but they say nothing about the due instants before them. If they counted, no instance would
    run the job until then.

    Args:
        until_ns: the wall clock, and how far ahead of it an instant may be claimed.
    """
    job = registered.job
    if job.last_due_ns is None or job.last_due_ns <= until_ns:
        return registered
    try:
        runs = claims_before(store, job.job_id, 1, until_ns + 1)
    except StoreUnavailable as error:
        _log.warning("which claim of %s was the latest is not known: %s", job.name, error)
        runs = []
    return replace(registered, job=replace(job, last_due_ns=runs[0].due_ns if runs else None))


def claims_before(
    store: StoreObserver, job: JobId, most: int, before_ns: int, *, manual: bool = False
) -> list[RunRecord]:
    """Return the latest claims of what was due before an instant, newest first.

    Runs that operators asked for say nothing about due instants, so they are passed over.

    Args:
        manual: whether those count too.
    """
    found: list[RunRecord] = []
    while True:
        runs = store.runs(job, most, before_ns=before_ns)
        found += [run for run in runs if manual or run.kind == SCHEDULED]
        if len(found) >= most or len(runs) < most:
            return found[:most]
        before_ns = runs[-1].due_ns


def streaks_of(jobs: Iterable[JobRecord], store: StoreObserver) -> dict[str, Streak]:
    """Return how each of these jobs has done lately, by name; the store is asked once for each that was ever claimed.

    After the first question without an answer the store is not asked any more: the jobs that are left start
    without a streak, because they must not wait for the store.
    """
    found: dict[str, Streak] = {}
    try:
        for job in jobs:
            claimed = job.last_due_ns is not None
            found[job.name] = streak_of(store.runs(job.job_id, RUNS_READ)) if claimed else Streak()
    except StoreUnavailable as error:
        _log.warning("how the jobs have done lately is not known: %s", error)
    return found
