from __future__ import annotations

from dataclasses import replace

from kit.sidecar_views import TTL_NS, SidecarRig

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import LockEvent
from tickglass.sched.ports import LeaseAsk, LeaseRecord
from tickglass.telemetry.sidecar.merge.locks import LOCKS_SHOWN
from tickglass.telemetry.thresholds import LEASE_ENDED_LATELY_S


def test_the_held_age_grows_between_two_probes(rig: SidecarRig) -> None:
    rig.register()
    ask = rig.claim(owner="frozen")
    rig.probe()
    rig.clock.advance(7 * SECOND)
    (lock,) = rig.view().locks
    assert (lock.state, lock.owner, lock.job, lock.run_id) == ("held", "frozen", "nightly", ask.lease.run_id)
    assert (lock.held_ns, lock.remaining_ns, lock.ttl_ns) == (7 * SECOND, TTL_NS - 7 * SECOND, TTL_NS)
    assert (lock.since_wall_ns, lock.allowed_ns, lock.stuck, lock.source) == (
        ask.due_ns,
        25 * SECOND,
        False,
        "memory://",
    )


def test_a_lease_that_may_have_been_renewed_since_the_probe_is_not_called_expired(rig: SidecarRig) -> None:
    rig.register()
    rig.claim()
    rig.clock.advance(TTL_NS - SECOND)
    rig.probe()
    rig.clock.advance(2 * SECOND)
    (lock,) = rig.view().locks
    assert (lock.state, lock.remaining_ns, lock.held_ns) == ("held", None, TTL_NS + SECOND)
    assert lock.stuck, "for it is held for longer than its job may run"


def test_a_lease_that_ended_without_a_release_is_stuck(rig: SidecarRig) -> None:
    rig.register(timeout_ns=None)
    rig.claim(owner="dead")
    rig.clock.advance(TTL_NS + SECOND)
    rig.probe()
    rig.clock.advance(SECOND)
    (lock,) = rig.view().locks
    assert (lock.state, lock.stuck, lock.allowed_ns, lock.remaining_ns) == ("expired", True, None, -2 * SECOND)


def test_a_lease_that_ended_long_ago_is_shown_and_not_stuck(rig: SidecarRig) -> None:
    rig.register()
    rig.claim(owner="dead")
    rig.clock.advance(TTL_NS + round(LEASE_ENDED_LATELY_S * SECOND) - 1)
    rig.probe()
    assert [(lock.state, lock.stuck) for lock in rig.view().locks] == [("expired", True)]
    rig.clock.advance(1)
    assert [(lock.state, lock.stuck) for lock in rig.view().locks] == [("expired", False)]


def test_a_holder_that_reports_itself_is_newer_than_the_probe(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.register()
    ask = rig.claim()
    lock = scheduler.lock("nightly", "nightly", ask.lease.run_id)
    lock.fire(LockEvent.REQUESTED)
    fence = rig.store.leases()[0].fence
    lock.fire(LockEvent.GRANTED, fence=fence)
    rig.clock.advance(SECOND)
    rig.probe()
    (seen,) = rig.view().locks
    assert (seen.owner, seen.held_ns, seen.source, seen.fence) == ("host-1", SECOND, "memory://", fence)
    rig.clock.advance(9 * SECOND)
    lock.fire(LockEvent.RENEWED, margin_ns=1)
    assert rig.view().locks[0].remaining_ns == TTL_NS, "which it has just renewed"
    rig.clock.advance(1)
    lock.fire(LockEvent.RELEASED)
    assert rig.view().locks == [], "whatever the last look showed"
    rig.probe()
    assert [lock.state for lock in rig.view().locks] == ["held"], "for the store has not heard of it"


def test_a_hold_that_came_after_the_probe_replaces_what_the_probe_showed(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.claim(owner="before")
    rig.probe()
    rig.clock.advance(SECOND)
    lock = scheduler.lock("nightly")
    lock.fire(LockEvent.REQUESTED)
    fence = rig.store.leases()[0].fence + 1
    lock.fire(LockEvent.GRANTED, fence=fence)
    assert [(view.owner, view.fence) for view in rig.view().locks] == [("host-1", fence)]


def test_a_holder_that_slept_through_the_end_of_its_lease_does_not_have_it(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    scheduler.lock("nightly").fire(LockEvent.REQUESTED)
    lock = scheduler.lock("nightly")
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=0)
    rig.clock.advance(TTL_NS + SECOND)
    rig.claim(owner="heir")
    rig.probe()
    (view,) = rig.view().locks
    assert (view.owner, view.fence, view.waiters) == ("heir", rig.store.leases()[0].fence, 1)


def test_a_free_resource_is_shown_while_somebody_waits(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    lock = scheduler.lock("printer")
    lock.fire(LockEvent.REQUESTED)
    (view,) = rig.view().locks
    assert (view.state, view.waiters, view.held_ns, view.owner) == ("free", 1, None, "")
    scheduler.leave()
    assert rig.view().locks == []


def test_the_same_resource_in_two_stores_is_two_locks(rig: SidecarRig) -> None:
    rig.claim(owner="a")
    rig.probe()
    rig.snapshots.append(replace(rig.snapshots[0], source="redis://other"))
    assert [lock.source for lock in rig.view().locks] == ["memory://", "redis://other"]


def test_of_too_many_locks_the_stuck_ones_are_shown(rig: SidecarRig) -> None:
    for number in range(LOCKS_SHOWN + 5):
        rig.store.acquire(LeaseAsk(f"order-{number:05}", "host-1", "billing", f"t{number}", TTL_NS * 2))
    rig.store.acquire(LeaseAsk("zebra", "host-1", "billing", "z", SECOND))
    rig.clock.advance(2 * SECOND)
    rig.probe()
    locks = rig.view().locks
    assert len(locks) == LOCKS_SHOWN
    assert [lock.resource for lock in locks if lock.stuck] == ["zebra"]
    assert rig.view().stores[0].leases == LOCKS_SHOWN + 6


def test_of_too_many_locks_those_whose_leases_ended_long_ago_are_left_out(rig: SidecarRig) -> None:
    rig.store.acquire(LeaseAsk("dead", "host-1", "billing", "d", SECOND))
    rig.clock.advance(round(LEASE_ENDED_LATELY_S * SECOND) + SECOND)
    for number in range(LOCKS_SHOWN):
        rig.store.acquire(LeaseAsk(f"order-{number:05}", "host-1", "billing", f"t{number}", TTL_NS))
    rig.probe()
    assert {lock.state for lock in rig.view().locks} == {"held"}


def test_a_lease_record_without_a_job_is_a_lock_by_hand(rig: SidecarRig) -> None:
    rig.store.acquire(LeaseAsk("order:1", "host-1", "billing", "t", TTL_NS))
    rig.probe()
    (lock,) = rig.view().locks
    assert isinstance(rig.snapshots[0].leases[0], LeaseRecord)
    assert (lock.job, lock.run_id, lock.allowed_ns, lock.stuck) == ("", "", None, False)
