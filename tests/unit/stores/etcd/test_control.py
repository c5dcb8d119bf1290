"""What operators ask for, in etcd: what a poll costs, what a reader leaves alone, what a deleted key takes along."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from kit.asks import ASK, lease_of
from kit.old_layouts import text64

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import MANUAL, ClaimAsk, ControlRecord, LeaseAsk, Renewed, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.stores.etcd.client import Call
from tickglass.sched.stores.etcd.store import EtcdStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import EtcdServer

CLAIM = ClaimAsk(LeaseAsk("nightly", "n1", "billing", "token 1", 30 * SECOND, "nightly", "run 1"), due_ns=1)


@pytest.fixture
def prefix() -> str:
    return f"/control/{uuid.uuid4()}"


@pytest.fixture
def opened(etcd: EtcdServer, prefix: str) -> Iterator[Callable[[], EtcdStore]]:
    stores: list[EtcdStore] = []

    def open_one() -> EtcdStore:
        store = open_store(etcd.url(prefix=prefix), SystemClock())
        assert isinstance(store, EtcdStore)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], EtcdStore]) -> EtcdStore:
    return opened()


def round_trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one entry for each round trip: how many requests went together."""
    seen: list[int] = []
    ask = Call._ask_members

    def counted(self: Call, questions: tuple[tuple[str, object], ...], *, again: bool) -> list[Any]:
        seen.append(len(questions))
        return ask(self, questions, again=again)

    monkeypatch.setattr(Call, "_ask_members", counted)
    return seen


def test_what_it_costs(store: EtcdStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.write_control(ControlRecord(1, "text"), "act")
    lease, claimed = lease_of(ASK, store.acquire(ASK)), lease_of(CLAIM.lease, store.claim(CLAIM))
    seen = round_trips(monkeypatch)

    def cost_of(call: Callable[[], object]) -> int:
        seen.clear()
        call()
        return len(seen)

    assert cost_of(lambda: store.control(1)) == 1
    assert cost_of(lambda: store.control(0)) == 2
    assert cost_of(lambda: store.write_control(ControlRecord(2, ""), "act 2")) == 1
    assert cost_of(lambda: store.audit(10)) == 1
    assert cost_of(lambda: store.unlock(lease.resource, lease.fence, "")) == 2
    assert cost_of(lambda: store.unlock(claimed.resource, claimed.fence, "")) == 3
    assert cost_of(lambda: store.unlock(claimed.resource, claimed.fence, "")) == 1


def test_a_reader_writes_nothing_to_a_store_without_keys(etcd: EtcdServer, prefix: str, store: EtcdStore) -> None:
    assert store.control() == ControlRecord()
    assert store.control(0) is None
    assert list(store.audit()) == []
    found = etcd.say("kv/range", key=text64(f"{prefix}/"), range_end=text64(f"{prefix}0"))
    assert "kvs" not in found


def deleted(etcd: EtcdServer, key: str) -> None:
    assert etcd.say("kv/deleterange", key=text64(key))["deleted"] == "1"


def test_without_the_key_of_the_holder_the_attempt_is_settled_all_the_same(
    etcd: EtcdServer, prefix: str, store: EtcdStore, opened: Callable[[], EtcdStore]
) -> None:
    claimed = lease_of(CLAIM.lease, store.claim(CLAIM))
    other = lease_of(ASK, store.acquire(ASK))
    deleted(etcd, f"{prefix}/holder/nightly")
    assert opened().unlock("nightly", claimed.fence, "by hand")
    assert [(run.outcome, run.detail) for run in store.runs()] == [("orphaned", "by hand")]
    assert store.renew(other) == Renewed()


def test_rows_of_a_record_that_a_person_deleted_are_dropped_by_the_first_act(
    etcd: EtcdServer, prefix: str, store: EtcdStore
) -> None:
    for version in (1, 2, 3):
        assert store.write_control(ControlRecord(version, "text"), f"act {version}")
    deleted(etcd, f"{prefix}/control/version")
    assert store.control(3) == ControlRecord()
    assert store.control(0) is None
    assert store.write_control(ControlRecord(1, "anew"), "act anew")
    assert store.control(0) == ControlRecord(1, "anew")
    assert [row.text for row in store.audit()] == ["act anew"]


def test_a_person_who_deletes_a_row_of_the_log_loses_that_row_alone(
    etcd: EtcdServer, prefix: str, store: EtcdStore
) -> None:
    for version in (1, 2):
        assert store.write_control(ControlRecord(version, "text"), f"act {version}")
    deleted(etcd, f"{prefix}/acts/{10**19 - 2:020d}")
    assert store.write_control(ControlRecord(2, "text"), "act 2")  # repeated
    assert [row.text for row in store.audit()] == ["act 1"]


def test_pruning_goes_on_with_jobs_that_were_only_run_by_hand(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.stores.etcd.prune.LATEST_KEPT", 2)
    monkeypatch.setattr("tickglass.sched.stores.etcd.prune._BATCH", 2)
    store._pruner._keep_ns = 0
    names = [f"job {number}" for number in range(5)]
    for name in names:
        for due_ns in (1, 2, 3):
            lease = LeaseAsk(name, "n1", "billing", f"{name}, {due_ns}", 30 * SECOND, name, f"run {due_ns} of {name}")
            kind = MANUAL if name != names[0] else "scheduled"
            held = lease_of(lease, store.claim(ClaimAsk(lease, due_ns, kind=kind)))
            assert store.settle(Settlement(held, "billing", name, due_ns, lease.run_id, "success")).recorded
    store._pruner.prune()
    for name in names:
        assert [run.due_ns for run in store.runs(JobId("billing", name))] == [3, 2], name
