"""Turn a database of schema 1 into one of schema 2, inside one write transaction.

Schema 1 knew a job by its name alone, and a job's own resource was that name. Each attempt is given to the service
that made it, and each record to the service that registered last. Leases and attempts on a job's own resource move to
its new name with their fences, so a run in progress keeps the next one from starting. `attempts` was called `runs`: so
a process of the older version that still has the file open gets an error from its next claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.identity import JobId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["migrate"]

_MOVE_LEASES: Final = (
    "ALTER TABLE leases ADD COLUMN stop TEXT NOT NULL DEFAULT ''",
    "UPDATE leases SET resource = own_resource(service, job) WHERE job != '' AND resource = job",
)
_MOVE_JOBS: Final = """
    INSERT INTO jobs SELECT name, trigger, iif(resource = name, own_resource(service, name), resource), owner, service,
        ttl_ns, grace_ns, timeout_ns, next_due_ns, seen_wall_ns FROM jobs_1"""
_MOVE_ATTEMPTS: Final = """
    INSERT INTO attempts (service, job, due_ns, attempt, owner, run_id, previous_run_id, resource, fence,
        claimed_wall_ns, started_wall_ns, ended_wall_ns, outcome, detail, lateness_ns)
    SELECT service, job, due_ns, attempt, owner, run_id, previous_run_id,
        iif(resource = job, own_resource(service, job), resource), fence,
        claimed_wall_ns, started_wall_ns, ended_wall_ns, outcome, detail, lateness_ns FROM runs"""


def migrate(connection: sqlite3.Connection, *, jobs: str, attempts: Sequence[str], waiting: str) -> None:
    """Migrate; the caller has the write lock, and marks the new version in the same transaction.

    Args:
        jobs: makes the new table of jobs.
        attempts: make the new table of attempts and its indexes.
        waiting: makes the table of waiting parties, which the first files of schema 1 do not have.
    """
    connection.create_function("own_resource", 2, lambda service, name: str(JobId(service, name)), deterministic=True)
    for statement in (
        *_MOVE_LEASES,
        "ALTER TABLE jobs RENAME TO jobs_1",
        jobs,
        _MOVE_JOBS,
        "DROP TABLE jobs_1",
        *attempts,
        _MOVE_ATTEMPTS,
        "DROP TABLE runs",
        waiting,
    ):
        connection.execute(statement)
