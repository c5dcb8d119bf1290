"""The server that has the keys is found again after a failover: behind Sentinel, and in a Cluster."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from kit.asks import ASK, CLAIM, kind_of, lease_of, settlement_of
from kit.servers import PATIENCE_S, find_free_port
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import (
    ControlRecord,
    Gone,
    LeaseAsk,
    Refused,
    Released,
    Renewed,
    Settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from kit.servers import RedisServer

    from tickglass.sched.stores.redis.store import RedisStore


def hears(store: RedisStore, resource: str) -> tuple[threading.Semaphore, Callable[[], None]]:
    heard = threading.Semaphore(0)
    return heard, store.watch(resource, heard.release)


def test_a_server_that_is_master_no_more_is_unavailable(server: RedisServer, store: RedisStore) -> None:
    lease = lease_of(ASK, store.acquire(ASK))
    server.say("REPLICAOF", "127.0.0.1", find_free_port())
    server.say("CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert kind_of(lambda: store.renew(lease)) == "unavailable"
    server.say("REPLICAOF", "NO", "ONE")
    assert store.renew(lease) == Renewed()


def wait_until(true: Callable[[], Any]) -> None:
    clock = SystemClock()
    until_ns = clock.monotonic_ns() + int(PATIENCE_S * SECOND)
    while not true():
        assert clock.monotonic_ns() < until_ns
        clock.wait(clock.monotonic_ns() + 20 * MS, Wake())


def ok(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreUnavailable:
        return False
    return True


def watched_by_sentinel(own_redis: Callable[..., RedisServer]) -> tuple[RedisServer, RedisServer, RedisServer]:
    """Return a master, its replica, and the sentinel that fails over from one to the other."""
    master = own_redis("--repl-diskless-sync-delay", "0")
    replica = own_redis("--replicaof", "127.0.0.1", str(master.port))
    wait_until(lambda: replica.say("ROLE")[3] == "connected")
    sentinel = own_redis("--sentinel")
    sentinel.say("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", master.port, 1)
    sentinel.say("SENTINEL", "SET", "mymaster", "down-after-milliseconds", 300)
    wait_until(lambda: sentinel.say("SENTINEL", "REPLICAS", "mymaster"))
    return master, replica, sentinel


def test_sentinel_leads_to_the_new_master(
    own_redis: Callable[..., RedisServer], opened: Callable[..., RedisStore]
) -> None:
    master, replica, sentinel = watched_by_sentinel(own_redis)
    nobody = f"127.0.0.1:{find_free_port()}"
    store = opened(f"redis+sentinel://{nobody},127.0.0.1:{sentinel.port}/mymaster/0?timeout=1s")
    lease = lease_of(ASK, store.acquire(ASK))
    assert store.write_control(ControlRecord(1, "text"), "act")
    wait_until(lambda: replica.say("HGET", "{tickglass}:control", "version") == "1")
    master.kill()
    wait_until(lambda: ok(lambda: store.control(1)))
    assert store.write_control(ControlRecord(2, "text"), "another act")
    assert store.renew(lease) == Renewed()
    assert replica.say("ROLE")[0] == "master"
    assert store.release(lease) == Released()
    assert lease_of(ASK, store.acquire(ASK)).fence > lease.fence
    assert kind_of(opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/unknown/0").leases) == "unavailable"


def test_a_master_that_hangs_costs_one_timeout_however_many_connections_lie_idle(
    own_redis: Callable[..., RedisServer], opened: Callable[..., RedisStore]
) -> None:
    master, replica, sentinel = watched_by_sentinel(own_redis)
    store = opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster/0?timeout=1s")
    lease = lease_of(ASK, store.acquire(ASK))
    for connection in [store._connections.open() for _ in range(8)]:  # so many threads were inside at once
        store._connections._give_back(connection)
    wait_until(lambda: replica.say("GET", "{tickglass}:lock:ledger") == "token")
    master.kill(signal.SIGSTOP)
    named = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
    wait_until(lambda: sentinel.say(*named) == ["127.0.0.1", str(replica.port)])
    assert kind_of(lambda: store.renew(lease)) == "unavailable"
    assert store.renew(lease) == Renewed()
    assert store.release(lease) == Released()


def test_a_cluster_is_asked_where_the_slot_is(
    own_redis: Callable[..., RedisServer], opened: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.stores.redis.watch._PING_EVERY_NS", 200 * MS)
    nodes = [own_redis("--cluster-enabled", "yes", "--cluster-node-timeout", "1000") for _ in range(3)]
    for node, (first, last) in zip(nodes, [(0, 5_460), (5_461, 10_922), (10_923, 16_383)], strict=True):
        node.say("CLUSTER", "ADDSLOTSRANGE", first, last)
        node.say("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    wait_until(lambda: all("cluster_state:ok" in node.say("CLUSTER", "INFO") for node in nodes))
    wait_until(lambda: all("cluster_known_nodes:3" in node.say("CLUSTER", "INFO") for node in nodes))
    for prefix in ("a", "b", "c", "d"):  # on several nodes
        store = opened(f"redis+cluster://127.0.0.1:{nodes[1].port}?prefix={prefix}")
        heard, _ = hears(store, "nightly")
        assert heard.acquire(timeout=PATIENCE_S)
        claimed = store.claim(CLAIM)
        assert isinstance(store.acquire(LeaseAsk("nightly", "o", "s", "t", SECOND)), Refused)
        assert store.settle(settlement_of(CLAIM, claimed)) == Settled(recorded=True, released=True)
        assert heard.acquire(timeout=PATIENCE_S)
        batch = [replace(CLAIM, due_ns=due_ns, lease=replace(CLAIM.lease, resource=f"r{due_ns}")) for due_ns in (2, 3)]
        ended = [settlement_of(ask, answer) for ask, answer in zip(batch, store.claim_many(batch), strict=True)]
        assert store.settle_many(ended) == [Settled(recorded=True, released=True)] * 2
        assert store.write_control(ControlRecord(1, prefix), "act")
        assert store.control(0) == ControlRecord(1, prefix)
    # A slot that has moved: the node says where to.
    slot = nodes[0].say("CLUSTER", "KEYSLOT", "{a}")
    there = next(it for it in nodes if it.say("CLUSTER", "COUNTKEYSINSLOT", slot))
    elsewhere = next(it for it in nodes if it is not there)
    store = opened(f"redis+cluster://127.0.0.1:{there.port}?prefix=a")
    assert store.leases() == []
    heard, _ = hears(store, "ledger")
    assert heard.acquire(timeout=PATIENCE_S)
    there.say("FLUSHALL")
    # Importing first: with that its word on the slot is newer than what the nodes say to each other.
    elsewhere.say("CLUSTER", "SETSLOT", slot, "IMPORTING", there.say("CLUSTER", "MYID"))
    for node in (elsewhere, there):
        node.say("CLUSTER", "SETSLOT", slot, "NODE", elsewhere.say("CLUSTER", "MYID"))
    assert store.control(0) is None, "asked without a script, and led there all the same"
    lease = lease_of(ASK, store.acquire(ASK))
    assert elsewhere.say("CLUSTER", "COUNTKEYSINSLOT", slot) > 0
    assert store.renew(lease) == Renewed()
    assert heard.acquire(timeout=PATIENCE_S), "subscribed to where the keys are now"
    assert store.release(lease) == Released()
    assert heard.acquire(timeout=PATIENCE_S)
    assert store.release(lease) == Gone()
