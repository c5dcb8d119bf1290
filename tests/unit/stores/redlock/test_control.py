"""What operators ask for stands where a majority of servers has it; what fewer have is not shown, and never late."""

from __future__ import annotations

import itertools
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
import redis
from kit.asks import ASK, lease_of

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.ports import AlreadyClaimed, AuditRow, ClaimAsk, ControlRecord, Gone, Granted, LeaseAsk
from tickglass.sched.stores.redis.control import StoredAct
from tickglass.sched.stores.redlock.control import merged_acts
from tickglass.sched.stores.redlock.scripts import ACCEPT, PROMISE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kit.servers import RedisServer

    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redlock.quorum import Answers
    from tickglass.sched.stores.redlock.store import RedlockStore

T = TypeVar("T")

FIRST, SECOND_ONE, THIRD = (ControlRecord(version, f"record {version}") for version in (1, 2, 3))
CLAIM: Final = ClaimAsk(LeaseAsk("nightly", "n1", "billing", "token 1", 30 * SECOND, "nightly", "run 1"), due_ns=1)


@contextmanager
def silent(server: RedisServer) -> Iterator[None]:
    server.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        server.kill(signal.SIGCONT)


def left_behind(store: RedlockStore, record: ControlRecord, entry: str, number: int = 0) -> None:
    """Write as a client does that dies when one server has accepted its act."""
    ballot = store._control._next_ballot()
    promised = store._quorum.ask("write_control", PROMISE, (ballot,))
    assert [reply[0] for reply in promised.values()] == [1, 1, 1]
    args = (ballot, record.version, record.text, entry, "1", 100)
    assert store._quorum.ask("write_control", ACCEPT, args, among=[number]) == {number: 1}


def texts(store: RedlockStore) -> list[str]:
    return [row.text for row in store.audit()]


# --- what only a minority has


def test_what_a_minority_has_is_not_shown(store: RedlockStore) -> None:
    assert store.write_control(FIRST, "first")
    left_behind(store, SECOND_ONE, "lost")
    assert store.control(0) == FIRST
    assert store.control(1) is None
    assert texts(store) == ["first"]


def test_what_was_overtaken_while_its_server_was_away_never_stands(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    store = opened()
    assert store.write_control(FIRST, "first")
    left_behind(store, SECOND_ONE, "lost")
    other = ControlRecord(2, "of another writer")
    with silent(servers[0]):
        assert opened().write_control(other, "won")
        assert not store.write_control(SECOND_ONE, "lost")
    with silent(servers[2]):  # the others are the one that has what was lost, and one that has what stands
        late = opened()
        assert late.control(1) == other
        assert texts(late) == ["won", "first"]
    fresh = opened()
    assert fresh.control() == other
    assert fresh.write_control(THIRD, "third")
    assert texts(fresh) == ["third", "won", "first"]
    assert [[act.row.text for act in node.acts(1, None)] for node in fresh._nodes] == [["third"]] * 3


def test_an_act_whose_writer_died_may_be_done_by_the_next_write_which_is_then_refused(
    opened: Callable[..., RedlockStore],
) -> None:
    store = opened()
    assert store.write_control(FIRST, "first")
    left_behind(store, SECOND_ONE, "of a dead writer")
    other = opened()
    assert not other.write_control(ControlRecord(2, "of another writer"), "another")
    assert other.control(1) == SECOND_ONE
    assert store.write_control(SECOND_ONE, "of a dead writer"), "asked again, it is told that it was done"
    assert texts(other) == ["of a dead writer", "first"]


def test_a_version_that_only_a_minority_has_is_made_whole_before_the_next_one(store: RedlockStore) -> None:
    assert store.write_control(FIRST, "first")
    left_behind(store, SECOND_ONE, "second")
    assert store.write_control(THIRD, "third")
    assert [row.text for row in store._nodes[1].audit()] == ["third", "second", "first"]
    assert texts(store) == ["third", "second", "first"]


def test_a_writer_whose_act_others_completed_and_went_on_from_is_told_that_it_was_done(
    opened: Callable[..., RedlockStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = opened(), opened()
    assert store.write_control(FIRST, "first")
    assert other.control(0) == FIRST
    ask = store._quorum.ask

    def overtaken(operation: str, script: Script, args: Sequence[Argument]) -> Answers:
        if script is ACCEPT:
            monkeypatch.undo()
            for _ in range(3):
                ballot = other._control._next_ballot()
            assert [it[0] for it in other._quorum.ask(operation, PROMISE, (ballot,), among=[1, 2]).values()] == [1, 1]
            answers = ask(operation, script, args)
            assert dict(answers) == {0: 1, 1: 0, 2: 0}
            assert other.write_control(THIRD, "third")
            return answers
        return ask(operation, script, args)

    monkeypatch.setattr(store._quorum, "ask", overtaken)
    assert store.write_control(SECOND_ONE, "second")
    assert texts(store) == ["third", "second", "first"]


def test_no_act_without_a_majority_of_servers(servers: list[RedisServer], opened: Callable[..., RedlockStore]) -> None:
    store = opened()
    assert store.write_control(FIRST, "first")
    with silent(servers[1]), silent(servers[2]):
        for call in (lambda: store.write_control(SECOND_ONE, "second"), store.control, store.audit):
            with pytest.raises(StoreUnavailable, match="1 of 3 servers answered"):
                call()
    again = opened()
    assert again.control(0) == FIRST
    assert again.write_control(SECOND_ONE, "second")
    assert texts(again) == ["second", "first"]


# --- servers that were away


def test_a_server_that_was_away_is_brought_up_to_date_by_the_next_write(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    with silent(servers[0]):
        store = opened()
        assert store.write_control(FIRST, "first")
        assert store.write_control(SECOND_ONE, "second")
    fresh = opened()
    assert fresh.control() == SECOND_ONE
    assert fresh.write_control(THIRD, "third")
    assert fresh._nodes[0].control() == THIRD
    assert texts(fresh) == ["third", "second", "first"]


def test_a_reader_repairs_what_too_few_servers_have(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    assert opened().write_control(FIRST, "first")
    servers[0].say("FLUSHALL")
    with silent(servers[1]):
        late = opened()
        assert late.control(0) == FIRST
        assert late._nodes[0].control() == FIRST
        assert texts(late) == ["first"]


def test_what_one_server_still_has_is_not_lost_when_the_others_come_back_empty(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    assert opened().write_control(FIRST, "first")
    for server in servers[:2]:
        server.say("FLUSHALL")
    with silent(servers[2]):
        assert opened().control(1) == ControlRecord(), "no server that answers has it"
    assert opened().control(0) == FIRST
    assert texts(opened()) == ["first"]
    with silent(servers[2]):
        assert opened().control(0) == FIRST


# --- what it costs


def test_a_poll_costs_each_server_one_script_and_an_act_two(servers: list[RedisServer], store: RedlockStore) -> None:
    assert store.write_control(FIRST, "first")
    assert store.control(1) is None
    assert store.control(0) == FIRST

    def scripts_of(call: Callable[[], object]) -> list[int]:
        for server in servers:
            server.say("CONFIG", "RESETSTAT")
        call()
        counts = []
        for server in servers:
            with redis.Redis(port=server.port, protocol=2) as client:
                counts.append(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])
        return counts

    assert scripts_of(lambda: store.control(1)) == [1, 1, 1]
    assert scripts_of(lambda: store.control(0)) == [1, 1, 1]
    assert scripts_of(lambda: store.write_control(SECOND_ONE, "second")) == [2, 2, 2]
    assert scripts_of(lambda: store.unlock("r", 1, "")) == [1, 1, 1]


class Traffic:
    """Writers, readers, and what silences one server after the other; until the writers are done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.seen: list[list[ControlRecord]] = []
        self._over = threading.Event()

    def write(self, store: RedlockStore, name: str, count: int) -> None:
        """Make so many acts; one without an answer is asked for again until there is one."""
        attempts = itertools.count()
        while count:
            record = insisted(store.control)
            assert record is not None
            entry = f"{name} {next(attempts)}"
            act = partial(store.write_control, ControlRecord(record.version + 1, entry), entry)
            if insisted(act):
                self.done.append(entry)
                count -= 1

    def read(self, store: RedlockStore) -> None:
        mine: list[ControlRecord] = []
        self.seen.append(mine)
        while not self._over.is_set():
            record = insisted(store.control)
            assert record is not None
            mine.append(record)

    def disturb(self, servers: list[RedisServer]) -> None:
        rng = random.Random(7)
        while not self._over.is_set():
            with silent(rng.choice(servers)):
                self._over.wait(0.02)
            self._over.wait(0.05)

    def end(self) -> None:
        self._over.set()


def insisted(call: Callable[[], T]) -> T:
    """Return the first answer."""
    while True:
        try:
            return call()
        except StoreUnavailable:
            continue


def test_what_readers_see_was_made_by_an_act_of_the_log_and_never_goes_back(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    traffic, stores = Traffic(), [opened() for _ in range(4)]
    with ThreadPoolExecutor(5) as pool:
        others = [pool.submit(traffic.read, store) for store in stores[2:]]
        others.append(pool.submit(traffic.disturb, servers))
        writers = [pool.submit(traffic.write, store, name, 8) for store, name in zip(stores, "ab", strict=False)]
        try:
            for writer in writers:
                writer.result()
        finally:
            traffic.end()
        for other in others:
            other.result()
    rows = opened().audit(1_000)
    assert [row.version for row in rows] == list(range(16, 0, -1))
    assert sorted(row.text for row in rows) == sorted(traffic.done)
    made = {row.version: row.text for row in rows} | {0: ""}
    for records in traffic.seen:
        assert [it.text for it in records] == [made[it.version] for it in records]
        assert [it.version for it in records] == sorted(it.version for it in records)


def test_of_acts_with_one_version_that_of_the_latest_ballot_is_shown() -> None:
    def act(version: int, text: str, ballot: str) -> StoredAct:
        return StoredAct(AuditRow(version, 0, text), ballot)

    views = [[act(2, "lost", "1"), act(1, "a", "0")], [act(3, "c", "4"), act(2, "won", "2")]]
    assert [row.text for row in merged_acts(views, 10)] == ["c", "won", "a"]
    assert [row.text for row in merged_acts(views[::-1], 2)] == ["c", "won"]
    assert merged_acts([], 10) == []


# --- unlocking


def test_a_lease_is_unlocked_with_a_server_away_which_has_it_until_it_ends(
    servers: list[RedisServer], opened: Callable[..., RedlockStore]
) -> None:
    store = opened()
    claimed = lease_of(CLAIM.lease, store.claim(CLAIM))
    with silent(servers[0]):
        assert opened().unlock("nightly", claimed.fence, "by hand")
    fresh = opened()
    assert isinstance(fresh.renew(claimed), Gone)
    assert list(fresh.orphans([JobId("billing", "nightly")])) == []
    assert fresh.claim(CLAIM) == AlreadyClaimed("n1", "orphaned")
    following = ClaimAsk(LeaseAsk("nightly", "n2", "billing", "token 2", 30 * SECOND, "nightly", "run 2"), due_ns=2)
    assert lease_of(following.lease, fresh.claim(following)).fence > claimed.fence
    (run,) = fresh.runs(before_ns=2)
    assert (run.outcome, run.detail) == ("orphaned", "by hand")


def test_a_vote_that_is_no_majoritys_is_no_lease_to_unlock(store: RedlockStore) -> None:
    granted = store._nodes[0].acquire(ASK)
    assert isinstance(granted, Granted)
    assert not store.unlock(ASK.resource, granted.fence, "")
