"""Votes that split, take too long or are taken back, and fences that grow whichever minority is lost."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final

import pytest
from kit.asks import ASK, CLAIM, lease_of, settlement_of
from kit.servers import PATIENCE_S
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    ClaimAsk,
    Claimed,
    Granted,
    LeaseAsk,
    Refused,
)
from tickglass.sched.stores.redis import scripts as lua

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

    from tickglass.sched.stores.redlock.store import RedlockStore


OTHER: Final = ClaimAsk(LeaseAsk("nightly", "n2", "billing", "claim-2", 30 * SECOND, "nightly", "run-2"), due_ns=1)


def forget_absence(store: RedlockStore) -> None:
    """Let it ask at once the servers that it would leave alone for a second."""
    store._quorum._absent_until_ns = [0] * store._quorum.size


def let_pass(pass_ns: int) -> None:
    clock = SystemClock()
    clock.wait(clock.monotonic_ns() + pass_ns, Wake())


@pytest.mark.parametrize("seed", range(4))
def test_fences_grow_whatever_minority_is_lost_between(
    servers: list[RedisServer], opened: Callable[..., RedlockStore], seed: int
) -> None:
    rng, clients = random.Random(seed), [opened(), opened()]
    clients[1]._ballot._newest_fence = 2**52 - 10_000  # the clock of that client is far ahead of the other's
    fences = []
    for number in range(12):
        lost = rng.choice(servers)
        if rng.random() < 0.5:  # it forgets everything, either way
            lost.restart()
        else:
            lost.say("FLUSHALL")
        store = rng.choice(clients)
        forget_absence(store)
        ask = replace(ASK, token=f"token-{number}")
        granted = store.acquire(ask)
        assert isinstance(granted, Granted)
        fences.append(granted.fence)
        store.release(lease_of(ask, granted))
    assert fences == sorted(set(fences))


def test_a_wall_clock_out_of_its_mind_uses_up_no_fences(store: RedlockStore) -> None:
    class Mad(SystemClock):
        def wall_ns(self) -> int:
            return 2**62

    store._ballot._real = Mad()
    store._ballot._newest_fence = 0
    lease = lease_of(ASK, store.acquire(ASK))
    assert lease.fence == 1
    store.release(lease)  # has a number, too
    assert lease_of(ASK, store.acquire(ASK)).fence == 3


def test_a_fence_is_on_a_majority_before_it_is_used(servers: list[RedisServer], store: RedlockStore) -> None:
    for server, fence in zip(servers, (3 * 10**15, 2 * 10**15, 10**15), strict=True):
        bucket = server.say("EVAL", "return string.sub(redis.sha1hex('ledger'), 1, 3)", 0)
        server.say("HSET", "{tickglass}:fence", bucket, fence)
    granted = store.acquire(ASK)
    assert granted == Granted(3 * 10**15 + 1)
    kept = [server.say("HVALS", "{tickglass}:fence") for server in servers]
    assert kept == [[str(3 * 10**15 + 1)]] * 3
    assert [it.fence for it in store.leases()] == [3 * 10**15 + 1]
    assert store.acquire(ASK) == granted


def test_two_who_split_the_vote_keep_nothing_and_ask_again(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    """Somebody has one vote, another one, and there is none left for a majority."""
    held = [replace(ASK, token=f"token-{number}", owner=f"n{number}", ttl_ns=300 * MS) for number in range(3)]
    store = opened()
    for node, ask in zip(store._nodes, held, strict=True):
        assert isinstance(node.acquire(ask), Granted)
    refused = opened().acquire(replace(ASK, token="late"))
    if isinstance(refused, Refused):  # a slow machine may have waited the three out
        assert 0 < refused.retry_after_ns <= 300 * MS
    let_pass(305 * MS)
    assert isinstance(opened().acquire(replace(ASK, token="later")), Granted | Refused)


def test_a_vote_of_many_has_one_winner_each_time(opened: Callable[..., RedlockStore]) -> None:
    clients, start, lock = [opened() for _ in range(6)], threading.Barrier(6), threading.Lock()
    winners: dict[int, list[int]] = {}
    inside: list[int] = []

    def work(number: int) -> None:
        for turn in range(15):
            start.wait(PATIENCE_S)
            lease = LeaseAsk(
                "nightly", f"n{number}", "billing", f"{number}-{turn}", 30 * SECOND, "nightly", f"{number}-{turn}"
            )
            ask = ClaimAsk(lease, turn)
            answer = clients[number].claim(ask)
            if isinstance(answer, Claimed):
                inside.append(number)
                assert inside == [number]
                inside.remove(number)
                assert clients[number].settle(settlement_of(ask, answer)).recorded
                with lock:
                    winners.setdefault(turn, []).append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert {turn: len(won) for turn, won in winners.items()} == dict.fromkeys(range(15), 1)


def test_a_vote_that_took_the_whole_lease_is_given_back(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    store = opened()
    with pytest.raises(StoreUnavailable, match="nothing is left of a lease of 2ms"):
        store.acquire(replace(ASK, ttl_ns=2 * MS))
    assert [server.say("EXISTS", "{tickglass}:lease:ledger") for server in servers] == [0, 0, 0]


def test_a_vote_taken_back_leaves_what_was_before(servers: list[RedisServer], store: RedlockStore) -> None:
    short = replace(CLAIM, lease=replace(CLAIM.lease, ttl_ns=400 * MS))
    assert isinstance(store.claim(short), Claimed)
    let_pass(410 * MS)
    node, other = store._nodes[0], OTHER.lease
    before = node.runs()
    assert isinstance(node.claim(OTHER), Claimed)
    assert [run.outcome for run in node.runs()] == [None, "orphaned"]
    ballot = (other.resource, other.token, str(OTHER.job_id), other.run_id, lua.due_text(OTHER.due_ns), 2**52)
    store._ledger.withdraw(ballot, [0])
    assert node.runs() == before
    assert [it.run_id for it in node.orphans([JobId("billing", "nightly")])] == ["run"]
