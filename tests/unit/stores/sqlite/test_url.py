"""The URL of a database file: its path, its options, and what is wrong with the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.ports import Granted, LeaseAsk
from tickglass.sched.stores import check_url, open_store
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


def test_a_url_is_checked_without_making_a_file(tmp_path: Path) -> None:
    check_url(f"sqlite:///{tmp_path}/jobs.db?synchronous=full&keep=2h30m")
    check_url("sqlite:////no/such/directory/jobs.db")
    assert list(tmp_path.iterdir()) == []


def test_paths_are_relative_absolute_or_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///a.db", f"sqlite:///{tmp_path}/b.db", "sqlite:///what%3f%20%25.db", "sqlite:///d#e&f=.db"):
        open_store(url, FakeClock()).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "b.db", "d#e&f=.db", "what? %.db"]


def test_a_relative_path_stays_what_it_was_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///a.db", FakeClock())
    monkeypatch.chdir("/")
    assert isinstance(store.acquire(LeaseAsk("r", "o", "s", "t", SECOND)), Granted)
    store.close()


def test_the_options_of_the_url_reach_the_store(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db?synchronous=full&keep=2h", FakeClock())
    assert isinstance(store, SqliteStore)
    assert store._pruner._keep_ns == 7_200 * SECOND
    assert store._file.write("test", lambda it: it.execute("PRAGMA synchronous").fetchone()) == (2,)
    store.close()


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("missing/jobs.db", "there is no directory"),
        ("file.txt/jobs.db", "there is no directory"),
        (".", "is a directory, not a file"),
        ("file.txt", "not a SQLite database"),
    ],
)
def test_a_wrong_place_is_refused_with_the_url(tmp_path: Path, place: str, problem: str) -> None:
    (tmp_path / "file.txt").write_text("what is this? " * 100)
    url = f"sqlite:///{tmp_path}/{place}"
    with pytest.raises(ConfigError, match=problem) as raised:
        open_store(url, FakeClock())
    assert raised.value.given == url
    assert (tmp_path / "file.txt").read_text() == "what is this? " * 100


def test_a_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be opened or created there"):
        open_store("sqlite:////proc/jobs.db", FakeClock())
