"""Keep the records of instances in a store's database file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from tickglass.sched.ports import Beat, InstanceRecord
from tickglass.sched.stores.retention import gone_for_long
from tickglass.sched.stores.sqlite.schema import INSTANCES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock, Reading
    from tickglass.sched.stores.sqlite.file import SqliteFile

__all__ = ["Instances"]

T = TypeVar("T")

_JOIN: Final = "INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_BEAT: Final = "UPDATE instances SET fingerprint = ?, state = ?, seen_wall_ns = ?, seen_ns = ? WHERE incarnation = ?"
_NAME: Final = "INSERT OR REPLACE INTO job_sets VALUES (?, ?)"
_NAMES: Final = "SELECT names FROM job_sets WHERE fingerprint = ?"
_FORGET: Final = "DELETE FROM instances WHERE incarnation = ?"
_FORGET_NAMES: Final = "DELETE FROM job_sets WHERE fingerprint NOT IN (SELECT fingerprint FROM instances)"
_ALL: Final = """
    SELECT service, owner, incarnation, version, fingerprint, state, seen_wall_ns, seen_ns
    FROM instances ORDER BY service, owner, incarnation"""
_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE name IN ('instances', 'job_sets')"


class Instances:
    """See `Membership` and `StoreObserver`; a file of a version that knew no instances has none."""

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`."""

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock.reading()
            who = (instance.incarnation, instance.service, instance.owner, instance.version)
            what = (instance.fingerprint, instance.state)
            connection.execute(_JOIN, (*who, *what, now.wall_ns, now.monotonic_ns))
            connection.execute(_NAME, (instance.fingerprint, json.dumps(sorted(jobs))))
            gone = gone_for_long(_read(connection, now))
            connection.executemany(_FORGET, [(incarnation,) for incarnation in gone])
            connection.execute(_FORGET_NAMES)

        self._file.write("join", _with_tables(work))

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""

        def work(connection: sqlite3.Connection) -> Beat:
            now = self._clock.reading()
            what = (instance.fingerprint, instance.state, now.wall_ns, now.monotonic_ns)
            if not connection.execute(_BEAT, (*what, instance.incarnation)).rowcount:
                return Beat.FORGOTTEN
            named = connection.execute(_NAMES, (instance.fingerprint,)).fetchone()
            return Beat.PARTLY if named is None else Beat.KNOWN

        return self._file.write("beat", _with_tables(work))

    def all(self) -> list[InstanceRecord]:
        """See `StoreObserver.instances`."""

        def work(connection: sqlite3.Connection) -> list[InstanceRecord]:
            return _read(connection, self._clock.reading()) if _has_tables(connection) else []

        return self._file.read("instances", work)

    def job_set(self, fingerprint: str) -> list[str] | None:
        """See `StoreObserver`."""

        def work(connection: sqlite3.Connection) -> list[str] | None:
            row = connection.execute(_NAMES, (fingerprint,)).fetchone() if _has_tables(connection) else None
            return None if row is None else json.loads(row[0])

        return self._file.read("job_set", work)


def _with_tables(work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    def made(connection: sqlite3.Connection) -> T:
        for statement in INSTANCES:
            connection.execute(statement)
        return work(connection)

    return made


def _has_tables(connection: sqlite3.Connection) -> bool:
    return int(connection.execute(_TABLES).fetchone()[0]) == len(INSTANCES)


def _read(connection: sqlite3.Connection, now: Reading) -> list[InstanceRecord]:
    """Return all records; what was written in an earlier boot is dated by the wall clock."""
    found = []
    for *fields, seen_ns in connection.execute(_ALL):
        record = InstanceRecord(*fields)
        by_wall_ns = max(0, now.wall_ns - record.seen_wall_ns)
        silent_ns = now.monotonic_ns - seen_ns if seen_ns <= now.monotonic_ns else by_wall_ns
        found.append(replace(record, silent_ns=silent_ns))
    return found
