"""What is particular to Redlock: servers that fail one by one, votes that split, and fences all the same."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import pytest
from kit.asks import ASK, CLAIM, lease_of, settlement_of
from kit.servers import PATIENCE_S
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    AlreadyClaimed,
    Beat,
    ClaimAsk,
    Claimed,
    Gone,
    Granted,
    InstanceRecord,
    JobRecord,
    LeaseAsk,
    Released,
    Renewed,
    Settled,
)
from tickglass.sched.stores.redis.topology import Credentials, Server
from tickglass.sched.stores.redlock.store import RedlockStore
from tickglass.sched.stores.retention import PRUNE_EVERY_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer


OTHER: Final = ClaimAsk(LeaseAsk("nightly", "n2", "billing", "claim-2", 30 * SECOND, "nightly", "run-2"), due_ns=1)


def forget_absence(store: RedlockStore) -> None:
    """Let it ask at once the servers that it would leave alone for a second."""
    store._quorum._absent_until_ns = [0] * store._quorum.size


def let_pass(pass_ns: int) -> None:
    clock = SystemClock()
    clock.wait(clock.monotonic_ns() + pass_ns, Wake())


# --- opening


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_without_a_majority_to_be_had_there_is_no_store(count: int) -> None:
    with pytest.raises(ConfigError, match=f"odd number of servers, three or more, not {count}"):
        RedlockStore([Server("localhost", port) for port in range(1, count + 1)], Credentials())


def test_the_drift_of_the_url_is_kept_from_every_lease(opened: Callable[..., RedlockStore]) -> None:
    assert opened().allowance_ns(SECOND) == 12 * MS
    assert opened("drift=200ms").allowance_ns(SECOND) == 200 * MS
    assert opened("drift=200ms").allowance_ns(60 * SECOND) == 602 * MS


def test_a_server_gets_a_small_part_of_a_lease_to_answer(opened: Callable[..., RedlockStore]) -> None:
    usual, given = opened("prefix=a"), opened("timeout=40ms")
    assert [usual._ballot.timeout_ns(ttl_ns) for ttl_ns in (SECOND, 200 * MS)] == [50 * MS, 20 * MS]
    assert [given._ballot.timeout_ns(ttl_ns) for ttl_ns in (SECOND, 200 * MS)] == [40 * MS, 40 * MS]


# --- servers that fail


def test_what_cannot_be_forgotten_now_keeps_nobody_from_registering_and_sweeping(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    for server in servers:
        server.say("ZADD", "{tickglass}:ledgers", 0, "other")
        server.say("SET", "{tickglass}:dues:s/other", "what is this?")
    assert len(store.register([JobRecord("nightly", "t", "nightly", "o", "billing", 1, 1, None, None)])) == 1
    for node in store._nodes:
        node._pruned_ns -= PRUNE_EVERY_NS
    assert store.orphans([JobId("billing", "nightly")]) == []


def test_a_lease_that_a_silent_server_may_still_have_had_was_not_lost(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    lease, claimed = lease_of(ASK, store.acquire(ASK)), store.claim(CLAIM)
    servers[2].restart()  # it has forgotten both
    servers[1].kill()
    forget_absence(store)
    assert store.release(lease) == Released()
    assert store.settle(settlement_of(CLAIM, claimed)) == Settled(recorded=True, released=True)


def test_a_lease_that_a_majority_has_forgotten_was_lost(servers: list[RedisServer], store: RedlockStore) -> None:
    lease, claimed = lease_of(ASK, store.acquire(ASK)), store.claim(CLAIM)
    servers[2].restart()
    servers[1].restart()
    forget_absence(store)
    assert store.release(lease) == Gone()
    assert store.settle(settlement_of(CLAIM, claimed)) == Settled(recorded=True, released=False)


@pytest.mark.parametrize("lost", range(3))
def test_everything_works_without_any_one_server(servers: list[RedisServer], store: RedlockStore, lost: int) -> None:
    claimed = store.claim(CLAIM)
    servers[lost].kill()
    assert store.renew(lease_of(CLAIM.lease, claimed)) == Renewed()
    assert store.claim(OTHER) == AlreadyClaimed("n1", None)
    assert store.settle(settlement_of(CLAIM, claimed)) == Settled(recorded=True, released=True)
    assert store.claim(OTHER) == AlreadyClaimed("n1", "success")
    (registered,) = store.register([JobRecord("nightly", "t", "nightly", "o", "billing", 1, 1, None, None)])
    assert registered.job.last_due_ns == 1
    lease = lease_of(ASK, store.acquire(ASK))
    assert [it.resource for it in store.leases()] == ["ledger"]
    assert [it.name for it in store.jobs()] == ["nightly"]
    assert [it.outcome for it in store.runs()] == ["success"]
    assert store.orphans([JobId("billing", "nightly")]) == []
    assert store.time_ns() > 0
    assert store.release(lease) == Released()


def test_without_a_majority_nothing_is_granted_and_soon_told(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    store = opened("timeout=50ms")
    lease = lease_of(ASK, store.acquire(ASK))
    servers[0].kill()
    servers[1].kill(signal.SIGSTOP)
    clock = SystemClock()
    calls: list[Callable[[], object]] = [
        lambda: store.renew(lease),
        lambda: store.acquire(replace(ASK, resource="another")),
        lambda: store.claim(CLAIM),
        lambda: store.release(lease),
        store.leases,
        store.time_ns,
    ]
    for call in calls:
        asked_ns = clock.monotonic_ns()
        with pytest.raises(StoreUnavailable, match=r"servers? answered") as raised:
            call()
        assert raised.value.kind == "unavailable"
        assert clock.monotonic_ns() - asked_ns < SECOND
    assert servers[2].say("EXISTS", "{tickglass}:lock:another") == 0, "the vote was taken back"
    assert servers[2].say("EXISTS", "{tickglass}:lock:nightly") == 0
    servers[1].kill(signal.SIGCONT)


def test_a_wrong_password_everywhere_is_an_error(
    own_redis: Callable[..., RedisServer], opened: Callable[..., RedlockStore], servers: list[RedisServer]
) -> None:
    for server in servers:
        server.say("CONFIG", "SET", "requirepass", "secret")
    with pytest.raises(StoreUnavailable) as raised:
        opened().acquire(ASK)
    assert raised.value.kind == "error"
    with pytest.raises(StoreUnavailable) as raised:
        opened().leases()
    assert raised.value.kind == "error"


def test_a_server_that_is_silent_is_asked_again_only_after_a_while(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    store, clock = opened("timeout=100ms"), SystemClock()
    store.acquire(ASK)
    servers[1].kill(signal.SIGSTOP)
    store.renew(lease_of(ASK, Granted(1)))
    took_ns = []
    for _ in range(5):
        asked_ns = clock.monotonic_ns()
        assert store.renew(lease_of(ASK, Granted(1))) == Renewed()
        took_ns.append(clock.monotonic_ns() - asked_ns)
    assert min(took_ns) < 100 * MS  # each that asks the silent server waits out the time-out
    servers[1].kill(signal.SIGCONT)


def test_forgotten_scripts_and_broken_connections_are_made_good(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    lease = lease_of(ASK, store.acquire(ASK))
    for server in servers:
        server.say("SCRIPT", "FLUSH")
    assert store.renew(lease) == Renewed()
    for server in servers:
        server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert store.release(lease) == Released()


# --- the ledger, mended


def test_a_server_that_missed_the_claim_learns_of_its_end(servers: list[RedisServer], store: RedlockStore) -> None:
    claimed = store.claim(CLAIM)
    servers[2].restart()
    forget_absence(store)
    assert store.settle(settlement_of(CLAIM, claimed)) == Settled(recorded=True, released=True)
    servers[0].kill()
    forget_absence(store)
    assert [it.outcome for it in store._nodes[2].runs()] == ["success"]
    assert store.claim(OTHER) == AlreadyClaimed("n1", "success")


def test_an_outcome_that_one_server_knows_is_not_run_again(servers: list[RedisServer], store: RedlockStore) -> None:
    claimed = store.claim(CLAIM)
    store.settle(settlement_of(CLAIM, claimed))
    servers[0].restart()
    servers[1].restart()
    forget_absence(store)
    assert store.claim(OTHER) == AlreadyClaimed("n1", "success")
    assert [server.say("EXISTS", "{tickglass}:lock:nightly") for server in servers] == [0, 0, 0]


def test_an_orphan_that_only_a_minority_knows_is_found_and_abandoned(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    store.claim(replace(CLAIM, lease=replace(CLAIM.lease, ttl_ns=400 * MS)))
    servers[0].restart()
    servers[1].restart()
    forget_absence(store)
    let_pass(410 * MS)
    (orphan,) = store.orphans([JobId("billing", "nightly")])
    assert store.abandon(orphan)
    assert not store.abandon(orphan)
    assert store.orphans([JobId("billing", "nightly")]) == []


def test_a_vote_that_was_forgotten_somewhere_is_no_orphan_and_is_mended(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    assert isinstance(store._nodes[2].claim(replace(OTHER, lease=replace(OTHER.lease, ttl_ns=MS))), Claimed)
    let_pass(5 * MS)
    for node in store._nodes[:2]:
        node.settle(settlement_of(CLAIM, node.claim(CLAIM)))
    assert len(store._nodes[2].orphans([JobId("billing", "nightly")])) == 1
    assert store.orphans([JobId("billing", "nightly")]) == []
    assert [(it.run_id, it.outcome) for it in store._nodes[2].runs()] == [("run", "success")]


def test_attempts_are_counted_alike_where_one_server_missed_the_first(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    store.claim(replace(CLAIM, lease=replace(CLAIM.lease, ttl_ns=400 * MS)))
    servers[0].restart()
    forget_absence(store)
    let_pass(410 * MS)
    answer = store.claim(OTHER)
    assert isinstance(answer, Claimed)
    assert (answer.attempt, answer.previous_run_id) == (2, "run")
    assert store.claim(OTHER) == answer
    assert [[it.attempt for it in node.runs()] for node in store._nodes] == [[2], [2, 1], [2, 1]]
    assert store.settle(settlement_of(OTHER, answer)).recorded


# --- being told


def test_a_waiter_is_woken_though_a_server_is_away(servers: list[RedisServer], store: RedlockStore) -> None:
    servers[0].kill()
    heard = threading.Semaphore(0)
    unwatch = store.watch("ledger", heard.release)
    for _ in range(2):
        assert heard.acquire(timeout=PATIENCE_S), "each server tells once when its subscription begins"
    store.release(lease_of(ASK, store.acquire(ASK)))
    assert heard.acquire(timeout=PATIENCE_S)
    unwatch()


def test_a_server_that_comes_back_empty_is_told_of_an_instance_again_and_only_a_majority_has_forgotten_it(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    store, record = opened(), InstanceRecord("billing", "n1", "i1", "1.2.3", "f00d", "running")
    store.join(record, ["nightly"])
    servers[0].say("FLUSHALL")
    assert store.beat(record) is Beat.PARTLY
    store.join(record, ["nightly"])
    assert store.beat(record) is Beat.KNOWN
    for server in servers[:2]:
        server.say("FLUSHALL")
    assert store.beat(record) is Beat.FORGOTTEN
    assert [it.owner for it in store.instances()] == ["n1"], "the third server knows it still"
