"""Read what the pages of runs show: a page of a job's runs, and one run with its other attempts and the acts about it.

Called on a thread, because a store is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.control.audit import read_act
from tickglass.telemetry.sidecar.merge.occurrences import run_view
from tickglass.telemetry.sidecar.web.control.desks import NotThere
from tickglass.telemetry.sidecar.web.control.ledger import job_named, whole_instants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.control.audit import Act
    from tickglass.sched.ports import JobRecord, RunRecord, Store
    from tickglass.telemetry.sidecar.view import OccurrenceView

__all__ = ["PAGE_RUNS", "OneRun", "Shown", "one_run", "page_of_runs"]

PAGE_RUNS: Final = 50
_ABANDONED_READ: Final = 1_000
_ACTS_READ: Final = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of a job's runs, newest due instant first.

    Args:
        before: where the next page begins; None: there is none.
    """

    job: JobRecord
    runs: list[tuple[RunRecord, OccurrenceView]]
    before: int | None


@dataclass(frozen=True, slots=True)
class OneRun:
    """One run.

    Args:
        attempts: all at its due instant, oldest first; itself is one.
        acts: of operators, about it or its due instant, newest first, among the latest thousand.
        now_ns: the store's wall clock.
    """

    record: RunRecord
    view: OccurrenceView
    attempts: list[tuple[RunRecord, OccurrenceView]]
    acts: list[Act]
    now_ns: int


def page_of_runs(store: Store, name: str, service: str, before_ns: int | None) -> Shown:
    """Return a page of a job's runs.

    Raises:
        NotThere, ConfigError: see `job_named`.
        StoreUnavailable: the store does not answer.
    """
    job = job_named(store, name, service)
    runs, before = whole_instants(lambda limit: store.runs(job.job_id, limit, before_ns=before_ns), PAGE_RUNS)
    return Shown(job, _viewed(store, runs), before)


def one_run(store: Store, name: str, service: str, due_ns: int, run_id: str) -> OneRun:
    """Return one run.

    Raises:
        NotThere, ConfigError: see `job_named`; or the job has no such run, or not any more.
        StoreUnavailable: the store does not answer.
    """
    job = job_named(store, name, service)
    found, _ = whole_instants(lambda limit: store.runs(job.job_id, limit, before_ns=due_ns + 1), 1)
    attempts = sorted(_viewed(store, [it for it in found if it.due_ns == due_ns]), key=lambda it: it[0].attempt)
    mine = next((it for it in attempts if it[0].run_id == run_id), None)
    if mine is None:
        raise NotThere(f"{name} of {job.service} has no run {run_id} at that instant; the ledger may have dropped it")
    acts = [read_act(row) for row in store.audit(_ACTS_READ)]
    about = [it for it in acts if it.entry.target == run_id or _is_about(it, job, due_ns)]
    return OneRun(*mine, attempts, about, store.time_ns())


def _is_about(act: Act, job: JobRecord, due_ns: int) -> bool:
    entry = act.entry
    return (entry.service, entry.job, entry.due_ns) == (job.service, job.name, due_ns)


def _viewed(store: Store, runs: Sequence[RunRecord]) -> list[tuple[RunRecord, OccurrenceView]]:
    open_ones = any(run.outcome is None for run in runs)
    abandoned = {run.run_id for run in store.abandoned(_ABANDONED_READ)} if open_ones else set()
    latest: dict[int, int] = {}
    for run in runs:
        latest[run.due_ns] = max(run.attempt, latest.get(run.due_ns, 0))
    return [
        (run, run_view(run, abandoned=run.run_id in abandoned, repeated=latest[run.due_ns] > run.attempt))
        for run in runs
    ]
