"""Views as a sidecar has them: a fleet in good health, one in bad, and the parts to make others."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tickglass.sched.durations import MS, SECOND, duration_ns
from tickglass.telemetry.sidecar.view import (
    JobView,
    LockMark,
    LockView,
    OccurrenceView,
    SchedulerView,
    StoreView,
    View,
)

__all__ = ["NOW_NS", "ill", "job_of", "runs_of", "twins", "well"]

NOW_NS: Final = 1_790_000_000_250_000_000
HOST_1: Final = "host-1/billing/0"
HOST_2: Final = "host-2/billing/0"
HELD_NS: Final = 252 * SECOND
SOURCE: Final = "redis://redis.internal:6379/0"


def runs_of(
    job: str,
    every_ns: int,
    *,
    ran_ns: int,
    count: int = 40,
    now_ns: int = NOW_NS,
    owner: str = HOST_1,
    odd: dict[int, dict[str, Any]] | None = None,
) -> list[OccurrenceView]:
    """Return a job's latest occurrences, oldest first: all good but the odd ones, counted back from the newest."""
    newest = now_ns // every_ns * every_ns
    if newest + ran_ns > now_ns:
        newest -= every_ns
    runs = []
    for back in reversed(range(count)):
        due_ns = newest - back * every_ns
        lateness_ns = (180 + (due_ns // every_ns * 7_919) % 410) * 1_000
        run = OccurrenceView(
            job=job,
            service="billing",
            due_ns=due_ns,
            outcome="success",
            owner=owner,
            run_id=f"{due_ns // MS:032x}",
            fence=due_ns // 1_000,
            started_wall_ns=due_ns + lateness_ns,
            ended_wall_ns=due_ns + lateness_ns + ran_ns,
            lateness_ns=lateness_ns,
            ran_ns=ran_ns,
        )
        runs.append(msgspec.structs.replace(run, **(odd or {}).get(back, {})))
    return runs


def job_of(name: str, every_text: str, runs: list[OccurrenceView], **other: Any) -> JobView:  # noqa: ANN401 - any field
    """Return a job with these occurrences, due again an interval after the last."""
    interval_ns = duration_ns(every_text, what="interval")
    facts: dict[str, Any] = {
        "service": "billing",
        "trigger": f'every("{every_text}")',
        "resource": name,
        "next_due_ns": runs[-1].due_ns + interval_ns if runs else None,
        "interval_ns": interval_ns,
        "grace_ns": 30 * SECOND,
        "timeout_ns": 25 * SECOND,
        "recent": runs[-40:],
        "lateness_ns": [run.lateness_ns for run in runs[-40:] if run.lateness_ns is not None],
        "owners": [HOST_1, HOST_2],
        "last_success_wall_ns": max((run.ended_wall_ns or 0 for run in runs if run.outcome == "success"), default=None),
        **other,
    }
    return JobView(name=name, **facts)


def _jobs(now_ns: int) -> list[JobView]:
    def made(name: str, text: str, ran_ns: int, **other: Any) -> JobView:  # noqa: ANN401
        return job_of(
            name, text, runs_of(name, duration_ns(text, what="interval"), ran_ns=ran_ns, now_ns=now_ns), **other
        )

    return [
        made("inventory_sync", "5s", 420 * MS),
        made("reconcile", "1m", 9 * SECOND, resource="ledger:eu", trigger='cron("0 * * * * ?", tz="Asia/Shanghai")'),
        made("close_books", "2m", 14 * SECOND, resource="ledger:eu"),
        made("send_invoices", "20s", 3 * SECOND),
        made("expire_sessions", "2s", 35 * MS),
        made("rotate_keys", "30m", 800 * MS),
    ]


def well(now_ns: int = NOW_NS) -> View:
    """Return a fleet where all is well."""
    jobs = _jobs(now_ns)
    in_hand = OccurrenceView(
        job="send_invoices",
        service="billing",
        due_ns=now_ns - 1_400 * MS,
        state="running",
        owner=HOST_2,
        run_id="7" * 32,
        fence=1_790_000_008_141_000,
        started_wall_ns=now_ns - 1_399 * MS,
    )
    jobs[3] = msgspec.structs.replace(
        jobs[3], running=1, running_since_wall_ns=in_hand.started_wall_ns, recent=[*jobs[3].recent[1:], in_hand]
    )
    return View(
        at_wall_ns=now_ns,
        schedulers=[_scheduler(HOST_1, 0, now_ns), _scheduler(HOST_2, 1, now_ns)],
        stores=[_store(len(jobs))],
        jobs=jobs,
        locks=[
            _lock("send_invoices", "send_invoices", 1_400 * MS, now_ns, run_id="7" * 32, fence=1_790_000_008_141_000)
        ],
        runs=_last_minutes(jobs, now_ns),
    )


def _scheduler(owner: str, running: int, now_ns: int) -> SchedulerView:
    return SchedulerView(
        owner=owner,
        service="billing",
        version="0.1.0",
        state="running",
        connected=True,
        since_wall_ns=now_ns - 7_000 * SECOND,
        silent_ns=210 * MS,
        pool_slots=12,
        pool_in_use=running,
        running=running,
    )


def _store(jobs: int) -> StoreView:
    return StoreView(
        source=SOURCE,
        ok=True,
        age_ns=900 * MS,
        took_ns=2_310_000,
        skew_ns=-410_000,
        skew_bound_ns=180_000,
        leases=1,
        jobs=jobs,
    )


def _lock(resource: str, job: str, held_ns: int, now_ns: int, **other: Any) -> LockView:  # noqa: ANN401
    facts: dict[str, Any] = {
        "ttl_ns": 30 * SECOND,
        "remaining_ns": 30 * SECOND - held_ns % (10 * SECOND),
        "allowed_ns": 25 * SECOND,
        "source": SOURCE,
        **other,
    }
    return LockView(
        resource=resource,
        state="held",
        owner=HOST_2,
        service="billing",
        job=job,
        since_wall_ns=now_ns - held_ns,
        held_ns=held_ns,
        **facts,
    )


def _last_minutes(jobs: list[JobView], now_ns: int) -> list[OccurrenceView]:
    """Return what became of the last five minutes' occurrences: the recent ones, and good ones before them."""
    runs = []
    for job in jobs:
        interval_ns = job.interval_ns or 1
        count = min(300 * SECOND // interval_ns, 150)
        ran_ns = job.recent[0].ran_ns or 0
        before = runs_of(job.name, interval_ns, ran_ns=ran_ns, count=count, now_ns=now_ns)
        before = [msgspec.structs.replace(run, service=job.service) for run in before]
        runs += [run for run in before if run.due_ns < job.recent[0].due_ns] + job.recent
    return runs


def _odd(job: JobView, changes: dict[int, dict[str, Any]]) -> list[OccurrenceView]:
    """Return a job's recent occurrences, some changed, counted back from the newest."""
    runs = list(job.recent)
    for back, change in changes.items():
        runs[-1 - back] = msgspec.structs.replace(runs[-1 - back], **change)
    return runs


def _changed(job: JobView, changes: dict[str, Any]) -> JobView:
    recent = changes.get("recent", job.recent)
    lateness_ns = [run.lateness_ns for run in recent if run.lateness_ns is not None]
    return msgspec.structs.replace(job, **changes, lateness_ns=lateness_ns)


_NEVER_RAN: Final[dict[str, Any]] = {
    "started_wall_ns": None, "ran_ns": None, "lateness_ns": None, "run_id": "", "fence": None,
}  # fmt: skip


_HELD: Final[dict[str, Any]] = {
    **_NEVER_RAN,
    "outcome": "skipped",
    "reason": "lock_held",
    "by": HOST_2,
    "why": f"skipped: {HOST_2} (job close_books) held ledger:eu for all of its grace of 30s",
}
_RESET: Final[dict[str, Any]] = {
    "outcome": "failure",
    "error": "ConnectionResetError: the mail relay hung up",
    "why": "failed after 1.20 s: ConnectionResetError: the mail relay hung up",
    "ran_ns": 1_200 * MS,
}
_OVERLAP: Final[dict[str, Any]] = {
    **_NEVER_RAN,
    "outcome": "skipped",
    "reason": "overlap",
    "why": "skipped: its previous run was still running",
}
_TIMEOUT: Final[dict[str, Any]] = {"outcome": "timeout", "why": "timeout: it ran over its timeout of 25s"}
_LATE: Final[dict[str, Any]] = {
    "lateness_ns": 46 * MS,
    "why": "started 46 ms late, 44 ms of it waiting for a worker, or for its turn behind others that were due",
}
_ELSEWHERE: Final[dict[str, Any]] = {
    **_NEVER_RAN,
    "outcome": "elsewhere",
    "by": HOST_2,
    "why": f"elsewhere: claimed by {HOST_2} 0.84 ms earlier, where it ended as success",
}
_MISSED: Final[dict[str, Any]] = {
    **_NEVER_RAN,
    "outcome": "missed",
    "why": "missed: no instance took it up in time; it was noticed 41.20 s after it was due, past its grace of 30s",
}


def ill(now_ns: int = NOW_NS) -> View:
    """Return a fleet with a stuck lock, with all that follows from it, and a bit more."""
    view = well(now_ns)
    changes = _with_problems({job.name: job for job in view.jobs}, now_ns)
    jobs = [_changed(job, changes.get(job.name, {})) for job in view.jobs]
    stuck = _lock(
        "ledger:eu", "close_books", HELD_NS, now_ns, run_id="c" * 32, fence=1_790_000_097_113_000,
        waiters=2, stuck=True, remaining_ns=21 * SECOND,
    )  # fmt: skip
    lost = LockMark(
        resource="inventory_sync",
        job="inventory_sync",
        at_wall_ns=now_ns - 141 * SECOND,
        what="expired",
        service="billing",
        owner=HOST_1,
    )
    return msgspec.structs.replace(
        view, jobs=jobs, locks=[*view.locks, stuck], marks=[lost], runs=_last_minutes(jobs, now_ns)
    )


def twins() -> View:
    """Return a fleet in which two services have a job of one name: billing's is well, shipping's is not."""
    jobs = []
    for service, odd in (("billing", {}), ("shipping", {0: _RESET, 1: _RESET, 2: _HELD})):
        runs = runs_of("cleanup", 20 * SECOND, ran_ns=SECOND, odd=odd)
        runs = [msgspec.structs.replace(run, service=service) for run in runs]
        failures = sum(run.outcome == "failure" for run in runs)
        jobs.append(job_of("cleanup", "20s", runs, service=service, failures=failures))
    marks = [LockMark(resource="cleanup", job="cleanup", at_wall_ns=NOW_NS, what="lost", service="shipping")]
    locks = [_lock("cleanup", "cleanup", SECOND, NOW_NS)]
    return View(at_wall_ns=NOW_NS, jobs=jobs, locks=locks, marks=marks, runs=_last_minutes(jobs, NOW_NS))


def _with_problems(jobs: dict[str, JobView], now_ns: int) -> dict[str, dict[str, Any]]:
    """Return what is different in each job."""
    since_ns = now_ns - HELD_NS
    kept = {back: _HELD for back, run in enumerate(reversed(jobs["reconcile"].recent)) if run.due_ns > since_ns}
    endless = OccurrenceView(
        job="close_books",
        service="billing",
        due_ns=since_ns,
        state="stopping",
        why="was asked to stop, because it is over its timeout of 25s, and has not ended yet",
        owner=HOST_2,
        run_id="c" * 32,
        fence=1_790_000_097_113_000,
        started_wall_ns=since_ns,
    )
    return {
        "reconcile": {"recent": _odd(jobs["reconcile"], {**kept, 11: _TIMEOUT, 12: _OVERLAP, 23: _MISSED})},
        "send_invoices": {
            "recent": _odd(jobs["send_invoices"], {1: _RESET, 2: _RESET, 3: _RESET, 9: _LATE}),
            "failures": 3,
        },
        "inventory_sync": {
            "recent": _odd(jobs["inventory_sync"], {4: _ELSEWHERE, 5: _ELSEWHERE, 30: _LATE}),
        },
        "close_books": {
            "recent": [*(run for run in jobs["close_books"].recent if run.due_ns < since_ns), endless],
            "running": 1,
            "running_since_wall_ns": since_ns,
            "next_due_ns": now_ns + 66 * SECOND,
        },
    }
