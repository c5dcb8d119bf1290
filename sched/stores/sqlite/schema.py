"""Decide what a store's database file holds, and whether a given file is one.

`create` is the only writer of the schema; nothing here changes a file of another
application, or of a newer version of Tickglass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["SCHEMA_VERSION", "create", "is_prepared"]

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = int.from_bytes(b"TkGl")  # what `file` and we know our databases by

# Times: *_wall_ns are for people, nanoseconds since the Unix epoch. The others are the host's monotonic clock, which
# restarts at a reboot: a lease renewed "later than now" is from an earlier boot, and dead.
#
# One fence counter for all resources: each fence is greater than all before it, and a million resources that were
# locked once leave nothing behind. A lease is told from all others by (resource, fence).
#
# Runs lie in the order of their due instants, so claims of ten thousand jobs write to the same last page.
#
# No RETURNING, no STRICT: Python 3.11 runs with SQLite 3.34 on RHEL 9.
_TABLES: Final = (
    "CREATE TABLE fence (latest INTEGER NOT NULL)",
    "INSERT INTO fence VALUES (0)",
    """CREATE TABLE leases (
        resource TEXT PRIMARY KEY,
        token TEXT NOT NULL,
        owner TEXT NOT NULL,
        service TEXT NOT NULL,
        job TEXT NOT NULL,
        run_id TEXT NOT NULL,
        fence INTEGER NOT NULL,
        expired_owner TEXT NOT NULL,
        ttl_ns INTEGER NOT NULL,
        acquired_wall_ns INTEGER NOT NULL,
        acquired_ns INTEGER NOT NULL,
        renewed_ns INTEGER NOT NULL,
        expires_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE jobs (
        name TEXT PRIMARY KEY,
        trigger TEXT NOT NULL,
        resource TEXT NOT NULL,
        owner TEXT NOT NULL,
        service TEXT NOT NULL,
        ttl_ns INTEGER NOT NULL,
        grace_ns INTEGER NOT NULL,
        timeout_ns INTEGER,
        next_due_ns INTEGER,
        seen_wall_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE runs (
        job TEXT NOT NULL,
        due_ns INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        owner TEXT NOT NULL,
        service TEXT NOT NULL,
        run_id TEXT NOT NULL,
        previous_run_id TEXT NOT NULL,
        resource TEXT NOT NULL,
        fence INTEGER NOT NULL,
        claimed_wall_ns INTEGER NOT NULL,
        started_wall_ns INTEGER,
        ended_wall_ns INTEGER,
        outcome TEXT,
        detail TEXT NOT NULL DEFAULT '',
        lateness_ns INTEGER,
        PRIMARY KEY (due_ns, job, attempt)
    ) WITHOUT ROWID""",
    "CREATE INDEX runs_by_job ON runs (job, due_ns, attempt)",
    "CREATE INDEX runs_unsettled ON runs (due_ns, job, attempt) WHERE outcome IS NULL",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

# The parties that wait for a resource, see fairness.py; times are the monotonic clock's. This table is newer than the
# others, and a version that does not know it lets no party go first.
_WAITING: Final = """
    CREATE TABLE IF NOT EXISTS waiting (
        resource TEXT NOT NULL,
        party TEXT NOT NULL,
        owner TEXT NOT NULL,
        service TEXT NOT NULL,
        since_ns INTEGER NOT NULL,
        asked_ns INTEGER NOT NULL,
        PRIMARY KEY (resource, party)
    ) WITHOUT ROWID"""

# One statement, so one snapshot: another process may be creating the tables at this moment.
_IDENTIFY: Final = """
    SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
        (SELECT count(*) FROM sqlite_master)"""


def is_prepared(connection: sqlite3.Connection) -> bool:
    """Return whether the file has our tables; False for an empty one.

    Raises:
        ConfigError: it is another application's, or a newer version's.
    """
    application_id, version, objects = connection.execute(_IDENTIFY).fetchone()
    if application_id == _APPLICATION_ID and version > SCHEMA_VERSION:
        raise ConfigError(
            f"the database was written by a newer Tickglass: its schema is version {version}, "
            f"this one knows {SCHEMA_VERSION}; upgrade this installation, or choose another file"
        )
    if application_id != _APPLICATION_ID and (objects or application_id or version):
        raise ConfigError("the file is another application's database; give Tickglass one of its own")
    return bool(application_id == _APPLICATION_ID)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, inside a write transaction, unless another process was faster."""
    if not is_prepared(connection):
        for statement in _TABLES:
            connection.execute(statement)
    connection.execute(_WAITING)
