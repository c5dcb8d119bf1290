"""A majority that is quick is asked at once, however slowly another server is connected."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
from chaos.proxy import BOTH_WAYS, Link, Proxy
from kit.asks import ASK
from kit.rig import wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Granted, Renewed
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redlock.store import RedlockStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

TTL: Final = ("PTTL", "{tickglass}:lock:ledger")


@pytest.fixture
def servers(redis_servers: Callable[[int], list[RedisServer]]) -> list[RedisServer]:
    return redis_servers(3)


@pytest.fixture
def link(servers: list[RedisServer]) -> Iterator[Link]:
    """A network before the first server, which passes everything on until a test tells it otherwise."""
    with Proxy() as proxy:
        yield proxy.link(servers[0].port)


@pytest.fixture
def store(servers: list[RedisServer], link: Link) -> Iterator[RedlockStore]:
    ports = (link.port, servers[1].port, servers[2].port)
    store = open_store(f"redlock://{','.join(f'127.0.0.1:{port}' for port in ports)}/0?timeout=20s", SystemClock())
    assert isinstance(store, RedlockStore)
    yield store
    store.close()


def lease_of(answer: object) -> Lease:
    assert isinstance(answer, Granted)
    return Lease(ASK.resource, ASK.owner, ASK.token, answer.fence, ASK.ttl_ns, trusted_until_ns=0)


def test_a_renewal_reaches_the_others_while_one_server_is_not_connected_yet(
    store: RedlockStore, servers: list[RedisServer], link: Link
) -> None:
    lease = lease_of(store.acquire(ASK))
    assert store.renew(lease) == Renewed()  # from now on the servers know the script
    for server in servers[1:]:
        server.say("PEXPIRE", TTL[1], 5_000)
    store._quorum._drop_idle()  # as after a network that was away
    link.hold(BOTH_WAYS)
    with ThreadPoolExecutor(1) as aside:
        renewal = aside.submit(store.renew, lease)
        wait_until(lambda: all(int(server.say(*TTL)) > 10_000 for server in servers[1:]))
        assert not renewal.done()
        link.hold(frozenset())
        assert renewal.result(20) == Renewed()
    assert int(servers[0].say(*TTL)) > 10_000, "it was connected in time, and asked too"


def test_a_server_that_is_connected_too_late_is_left_out_and_asked_by_the_next_call(
    store: RedlockStore, servers: list[RedisServer], link: Link
) -> None:
    lease = lease_of(store.acquire(ASK))
    store._quorum._drop_idle()
    link.hold(BOTH_WAYS)
    store._ballot._timeout_ns = SECOND // 5
    servers[0].say("PEXPIRE", TTL[1], 5_000)
    assert store.renew(lease) == Renewed()
    assert int(servers[0].say(*TTL)) <= 5_000
    link.hold(frozenset())
    store._quorum._absent_until_ns = [0] * store._quorum.size
    store._ballot._timeout_ns = 20 * SECOND
    assert store.renew(lease) == Renewed()
    assert int(servers[0].say(*TTL)) > 10_000
