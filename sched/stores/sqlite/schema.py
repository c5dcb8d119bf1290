"""Decide what a store's database file holds, and whether a given file is one.

`create` and `migrate` are the only writers of the schema; nothing here changes a file of another
application, or of a newer version of Tickglass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError
from tickglass.sched.stores.sqlite.migration import migrate

if TYPE_CHECKING:
    import sqlite3

__all__ = ["CONTROL", "INSTANCES", "SCHEMA_VERSION", "check_current", "create", "make_current", "version_of"]

SCHEMA_VERSION: Final = 2
_APPLICATION_ID: Final = int.from_bytes(b"TkGl")  # what `file` and we know our databases by

# Times: *_wall_ns are for people, nanoseconds since the Unix epoch. The others are the host's monotonic clock, which
# restarts at a reboot: a lease renewed "later than now" is from an earlier boot, and dead.
#
# One fence counter for all resources: each fence is greater than all before it, and a million resources that were
# locked once leave nothing behind. A lease is told from all others by (resource, fence).
#
# Attempts lie in the order of their due instants, so claims of ten thousand jobs write to the same last page.
#
# `stop` of a lease (why its run is asked to stop) and `not_before_ns` of an attempt have no writer yet: they are
# there so that retries and requests to stop need no other layout.
#
# No RETURNING, no STRICT: Python 3.11 runs with SQLite 3.34 on RHEL 9.
_LEASES: Final = """CREATE TABLE leases (
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
        expires_ns INTEGER NOT NULL,
        stop TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID"""
_JOBS: Final = """CREATE TABLE jobs (
        name TEXT NOT NULL,
        trigger TEXT NOT NULL,
        resource TEXT NOT NULL,
        owner TEXT NOT NULL,
        service TEXT NOT NULL,
        ttl_ns INTEGER NOT NULL,
        grace_ns INTEGER NOT NULL,
        timeout_ns INTEGER,
        next_due_ns INTEGER,
        seen_wall_ns INTEGER NOT NULL,
        PRIMARY KEY (service, name)
    ) WITHOUT ROWID"""
_ATTEMPTS: Final = """CREATE TABLE attempts (
        service TEXT NOT NULL,
        job TEXT NOT NULL,
        due_ns INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        owner TEXT NOT NULL,
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
        kind TEXT NOT NULL DEFAULT 'scheduled',
        not_before_ns INTEGER,
        ran_ns INTEGER,
        declaration TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (due_ns, service, job, attempt)
    ) WITHOUT ROWID"""
_INDEXES: Final = (
    "CREATE INDEX attempts_by_job ON attempts (service, job, due_ns, attempt)",
    "CREATE INDEX attempts_unsettled ON attempts (due_ns, service, job, attempt) WHERE outcome IS NULL",
)
_FENCE: Final = ("CREATE TABLE fence (latest INTEGER NOT NULL)", "INSERT INTO fence VALUES (0)")
# The parties that wait for a resource, see fairness.py; times are the monotonic clock's.
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

# Added to schema 2 later, and no statement of an older process names them: so both kinds of process share a file, and
# these tables are made where they are first written.
INSTANCES: Final = (
    """CREATE TABLE IF NOT EXISTS instances (
        incarnation TEXT PRIMARY KEY,
        service TEXT NOT NULL,
        owner TEXT NOT NULL,
        version TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        state TEXT NOT NULL,
        seen_wall_ns INTEGER NOT NULL,
        seen_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS job_sets (fingerprint TEXT PRIMARY KEY, names TEXT NOT NULL) WITHOUT ROWID",
)

# What stands (one row), and the acts that made it, see control.py.
CONTROL: Final = (
    "CREATE TABLE IF NOT EXISTS control (version INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS acts (version INTEGER PRIMARY KEY, wall_ns INTEGER NOT NULL, text TEXT NOT NULL)",
)

# One statement, so one snapshot: another process may be creating the tables at this moment.
_IDENTIFY: Final = """
    SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
        (SELECT count(*) FROM sqlite_master)"""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the file's schema; 0 for an empty file.

    Raises:
        ConfigError: it is another application's, or a newer version's.
    """
    application_id, version, objects = connection.execute(_IDENTIFY).fetchone()
    if application_id != _APPLICATION_ID:
        if objects or application_id or version:
            raise ConfigError("the file is another application's database; give Tickglass one of its own")
        return 0
    if version > SCHEMA_VERSION:
        raise _too_new(version)
    return int(version)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, inside a write transaction, unless another process was faster."""
    if version_of(connection) == 0:
        for statement in (*_FENCE, _LEASES, _JOBS, _ATTEMPTS, *_INDEXES, _WAITING, *INSTANCES, *CONTROL):
            connection.execute(statement)
        _mark(connection)


def make_current(connection: sqlite3.Connection) -> None:
    """Check the schema, inside a write transaction; one of the version before is migrated in that transaction.

    Raises:
        ConfigError: a newer version has migrated the file meanwhile.
    """
    version = _user_version(connection)
    if version > SCHEMA_VERSION:
        raise _too_new(version)
    if version < SCHEMA_VERSION:
        migrate(connection, jobs=_JOBS, attempts=(_ATTEMPTS, *_INDEXES), waiting=_WAITING)
        _mark(connection)


def check_current(connection: sqlite3.Connection) -> None:
    """Check the schema before something is read; reading migrates nothing.

    Raises:
        ConfigError: it is not this version's.
    """
    version = _user_version(connection)
    if version > SCHEMA_VERSION:
        raise _too_new(version)
    if version < SCHEMA_VERSION:
        raise ConfigError(
            f"the database was written by an older Tickglass: its schema is version {version}, this one reads "
            f"{SCHEMA_VERSION}; the first scheduler of this version that starts on it migrates it"
        )


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _mark(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _too_new(version: int) -> ConfigError:
    return ConfigError(
        f"the database was written by a newer Tickglass: its schema is version {version}, "
        f"this one knows {SCHEMA_VERSION}; upgrade this installation, or choose another file"
    )
