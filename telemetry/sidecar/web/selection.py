"""Decide which part of a view a page shows, and in which order.

Problems come first, and the size of a page is bounded. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.identity import JobId
from tickglass.telemetry.sidecar.explain.problems import job_tone
from tickglass.telemetry.sidecar.explain.standing import pause_of
from tickglass.telemetry.sidecar.explain.tones import Tone, tone_of
from tickglass.telemetry.sidecar.web.charts import COLUMN_NS, COLUMNS, lane, marks, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tickglass.telemetry.sidecar.view import JobView, LockMark, LockView, OccurrenceView, View

__all__ = [
    "FILTERS",
    "LANES_MAX",
    "PAGE_JOBS",
    "JobsShown",
    "Lane",
    "Subject",
    "jobs_shown",
    "lane_of",
    "lanes",
    "last_of",
    "locks_shown",
]

PAGE_JOBS: Final = 50
LANES_MAX: Final = 30
LOCKS_MAX: Final = 100
SEARCH_MAX: Final = 200  # characters
PAGE_MAX: Final = 10_000

Key = tuple[str, str]  # service, name


@dataclass(frozen=True, slots=True)
class Subject:
    """What a page shows: one job, or all jobs, filtered by a search.

    Args:
        job: its name; None for the overview.
        search: part of a name or resource, case-insensitive.
        page: the number of the page of jobs, from 1.
        service: of the job; None for all services that have a job of that name.
        only: which jobs, one of `FILTERS`; "" for all.
        acts: whether links to acts are shown, because an operator looks.
    """

    job: str | None = None
    search: str = ""
    page: int = 1
    service: str | None = None
    acts: bool = False
    only: str = ""

    @classmethod
    def of(
        cls, job: str | None, search: str, page: str, service: str | None = None, *, acts: bool = False, only: str = ""
    ) -> Subject:
        """Read it from a request; invalid values are ignored."""
        number = int(page) if page.isascii() and page.isdecimal() and len(page) < len(str(PAGE_MAX)) else 1
        chosen = only if only in FILTERS else ""
        return cls(job, search.strip()[:SEARCH_MAX], max(number, 1), service, acts, chosen)

    def has(self, job: JobView) -> bool:
        """Return whether a job's page shows this job."""
        return job.name == self.job and self.service in (None, job.service)

    def at(self, page: int) -> Subject:
        """Return another page of the same."""
        return replace(self, page=page)


@dataclass(frozen=True, slots=True)
class JobsShown:
    """A portion of the jobs.

    Args:
        rows: each with its tone, those with problems first.
        found: how many there are on all pages.
        first: the number of the first row, from 1.
    """

    rows: list[tuple[Tone, JobView]]
    found: int
    first: int
    page: int
    pages: int


def jobs_shown(view: View, subject: Subject) -> JobsShown:
    """Return the jobs that a page shows."""
    found = sorted(
        ((job_tone(job, view.at_wall_ns), job) for job in view.jobs if _is_meant(job, view, subject)),
        key=lambda row: (-row[0].weight, row[1].name, row[1].service),
    )
    pages = max(-(-len(found) // PAGE_JOBS), 1)
    page = min(subject.page, pages)
    first = (page - 1) * PAGE_JOBS
    return JobsShown(found[first : first + PAGE_JOBS], len(found), first + 1, page, pages)


def _is_meant(job: JobView, view: View, subject: Subject) -> bool:
    search = subject.search.casefold()
    if search and search not in f"{job.name}\n{job.resource}\n{job.service}".casefold():
        return False
    return not subject.only or FILTERS[subject.only](job, view)


FILTERS: Final[Mapping[str, Callable[[JobView, View], bool]]] = {
    "problems": lambda job, view: job_tone(job, view.at_wall_ns).weight >= Tone.WARN.weight,
    "running": lambda job, _view: job.running > 0,
    "paused": lambda job, view: pause_of(view, job) is not None,
}


def last_of(job: JobView) -> OccurrenceView | None:
    """Return its latest occurrence that has ended."""
    return next((run for run in reversed(job.recent) if run.outcome), None)


def locks_shown(view: View) -> list[LockView]:
    """Return the locks: stuck ones first, then those with waiters, then by name."""
    ranked = sorted(view.locks, key=lambda lock: (not lock.stuck, -lock.waiters, lock.resource, lock.source))
    return ranked[:LOCKS_MAX]


@dataclass(frozen=True, slots=True)
class Lane:
    """The last minutes of one job.

    Args:
        resource: "" if it is the job's own and no other job uses it.
        paths: see `charts.lane`.
        marks: incidents of its lock, with positions in percent.
        words: the chart as text.
    """

    job: str
    service: str
    resource: str
    paths: dict[Tone, str]
    marks: list[tuple[float, LockMark]]
    words: str


def lanes(view: View, subject: Subject) -> tuple[list[Lane], int]:
    """Return the lanes of jobs with recent occurrences, jobs of one lock side by side; and how many were left out.

    If there are too many, those with the worst tones are drawn.
    """
    shared = _shared(view.jobs)
    marked = {(mark.service, mark.job) for mark in view.marks}
    ranked = sorted(
        (
            (-(Tone.BAD.weight if _key(job) in marked else _worst(job, _begin_ns(view))), job.resource, job.name, job)
            for job in view.jobs
            if _is_meant(job, view, subject)
        ),
        key=lambda row: row[:3],
    )
    active = [job for weight, _, _, job in ranked if weight <= 0]
    chosen = sorted(active[:LANES_MAX], key=lambda job: (job.resource, job.name, job.service))
    runs = _runs_of(view, chosen)
    drawn = [_lane(job, runs[_key(job)], view, shared=job.resource in shared) for job in chosen]
    return drawn, len(active) - len(chosen)


def _begin_ns(view: View) -> int:
    return (view.at_wall_ns // COLUMN_NS + 1 - COLUMNS) * COLUMN_NS


def _worst(job: JobView, begin_ns: int) -> int:
    """Return the weight of the worst tone since; -1 if nothing happened."""
    worst = -1
    for run in reversed(job.recent):
        if run.outcome and (run.ended_wall_ns or run.due_ns) < begin_ns:
            break
        worst = max(worst, tone_of(run).weight)
    return worst


def lane_of(job: JobView, view: View) -> Lane:
    """Return the lane of one job, as on the overview."""
    return _lane(job, _runs_of(view, [job])[_key(job)], view, shared=job.resource in _shared(view.jobs))


def _lane(job: JobView, runs: Sequence[OccurrenceView], view: View, *, shared: bool) -> Lane:
    seen = [mark for mark in view.marks if (mark.service, mark.job) == _key(job)]
    begin_ns = _begin_ns(view)
    recent = [run for run in runs if not run.outcome or (run.ended_wall_ns or run.due_ns) >= begin_ns]
    return Lane(
        job.name,
        job.service,
        job.resource if shared or job.resource != str(JobId(job.service, job.name)) else "",
        lane(recent, view.at_wall_ns),
        marks(seen, view.at_wall_ns),
        f"{job.name}, last 5 minutes: {summary(recent)}",
    )


def _shared(jobs: Iterable[JobView]) -> set[str]:
    users: dict[str, set[Key]] = defaultdict(set)
    for job in jobs:
        users[job.resource].add(_key(job))
    return {resource for resource, names in users.items() if len(names) > 1}


def _runs_of(view: View, jobs: Iterable[JobView]) -> dict[Key, list[OccurrenceView]]:
    """Return each job's occurrences of the last minutes, and its recent ones, which do not depend on other jobs."""
    runs: dict[Key, dict[tuple[int, int, str], OccurrenceView]] = {
        _key(job): {(run.due_ns, run.attempt, run.owner): run for run in job.recent} for job in jobs
    }
    for run in view.runs:
        found = runs.get((run.service, run.job))
        if found is not None:
            found[run.due_ns, run.attempt, run.owner] = run
    return {key: list(found.values()) for key, found in runs.items()}


def _key(job: JobView) -> Key:
    return job.service, job.name
