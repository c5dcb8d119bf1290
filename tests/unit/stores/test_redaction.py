"""No password of a URL is shown, and nothing tells how long it is."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_url, redacted_url
from tickglass.sched.stores.redaction import RedactedText
from tickglass.sched.stores.registry import _parsed

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
@example(place="me:{}@h:6379", password="//ß")
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
    redacted = RedactedText(url, lambda _: ("a",))
    start = url.rindex(part)
    assert redacted.text[slice(*redacted.span(start, start + len(part)))] == pointed_at
