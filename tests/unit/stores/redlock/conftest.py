"""Three Redis servers of the test's own, and stores over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redlock.store import RedlockStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer


@pytest.fixture
def servers(own_redis: Callable[..., RedisServer]) -> list[RedisServer]:
    return [own_redis() for _ in range(3)]


@pytest.fixture
def opened(servers: list[RedisServer]) -> Iterator[Callable[..., RedlockStore]]:
    """Return a function that opens the servers, with options; what it opened is closed afterwards."""
    stores: list[RedlockStore] = []

    def open_one(options: str = "timeout=200ms") -> RedlockStore:
        places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        store = open_store(f"redlock://{places}/0?{options}", SystemClock())
        assert isinstance(store, RedlockStore)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., RedlockStore]) -> RedlockStore:
    return opened()
