"""A batch is one script on Redis: how many requests it takes, and what it does when an item or the server fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from kit.servers import find_free_port
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import BATCH_MAX, AlreadyClaimed, ClaimAsk, Claimed, LeaseAsk, Settled, Settlement
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kit.servers import RedisServer

    from tickglass.sched.ports import Store

SCRIPTS: Final = ("eval", "evalsha")


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    store = open_store(f"redis://127.0.0.1:{server.port}/0?timeout=1s", SystemClock())
    yield store
    store.close()


def asks(count: int, due_ns: int = 1) -> list[ClaimAsk]:
    return [
        ClaimAsk(LeaseAsk(f"r{it}", "n1", "s", f"t{it}-{due_ns}", 30 * SECOND, f"j{it}", f"run {it}-{due_ns}"), due_ns)
        for it in range(count)
    ]


def settlements(claims: Sequence[ClaimAsk], answers: Sequence[object]) -> list[Settlement]:
    found = []
    for ask, answer in zip(claims, answers, strict=True):
        assert isinstance(answer, Claimed)
        lease = ask.lease
        found.append(Settlement(lease.untrusted(answer.fence), "s", lease.job, ask.due_ns, lease.run_id, "success"))
    return found


def scripts_run(server: RedisServer) -> int:
    """Return how many scripts clients have asked for, since the statistics were reset."""
    found = server.say("INFO", "commandstats")
    return sum(found[f"cmdstat_{name}"]["calls"] for name in SCRIPTS if f"cmdstat_{name}" in found)


def test_a_full_batch_is_one_request(server: RedisServer, store: Store) -> None:
    for due_ns in (1, 2):  # at first the server is sent the text of the scripts, and asked for the user's rights
        server.say("CONFIG", "RESETSTAT")
        claims = asks(BATCH_MAX, due_ns)
        answers = store.claim_many(claims)
        claimed = scripts_run(server)
        settled = store.settle_many(settlements(claims, answers))
        assert settled == [Settled(recorded=True, released=True)] * BATCH_MAX
    assert (claimed, scripts_run(server)) == (1, 2)


def test_an_item_whose_keys_are_of_another_type_fails_alone(server: RedisServer, store: Store) -> None:
    server.say("SET", "{tickglass}:record:s/j1", "theirs")
    claims = asks(3)
    answers = store.claim_many(claims)
    assert [type(answer) for answer in answers] == [Claimed, StoreUnavailable, Claimed]
    assert isinstance(answers[1], StoreUnavailable)
    assert (answers[1].operation, answers[1].kind) == ("claim_many", "error")
    assert "WRONGTYPE" in answers[1].detail
    assert {run.job for run in store.runs()} == {lease.job for lease in store.leases()} == {"j0", "j2"}

    ended = settlements([claims[0], claims[2]], [answers[0], answers[2]])
    server.say("RENAME", "{tickglass}:dues:s/j0", "kept")
    server.say("SET", "{tickglass}:dues:s/j0", "theirs")
    settled = store.settle_many(ended)
    assert isinstance(settled[0], StoreUnavailable)
    assert settled[1] == Settled(recorded=True, released=True)
    server.say("RENAME", "kept", "{tickglass}:dues:s/j0")
    assert store.settle_many(ended[:1]) == [Settled(recorded=True, released=True)]


def test_an_item_that_a_person_has_spoilt_fails_alone(server: RedisServer, store: Store) -> None:
    claims = asks(3)
    answers = store.claim_many(claims)
    (attempt,) = server.say("HKEYS", "{tickglass}:runs:s/j1")
    server.say("HSET", "{tickglass}:runs:s/j1", attempt, "no JSON")
    settled = store.settle_many(settlements(claims, answers))
    assert [type(answer) for answer in settled] == [Settled, StoreUnavailable, Settled]
    assert [type(it) for it in store.claim_many(claims)] == [AlreadyClaimed, StoreUnavailable, AlreadyClaimed]


def test_a_full_server_answers_what_needs_no_room(server: RedisServer, store: Store) -> None:
    ask, new = asks(2)
    claimed = store.claim_many([ask])
    server.say("CONFIG", "SET", "maxmemory", "1")
    other = replace(ask, lease=replace(ask.lease, owner="n2", run_id="other"))
    known, refused = store.claim_many([other, new])
    assert known == AlreadyClaimed("n1", None)
    assert isinstance(refused, StoreUnavailable)
    assert refused.kind == "unavailable"
    assert store.settle_many(settlements([ask], claimed)) == [Settled(recorded=True, released=True)]


def test_a_batch_at_a_server_that_is_master_no_more_has_no_answer(server: RedisServer, store: Store) -> None:
    first = asks(1)
    store.claim_many(first)
    server.say("REPLICAOF", "127.0.0.1", find_free_port())
    with pytest.raises(StoreUnavailable, match="read only") as raised:
        store.claim_many([*first, *asks(3, due_ns=2)])
    assert raised.value.kind == "unavailable"
    server.say("REPLICAOF", "NO", "ONE")
    assert [type(it) for it in store.claim_many(asks(3, due_ns=2)[1:])] == [Claimed, Claimed]


def test_a_batch_that_a_stopped_server_does_not_answer_raises(server: RedisServer, store: Store) -> None:
    claims = asks(3)
    ended = settlements(claims, store.claim_many(claims))
    server.kill()
    for ask in (lambda: store.claim_many(asks(3, due_ns=2)), lambda: store.settle_many(ended)):
        with pytest.raises(StoreUnavailable) as raised:
            ask()
        assert raised.value.kind == "unavailable"


def test_a_batch_on_keys_of_a_newer_layout_raises(server: RedisServer, store: Store) -> None:
    store.claim_many(asks(1))
    server.say("SET", "{tickglass}:layout", "99")
    with pytest.raises(StoreUnavailable, match="newer Tickglass"):
        store.claim_many(asks(2, due_ns=2))
