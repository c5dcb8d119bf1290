"""The thread that hears of freed resources and of claims lives as long as its store, whatever it hears."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pytest
from kit.servers import PATIENCE_S

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import ClaimAsk, LeaseAsk
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis.channels import claims_seat
from tickglass.sched.stores.redis.store import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    store = open_store(f"redis://127.0.0.1:{server.port}/0?timeout=1s", SystemClock())
    assert isinstance(store, RedisStore)
    yield store
    store.close()


def wait_until(true: Callable[[], object]) -> None:
    clock = SystemClock()
    until_ns = clock.monotonic_ns() + int(PATIENCE_S * SECOND)
    while not true():
        assert clock.monotonic_ns() < until_ns
        clock.wait(clock.monotonic_ns() + 20 * MS, Wake())


def test_what_nobody_can_read_is_passed_over(server: RedisServer, store: RedisStore) -> None:
    told = queue.SimpleQueue[tuple[str, int, str]]()
    store.watch_claims("svc", "listener", lambda *claim: told.put(claim))
    wait_until(lambda: server.say("PUBLISH", f"{{tickglass}}:claimed:0:svc:{claims_seat('o')}", "hello"))
    store.claim(ClaimAsk(LeaseAsk("r", "o", "svc", "t", SECOND, "j", "run"), 2))
    assert told.get(timeout=PATIENCE_S) == ("j", 2, "o")


def test_the_watch_outlives_what_it_calls(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a hint too many")

    end = store.watch("broken", broken)
    wait_until(lambda: "a hint too many" in caplog.text)
    end()
    heard = threading.Semaphore(0)
    store.watch("ledger", heard.release)
    assert heard.acquire(timeout=PATIENCE_S), "told when the subscription begins anew"
    server.say("PUBLISH", "{tickglass}:freed:0:ledger", "")
    assert heard.acquire(timeout=PATIENCE_S)


def test_watches_that_have_ended_are_forgotten(store: RedisStore) -> None:
    for number in range(100):
        store.watch(f"order {number}", lambda: None)()
    store.watch("ledger", lambda: None)
    assert store._watch._watchers.resources() == ["ledger"]
    assert not [it for it in vars(store._watch).values() if isinstance(it, set) and it]
