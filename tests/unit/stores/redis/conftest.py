"""A Redis server of the test's own, and stores on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis.store import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer


@pytest.fixture
def opened() -> Iterator[Callable[..., RedisStore]]:
    """Return a function that opens a URL; what it opened is closed afterwards."""
    stores: list[RedisStore] = []

    def open_one(url: str) -> RedisStore:
        store = open_store(url, SystemClock())
        assert isinstance(store, RedisStore)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def store(server: RedisServer, opened: Callable[..., RedisStore]) -> RedisStore:
    return opened(f"redis://127.0.0.1:{server.port}/0?timeout=1s")
