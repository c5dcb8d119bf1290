"""What operators ask for, in a file: between processes, and where an older version made the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.ports import ControlRecord
from tickglass.sched.stores import open_store
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.ports import Store

PATIENCE_S: Final = 60.0
ACTS: Final = 50
# Begins when its standard input ends; then prints the versions that it made.
WRITER: Final = """
import sys
from tickglass.sched.clock import SystemClock
from tickglass.sched.ports import ControlRecord
from tickglass.sched.stores import open_store

url, name, count = sys.argv[1:]
store = open_store(url, SystemClock())
made, attempts = [], 0
print("ready", flush=True)
sys.stdin.read()
while len(made) < int(count):
    attempts += 1
    version = store.control().version + 1
    if store.write_control(ControlRecord(version, name), f"{name} {attempts}"):
        made.append(version)
print(*made)
"""


def race(url: str) -> list[list[int]]:
    """Have two processes make acts at once; return the versions that each of them made."""
    with ExitStack() as stack:
        command = [sys.executable, "-c", WRITER, url]
        writers = [
            stack.enter_context(
                subprocess.Popen([*command, name, str(ACTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for name in ("a", "b")
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
        made = [list(map(int, writer.stdout.read().split())) for writer in writers if writer.stdout is not None]
        assert [writer.wait(PATIENCE_S) for writer in writers] == [0, 0]
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{path}", FakeClock())
    yield store
    store.close()


@pytest.fixture
def without_tables(path: Path) -> Path:
    open_store(f"sqlite:///{path}", FakeClock()).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE control; DROP TABLE acts")
    return path


def test_two_processes_make_versions_without_a_hole(path: Path, store: Store) -> None:
    made = race(f"sqlite:///{path}")
    assert sorted(made[0] + made[1]) == list(range(1, 2 * ACTS + 1))
    rows = store.audit(2 * ACTS + 1)
    assert [row.version for row in rows] == list(range(2 * ACTS, 0, -1))
    assert all(row.text.startswith("a" if row.version in made[0] else "b") for row in rows)
    record = store.control()
    assert record is not None
    assert record.version == 2 * ACTS


def test_a_file_of_a_version_without_it_is_read_as_before_the_first_act(without_tables: Path) -> None:
    store, other = (open_store(f"sqlite:///{without_tables}", FakeClock()) for _ in range(2))
    assert other.control() == ControlRecord()
    assert other.control(0) is None
    assert list(other.audit()) == []
    assert store.write_control(ControlRecord(1, "text"), "act")
    assert other.control(0) == ControlRecord(1, "text")
    assert [row.text for row in other.audit()] == ["act"]
    store.close()
    other.close()


def test_it_keeps_its_schema_version_so_older_processes_go_on(without_tables: Path) -> None:
    with closing(sqlite3.connect(without_tables)) as connection:
        before = connection.execute("PRAGMA user_version").fetchone()
        store = open_store(f"sqlite:///{without_tables}", FakeClock())
        assert store.write_control(ControlRecord(1, "text"), "act")
        store.close()
        assert connection.execute("PRAGMA user_version").fetchone() == before


def test_what_stands_is_read_while_another_process_writes(path: Path, store: Store) -> None:
    assert store.write_control(ControlRecord(1, "text"), "act")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert store.control(1) is None
        assert store.control() == ControlRecord(1, "text")
        connection.execute("ROLLBACK")


def test_an_unchanged_version_is_one_statement_once_the_tables_are_seen(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    assert store.write_control(ControlRecord(1, "text"), "act")
    assert store.control(1) is None
    statements: list[str] = []
    assert store._file._reader is not None
    store._file._reader.set_trace_callback(statements.append)
    assert store.control(1) is None
    assert [it for it in statements if not it.startswith("PRAGMA")] == [
        "SELECT version, iif(version = 1, '', text) FROM control"
    ]


def test_rows_of_a_record_that_a_person_deleted_are_dropped_by_the_first_act(path: Path, store: Store) -> None:
    for version in (1, 2, 3):
        assert store.write_control(ControlRecord(version, ""), f"act {version}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM control")
        connection.commit()
    assert store.control(3) == ControlRecord()
    assert len(store.audit()) == 3
    assert store.write_control(ControlRecord(1, "anew"), "act anew")
    assert [row.text for row in store.audit()] == ["act anew"]
