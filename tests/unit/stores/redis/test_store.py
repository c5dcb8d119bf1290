"""What is particular to Redis: finding the server, losing it, and the keys that it holds."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest
from chaos.proxy import BOTH_WAYS, Proxy
from kit.servers import PATIENCE_S, find_free_port
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import (
    AlreadyClaimed,
    ClaimAsk,
    Claimed,
    Gone,
    Granted,
    JobRecord,
    LeaseAsk,
    Refused,
    Released,
    Renewed,
    Settled,
    Settlement,
)
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redis.store import RedisStore
from tickglass.sched.stores.redis.topology import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

ASK: Final = LeaseAsk("ledger", "n1", "billing", "token", 30 * SECOND)
CLAIM: Final = ClaimAsk(LeaseAsk("nightly", "n1", "billing", "claim", 30 * SECOND, "nightly", "run"), due_ns=1)


# --- a server of one's own


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


def lease_of(ask: LeaseAsk, answer: object) -> Lease:
    assert isinstance(answer, Granted | Claimed), answer
    return Lease(ask.resource, ask.owner, ask.token, answer.fence, ask.ttl_ns, trusted_until_ns=0)


def settlement_of(ask: ClaimAsk, answer: object) -> Settlement:
    lease = ask.lease
    return Settlement(lease_of(lease, answer), lease.service, lease.job, ask.due_ns, lease.run_id, "success")


def kind_of(call: Callable[[], object]) -> str:
    with pytest.raises(StoreUnavailable) as raised:
        call()
    assert raised.value.__cause__ is not None
    return raised.value.kind


def test_all_keys_share_the_slot_of_the_prefix(server: RedisServer, opened: Callable[..., RedisStore]) -> None:
    store = opened(f"{server.url}?prefix=a%20fleet&db=2")
    store.register([JobRecord("nightly", "t", "nightly", "o", "s", 1, 1, None, None)])
    store.settle(settlement_of(CLAIM, store.claim(CLAIM)))
    store.acquire(ASK)
    with driver().Redis(port=server.port, db=2, decode_responses=True) as client:
        keys = client.keys("*")
        assert client.get("{a fleet}:lock:ledger") == "token"
        assert 29_000 < client.pttl("{a fleet}:lock:ledger") <= 30_000
    assert len(keys) > 5
    assert {key.startswith("{a fleet}:") for key in keys} == {True}
    assert opened(f"{server.url}?prefix=another&db=2").leases() == []


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


def test_an_answer_that_was_lost_is_given_again(store: RedisStore) -> None:
    """A connection may break when the script has run: the same call, sent again, must not contradict itself."""
    first = store.claim(CLAIM)
    settlement = settlement_of(CLAIM, first)
    args = lua.settle_args(settlement, "call")
    sent = [store._connections.run("settle", lua.SETTLE, *args)[:2] for _ in range(2)]
    assert sent == [[1, 1], [1, 1]]
    assert store.settle(settlement) == Settled(recorded=False, released=False, earlier=True), "another call"


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


def test_fences_grow_though_the_server_lost_everything(server: RedisServer, store: RedisStore) -> None:
    fences = []
    for _ in range(3):
        fences.append(lease_of(ASK, store.acquire(ASK)).fence)
        server.restart()
    assert fences == sorted(set(fences))


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


def test_a_release_that_arrives_late_does_not_end_what_the_same_token_was_granted_since(
    server: RedisServer, store: RedisStore, opened: Callable[..., RedisStore]
) -> None:
    ask = replace(ASK, ttl_ns=100 * MS)
    with Proxy() as network:
        connection = network.link(server.port)
        behind = opened(f"redis://127.0.0.1:{connection.port}/0?timeout=150ms")
        behind.release(lease_of(ask, behind.acquire(ask)))  # the server knows the script now
        lease = lease_of(ask, behind.acquire(ask))
        connection.hold(BOTH_WAYS)
        assert kind_of(lambda: behind.release(lease)) == "unavailable"
        again = lease_of(ASK, store.acquire(ASK))  # the first has run out
        connection.hold(frozenset())
        assert behind.time_ns() > 0, "asked after the release, on the same way"
        assert store.renew(again) == Renewed()
        behind.close()


@pytest.mark.parametrize("path", ["", "/"])
def test_a_url_without_a_database_means_database_0(
    server: RedisServer, opened: Callable[..., RedisStore], path: str
) -> None:
    opened(f"redis://127.0.0.1:{server.port}/0").acquire(ASK)
    assert [lease.resource for lease in opened(f"redis://127.0.0.1:{server.port}{path}").leases()] == [ASK.resource]
    assert opened(f"redis://127.0.0.1:{server.port}/1").leases() == []


def test_nobody_there_is_unavailable(opened: Callable[..., RedisStore], free_port: int) -> None:
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


def test_what_the_server_cannot_take_is_an_error(server: RedisServer, store: RedisStore) -> None:
    assert kind_of(lambda: store.acquire(LeaseAsk("\udcff", "o", "s", "t", SECOND))) == "error"
    server.say("SET", "{tickglass}:leases", "what is this?")
    assert kind_of(lambda: store.acquire(ASK)) == "error"
    assert kind_of(store.leases) == "error"


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


# --- being told


def hears(store: RedisStore, resource: str) -> tuple[threading.Semaphore, Callable[[], None]]:
    heard = threading.Semaphore(0)
    return heard, store.watch(resource, heard.release)


def test_a_waiter_is_woken_by_another_clients_release_and_settlement(
    server: RedisServer, store: RedisStore, opened: Callable[..., RedisStore]
) -> None:
    other = opened(server.url)
    heard, _ = hears(store, "ledger")
    assert heard.acquire(timeout=PATIENCE_S), "told once when the subscription begins: it may have been too late"
    clock = SystemClock()
    lease = lease_of(ASK, other.acquire(ASK))
    began_ns = clock.monotonic_ns()
    other.release(lease)
    assert heard.acquire(timeout=PATIENCE_S)
    assert clock.monotonic_ns() - began_ns < SECOND
    claim = ClaimAsk(LeaseAsk("ledger", "o", "s", "t", SECOND, "j", "r"), 1)
    other.settle(settlement_of(claim, other.claim(claim)))
    assert heard.acquire(timeout=PATIENCE_S)
    assert [it.name for it in threading.enumerate()].count("tickglass-redis-watch") == 1


def test_a_subscription_is_begun_again_and_makes_up_for_what_it_missed(server: RedisServer, store: RedisStore) -> None:
    heard, unwatch = hears(store, "ledger")
    assert heard.acquire(timeout=PATIENCE_S)
    server.restart()
    assert heard.acquire(timeout=PATIENCE_S)
    store.release(lease_of(ASK, store.acquire(ASK)))
    assert heard.acquire(timeout=PATIENCE_S)
    unwatch()


def test_claims_are_told_to_the_other_clients_of_the_service(
    server: RedisServer, store: RedisStore, opened: Callable[..., RedisStore]
) -> None:
    other, told = opened(server.url), queue.SimpleQueue[tuple[str, int, str]]()
    store.watch("ledger", lambda: None)  # the connection is there already
    unwatch = store.watch_claims("svc", "listener", lambda *claim: told.put(claim))
    for due_ns in itertools.count(-3):  # until the subscription has begun
        ask = ClaimAsk(LeaseAsk(f"r{due_ns}", "ów/1", "svc", "t", SECOND, "jöb", f"run {due_ns}"), due_ns)
        other.claim(ask)
        with contextlib.suppress(queue.Empty):
            first = told.get(timeout=0.2)  # it may be the claim before: it is told when it likes
            break
    other.claim(ClaimAsk(LeaseAsk("r", "o", "another service", "t", SECOND, "j", "run a"), 1))
    other.claim(ClaimAsk(LeaseAsk("r2", "o", "svc", "t", SECOND, "j", "run b"), 2))
    before = {first, *iter(lambda: told.get(timeout=PATIENCE_S), ("j", 2, "o"))}
    assert before <= {("jöb", earlier_ns, "ów/1") for earlier_ns in range(-3, due_ns + 1)}
    assert isinstance(other.claim(ClaimAsk(LeaseAsk("r3", "x", "svc", "t", SECOND, "j", "run c"), 2)), AlreadyClaimed)
    unwatch()
    other.claim(ClaimAsk(LeaseAsk("r4", "o", "svc", "t", SECOND, "j", "run d"), 4))
    heard = threading.Event()
    store.watch("ledger", heard.set)
    other.release(lease_of(ASK, other.acquire(ASK)))
    assert heard.wait(PATIENCE_S)
    assert told.empty()


def test_watching_waits_for_nobody(opened: Callable[..., RedisStore], free_port: int) -> None:
    store = opened(f"redis://127.0.0.1:{free_port}/0")
    _, unwatch = hears(store, "ledger")
    unwatch()
    store.close()
    store.close()
    assert "tickglass-redis-watch" not in [it.name for it in threading.enumerate()]


# --- the ledger


def test_observers_turn_pages(store: RedisStore) -> None:
    names = sorted(f"job-{number}" for number in range(1_200))
    store.register([JobRecord(name, "t", name, "o", "s", 1, 1, None, None) for name in names])
    for name in names:
        store.claim(ClaimAsk(LeaseAsk(name, "o", "s", name, 30 * SECOND, name, name), 1))
    assert [job.name for job in store.jobs()] == names
    assert [lease.resource for lease in store.leases()] == names
    assert [run.job for run in store.runs(limit=1_100)] == names[:99:-1]
    assert store.orphans([JobId("s", name) for name in names]) == []


def test_instants_are_kept_to_the_nanosecond_and_may_be_before_1970(store: RedisStore) -> None:
    late_ns, early_ns = 1_793_437_700_123_456_789, -5
    for due_ns in (early_ns, late_ns, late_ns + 1):
        ask = ClaimAsk(LeaseAsk("r", "o", "s", "t", SECOND, "j", str(due_ns)), due_ns, due_ns + 1)
        store.register([JobRecord("j", "t", "r", "o", "s", 2**62 + 1, 1, None, 2**62 + 1)])
        store.settle(settlement_of(ask, store.claim(ask)))
    assert [run.due_ns for run in store.runs()] == [late_ns + 1, late_ns, early_ns]
    (job,) = store.jobs()
    assert (job.ttl_ns, job.last_due_ns, job.next_due_ns) == (2**62 + 1, late_ns + 1, late_ns + 2)


# --- other servers


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
    wait_until(lambda: replica.say("GET", "{tickglass}:lock:ledger") == "token")
    master.kill()
    wait_until(lambda: ok(lambda: store.renew(lease)))
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
    lease = lease_of(ASK, store.acquire(ASK))
    assert elsewhere.say("CLUSTER", "COUNTKEYSINSLOT", slot) > 0
    assert store.renew(lease) == Renewed()
    assert heard.acquire(timeout=PATIENCE_S), "subscribed to where the keys are now"
    assert store.release(lease) == Released()
    assert heard.acquire(timeout=PATIENCE_S)
    assert store.release(lease) == Gone()


def test_a_user_needs_the_rights_that_are_documented_and_no_others(
    server: RedisServer, opened: Callable[..., RedisStore]
) -> None:
    rights = "on >secret ~{tickglass}* &{tickglass}:* +@scripting +@read +@write +@connection +@pubsub +time"
    server.say("ACL", "SETUSER", "jobs", *rights.split())
    store = opened(f"redis://jobs:secret@127.0.0.1:{server.port}/0")
    heard, _ = hears(store, "nightly")
    assert heard.acquire(timeout=PATIENCE_S)
    store.register([JobRecord("nightly", "t", "nightly", "o", "s", 1, 1, None, None)])
    assert store.settle(settlement_of(CLAIM, store.claim(CLAIM))).recorded
    assert heard.acquire(timeout=PATIENCE_S)
    assert store.time_ns() > 0
    assert kind_of(opened(f"redis://jobs:secret@127.0.0.1:{server.port}/0?prefix=other").leases) == "error"
