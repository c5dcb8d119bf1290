"""What every store promises of what operators ask for: see `ControlStore`."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.ports import (
    AlreadyClaimed,
    AuditRow,
    Claimed,
    ControlRecord,
    Gone,
    Granted,
    Refused,
    Renewed,
    Settled,
)
from tickglass.sched.stores.etcd import control as etcd_control
from tickglass.sched.stores.memory import control_log
from tickglass.sched.stores.redis import control as redis_control
from tickglass.sched.stores.redlock import control as redlock_control
from tickglass.sched.stores.sqlite import control as sqlite_control

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

NOTHING = ControlRecord()
MINUTE_NS = 60 * SECOND


def act(store: Store, version: int, text: str = "") -> bool:
    """Write what stands as version so-and-so; both texts name it."""
    return store.write_control(ControlRecord(version, f"record {version}{text}"), f"act {version}{text}")


def acts(store: Store, count: int) -> None:
    for version in range(1, count + 1):
        assert act(store, version)


def versions(rows: object) -> list[int]:
    return [row.version for row in rows]  # type: ignore[attr-defined]


# --- what stands


def test_before_the_first_act_nothing_stands(store: Store) -> None:
    assert store.control() == NOTHING
    assert store.control(0) is None
    assert store.control(7) == NOTHING
    assert list(store.audit()) == []


def test_an_act_replaces_what_stands_for_all_clients(kit: StoreKit, store: Store) -> None:
    other = kit.open()
    assert other.control(0) is None
    assert act(store, 1)
    assert act(store, 2)
    for client in (store, other, kit.open()):
        assert client.control() == ControlRecord(2, "record 2")
        assert client.control(1) == ControlRecord(2, "record 2")
        assert client.control(2) is None
    rows = other.audit()
    assert [(row.version, row.text) for row in rows] == [(2, "act 2"), (1, "act 1")]
    assert all(abs(row.wall_ns - store.time_ns()) < MINUTE_NS for row in rows)


def test_only_the_next_version_is_written(store: Store) -> None:
    acts(store, 2)
    for version in (1, 2, 4):
        assert not act(store, version, " of another writer")
    assert store.control() == ControlRecord(2, "record 2")
    assert [row.text for row in store.audit()] == ["act 2", "act 1"]


def test_the_first_act_makes_version_1(store: Store) -> None:
    assert not act(store, 2)
    assert store.control() == NOTHING
    assert list(store.audit()) == []


def test_a_repeated_act_is_answered_as_the_first_time_until_another_follows(kit: StoreKit, store: Store) -> None:
    acts(store, 2)
    assert act(store, 2)
    assert act(kit.open(), 2)
    assert versions(store.audit()) == [2, 1]
    assert act(store, 3)
    assert not act(store, 2)
    assert store.control() == ControlRecord(3, "record 3")


def test_of_several_writers_of_one_version_one_wins(kit: StoreKit, store: Store) -> None:
    clients = [kit.open() for _ in range(kit.threads)]
    for version in range(1, 4):
        won = kit.at_once(lambda number, version=version: act(clients[number], version, f" by {number}"))  # type: ignore[misc]
        assert won.count(True) == 1
        winner = won.index(True)
        assert store.control() == ControlRecord(version, f"record {version} by {winner}")
        assert store.audit(1)[0].text == f"act {version} by {winner}"
    assert versions(store.audit()) == [3, 2, 1]


def test_acts_of_several_writers_make_versions_without_a_hole(kit: StoreKit, store: Store) -> None:
    clients = [kit.open() for _ in range(4)]

    def write(number: int) -> list[int]:
        done: list[int] = []
        for attempt in itertools.count():
            if len(done) == 5:
                return done
            record = clients[number].control()
            assert record is not None
            if act(clients[number], record.version + 1, f" by {number}, {attempt}"):
                done.append(record.version + 1)
        raise AssertionError

    kit.threads = len(clients)
    made = kit.at_once(write)
    assert sorted(itertools.chain.from_iterable(made)) == list(range(1, 21))
    assert versions(store.audit()) == list(range(20, 0, -1))
    by_writer = {version: number for number, those in enumerate(made) for version in those}
    assert all(f" by {by_writer[row.version]}," in row.text for row in store.audit())


def test_texts_of_any_kind_and_length_come_back_as_they_were(store: Store) -> None:
    text = 'ä"\\\0\n{}' + "x" * 100_000
    assert store.write_control(ControlRecord(1, text), text[::-1])
    assert store.control(0) == ControlRecord(1, text)
    assert store.audit()[0].text == text[::-1]
    assert store.write_control(ControlRecord(2), "")
    assert store.control() == ControlRecord(2)


def test_acts_touch_no_lease_and_no_claim(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    store.claim(kit.claim())
    before = kit.state(store)
    acts(store, 3)
    assert kit.state(store) == before


# --- the log of the acts


def test_the_log_comes_in_pages_newest_first(store: Store) -> None:
    acts(store, 5)
    assert versions(store.audit(2)) == [5, 4]
    assert versions(store.audit(2, before=4)) == [3, 2]
    assert versions(store.audit(2, before=2)) == [1]
    assert versions(store.audit(2, before=1)) == []
    assert versions(store.audit(before=100)) == [5, 4, 3, 2, 1]
    assert versions(store.audit(0)) == []
    assert store.audit(1, before=4) == [AuditRow(3, store.audit(1, before=4)[0].wall_ns, "act 3")]


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep three rows of the log."""
    for module in (control_log, sqlite_control, redis_control, redlock_control, etcd_control):
        monkeypatch.setattr(module, "AUDIT_KEPT", 3)


@pytest.mark.usefixtures("short_log")
def test_rows_beyond_the_number_kept_are_dropped_by_the_next_act(kit: StoreKit) -> None:
    store = kit.open()
    acts(store, 3)
    assert versions(store.audit()) == [3, 2, 1]
    assert act(store, 4)
    assert versions(store.audit()) == [4, 3, 2]
    assert act(store, 5)
    assert versions(kit.open().audit()) == [5, 4, 3]


def test_a_store_that_lost_everything_is_as_before_the_first_act(kit: StoreKit, store: Store) -> None:
    if kit.holes is None:
        pytest.skip("nobody can empty it")
    acts(store, 2)
    kit.wipe()
    assert store.control(2) == NOTHING
    assert list(store.audit()) == []
    assert act(store, 1, " anew")
    assert store.control(0) == ControlRecord(1, "record 1 anew")
    assert [row.text for row in store.audit()] == ["act 1 anew"]


# --- unlocking


def test_a_lock_by_hand_is_taken_from_its_holder(kit: StoreKit, store: Store) -> None:
    ask = kit.ask("r")
    lease = kit.lease(ask, store.acquire(ask))
    assert kit.open().unlock("r", lease.fence, "asked for by alice")
    assert list(store.leases()) == []
    assert store.renew(lease) == Gone()
    assert store.release(lease) == Gone()
    granted = store.acquire(kit.ask("r", "n2"))
    assert isinstance(granted, Granted)
    assert granted.fence > lease.fence
    assert granted.expired_owner == ""
    assert isinstance(store.renew(lease), Gone)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_lease_with_another_fence_stays(kit: StoreKit, store: Store, change: int) -> None:
    ask, claim = kit.ask("r"), kit.claim()
    lease, claimed = kit.lease(ask, store.acquire(ask)), kit.lease(claim, store.claim(claim))
    before = kit.state(store)
    assert not store.unlock("r", lease.fence + change, "")
    assert not store.unlock(claimed.resource, claimed.fence + change, "")
    assert kit.state(store) == before
    assert store.renew(lease) == Renewed()
    assert store.renew(claimed) == Renewed()


def test_a_resource_that_nobody_holds_is_not_unlocked(kit: StoreKit, store: Store) -> None:
    assert not store.unlock("r", 1, "")
    ask = kit.ask("r")
    lease = kit.lease(ask, store.acquire(ask))
    store.release(lease)
    assert not store.unlock("r", lease.fence, "")


def test_a_lease_is_unlocked_once(kit: StoreKit, store: Store) -> None:
    ask = kit.ask("r")
    lease = kit.lease(ask, store.acquire(ask))
    assert store.unlock("r", lease.fence, "")
    assert not store.unlock("r", lease.fence, "")
    assert isinstance(store.acquire(kit.ask("r")), Granted)
    assert not store.unlock("r", lease.fence, "")
    assert len(store.leases()) == 1


def test_an_expired_lease_is_not_unlocked_and_its_claim_stays_an_orphan(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    lease = kit.lease(ask, store.claim(ask))
    kit.let_expire()
    assert not store.unlock(lease.resource, lease.fence, "")
    assert [it.run_id for it in store.orphans([ask.job_id])] == [ask.lease.run_id]
    assert [it.outcome for it in store.runs()] == [None]


def test_the_attempt_of_a_claim_that_is_unlocked_is_settled_and_not_run_again(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    ask = kit.claim(due_ns=5)
    answer = store.claim(ask)
    lease = kit.lease(ask, answer)
    assert kit.open().unlock(lease.resource, lease.fence, "asked for by ålice")
    (run,) = store.runs()
    assert (run.outcome, run.detail, run.attempt) == ("orphaned", "asked for by ålice", 1)
    assert run.ended_wall_ns is not None
    assert abs(run.ended_wall_ns - store.time_ns()) < MINUTE_NS
    assert list(store.leases()) == []
    assert store.renew(lease) == Gone()
    kit.let_expire()
    assert list(store.orphans([ask.job_id])) == []
    assert list(store.abandoned()) == []
    assert store.claim(kit.claim(due_ns=5, owner="n2")) == AlreadyClaimed("n1", "orphaned")
    assert store.settle(kit.settlement(ask, answer)) == Settled(recorded=False, released=False)
    assert [it.outcome for it in store.runs()] == ["orphaned"]
    following = kit.claim(due_ns=6)
    fresh = store.claim(following)
    assert isinstance(fresh, Claimed)
    assert fresh.fence > lease.fence
    assert fresh.attempt == 1


def test_other_attempts_on_the_resource_stay_as_they_are(kit: StoreKit, store: Store) -> None:
    died, runs = kit.claim("a", due_ns=1, resource="shared"), kit.claim("b/c", due_ns=2, resource="shared")
    elsewhere = kit.claim("b/c", due_ns=3, resource="other")
    store.release(kit.lease(died, store.claim(died)))
    lease = kit.lease(runs, store.claim(runs))
    store.claim(elsewhere)
    assert store.unlock("shared", lease.fence, "")
    assert {(it.job, it.due_ns): it.outcome for it in store.runs()} == {
        ("a", 1): None,
        ("b/c", 2): "orphaned",
        ("b/c", 3): None,
    }
    assert [it.job for it in store.orphans([died.job_id, runs.job_id])] == ["a"]


def test_a_job_of_another_service_with_that_name_stays_as_it_is(kit: StoreKit, store: Store) -> None:
    ours, theirs = kit.claim("sync", service="a/b"), kit.claim("sync", service="a")
    lease = kit.lease(ours, store.claim(ours))
    store.claim(theirs)
    assert store.unlock(lease.resource, lease.fence, "")
    assert {it.service: it.outcome for it in store.runs()} == {"a/b": "orphaned", "a": None}


def test_a_long_detail_is_cut(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    lease = kit.lease(ask, store.claim(ask))
    assert store.unlock(lease.resource, lease.fence, "x" * 3_000)
    assert store.runs()[0].detail == "x" * 2_000


def test_waiters_are_told_that_an_unlocked_resource_is_free(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    lease = kit.lease(ask, store.claim(ask))
    waiter = store if kit.name == "sqlite" else kit.open()  # whose waiters in other processes ask again now and then
    freed = threading.Event()
    unwatch = waiter.watch(lease.resource, freed.set)
    assert isinstance(waiter.acquire(kit.ask(lease.resource, "n2")), Refused)
    freed.clear()
    # A subscription may begin a moment after `watch` returns; then it is told of the next one.
    assert store.unlock(lease.resource, lease.fence, "")
    for _ in range(100):
        if freed.wait(0.1):
            break
        again = kit.ask(lease.resource)
        store.unlock(lease.resource, kit.lease(again, store.acquire(again)).fence, "")
    unwatch()
    assert freed.is_set()
