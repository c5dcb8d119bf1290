"""The probe and the view over real stores: what is seen of schedulers that cannot speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from contract.conftest import ADAPTERS

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import LeaseAsk
from tickglass.sched.stores import open_store
from tickglass.telemetry.sidecar.merge.merge import view_of
from tickglass.telemetry.sidecar.stores.probe import LEASES_MAX, Probe, probe_once
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contract.conftest import StoreKit
    from kit.servers import EtcdServer, RedisServer

    from tickglass.sched.clock import Reading
    from tickglass.sched.ports import Store
    from tickglass.telemetry.sidecar.view import View

STORES: Final = ("sqlite", "redis", "redlock3", "etcd")
GRACE_NS: Final = 200 * MS


@pytest.fixture(params=STORES)
def kit(request: pytest.FixtureRequest) -> StoreKit:
    return ADAPTERS[request.param](request)


@pytest.fixture
def store(kit: StoreKit) -> Iterator[Store]:
    store = kit.open()
    yield store
    store.close()


def view(kit: StoreKit, store: Store) -> View:
    clock = clock_of(kit)
    return view_of([], [probe_once(kit.name, store, clock)], clock.reading())


def clock_of(kit: StoreKit) -> FakeClock | SystemClock:
    """Return the clock that the kit lets pass: an embedded store's own, or the machine's."""
    owner = getattr(kit.let_pass, "__self__", None)
    return owner if isinstance(owner, FakeClock) else SystemClock()


def test_a_dead_holder_goes_from_held_to_expired_and_its_claim_to_abandoned(kit: StoreKit, store: Store) -> None:
    now: Reading = clock_of(kit).reading()
    record = kit.job_record(
        trigger='every("1s")', grace_ns=GRACE_NS, timeout_ns=kit.ttl_ns // 4, next_due_ns=now.wall_ns
    )
    store.register([record])
    ask = kit.claim(due_ns=now.wall_ns, owner="dead", next_due_ns=now.wall_ns + SECOND)
    store.claim(ask)
    kit.let_pass(kit.ttl_ns // 2)
    held = view(kit, store)
    (lock,) = held.locks
    assert (lock.state, lock.owner, lock.job, lock.run_id) == ("held", "dead", "nightly", ask.lease.run_id)
    assert lock.held_ns is not None
    assert lock.held_ns >= kit.ttl_ns // 2
    assert lock.stuck, "it is held for longer than its job may take"
    assert (held.jobs[0].running, held.jobs[0].abandoned, held.jobs[0].overdue_ns) == (1, 0, 0)
    kit.let_expire()
    after = view(kit, store)
    (lock,) = after.locks
    assert (lock.state, lock.stuck, lock.owner) == ("expired", True, "dead")
    assert (after.jobs[0].running, after.jobs[0].abandoned) == (0, 1)
    assert "abandoned" in [run.state for run in after.jobs[0].recent]


def test_a_run_that_nobody_makes_is_seen_though_every_scheduler_is_dead(kit: StoreKit, store: Store) -> None:
    due_ns = clock_of(kit).wall_ns() + 100 * MS
    store.register([kit.job_record(trigger='every("1h")', grace_ns=GRACE_NS, next_due_ns=due_ns)])
    assert view(kit, store).jobs[0].overdue_ns == 0
    kit.let_pass(100 * MS + GRACE_NS + 50 * MS)
    (job,) = view(kit, store).jobs
    assert job.overdue_ns > GRACE_NS
    assert job.why.startswith("no instance claimed it: it was due ")


def test_clock_and_ledger_are_read(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    ask = kit.claim(due_ns=1)
    store.settle(kit.settlement(ask, store.claim(ask), "failure", "ValueError: no"))
    clock = clock_of(kit)
    snapshot = probe_once(kit.name, store, clock)
    assert snapshot.error == ""
    assert snapshot.skew_ns is not None
    assert snapshot.skew_bound_ns is not None
    assert abs(snapshot.skew_ns) <= snapshot.skew_bound_ns + 5 * MS, "one machine, one clock"
    (run,) = view_of([], [snapshot], clock.reading()).jobs[0].recent
    assert (run.outcome, run.error) == ("failure", "ValueError: no")


def test_a_server_that_dies_and_comes_back_is_told_of_and_holds_up_nobody(
    own_redis: Callable[..., RedisServer],
) -> None:
    server = own_redis()
    store, clock = open_store(server.url, SystemClock()), SystemClock()
    probe = Probe({"redis": store}, clock=clock, every_ns=20 * MS)
    probe.start()
    try:
        wait_until(lambda: probe.snapshots()[0].taken is not None)
        server.kill()
        wait_until(lambda: probe.snapshots()[0].error_kind == "unavailable")
        assert probe.snapshots()[0].taken is not None, "the last look is kept"
        assert not view_of([], probe.snapshots(), clock.reading()).stores[0].ok
        server.start()
        wait_until(lambda: probe.snapshots()[0].error == "")
    finally:
        probe.stop()
        store.close()


def wait_until(reached: Callable[[], bool]) -> None:
    """Look every few milliseconds, for ten seconds at most."""
    clock = SystemClock()
    deadline_ns = clock.monotonic_ns() + 10 * SECOND
    while not reached():
        assert clock.monotonic_ns() < deadline_ns
        clock.wait(clock.monotonic_ns() + 5 * MS, Wake())


@pytest.mark.parametrize("name", ["sqlite", "redis"])
def test_ten_thousand_leases_are_one_look(
    name: str, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    kit = ADAPTERS[name](request)
    store, clock = kit.open(), SystemClock()
    for number in range(LEASES_MAX):
        store.acquire(LeaseAsk(f"order:{number}", "host-1", "billing", str(number), 3_600 * SECOND))
    began_ns = clock.monotonic_ns()
    snapshot = probe_once(name, store, clock_of(kit))
    took_ms = (clock.monotonic_ns() - began_ns) / MS
    began_ns = clock.monotonic_ns()
    shown = view_of([], [snapshot], clock_of(kit).reading())
    view_ms = (clock.monotonic_ns() - began_ns) / MS
    store.close()
    record_property("look_ms", took_ms)
    record_property("view_ms", view_ms)
    print(f"{name}: {LEASES_MAX} leases: look {took_ms:.0f} ms, view {view_ms:.0f} ms")  # noqa: T201 - told, not asserted
    assert (len(snapshot.leases), snapshot.truncated, shown.stores[0].leases) == (LEASES_MAX, False, LEASES_MAX)


def test_of_more_than_ten_thousand_leases_a_look_reads_no_more(etcd: EtcdServer) -> None:
    store = open_store(etcd.url(prefix="/probe/many"), SystemClock())
    for number in range(70):
        store.acquire(LeaseAsk(f"order:{number}", "host-1", "billing", str(number), 60 * SECOND))
    some = store.leases(limit=65)
    store.close()
    assert len(some) == 65
    assert all(lease.remaining_ns > 0 for lease in some)
