"""Hints reach those who wait for them and nobody else; a lone instance publishes and hears nothing."""

from __future__ import annotations

import queue
import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from kit.servers import PATIENCE_S

from tickglass import Scheduler, every
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis.channels import SEATS, Channels, claims_seat
from tickglass.sched.stores.redis.store import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

NAMES = count()


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def opened(server: RedisServer) -> Iterator[Callable[..., RedisStore]]:
    """Return a function that opens a database of the server."""
    stores: list[RedisStore] = []

    def open_one(db: int = 0) -> RedisStore:
        store = open_store(f"redis://127.0.0.1:{server.port}/{db}", SystemClock())
        assert isinstance(store, RedisStore)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


def wait_until(true: Callable[[], object]) -> None:
    clock = SystemClock()
    until_ns = clock.monotonic_ns() + int(PATIENCE_S * SECOND)
    while not true():
        assert clock.monotonic_ns() < until_ns
        clock.wait(clock.monotonic_ns() + 10 * MS, Wake())


def published(server: RedisServer) -> int:
    """Return how many messages the scripts have published until now."""
    stats: dict[str, Any] = server.say("INFO", "commandstats")
    return int(stats.get("cmdstat_publish", {}).get("calls", 0))


def heard_channels(server: RedisServer) -> set[str]:
    """Return the channels that a connection is subscribed to."""
    return set(server.say("PUBSUB", "CHANNELS"))


def connections(server: RedisServer) -> int:
    """Return how many there are, but for the one that asks."""
    return int(server.say("INFO", "clients")["connected_clients"]) - 1


def pair(store: RedisStore, resource: str) -> None:
    ask = LeaseAsk(resource, "n1", "svc", f"token {next(NAMES)}", SECOND)
    granted = store.acquire(ask)
    assert isinstance(granted, Granted)
    store.release(ask.trusted(granted.fence, 0))


def run(store: RedisStore, owner: str) -> int:
    """Claim an occurrence and settle it; return its due instant."""
    due_ns = next(NAMES)
    lease = LeaseAsk("job", owner, "svc", f"token {due_ns}", SECOND, "job", f"run {due_ns}")
    ask = ClaimAsk(lease, due_ns)
    claimed = store.claim(ask)
    assert isinstance(claimed, Claimed)
    held = Lease("job", owner, lease.token, claimed.fence, SECOND, 0)
    store.settle(Settlement(held, "svc", "job", due_ns, lease.run_id, "success"))
    return due_ns


def test_a_scheduler_alone_publishes_nothing_and_hears_nothing(server: RedisServer) -> None:
    scheduler = Scheduler(server.url, service="svc")
    ran = threading.Semaphore(0)

    def job(_: object) -> None:
        ran.release()

    scheduler.add(job, every("20ms"))
    with scheduler:
        wait_until(lambda: len(heard_channels(server)) == SEATS - 1)
        for _ in range(10):
            assert ran.acquire(timeout=PATIENCE_S)
        with scheduler.lock("ledger"):
            pass
    assert published(server) == 0


def test_an_instance_hears_the_claims_of_others_and_not_its_own(
    server: RedisServer, opened: Callable[..., RedisStore]
) -> None:
    ours, theirs = opened(), opened()
    assert claims_seat("ours") != claims_seat("theirs")
    told = queue.SimpleQueue[tuple[str, int, str]]()
    ours.watch_claims("svc", "ours", lambda *claim: told.put(claim))
    wait_until(lambda: len(heard_channels(server)) == SEATS - 1)
    for _ in range(5):
        run(ours, "ours")
    assert published(server) == 0
    due_ns = run(theirs, "theirs")
    assert told.get(timeout=PATIENCE_S) == ("job", due_ns, "theirs")
    assert published(server) == 1


def test_a_release_is_published_only_while_somebody_waits_for_that_resource(
    server: RedisServer, opened: Callable[..., RedisStore]
) -> None:
    ours, theirs = opened(), opened()
    freed = threading.Semaphore(0)
    end = ours.watch("ledger", freed.release)
    wait_until(lambda: "{tickglass}:freed:0:ledger" in heard_channels(server))
    assert freed.acquire(timeout=PATIENCE_S), "the first time it is told in any case"
    pair(theirs, "another")
    assert published(server) == 0
    pair(theirs, "ledger")
    assert freed.acquire(timeout=PATIENCE_S)
    end()
    ours.watch("something else", lambda: None)  # the thread wakes, and ends the subscription that nobody needs
    wait_until(lambda: heard_channels(server) == {"{tickglass}:freed:0:something else"})
    pair(theirs, "ledger")
    assert published(server) == 1
    assert not freed.acquire(blocking=False)


def test_a_waiter_hears_nothing_of_other_databases(server: RedisServer, opened: Callable[..., RedisStore]) -> None:
    freed = threading.Semaphore(0)
    opened(0).watch("ledger", freed.release)
    opened(3).watch("ledger", lambda: None)
    wait_until(lambda: heard_channels(server) == {"{tickglass}:freed:0:ledger", "{tickglass}:freed:3:ledger"})
    assert freed.acquire(timeout=PATIENCE_S)
    pair(opened(3), "ledger")
    assert published(server) == 1
    run(opened(3), "n1")
    pair(opened(0), "ledger")
    assert freed.acquire(timeout=PATIENCE_S)
    assert published(server) == 2
    assert not freed.acquire(blocking=False)


def test_without_waiters_there_is_no_connection(
    server: RedisServer, opened: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.stores.redis.watch._PING_EVERY_NS", 50 * MS)
    store, freed = opened(), threading.Semaphore(0)
    for _ in range(2):
        end = store.watch("ledger", freed.release)
        assert freed.acquire(timeout=PATIENCE_S)
        wait_until(lambda: connections(server) == 1)
        end()
        wait_until(lambda: connections(server) == 0)


def test_a_user_who_may_not_ask_for_subscribers_publishes_all_the_same(
    server: RedisServer, opened: Callable[..., RedisStore]
) -> None:
    server.say("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-pubsub")
    theirs = open_store(f"redis://app:secret@127.0.0.1:{server.port}/0", SystemClock())
    assert isinstance(theirs, RedisStore)
    freed = threading.Semaphore(0)
    opened().watch("ledger", freed.release)
    assert freed.acquire(timeout=PATIENCE_S)
    wait_until(lambda: "{tickglass}:freed:0:ledger" in heard_channels(server))
    pair(theirs, "ledger")
    assert freed.acquire(timeout=PATIENCE_S)
    theirs.close()


def test_an_owner_hears_all_seats_but_its_own() -> None:
    channels = Channels("{tickglass}", 2)
    heard = channels.claims_of_others("svc", "host/svc/0")
    assert len(set(heard)) == SEATS - 1
    assert channels.claims("svc", claims_seat("host/svc/0")) not in heard
    neighbours = {claims_seat(f"host/svc/{slot}") for slot in range(10)}
    assert len(neighbours) > 7, "instances of one host seldom share a seat"
