"""What reaches a Redlock server late, of questions that were asked before, does no harm to what was answered since."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest
from chaos.proxy import BOTH_WAYS, Proxy
from kit.asks import ASK, lease_of
from kit.servers import PATIENCE_S
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    AlreadyClaimed,
    ClaimAsk,
    Claimed,
    Granted,
    LeaseAsk,
    Refused,
    Released,
    Renewed,
    Settlement,
)
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redlock.scripts import CONFIRM, WITHDRAW
from tickglass.sched.stores.redlock.store import RedlockStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kit.servers import RedisServer

LOCK: Final = "{tickglass}:lock:ledger"


@pytest.fixture
def servers(own_redis: Callable[..., RedisServer]) -> list[RedisServer]:
    return [own_redis() for _ in range(3)]


@pytest.fixture
def opened() -> Iterator[Callable[..., RedlockStore]]:
    """Return a function that opens the servers behind these ports; what it opened is closed afterwards."""
    stores: list[RedlockStore] = []

    def open_ports(ports: Iterable[int]) -> RedlockStore:
        places = ",".join(f"127.0.0.1:{port}" for port in ports)
        store = open_store(f"redlock://{places}/0?timeout=200ms", SystemClock())
        assert isinstance(store, RedlockStore)
        stores.append(store)
        return store

    yield open_ports
    for store in stores:
        store.close()


@pytest.fixture
def store(servers: list[RedisServer], opened: Callable[..., RedlockStore]) -> RedlockStore:
    return opened(server.port for server in servers)


class LateWithdrawals:
    """Keeps back what a store says to take its votes back, until it is told to let all of it through."""

    def __init__(self, store: RedlockStore) -> None:
        self._send = store._ledger.withdraw
        self._kept: list[tuple[Any, list[int]]] = []
        store._ledger.withdraw = self._keep  # type: ignore[method-assign]

    def _keep(self, ballot: Any, numbers: Iterable[int]) -> None:  # noqa: ANN401
        self._kept.append((ballot, list(numbers)))

    def arrive(self) -> None:
        assert self._kept
        for ballot, numbers in self._kept:
            self._send(ballot, numbers)


def claim_of(run_id: str, *, ttl_ns: int = 30 * SECOND) -> ClaimAsk:
    return ClaimAsk(LeaseAsk("nightly", f"owner of {run_id}", "billing", run_id, ttl_ns, "nightly", run_id), due_ns=1)


def let_pass(pass_ns: int) -> None:
    clock = SystemClock()
    clock.wait(clock.monotonic_ns() + pass_ns, Wake())


# --- votes


def test_a_vote_that_is_taken_back_late_is_not_the_one_that_was_given_since(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    first, second = (replace(ASK, owner=f"n{number}", token=f"token-{number}") for number in (7, 8))
    granted = store._nodes[0].acquire(first)
    taken = store._nodes[1].acquire(second)
    late = LateWithdrawals(store)
    assert isinstance(store.acquire(ASK), Refused), "the vote is split: one has server 0, one server 1, and we server 2"
    store._nodes[0].release(lease_of(first, granted))
    assert isinstance(store.acquire(ASK), Granted)
    late.arrive()
    assert [server.say("GET", LOCK) for server in servers] == ["token", "token-8", "token"]
    store._nodes[1].release(lease_of(second, taken))
    assert isinstance(store.acquire(replace(ASK, owner="n9", token="token-9")), Refused)


def test_a_claim_that_is_taken_back_late_is_not_the_one_that_was_won_since(store: RedlockStore) -> None:
    rivals = [claim_of("rival 0"), claim_of("rival 1")]
    for node, rival in zip(store._nodes, rivals, strict=False):
        assert isinstance(node.claim(rival), Claimed)
    late, ask = LateWithdrawals(store), claim_of("run")
    assert not isinstance(store.claim(ask), Claimed)
    for number, rival in enumerate(rivals):
        lease = rival.lease
        ballot = (lease.resource, lease.token, f"{lease.service}/{lease.job}", lease.run_id, lua.due_text(1), 2**52)
        store._quorum.ask("withdraw", WITHDRAW, ballot, among=[number])
    claimed = store.claim(ask)
    assert isinstance(claimed, Claimed)
    late.arrive()
    assert [[run.run_id for run in node.runs()] for node in store._nodes] == [["run"]] * 3
    assert [it.run_id for it in store.leases()] == ["run"]
    settled = store.settle(Settlement(lease_of(ask.lease, claimed), "billing", "nightly", 1, "run", "success"))
    assert (settled.recorded, settled.released) == (True, True)


def test_a_vote_that_is_asked_for_again_lasts_as_long_as_a_new_one(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    asks: list[Callable[[], object]] = [lambda: store.acquire(ASK), lambda: store.claim(claim_of("run"))]
    for ask, resource in zip(asks, ("ledger", "nightly"), strict=True):
        first = ask()
        for server in servers:
            server.say("PEXPIRE", f"{{tickglass}}:lock:{resource}", 5_000)  # it is 25 s old
        assert ask() == first
        assert min(server.say("PTTL", f"{{tickglass}}:lock:{resource}") for server in servers) > 25_000


def test_a_fence_that_is_confirmed_late_does_not_replace_the_one_agreed_on_since(
    servers: list[RedisServer], store: RedlockStore
) -> None:
    confirm = ("ledger", "token", "", "", "", store._ballot.question(), 7, "", "")
    granted = store.acquire(ASK)
    assert isinstance(granted, Granted)
    assert set(store._quorum.ask("acquire", CONFIRM, confirm).values()) == {0}
    assert [server.say("HGET", "{tickglass}:lease:ledger", "fence") for server in servers] == [str(granted.fence)] * 3


def test_a_release_that_arrives_late_does_not_end_what_the_same_token_was_granted_since(
    servers: list[RedisServer], opened: Callable[..., RedlockStore], store: RedlockStore
) -> None:
    with Proxy() as network:
        links = [network.link(server.port) for server in servers]
        behind = opened(connection.port for connection in links)
        behind.release(lease_of(ASK, behind.acquire(ASK)))  # the servers know the script now
        lease = lease_of(ASK, behind.acquire(ASK))
        for connection in links:
            connection.hold(BOTH_WAYS)
        with pytest.raises(StoreUnavailable):
            behind.release(lease)
        again = lease_of(ASK, store.acquire(ASK))
        for connection in links:
            connection.hold(frozenset())
        assert behind.time_ns() > 0, "asked after the release, on the same way"
        assert store.renew(again) == Renewed()
        behind.close()


def test_who_takes_a_vote_back_does_not_wake_itself(store: RedlockStore) -> None:
    """A server that missed the holder's vote gives its own to each who waits; that is no news to anybody."""
    heard, told = threading.Semaphore(0), threading.Semaphore(0)
    store.watch("another", told.release)
    for _ in range(3):
        assert told.acquire(timeout=PATIENCE_S), "each server tells once when its subscription begins"
    store.watch("ledger", heard.release)  # by the same subscriptions
    holder = replace(ASK, owner="n7", token="token-7")
    granted = [node.acquire(holder) for node in store._nodes[:2]]
    assert isinstance(store.acquire(ASK), Refused)
    another = replace(ASK, resource="another")
    store.release(lease_of(another, store.acquire(another)))
    for _ in range(3):
        assert told.acquire(timeout=PATIENCE_S)
    assert not heard.acquire(blocking=False)
    for node, answer in zip(store._nodes, granted, strict=False):
        node.release(lease_of(holder, answer))
        assert heard.acquire(timeout=PATIENCE_S), "what was a lease is news"


# --- outcomes


def test_an_outcome_that_came_too_late_and_reached_one_server_is_in_nobodys_way(store: RedlockStore) -> None:
    first, second = claim_of("run 1", ttl_ns=400 * MS), claim_of("run 2", ttl_ns=400 * MS)
    lease = lease_of(first.lease, store.claim(first))
    let_pass(410 * MS)
    for node in store._nodes[:2]:  # the third is away
        assert isinstance(node.claim(second), Claimed)
    late = Settlement(lease, "billing", "nightly", 1, "run 1", "success")
    assert not store.settle(late).recorded
    assert isinstance(store.claim(claim_of("run 3")), AlreadyClaimed)
    let_pass(410 * MS)
    assert [it.run_id for it in store.orphans([JobId("billing", "nightly")])] == ["run 2"]
    third = claim_of("run 3")
    claimed = store.claim(third)
    assert isinstance(claimed, Claimed)
    assert (claimed.attempt, claimed.previous_run_id) == (3, "run 2")
    assert store.settle(
        Settlement(lease_of(third.lease, claimed), "billing", "nightly", 1, "run 3", "success")
    ).recorded
    assert store.claim(claim_of("run 4")) == AlreadyClaimed("owner of run 3", "success")
    assert store.orphans([JobId("billing", "nightly")]) == []


# --- votes that are left behind


def ask_of(token: str, kind: str) -> LeaseAsk:
    return replace(ASK, token=token) if kind == "lock" else replace(ASK, token=token, job="nightly", run_id=token)


def asked(store: RedlockStore, ask: LeaseAsk, due_ns: int) -> object:
    return store.claim(ClaimAsk(ask, due_ns)) if ask.job else store.acquire(ask)


def leave_alone(store: RedlockStore, number: int, *, for_ns: int) -> None:
    """Have a server left alone, as one is that has just not answered."""
    store._quorum._absent_until_ns[number] = SystemClock().monotonic_ns() + for_ns


@pytest.mark.parametrize("kind", ["lock", "claim"])
def test_a_vote_that_was_ended_while_its_server_was_left_alone_is_taken_back_when_it_is_in_our_way(
    servers: list[RedisServer], store: RedlockStore, kind: str
) -> None:
    first = ask_of("first", kind)
    lease = lease_of(first, asked(store, first, 1))
    leave_alone(store, 0, for_ns=30 * SECOND)
    if kind == "lock":
        assert store.release(lease) == Released()
    else:
        assert store.settle(Settlement(lease, "billing", "nightly", 1, "first", "success")).recorded
    leave_alone(store, 0, for_ns=0)
    assert servers[0].say("GET", LOCK) == "first"
    servers[2].kill(signal.SIGSTOP)
    assert isinstance(asked(store, ask_of("second", kind), 2), Granted | Claimed)
    assert [server.say("GET", LOCK) for server in servers[:2]] == ["second", "second"]
    assert kind == "lock" or store._nodes[0].runs(before_ns=2)[0].outcome == "success"


@pytest.mark.parametrize("kind", ["lock", "claim"])
def test_a_vote_that_a_frozen_server_gave_late_is_taken_back_when_it_is_in_our_way(
    servers: list[RedisServer], store: RedlockStore, kind: str
) -> None:
    store.release(lease_of(ASK, store.acquire(ASK)))  # there are connections now, and the script is known
    store.claim(claim_of("known"))
    rival = replace(ASK, owner="n2", token="rival")
    granted = [node.acquire(rival) for node in store._nodes[1:]]
    servers[0].kill(signal.SIGSTOP)
    assert isinstance(asked(store, ask_of("first", kind), 2), Refused)
    servers[0].kill(signal.SIGCONT)
    assert servers[0].say("GET", LOCK) == "first", "done late"
    for node, answer in zip(store._nodes[1:], granted, strict=True):
        node.release(lease_of(rival, answer))
    servers[2].kill(signal.SIGSTOP)
    leave_alone(store, 0, for_ns=0)
    assert isinstance(asked(store, ask_of("second", kind), 3), Granted | Claimed)
    assert [run.due_ns for run in store._nodes[0].runs(JobId("billing", "nightly"))] == (
        [3, 1] if kind == "claim" else [1]
    )
