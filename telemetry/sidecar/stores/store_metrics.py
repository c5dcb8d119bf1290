"""Turn snapshots of stores into metrics, each with a label `source` beside its own, and the `service` of a job or lock.

Ages are computed when scraped, from the instant of the probe. A snapshot that is not fresh is left out: then only the
metrics of the probe itself are shown. No I/O, no clock reads.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client.samples import Sample

from tickglass.sched.control.roster import JobPresence
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry import catalogue
from tickglass.telemetry.label_values import StoreErrorKind
from tickglass.telemetry.series import family, samples_of
from tickglass.telemetry.sidecar.stores.overdue import interval_ns, waiting_due_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from tickglass.sched.clock import Reading
    from tickglass.sched.ports import JobRecord, LeaseRecord, RunRecord
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series import SeriesFamily
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["SHOWN_MAX", "STORE_METRICS", "store_families"]

SHOWN_MAX: Final = 1_000  # resources of a store, as of a scheduler: see `MetricSink`
STORE_METRICS: Final = (
    catalogue.LOCK_HELD,
    catalogue.LOCK_ACQUIRED,
    catalogue.LOCK_EXPIRY,
    catalogue.LOCK_TTL,
    catalogue.LOCK_FENCE,
    catalogue.LOCK_MAX_HOLD,
    catalogue.LEASE_EXPIRED,
    catalogue.JOB_NEXT,
    catalogue.JOB_OVERDUE,
    catalogue.JOB_LAST_COMPLETION,
    catalogue.JOB_LAST_SUCCESS,
    catalogue.JOB_INTERVAL,
    catalogue.JOB_GRACE,
    catalogue.JOB_ABANDONED,
    catalogue.JOB_INSTANCES,
    catalogue.SERVICE_INSTANCES,
    catalogue.SERVICE_SILENT,
    catalogue.STORE_MISSING,
    catalogue.SIDECAR_LAST_PROBE,
    catalogue.SIDECAR_PROBE_AGE,
    catalogue.SIDECAR_PROBE_DURATION,
    catalogue.SIDECAR_PROBE_ERRORS,
    catalogue.SIDECAR_OFFSET,
    catalogue.SIDECAR_OFFSET_ERROR,
)
_S: Final = 1e9

_Value = tuple["Metric", tuple[str, ...], float]
_Served = tuple[str, _Value]  # the service whose job or lock it is about; "" for the probe's own


def store_families(
    snapshots: Iterable[StoreSnapshot], now: Reading, dropped: Callable[[JobRecord, int], bool] = lambda *_: False
) -> list[SeriesFamily]:
    """Return the families of `STORE_METRICS` with the samples of the stores; each once, some without samples.

    Labels are the metric's own, `source`, and for jobs and locks `service`. Those are there only for fresh snapshots.

    Args:
        snapshots: what `Probe.snapshots` returns.
        now: of the scrape.
        dropped: whether no scheduler has the job any more, given for how many nanoseconds it is overdue: then
            it is not due.
    """
    page = {metric.name: family(metric) for metric in STORE_METRICS}
    for snapshot in snapshots:
        source = {"source": snapshot.source}
        for service, (metric, values, value) in _values(snapshot, now, dropped):
            served = {"service": service} if service else {}
            labels = {label.name: text for label, text in zip(metric.labels, values, strict=False)}
            page[metric.name].loose.append(Sample(metric.name, {**labels, **served, **source}, value))
        if snapshot.durations is not None:
            metric = catalogue.SIDECAR_PROBE_DURATION
            page[metric.name].loose.extend(samples_of(metric, source, snapshot.durations))
    return list(page.values())


def _values(snapshot: StoreSnapshot, now: Reading, dropped: Callable[[JobRecord, int], bool]) -> Iterator[_Served]:
    """Yield metric, the values of its labels but for `source`, and the value."""
    yield from (("", value) for value in _of_probe(snapshot, now))
    if snapshot.taken is None or not snapshot.is_fresh(now):
        return
    if snapshot.skew_ns is not None and snapshot.skew_bound_ns is not None:
        yield "", (catalogue.SIDECAR_OFFSET, (snapshot.source,), snapshot.skew_ns / _S)
        yield "", (catalogue.SIDECAR_OFFSET_ERROR, (snapshot.source,), snapshot.skew_bound_ns / _S)
    passed_ns = now.monotonic_ns - snapshot.taken.monotonic_ns
    for lease in _shown(snapshot):
        yield from ((lease.service, value) for value in _of_lease(lease, passed_ns, now))
    yield from _limits(snapshot.jobs)
    for service in snapshot.roster.services():
        yield "", (catalogue.SERVICE_INSTANCES, (service,), len(snapshot.roster.living(service)))
        yield "", (catalogue.SERVICE_SILENT, (service,), len(snapshot.roster.silent(service)))
    abandoned = Counter(run.job_id for run in snapshot.abandoned)
    dead = {run.run_id for run in snapshot.abandoned}
    for job in snapshot.jobs:
        yield job.service, (catalogue.JOB_ABANDONED, (job.name,), abandoned[job.job_id])
        presence = snapshot.roster.presence(job.job_id)
        if presence in (JobPresence.ALL, JobPresence.SOME):
            yield job.service, (catalogue.JOB_INSTANCES, (job.name,), len(snapshot.roster.having(job.job_id)))
        if presence is JobPresence.RETIRED or _is_paused(job, snapshot):
            continue  # no instance is meant to run it: nothing of it can be late
        of_job = _of_job(job, snapshot.runs.get(job.job_id, ()), dead, (now, snapshot.taken), dropped)
        yield from ((job.service, value) for value in of_job)


def _is_paused(job: JobRecord, snapshot: StoreSnapshot) -> bool:
    return job.next_due_ns is not None and snapshot.pause_of(job.job_id, job.next_due_ns) is not None


def _of_probe(snapshot: StoreSnapshot, now: Reading) -> Iterator[_Value]:
    if snapshot.taken is not None:
        age_ns = now.monotonic_ns - snapshot.taken.monotonic_ns
        yield catalogue.SIDECAR_LAST_PROBE, (snapshot.source,), snapshot.taken.wall_ns / _S
        yield catalogue.SIDECAR_PROBE_AGE, (snapshot.source,), max(0, age_ns) / _S
    for missing, count in snapshot.missing.items():
        yield catalogue.STORE_MISSING, (missing,), count
    for kind in StoreErrorKind:
        yield catalogue.SIDECAR_PROBE_ERRORS, (snapshot.source, kind), snapshot.errors.get(kind, 0)


def _shown(snapshot: StoreSnapshot) -> Sequence[LeaseRecord]:
    """Return the leases that get series: live ones first, of these those on jobs' resources, then the longest held.

    Of those that have ended, those that ended last.
    """
    if len(snapshot.leases) <= SHOWN_MAX:
        return snapshot.leases
    declared = {job.resource for job in snapshot.jobs}

    def rank(lease: LeaseRecord) -> tuple[bool, bool, int]:
        ended = lease.remaining_ns <= 0
        return ended, lease.resource not in declared, -lease.remaining_ns if ended else -lease.held_ns

    return sorted(snapshot.leases, key=rank)[:SHOWN_MAX]


def _of_lease(lease: LeaseRecord, passed_ns: int, now: Reading) -> Iterator[_Value]:
    resource, holder = (lease.resource,), (lease.resource, lease.owner, lease.service)
    yield catalogue.LOCK_TTL, resource, lease.ttl_ns / _S
    yield catalogue.LOCK_FENCE, resource, lease.fence
    left_ns = lease.remaining_ns - passed_ns
    if lease.remaining_ns <= 0:  # then the lock is free
        yield catalogue.LEASE_EXPIRED, holder, -left_ns / _S
        return
    held_ns = max(0, lease.held_ns + passed_ns)
    yield catalogue.LOCK_HELD, holder, held_ns / _S
    yield catalogue.LOCK_ACQUIRED, holder, (now.wall_ns - held_ns) / _S
    if left_ns > 0:  # else it may have been renewed since
        yield catalogue.LOCK_EXPIRY, resource, (now.wall_ns + left_ns) / _S


def _limits(jobs: Iterable[JobRecord]) -> Iterator[_Served]:
    """Yield how long each service may hold a resource: the longest timeout of its jobs, unless one has no timeout."""
    limits: dict[tuple[str, str], list[int | None]] = {}
    for job in jobs:
        limits.setdefault((job.service, job.resource), []).append(job.timeout_ns)
    for (service, resource), of_jobs in limits.items():
        known = [limit_ns for limit_ns in of_jobs if limit_ns is not None]
        if len(known) == len(of_jobs):
            yield service, (catalogue.LOCK_MAX_HOLD, (resource,), max(known) / _S)


def _of_job(
    job: JobRecord,
    attempts: Sequence[RunRecord],
    dead: Collection[str],
    times: tuple[Reading, Reading],
    dropped: Callable[[JobRecord, int], bool],
) -> Iterator[_Value]:
    """Yield what a store says of a job, at the scrape and at the probe before it."""
    (now, taken), name = times, (job.name,)
    running = any(run.outcome is None and run.run_id not in dead for run in attempts)
    due_ns = waiting_due_ns(job, attempts, running=running)
    if due_ns is not None and not dropped(job, now.wall_ns - due_ns):
        yield catalogue.JOB_NEXT, name, due_ns / _S
        # As of the probe: what has been taken up since is not known.
        yield catalogue.JOB_OVERDUE, name, max(0, taken.wall_ns - due_ns) / _S
    every_ns = interval_ns(job, now.wall_ns)
    if every_ns is not None:
        yield catalogue.JOB_INTERVAL, name, every_ns / _S
    yield catalogue.JOB_GRACE, name, job.grace_ns / _S
    ends = [(run.ended_wall_ns, run.outcome) for run in attempts if run.started_wall_ns and run.ended_wall_ns]
    if ends:
        yield catalogue.JOB_LAST_COMPLETION, name, max(at_ns for at_ns, _ in ends) / _S
    good = [at_ns for at_ns, outcome in ends if outcome == Outcome.SUCCESS]
    if good:
        yield catalogue.JOB_LAST_SUCCESS, name, max(good) / _S
