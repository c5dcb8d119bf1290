"""Every wrong URL of Redlock is refused with a finger on the wrong part; a right one connects to no server."""

from __future__ import annotations

from typing import Final

import pytest
from kit.asks import ASK

from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.stores import check_url, open_store

# URL, the part that the carets stand under, a word of the problem, a right spelling
WRONG: Final = [
    ("redlock://a:1,b:1/0", "a:1,b:1", "odd number of independent servers", "redlock://h1:6379,h2:6379,h3:6379/0"),
    ("redlock://a:1/0", "a:1", "odd number of independent servers", "redlock://h1:6379,h2:6379,h3:6379/0"),
    ("redlock://a:1,b:1,c:1,d:1/0", "a:1,b:1,c:1,d:1", "not 4", "redlock://h1:6379,h2:6379,h3:6379/0"),
    ("redlock://a:1,b:1,a:1/0", "a:1", "named twice", None),
    ("redlock://a:1,b:1,c:1/x", "x", "is a number", "0"),
    ("redlock://a:1,b:1,c:1/0?drift=1", "drift=1", "drift is not a duration", "?drift=24h"),
]


@pytest.mark.parametrize(("url", "part", "problem", "instead"), WRONG)
def test_a_wrong_url_is_pointed_at_and_put_right(url: str, part: str, problem: str, instead: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        check_url(url)
    error = raised.value
    assert problem in error.problem
    assert error.given == url
    assert (error.instead[0] if error.instead else None) == instead
    assert error.span is not None
    assert url[slice(*error.span)] == part


def test_a_right_url_is_opened_without_a_connection() -> None:
    store = open_store("redlock://h1,h2,h3:6380/0?drift=200ms&timeout=50ms", SystemClock())
    store.close()
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        store.acquire(ASK)
