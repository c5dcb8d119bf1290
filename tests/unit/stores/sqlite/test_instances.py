"""A file of a version that knew no instances has their tables when the first instance joins; nothing else changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.ports import Beat, InstanceRecord
from tickglass.sched.stores import open_store
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

RECORD = InstanceRecord("billing", "n1", "i1", "1.2.3", "f00d", "running")


@pytest.fixture
def without_tables(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.db"
    open_store(f"sqlite:///{path}", FakeClock()).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE instances; DROP TABLE job_sets")
    return path


def test_it_is_read_as_one_without_instances_and_joined(without_tables: Path) -> None:
    store = open_store(f"sqlite:///{without_tables}", FakeClock())
    assert store.instances() == []
    assert store.job_set("f00d") is None
    assert store.beat(RECORD) is Beat.FORGOTTEN
    store.join(RECORD, ["nightly"])
    assert store.beat(RECORD) is Beat.KNOWN
    assert store.job_set("f00d") == ["nightly"]
    store.close()


def test_it_keeps_its_schema_version_so_older_processes_go_on(without_tables: Path) -> None:
    with closing(sqlite3.connect(without_tables)) as connection:
        before = connection.execute("PRAGMA user_version").fetchone()
        store = open_store(f"sqlite:///{without_tables}", FakeClock())
        store.join(RECORD, [])
        store.close()
        assert connection.execute("PRAGMA user_version").fetchone() == before


def test_a_record_of_an_earlier_boot_is_dated_by_the_wall_clock(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path / 'jobs.db'}", FakeClock()
    store = open_store(url, clock)
    store.join(RECORD, [])
    store.close()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        connection.execute("UPDATE instances SET seen_ns = seen_ns + 1000000000000, seen_wall_ns = seen_wall_ns - 7")
        connection.commit()
    again = open_store(url, clock)
    (it,) = again.instances()
    assert it.silent_ns == 7
    again.close()
