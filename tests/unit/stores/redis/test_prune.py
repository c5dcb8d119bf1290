"""A ledger in Redis forgets in small steps, each of which holds the server up for a moment only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import AlreadyClaimed, ClaimAsk, Claimed, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redis.store import RedisStore
from tickglass.sched.stores.retention import KEEP_NS, LATEST_KEPT

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


def lease_of(ask: LeaseAsk, answer: object) -> Lease:
    assert isinstance(answer, Claimed), answer
    return Lease(ask.resource, ask.owner, ask.token, answer.fence, ask.ttl_ns, trusted_until_ns=0)


def settlement_of(ask: ClaimAsk, answer: object) -> Settlement:
    lease = ask.lease
    return Settlement(lease_of(lease, answer), "s", lease.job, ask.due_ns, lease.run_id, "success")


def claim_often(store: RedisStore, job: str, count: int, *, settled: bool) -> None:
    """Have so many attempts of a job in the ledger; those that are not settled are abandoned."""
    for due_ns in range(count):
        ask = ClaimAsk(LeaseAsk(job, "o", "s", f"t{due_ns}", SECOND, job, f"{job} {due_ns}"), due_ns)
        answer = store.claim(ask)
        if settled:
            store.settle(settlement_of(ask, answer))
        else:
            store.release(lease_of(ask.lease, answer))


def test_one_script_looks_at_so_many_attempts_in_all(store: RedisStore) -> None:
    for job in ("a", "b", "c"):
        claim_often(store, job, LATEST_KEPT + 40, settled=True)
    left, after, more = [], "", 1
    while more:
        after, more, _ = store._connections.run("prune", lua.PRUNE, after, 100, 0, LATEST_KEPT, 50)
        left.append([len(store.runs(JobId("s", job), limit=1_000)) - LATEST_KEPT for job in ("a", "b", "c")])
    assert left[:3] == [[0, 30, 40], [0, 0, 20], [0, 0, 0]]


def test_what_cannot_be_forgotten_is_not_in_the_way_of_what_can(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.stores.redis.store._PRUNE_ROWS", 20)
    claim_often(store, "a", LATEST_KEPT + 30, settled=False)
    claim_often(store, "b", LATEST_KEPT + 30, settled=True)
    store._keep_ns = 0
    store.prune()
    assert [len(store.runs(JobId("s", job), limit=1_000)) for job in ("a", "b")] == [LATEST_KEPT + 30, LATEST_KEPT]


def test_what_is_left_over_is_forgotten_next_time(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in ("a", "b"):
        claim_often(store, job, LATEST_KEPT + 10, settled=True)
    store._keep_ns = 0
    monkeypatch.setattr("tickglass.sched.stores.redis.store._PRUNE_AT_MAX_NS", 0)
    store.prune()
    assert len(store.runs(limit=1_000)) == 2 * LATEST_KEPT + 20
    store._pruned_to = "s/a"
    monkeypatch.setattr("tickglass.sched.stores.redis.store._PRUNE_AT_MAX_NS", SECOND)
    store.prune()
    assert [len(store.runs(JobId("s", job), limit=1_000)) for job in ("a", "b")] == [LATEST_KEPT + 10, LATEST_KEPT]
    store.prune()
    assert [len(store.runs(JobId("s", job), limit=1_000)) for job in ("a", "b")] == [LATEST_KEPT, LATEST_KEPT]


def test_leases_are_looked_through_page_by_page_and_a_pass_goes_on_where_the_last_one_stopped(
    server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.stores.redis.store._PAGE", 2)
    for name in "abcde":
        store.acquire(LeaseAsk(name, "o", "s", name, 2 * KEEP_NS))
        if name != "b":
            server.say("DEL", f"{{tickglass}}:lock:{name}")
            server.say("HSET", f"{{tickglass}}:lease:{name}", "expires_us", store.time_ns() // 1_000 - KEEP_NS // 1_000)
    store._leases_pruned_to = "b"
    store.prune()
    assert [lease.resource for lease in store.leases()] == ["a", "b"]
    store._keep_ns = 9 * KEEP_NS
    store.prune()
    assert [lease.resource for lease in store.leases()] == ["b"], "a day is the most, however long attempts are kept"
    assert sorted(server.say("KEYS", "*lease*")) == ["{tickglass}:lease:b", "{tickglass}:leases"]


def test_what_cannot_be_forgotten_now_keeps_nobody_from_registering(server: RedisServer, store: RedisStore) -> None:
    server.say("ZADD", "{tickglass}:ledgers", 0, "other")
    server.say("SET", "{tickglass}:dues:s/other", "what is this?")
    assert len(store.register([JobRecord("nightly", "t", "nightly", "o", "s", 1, 1, None, None)])) == 1


def test_the_ledger_forgets_what_ended_long_ago_but_never_the_latest(store: RedisStore) -> None:
    def claim(due_ns: int) -> ClaimAsk:
        return ClaimAsk(LeaseAsk("nightly", "o", "s", f"t{due_ns}", SECOND, "nightly", f"{due_ns:032x}"), due_ns)

    for due_ns in range(1, LATEST_KEPT + 31):
        ask = claim(due_ns)
        answer = store.claim(ask)
        if due_ns == 5:
            store.release(lease_of(ask.lease, answer))  # an orphan is never forgotten
        else:
            store.settle(settlement_of(ask, answer))
    store.prune()
    assert len(store.runs(limit=1_000)) == LATEST_KEPT + 30, "they ended just now"
    store._keep_ns = 0
    store.prune()
    kept = [run.due_ns for run in store.runs(limit=1_000)]
    assert kept == [*range(LATEST_KEPT + 30, 30, -1), 5]
    assert [run.due_ns for run in store.runs(JobId("s", "nightly"), limit=1_000)] == kept
    assert [orphan.due_ns for orphan in store.orphans([JobId("s", "nightly")])] == [5]
    assert store.claim(claim(LATEST_KEPT + 30)) == AlreadyClaimed("o", "success")
