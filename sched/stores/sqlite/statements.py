"""Say in SQL what SqliteStore reads and writes, and what its rows mean.

Pure but for the statements that it attempts on the connection given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.sched.ports import Holder, LeaseRecord, Refused

if TYPE_CHECKING:
    import sqlite3

    from tickglass.sched.clock import Reading
    from tickglass.sched.ports import JobRecord

__all__ = [
    "BEGIN",
    "CLAIMS_FROM",
    "CLAIM_OF",
    "FORGET_ATTEMPTS",
    "FORGET_JOB",
    "GRANT",
    "JOB",
    "JOBS",
    "LATEST",
    "LEASES",
    "NOTE_NEXT",
    "OPEN",
    "ORPHANED",
    "RAISE_FENCE",
    "REGISTER",
    "RENEW",
    "RESTORE_FENCE",
    "RUNS",
    "SETTLE",
    "UNSETTLED",
    "Held",
    "delete_lease",
    "held_of",
    "is_live",
    "job_row",
    "lease_record",
]

# A run's own lease is the one with its fence: a resource may be shared by several jobs.
LATEST: Final = """
    SELECT attempt, attempts.run_id, attempts.owner, outcome, previous_run_id, attempts.fence,
        leases.renewed_ns, leases.expires_ns, leases.expired_owner
    FROM attempts LEFT JOIN leases ON leases.resource = attempts.resource AND leases.fence = attempts.fence
    WHERE attempts.service = ? AND attempts.job = ? AND attempts.due_ns = ? ORDER BY attempts.attempt DESC LIMIT 1"""
LEASE: Final = """
    SELECT token, owner, service, job, run_id, fence, expired_owner, renewed_ns, expires_ns
    FROM leases WHERE resource = ?"""
GRANT: Final = """
    INSERT OR REPLACE INTO leases (resource, token, owner, service, job, run_id, fence, expired_owner, ttl_ns,
        acquired_wall_ns, acquired_ns, renewed_ns, expires_ns)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# Never below the clock, in microseconds: so fences go on growing in a file that was made anew or restored.
RAISE_FENCE: Final = "UPDATE fence SET latest = max(latest + 1, ?)"
# Where a person deleted the row.
RESTORE_FENCE: Final = """
    INSERT INTO fence SELECT max(?, ifnull((SELECT max(fence) FROM leases), 0) + 1,
        ifnull((SELECT max(fence) FROM attempts), 0) + 1)"""
RENEW: Final = "UPDATE leases SET ttl_ns = ?, renewed_ns = ?, expires_ns = ? WHERE resource = ?"
BEGIN: Final = """
    INSERT INTO attempts (service, job, due_ns, attempt, owner, run_id, previous_run_id, resource, fence,
        claimed_wall_ns, declaration, kind)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# Only for a scheduled attempt.
NOTE_NEXT: Final = """
    UPDATE jobs SET next_due_ns = ?, seen_wall_ns = ?
    WHERE service = ? AND name = ? AND NOT EXISTS (
        SELECT 1 FROM attempts WHERE service = jobs.service AND job = jobs.name AND due_ns BETWEEN ? AND ?
            AND kind = 'scheduled')"""
# The plus keeps SQLite from the index by job, in which it would walk over all attempts of the service. Rows lie in the
# order of their due instants, so this reads the end of the table.
CLAIMS_FROM: Final = """
    SELECT attempts.job, due_ns, attempts.owner, outcome, leases.renewed_ns, leases.expires_ns
    FROM attempts LEFT JOIN leases ON leases.resource = attempts.resource AND leases.fence = attempts.fence
    WHERE due_ns >= ? AND +attempts.service = ? ORDER BY due_ns, attempts.service, attempts.job, attempt LIMIT ?"""
CLAIM_OF: Final = """
    SELECT attempt, claimed_wall_ns, outcome FROM attempts WHERE service = ? AND job = ? AND due_ns = ? AND run_id = ?
    ORDER BY attempt DESC LIMIT 1"""
SETTLE: Final = """
    UPDATE attempts SET outcome = ?, detail = ?, started_wall_ns = ?, ended_wall_ns = ?, lateness_ns = ?, ran_ns = ?
    WHERE service = ? AND job = ? AND due_ns = ? AND attempt = ?"""
ORPHANED: Final = """
    UPDATE attempts SET outcome = 'orphaned', ended_wall_ns = ?
    WHERE service = ? AND job = ? AND due_ns = ? AND attempt = ?"""
UNSETTLED: Final = """
    SELECT attempts.service, attempts.job, due_ns, attempt, attempts.run_id, attempts.owner, kind,
        leases.renewed_ns, leases.expires_ns
    FROM attempts LEFT JOIN leases ON leases.resource = attempts.resource AND leases.fence = attempts.fence
    WHERE attempts.outcome IS NULL ORDER BY attempts.due_ns, attempts.service, attempts.job, attempts.attempt"""
REGISTER: Final = """
    INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (service, name) DO UPDATE SET trigger = excluded.trigger, resource = excluded.resource,
        owner = excluded.owner, ttl_ns = excluded.ttl_ns, grace_ns = excluded.grace_ns,
        timeout_ns = excluded.timeout_ns, next_due_ns = excluded.next_due_ns, seen_wall_ns = excluded.seen_wall_ns"""
# In the order of JobRecord, LeaseRecord (before its ages) and RunRecord.
_JOB: Final = """
    SELECT name, trigger, resource, owner, service, ttl_ns, grace_ns, timeout_ns, next_due_ns,
        (SELECT due_ns FROM attempts WHERE service = jobs.service AND job = jobs.name AND kind = 'scheduled'
            ORDER BY due_ns DESC LIMIT 1), seen_wall_ns FROM jobs"""
JOB: Final = f"{_JOB} WHERE service = ? AND name = ?"
JOBS: Final = f"{_JOB} ORDER BY service, name"
LEASES: Final = """
    SELECT resource, owner, service, job, run_id, fence, ttl_ns, acquired_wall_ns, acquired_ns, renewed_ns, expires_ns
    FROM leases ORDER BY resource LIMIT ?"""
_RUN: Final = """
    SELECT attempts.job, due_ns, attempt, attempts.owner, attempts.service, attempts.run_id, attempts.resource,
        attempts.fence, claimed_wall_ns, started_wall_ns, ended_wall_ns, outcome, detail, lateness_ns,
        kind, not_before_ns, ran_ns, declaration"""
FORGET_JOB: Final = "DELETE FROM jobs WHERE service = ? AND name = ?"
FORGET_ATTEMPTS: Final = """
    DELETE FROM attempts WHERE (due_ns, service, job, attempt) IN (
        SELECT due_ns, service, job, attempt FROM attempts WHERE service = ? AND job = ? LIMIT ?)"""
RUNS: Final = f"{_RUN} FROM attempts {{which}} ORDER BY due_ns DESC, service DESC, job DESC, attempt DESC LIMIT ?"
# Then when the run's own lease was renewed, and when it expires.
OPEN: Final = f"""{_RUN}, leases.renewed_ns, leases.expires_ns
    FROM attempts LEFT JOIN leases ON leases.resource = attempts.resource AND leases.fence = attempts.fence
    WHERE outcome IS NULL ORDER BY due_ns, attempts.service, attempts.job, attempt"""


class Held(NamedTuple):
    """A lease's row, live or not, in the order of LEASE."""

    token: str
    owner: str
    service: str
    job: str
    run_id: str
    fence: int
    expired_owner: str
    renewed_ns: int
    expires_ns: int

    def live_at(self, now_ns: int) -> bool:
        """Whether it holds."""
        return is_live(self.renewed_ns, self.expires_ns, now_ns)

    def refusal(self, now_ns: int) -> Refused:
        """Return the answer to another owner that asks for it."""
        holder = Holder(self.owner, self.service, self.job, self.run_id, self.fence)
        return Refused(holder, self.expires_ns - now_ns)


def held_of(connection: sqlite3.Connection, resource: str) -> Held | None:
    """Return the resource's lease, live or not."""
    row = connection.execute(LEASE, (resource,)).fetchone()
    return None if row is None else Held._make(row)


def delete_lease(connection: sqlite3.Connection, resource: str) -> None:
    """Free the resource; the caller has compared the token."""
    connection.execute("DELETE FROM leases WHERE resource = ?", (resource,))


def is_live(renewed_ns: int | None, expires_ns: int | None, now_ns: int) -> bool:
    """Whether a lease holds; one that is not there (None) or from an earlier boot does not."""
    return renewed_ns is not None and expires_ns is not None and renewed_ns <= now_ns < expires_ns


def job_row(job: JobRecord, wall_ns: int) -> tuple[object, ...]:
    """Return what REGISTER writes; `last_due_ns` is not a column, it is read from the attempts."""
    who = (job.name, job.trigger, job.resource, job.owner, job.service)
    return (*who, job.ttl_ns, job.grace_ns, job.timeout_ns, job.next_due_ns, wall_ns)


def lease_record(row: tuple[Any, ...], now: Reading) -> LeaseRecord:
    """Return a row of LEASES as observers see it.

    The monotonic instants of an earlier boot mean nothing now: then the age is
    taken from the wall clock, and the lease ended before this boot began.
    """
    resource, owner, service, job, run_id, fence, ttl_ns, acquired_wall_ns, acquired_ns, renewed_ns, expires_ns = row
    if renewed_ns <= now.monotonic_ns:
        ages = (now.monotonic_ns - acquired_ns, expires_ns - now.monotonic_ns)
    else:
        ages = (max(0, now.wall_ns - acquired_wall_ns), -now.monotonic_ns)
    return LeaseRecord(resource, owner, service, job, run_id, fence, ttl_ns, acquired_wall_ns, *ages)
