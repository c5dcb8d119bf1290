"""What is particular to Redis: finding the server, losing it, and the keys that it holds."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from typing import TYPE_CHECKING

from chaos.proxy import BOTH_WAYS, Proxy
from kit.asks import ASK, CLAIM, kind_of, lease_of, settlement_of
from kit.servers import PATIENCE_S
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    AlreadyClaimed,
    ClaimAsk,
    JobRecord,
    LeaseAsk,
    Renewed,
    Settled,
)
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redis.topology import driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

    from tickglass.sched.stores.redis.store import RedisStore


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


def test_an_answer_that_was_lost_is_given_again(store: RedisStore) -> None:
    """A connection may break when the script has run: the same call, sent again, must not contradict itself."""
    first = store.claim(CLAIM)
    settlement = settlement_of(CLAIM, first)
    args = lua.settle_args(settlement, "call")
    sent = [store._connections.run("settle", lua.SETTLE, *args)[:2] for _ in range(2)]
    assert sent == [[1, 1], [1, 1]]
    assert store.settle(settlement) == Settled(recorded=False, released=False, earlier=True), "another call"


def test_fences_grow_though_the_server_lost_everything(server: RedisServer, store: RedisStore) -> None:
    fences = []
    for _ in range(3):
        fences.append(lease_of(ASK, store.acquire(ASK)).fence)
        server.restart()
    assert fences == sorted(set(fences))


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


def test_what_the_server_cannot_take_is_an_error(server: RedisServer, store: RedisStore) -> None:
    assert kind_of(lambda: store.acquire(LeaseAsk("\udcff", "o", "s", "t", SECOND))) == "error"
    server.say("SET", "{tickglass}:leases", "what is this?")
    assert kind_of(lambda: store.acquire(ASK)) == "error"
    assert kind_of(store.leases) == "error"


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
    watch = store.watch_claims("svc", "listener", lambda *claim: told.put(claim))
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
    watch.end()
    heard = threading.Event()
    store.watch("ledger", heard.set)
    for due_ns in (4, 5):  # a call that was under way as the watch ended may come later; the first release is after it
        other.release(lease_of(ASK, other.acquire(ASK)))
        assert heard.wait(PATIENCE_S)
        heard.clear()
        other.claim(ClaimAsk(LeaseAsk(f"r{due_ns}", "o", "svc", "t", SECOND, "j", f"run {due_ns}"), due_ns))
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
