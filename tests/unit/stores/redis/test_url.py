"""Every wrong URL of Redis is refused with a finger on the wrong part; a right one connects to nobody."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest
from kit.asks import ASK

from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.stores import check_url, open_store

if TYPE_CHECKING:
    from pathlib import Path


# URL, the part that the carets stand under, a word of the problem, a right spelling
WRONG: Final = [
    ("redis://", "", "names one server", "redis://localhost:6379/0"),
    ("redis:///0", "", "names one server", "redis://localhost:6379/0"),
    ("redis://host:7000/0/", "0/", "is a number", "0"),
    ("redis://host/one", "one", "is a number", "0"),
    ("redis://host/0/1", "0/1", "is a number", "0"),
    ("redis://host:port/0", "host:port", "a host and a port", "localhost:6379"),
    ("redis://host:70000/0", "host:70000", "a host and a port", "localhost:6379"),
    ("redis://a:1,b:2/0", "a:1,b:2", "names one server", "redis://localhost:6379/0"),
    ("redis://host/0?timeout=2", "timeout=2", "timeout is not a duration", "?timeout=24h"),
    ("redis://host/0?keep=1s", "keep=1s", "keep must be at least 1m", "?keep=24h"),
    ("redis://host/0?prefix={a}", "prefix={a}", "no braces", "?prefix=jobs"),
    ("unix://run/redis.sock", "run/redis.sock", "absolute path", "unix:///run/redis.sock"),
    ("unix:///", "/", "absolute path", "unix:///run/redis/redis.sock"),
    ("unix:///redis.sock?db=x", "x", "is a number", "0"),
    (
        "redis+sentinel://h1:26379/0",
        "h1:26379/0",
        "the name of a master",
        "redis+sentinel://h1:26379,h2:26379/mymaster",
    ),
    ("redis+sentinel://h1", "h1", "the name of a master", "redis+sentinel://h1:26379,h2:26379/mymaster"),
    ("redis+sentinel://h1,h1/mymaster/0", "h1", "named twice", None),
    ("redis+sentinel://h1,/mymaster/0", "", "a host and a port", "localhost:26379"),
    ("redis://h1:\u0661/0", "h1:\u0661", "a host and a port", "localhost:6379"),
    ("redis://h1:1/0?keep=\u0662h", "keep=\u0662h", "keep is not a duration", "?keep=24h"),
    ("redis+cluster://h1:1/2", "/2", "no database but 0", "redis+cluster://h1:1"),
]


@pytest.mark.parametrize(("url", "part", "problem", "instead"), WRONG)
def test_a_wrong_url_is_pointed_at_and_put_right(url: str, part: str, problem: str, instead: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        check_url(url)
    error = raised.value
    assert problem in error.problem
    assert error.given == url
    assert (error.instead[0] if error.instead else None) == instead
    if part:
        assert error.span is not None
        assert url[slice(*error.span)] == part


@pytest.mark.parametrize(
    ("url", "instead"),
    [("redis://host?db=1", ()), ("redis://host?Timout=2s", ("timeout=",)), ("redis://h?kep=1d", ("keep=",))],
)
def test_an_unknown_option_is_answered_with_the_near_one_and_its_value_is_not_shown(
    url: str, instead: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match="has no option") as raised:
        check_url(url)
    assert raised.value.given == url.partition("=")[0] + "=***"
    assert raised.value.instead == instead


WITHOUT_A_DATABASE: Final = [
    "redis://localhost",
    "redis://localhost:6379/",
    "rediss://me:secret@localhost:6379?timeout=2s",
    "redis+sentinel://h1,h2/mymaster",
    "redis+sentinel://h1,h2/mymaster/",
    "redis+cluster://h1:7000/",
    "redlock://h1,h2,h3",
    "redlock://h1,h2,h3/?prefix=jobs",
]


@pytest.mark.parametrize("url", WITHOUT_A_DATABASE)
def test_a_url_needs_no_database(url: str) -> None:
    check_url(url)


RIGHT: Final = [
    "redis://localhost:6379/0",
    "redis://user:p%40ss@[::1]:6379/15?prefix=jobs&keep=48h&timeout=500ms",
    "rediss://:secret@example.org/0",
    "unix:///run/redis/redis.sock?db=3",
    "unix://user:secret@/run/redis.sock",
    "redis+sentinel://h1,h2:26380,h3/mymaster/0",
    "redis+cluster://h1:7000,h2:7000",
]


@pytest.mark.parametrize("url", RIGHT)
def test_a_right_url_is_opened_without_a_connection(url: str) -> None:
    store = open_store(url, SystemClock())
    store.close()
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        store.acquire(ASK)


@pytest.mark.parametrize(("name", "why"), [("missing.pem", "No such file"), ("empty.pem", "certificate")])
def test_certificates_that_cannot_be_read_are_named_when_the_store_is_opened(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "empty.pem").touch()
    url = f"rediss://:secret@localhost/0?ca={tmp_path / name}"
    check_url(url)
    with pytest.raises(ConfigError, match=f"the certificates in {tmp_path / name} cannot be read: .*{why}") as raised:
        open_store(url, SystemClock())
    assert raised.value.span is not None
    assert raised.value.given == url.replace("secret", "***")
    assert raised.value.given[slice(*raised.value.span)] == f"ca={tmp_path / name}"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'tickglass\[redis\]'"):
        open_store("redis://localhost:6379/0", SystemClock())
