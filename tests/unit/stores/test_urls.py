"""Every wrong URL is refused with the URL, a finger on the wrong part, and a right spelling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.ports import Granted, LeaseAsk
from tickglass.sched.stores import check_url, open_store, redacted_url
from tickglass.sched.stores.memory import MemoryStore
from tickglass.sched.stores.redaction import Starred
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.sched.stores.urls import _parsed
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
    ("sqlite://", "", "path of a file", "sqlite:///jobs.db"),
    ("sqlite:///", "", "path of a file", "sqlite:///jobs.db"),
    ("sqlite:///jobs/", "jobs/", "path of a file", "sqlite:///jobs.db"),
    ("sqlite:///a%00b", "a%00b", "path of a file", "sqlite:///jobs.db"),
    ("sqlite://jobs.db", "jobs.db", "three slashes", "sqlite:///jobs.db"),
    ("sqlite:///:memory:", ":memory:", "not shared", "memory://"),
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
    assert url.replace("hunter2", "***") in error.given
    assert (error.instead[0] if error.instead else None) == instead
    if part:
        lines = str(error).splitlines()
        start = lines[2].index("^")
        assert lines[1][start : lines[2].rindex("^") + 1].ljust(len(part)) == part


@pytest.mark.parametrize("given", [None, 7, Path("jobs.db")])
def test_what_is_no_text_is_no_url(given: str) -> None:
    with pytest.raises(ConfigError, match="a store URL is text, not"):
        check_url(given)


# URL, how it is shown, the part that the carets stand under, what is said of it
UNKNOWN_OPTIONS: Final = [
    ("memory://?sync=full", "memory://?sync=***", "sync=***", "no option 'sync'; it has keep"),
    (
        "sqlite:///a.db?keep=1h&sync=full",
        "sqlite:///a.db?keep=1h&sync=***",
        "sync=***",
        "it has synchronous and keep",
    ),
    ("etcd://h?db=0&keep=1h", "etcd://h?db=***", "db=***", "no option 'db'; it has prefix and keep and timeout"),
    ("redis://h/0?db=1", "redis://h/0?db=***", "db=***", "no option 'db'"),
    ("redis://h/0?ca=x.pem", "redis://h/0?ca=***", "ca=***", "no option 'ca'"),
    ("redis://:p@h/0?password=p", "redis://:***@h/0?password=***", "password=***", "no option 'password'"),
]


@pytest.mark.parametrize(("url", "shown", "part", "problem"), UNKNOWN_OPTIONS)
def test_an_option_that_the_store_does_not_have_is_pointed_at_and_its_value_not_shown(
    url: str, shown: str, part: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        check_url(url)
    error = raised.value
    assert problem in error.problem
    assert error.given == shown
    assert error.span is not None
    assert shown[slice(*error.span)] == part


# URL, how it is shown
SHOWN: Final = [
    ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
    ("redis://me:a:b@h/0", "redis://me:***@h/0"),
    ("redis://me:p@ss@h/0?prefix=jobs", "redis://me:***@h/0?prefix=jobs"),
    ("redis://:/p/s@h/0", "redis://:***@h/0"),
    ("redis://me@[::1]:6379/0", "redis://me@[::1]:6379/0"),
    ("unix://me:p/s@/run/redis.sock?db=1", "unix://me:***@/run/redis.sock?db=1"),
    ("etcd://me:a:b@h1:2379,h2:2379?prefix=/jobs", "etcd://me:***@h1:2379,h2:2379?prefix=/jobs"),
    ("redlock://u:p1@h1:1,u:p2@h2:2,h3:3/0", "redlock://u:***@h2:2,h3:3/0"),
    ("sqlite:///jobs@home.db", "sqlite:///jobs@home.db"),
]


@pytest.mark.parametrize(("url", "shown"), SHOWN)
def test_a_password_is_starred_out_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert redacted_url(url) == shown


SECRET: Final = "žßΩñ"
PLACES: Final = [
    "redis://:{}@h:6379/0",
    "redis://me:{}@h:6379/0?keep=48h",
    "redis://me:{}@h",
    "rediss://me:{}@[::1]/0?ca=/a.pem&timeout=2",
    "unix://me:{}@/run/redis.sock?db=1",
    "unix://me:{}@run/redis.sock",
    "redis+sentinel://:{}@h1,h2:26379/mymaster/0",
    "redis+sentinel://:{0}@h1,:{0}@h2",
    "redis+cluster://:{}@h1:7000,h2:7000/1",
    "redlock://me:{}@h1,h2,h3:6380/0?drift=200ms",
    "redlock://me:{0}@h1:1,me:{0}@h2:2,me:{0}@h3:3/0",
    "etcd://me:{}@h1:2379,h2?prefix=/jobs",
    "etcd://:{}@h",
    "memory://me:{}@h",
    "sqlite://me:{}@h/0",
    "postgres://me:{}@h/db",
    "redis:me:{}@h/0",
    "redis:/:{}@h/0",
    "me:{}@h:6379",
    " redis://:{}@h/0",
    "redis://h:6379/0?password={}",
    "redis+sentinel://h1,h2/mymaster/0?keep=24h&sentinel_password={}&timeout=2s",
]


@settings(max_examples=400, deadline=None)
@given(
    place=st.sampled_from(PLACES),
    password=st.text(f"{SECRET}{SECRET}:/?@&=#%+,;[] '\"\\\n", min_size=3).filter(set(SECRET).intersection),
)
def test_nothing_of_a_password_is_ever_shown(place: str, password: str) -> None:
    url = place.format(password)
    for asked in (url, url.encode(), repr(url)):
        for ask in (check_url, redacted_url):
            try:
                said = str(ask(asked))  # type: ignore[arg-type]
            except ConfigError as error:
                said = f"{error} {error.args}"
            assert not set(SECRET) & set(said), said


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from(PLACES), short=st.text(SECRET, min_size=1), long=st.text(SECRET, min_size=1))
def test_how_long_a_password_is_is_never_shown(place: str, short: str, long: str) -> None:
    def said(password: str) -> list[str]:
        url, found = place.format(password), []
        for asked in (url, url.encode().decode("latin-1"), repr(url)):
            for ask in (check_url, redacted_url):
                try:
                    found.append(str(ask(asked)))
                except ConfigError as error:
                    found.append(f"{error} {error.args}")
        return found

    assert said(short) == said(long)


def test_no_part_of_a_url_is_seen_by_printing_it() -> None:
    url = "redis://:hunter2@h/0?prefix=hunter2"
    assert "hunter2" not in repr(_parsed(url))


@pytest.mark.parametrize(
    ("part", "pointed_at"),
    [
        ("redis", "redis"),
        ("me:", "me:"),
        ("hunter2", "***"),
        ("unt", "***"),
        ("2@h", "***@h"),
        ("h/0?", "h/0?"),
        ("a=b", "a=b"),
    ],
)
def test_a_part_is_found_again_beside_the_stars_and_under_them(part: str, pointed_at: str) -> None:
    url = "redis://me:hunter2@h/0?a=b"
    starred = Starred(url, lambda _: ("a",))
    start = url.rindex(part)
    assert starred.text[slice(*starred.span(start, start + len(part)))] == pointed_at


@pytest.mark.parametrize("url", ["redis://:hunter?2@h/0", "redis://h:6379/0?prefix=a@b"])
def test_an_at_sign_after_the_question_mark_is_refused_with_its_right_spelling(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write %3F for \?, in an option %40 for @") as raised:
        check_url(url)
    assert raised.value.given == "redis://***"


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
