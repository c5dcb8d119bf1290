"""Every wrong URL is refused with the URL, a finger on the wrong part, and a right spelling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_url, open_store
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
    ("postgres://hunter2@h/db", "postgres", "there are memory, sqlite", "memory://"),
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


@pytest.mark.parametrize("url", ["redis://:hunter?2@h/0", "redis://h:6379/0?prefix=a@b"])
def test_an_at_sign_after_the_question_mark_is_refused_with_its_right_spelling(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write %3F for \?, in an option %40 for @") as raised:
        check_url(url)
    assert raised.value.given == "redis://***"
