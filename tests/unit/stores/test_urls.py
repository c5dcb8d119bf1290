"""Every wrong URL is refused with the URL, a finger on the wrong part, and a right spelling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.ports import Granted, LeaseAsk
from tickglass.sched.stores import check_url, open_store
from tickglass.sched.stores.memory import MemoryStore
from tickglass.sched.stores.sqlite import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

# URL, the part that the carets stand under ("" for none), a word of the problem, a right spelling
WRONG: Final = [
    ("", "", "empty", "memory://"),
    (" memory://", "", "blanks", "memory://"),
    ("jobs.db", "", "begins with the name", "sqlite:///jobs.db"),
    ("/var/lib/jobs.db", "", "begins with the name", "sqlite:////var/lib/jobs.db"),
    ("memory", "", '"://"', "memory://"),
    ("memory:", ":", '"://"', "memory://"),
    ("sqlite:jobs.db", ":", '"://"', "sqlite:///jobs.db"),
    ("sqlite:/jobs.db", ":/", '"://"', "sqlite:////jobs.db"),
    ("sqllite:///jobs.db", "sqllite", "memory, sqlite", "sqlite:///jobs.db"),
    ("SQLite:///jobs.db", "SQLite", "no store 'SQLite'", "sqlite:///jobs.db"),
    ("postgres://u:hunter2@h/db", "postgres", "there are memory, sqlite", "memory://"),
    ("://jobs.db", "", "no store ''", "memory://"),
    ("memory://jobs", "jobs", "no path", "memory://"),
    ("memory:///", "/", "no path", "memory://"),
    ("memory://?synchronous=full", "synchronous=full", "no option 'synchronous'; it has keep", None),
    ("sqlite://", "", "path of a file", "sqlite:///jobs.db"),
    ("sqlite:///", "", "path of a file", "sqlite:///jobs.db"),
    ("sqlite:///jobs/", "jobs/", "path of a file", "sqlite:///jobs.db"),
    ("sqlite:///a%00b", "a%00b", "path of a file", "sqlite:///jobs.db"),
    ("sqlite://jobs.db", "jobs.db", "three slashes", "sqlite:///jobs.db"),
    ("sqlite:///:memory:", ":memory:", "not shared", "memory://"),
    ("sqlite:///jobs.db?sync=full", "sync=full", "no option 'sync'; it has synchronous and keep", None),
    ("sqlite:///jobs.db?synchronous=off", "synchronous=off", "not a known setting", "?synchronous=normal"),
    ("sqlite:///jobs.db?synchronous=", "synchronous=", "a name, = and a value", "?keep=24h"),
    ("sqlite:///jobs.db?full", "full", "a name, = and a value", "?keep=24h"),
    ("sqlite:///jobs.db?keep=24h&", " ", "a name, = and a value", "?keep=24h"),
    ("sqlite:///jobs.db?keep=24h&keep=1h", "keep=1h", "given twice", None),
    ("sqlite:///jobs.db?keep=24", "keep=24", "keep is not a duration", "?keep=24h"),
    ("sqlite:///jobs.db?keep=1s", "keep=1s", "keep must be at least 1m", "?keep=24h"),
    ("memory://?keep=tomorrow", "keep=tomorrow", "keep is not a duration", "?keep=24h"),
]


@pytest.mark.parametrize(("url", "part", "problem", "instead"), WRONG)
@pytest.mark.parametrize("use", [check_url, lambda url: open_store(url, FakeClock())], ids=["check", "open"])
def test_a_wrong_url_is_shown_pointed_at_and_put_right(
    use: Callable[[str], None], url: str, part: str, problem: str, instead: str | None
) -> None:
    with pytest.raises(ConfigError) as raised:
        use(url)
    error = raised.value
    assert problem in error.problem
    assert error.given is not None
    assert url.replace("hunter2", "*******") in error.given
    assert (error.instead[0] if error.instead else None) == instead
    if part:
        lines = str(error).splitlines()
        start = lines[2].index("^")
        assert lines[1][start : lines[2].rindex("^") + 1].ljust(len(part)) == part


@pytest.mark.parametrize("given", [None, 7, Path("jobs.db")])
def test_what_is_no_text_is_no_url(given: str) -> None:
    with pytest.raises(ConfigError, match="a store URL is text, not"):
        check_url(given)


def test_a_password_is_never_shown() -> None:
    for url in ("redis://:hunter2@host:1", "redis://me:hunter2@host", "me:hunter2@host"):
        with pytest.raises(ConfigError) as raised:
            check_url(url)
        assert "hunter2" not in str(raised.value)


def test_checking_touches_nothing(tmp_path: Path) -> None:
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


def test_options_arrive(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db?synchronous=full&keep=2h", FakeClock())
    assert isinstance(store, SqliteStore)
    assert store._pruner._keep_ns == 7_200 * SECOND
    assert store._file.write("test", lambda it: it.execute("PRAGMA synchronous").fetchone()) == (2,)
    store.close()
    memory = open_store("memory://?keep=90m", FakeClock())
    assert isinstance(memory, MemoryStore)
    assert memory._keep_ns == 5_400 * SECOND


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
