"""Connections to a Redis server that break, hang, are refused or shared: each call is answered or given up in time."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from kit.asks import ASK, CLAIM, kind_of, lease_of, settlement_of
from kit.servers import PATIENCE_S
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import (
    Granted,
    LeaseAsk,
    Released,
    Renewed,
    Settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

    from tickglass.sched.stores.redis.store import RedisStore


def test_forgotten_scripts_are_shown_again(server: RedisServer, store: RedisStore) -> None:
    lease = lease_of(ASK, store.acquire(ASK))
    server.say("SCRIPT", "FLUSH")
    assert store.renew(lease) == Renewed()
    server.say("SCRIPT", "FLUSH")
    assert store.release(lease) == Released()


def test_a_broken_connection_is_replaced_at_the_next_call(server: RedisServer, store: RedisStore) -> None:
    claimed, held = store.claim(CLAIM), replace(ASK, resource="held")
    lease = lease_of(held, store.acquire(held))
    calls: list[Callable[[], object]] = [
        lambda: store.renew(lease_of(CLAIM.lease, claimed)),
        lambda: store.claim(CLAIM),
        lambda: store.settle(settlement_of(CLAIM, claimed)),
        lambda: store.acquire(ASK),
        lambda: store.release(lease),
        store.leases,
        store.time_ns,
    ]
    expected: list[object] = [Renewed(), claimed, Settled(recorded=True, released=True), None, Released(), None, None]
    for call, answer in zip(calls, expected, strict=True):
        server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert answer is None or call() == answer
        if answer is None:
            call()


def test_a_restarted_server_is_found_again_and_remembers(
    own_redis: Callable[..., RedisServer], opened: Callable[..., RedisStore]
) -> None:
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    store = opened(server.url)
    fence = lease_of(ASK, store.acquire(ASK)).fence
    claimed = store.claim(CLAIM)
    server.kill()
    assert kind_of(lambda: store.acquire(ASK)) == "unavailable"
    server.start()
    assert store.acquire(ASK) == Granted(fence)
    assert store.claim(CLAIM) == claimed


def test_a_silent_server_is_given_up_after_the_timeout(server: RedisServer, opened: Callable[..., RedisStore]) -> None:
    store = opened(f"{server.url}?timeout=100ms")
    store.acquire(ASK)
    server.kill(signal.SIGSTOP)
    clock = SystemClock()
    asked_ns = clock.monotonic_ns()
    assert kind_of(lambda: store.acquire(ASK)) == "unavailable"
    assert 50 * MS < clock.monotonic_ns() - asked_ns < 2 * SECOND
    server.kill(signal.SIGCONT)
    assert isinstance(store.acquire(ASK), Granted)


@pytest.mark.parametrize("path", ["", "/"])
def test_a_url_without_a_database_means_database_0(
    server: RedisServer, opened: Callable[..., RedisStore], path: str
) -> None:
    opened(f"redis://127.0.0.1:{server.port}/0").acquire(ASK)
    assert [lease.resource for lease in opened(f"redis://127.0.0.1:{server.port}{path}").leases()] == [ASK.resource]
    assert opened(f"redis://127.0.0.1:{server.port}/1").leases() == []


def test_a_port_without_a_server_is_unavailable(opened: Callable[..., RedisStore], free_port: int) -> None:
    store = opened(f"redis://127.0.0.1:{free_port}/0")
    assert kind_of(store.leases) == "unavailable"
    assert kind_of(store.time_ns) == "unavailable"
    assert kind_of(opened("unix:///no/such.sock").jobs) == "unavailable"


def test_a_wrong_password_is_an_error_and_the_right_one_is_not(
    own_redis: Callable[..., RedisServer], opened: Callable[..., RedisStore]
) -> None:
    server = own_redis("--requirepass", "p@ss:word/")
    place = f"127.0.0.1:{server.port}/0"
    assert kind_of(opened(f"redis://:wrong@{place}").leases) == "error"
    assert kind_of(opened(f"redis://{place}").leases) == "error"
    assert opened(f"redis://:p%40ss%3Aword%2F@{place}").leases() == []
    assert opened(f"redis://default:p%40ss%3Aword%2F@{place}").leases() == []


def test_threads_share_as_many_connections_as_are_inside_at_once(server: RedisServer, store: RedisStore) -> None:
    start = threading.Barrier(16)

    def work(number: int) -> None:
        start.wait(PATIENCE_S)
        for turn in range(20):
            ask = LeaseAsk(f"r{number}", "o", "s", f"t{number}-{turn}", SECOND)
            assert store.release(lease_of(ask, store.acquire(ask))) == Released()

    for _ in range(2):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    clients = [line for line in server.say("CLIENT", "LIST").splitlines() if "name=tickglass" in line]
    assert 1 <= len(clients) <= 16
    store.close()
    assert "name=tickglass" not in server.say("CLIENT", "LIST")


def test_an_idle_connection_is_closed_when_nothing_comes_over_it_any_more(store: RedisStore) -> None:
    store.acquire(ASK)
    (connection,) = store._connections._idle
    assert connection._sock is not None
    assert connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
    assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5


def test_a_store_is_refused_in_a_forked_process(store: RedisStore) -> None:
    store.acquire(ASK)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            store.acquire(ASK)
        except StoreUnavailable as error:
            os._exit(42 if "forked" in error.detail and error.kind == "error" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert isinstance(store.acquire(ASK), Granted)
