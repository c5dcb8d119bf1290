"""What every store promises of the records of instances: see `Membership` and `StoreObserver`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import SILENT_AFTER_NS, Beat, Claimed, InstanceRecord, InstanceState
from tickglass.sched.stores import retention
from tickglass.sched.stores.redis import instances as redis_instances

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

GRAIN_NS = 2 * SECOND  # etcd tells the time to the second


def instance(incarnation: str = "i1", owner: str = "n1", **changes: object) -> InstanceRecord:
    record = InstanceRecord("billing", owner, incarnation, "1.2.3", "f00d", InstanceState.RUNNING)
    return replace(record, **changes)  # type: ignore[arg-type]


def shown(store: Store) -> list[InstanceRecord]:
    """Return the records without their times."""
    return [replace(it, seen_wall_ns=0, silent_ns=0) for it in store.instances()]


def test_a_store_that_nothing_has_joined_shows_none(store: Store) -> None:
    assert store.instances() == []
    assert store.job_set("f00d") is None


def test_an_instance_that_has_joined_is_shown_with_its_jobs_to_all_clients(kit: StoreKit, store: Store) -> None:
    store.join(instance(), ["b", "a/ä"])
    other = kit.open()
    assert shown(other) == [instance()]
    (it,) = other.instances()
    assert 0 <= it.silent_ns < SILENT_AFTER_NS
    assert abs(it.seen_wall_ns - store.time_ns()) < SILENT_AFTER_NS
    assert it.living
    assert list(other.job_set("f00d") or ()) == ["a/ä", "b"]
    assert other.job_set("beef") is None


def test_records_come_by_service_owner_and_incarnation(store: Store) -> None:
    records = [instance("3", "n2"), instance("2"), instance("1"), instance("0", service="zoo")]
    for record in records:
        store.join(record, [])
    assert shown(store) == [records[2], records[1], records[0], records[3]]


def test_a_beat_of_a_known_instance_writes_what_has_changed(kit: StoreKit, store: Store) -> None:
    store.join(instance(state=InstanceState.STARTING), ["a"])
    (before,) = store.instances()
    kit.let_pass(kit.ttl_ns)
    assert store.beat(instance()) is Beat.KNOWN
    (after,) = kit.open().instances()
    assert (after.state, after.incarnation) == ("running", "i1")
    assert after.seen_wall_ns >= before.seen_wall_ns + kit.ttl_ns - GRAIN_NS
    assert after.seen_wall_ns > before.seen_wall_ns


def test_silence_is_counted_by_the_stores_clock(kit: StoreKit, store: Store) -> None:
    store.join(instance(), [])
    kit.let_pass(2 * kit.ttl_ns)
    (it,) = store.instances()
    assert 2 * kit.ttl_ns - GRAIN_NS <= it.silent_ns
    assert it.silent_ns > 0


def test_a_beat_of_an_unknown_instance_says_so_and_writes_nothing(store: Store) -> None:
    store.join(instance(), ["a"])
    assert store.beat(instance("i2")) is Beat.FORGOTTEN
    assert shown(store) == [instance()]


def test_an_instance_with_other_jobs_is_known_and_has_to_join_again(store: Store) -> None:
    store.join(instance(), ["a"])
    assert store.beat(instance(fingerprint="beef")) is Beat.PARTLY
    assert shown(store) == [instance(fingerprint="beef")]
    store.join(instance(fingerprint="beef"), ["a", "b"])
    assert store.beat(instance(fingerprint="beef")) is Beat.KNOWN
    assert list(store.job_set("beef") or ()) == ["a", "b"]


def test_names_that_no_instance_needs_are_deleted_by_the_next_that_joins(store: Store) -> None:
    store.join(instance(), ["a"])
    store.join(instance(fingerprint="beef"), ["b"])
    store.join(instance("i2", fingerprint="beef"), ["b"])
    assert store.job_set("f00d") is None
    assert list(store.job_set("beef") or ()) == ["b"]


def test_an_instance_that_left_is_shown_as_left(store: Store) -> None:
    store.join(instance(), ["a"])
    assert store.beat(instance(state=InstanceState.LEFT)) is Beat.KNOWN
    (it,) = store.instances()
    assert (it.state, it.living) == ("left", False)


def test_records_touch_no_lease_and_no_claim(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    ask = kit.claim()
    store.claim(ask)
    before = kit.state(store)
    store.join(instance(), ["nightly"])
    store.beat(instance())
    store.beat(instance(state=InstanceState.LEFT))
    assert kit.state(store) == before


def test_many_jobs_fit(store: Store) -> None:
    names = [f"job-{number:05d}" for number in range(2_500)]
    store.join(instance(), names)
    assert store.beat(instance()) is Beat.KNOWN
    assert list(store.job_set("f00d") or ()) == names


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no record of an instance that left."""
    for module in (retention, redis_instances):
        monkeypatch.setattr(module, "LEFT_KEEP_NS", 0)


@pytest.mark.usefixtures("short_memory")
def test_the_record_of_an_instance_that_left_long_ago_is_deleted_by_the_next_that_joins(store: Store) -> None:
    store.join(instance("i1", fingerprint="beef"), ["old"])
    store.join(instance("i2"), ["a"])
    store.beat(instance("i1", fingerprint="beef", state=InstanceState.LEFT))
    store.join(instance("i3"), ["a"])
    assert [it.incarnation for it in store.instances()] == ["i2", "i3"]
    assert store.job_set("beef") is None


def test_of_instances_that_are_gone_the_latest_are_kept(
    kit: StoreKit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (retention, redis_instances):
        monkeypatch.setattr(module, "GONE_KEPT", 1)
    for incarnation in ("i1", "i2"):
        store.join(instance(incarnation), [])
        store.beat(instance(incarnation, state=InstanceState.LEFT))
        kit.let_pass(kit.ttl_ns)
    store.join(instance("i3"), [])
    assert [it.incarnation for it in store.instances()] == ["i2", "i3"]


def test_jobs_without_a_record_are_named_and_nothing_is_written(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record("a"), kit.job_record("b/c")])
    jobs = [JobId("billing", name) for name in ("never", "a", "b/c")] + [JobId("mail", "a")]
    assert list(store.unregistered(jobs)) == [JobId("billing", "never"), JobId("mail", "a")]
    assert list(store.unregistered(jobs)) == [JobId("billing", "never"), JobId("mail", "a")]
    assert list(store.unregistered([])) == []


def test_a_job_that_was_claimed_and_never_registered_has_no_record(kit: StoreKit, store: Store) -> None:
    assert isinstance(store.claim(kit.claim("a")), Claimed)
    assert list(store.unregistered([JobId("billing", "a")])) == [JobId("billing", "a")]


def test_nothing_is_missing_where_no_key_was_deleted(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record("a")])
    assert isinstance(store.claim(kit.claim("a")), Claimed)
    store.acquire(kit.ask("by hand"))
    store.leases(), store.jobs(), store.runs(), store.abandoned(), store.orphans([JobId("billing", "a")])
    assert list(store.missing()) == []
