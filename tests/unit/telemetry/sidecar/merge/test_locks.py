from __future__ import annotations

from dataclasses import replace

import pytest
from kit.sidecar_views import TTL_NS, Lookout

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import LockEvent
from tickglass.sched.ports import LeaseAsk, LeaseRecord
from tickglass.telemetry.sidecar.merge.locks import LOCKS_SHOWN
from tickglass.telemetry.thresholds import LEASE_ENDED_LATELY_S


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


def test_the_held_age_grows_between_two_looks(lookout: Lookout) -> None:
    lookout.register()
    ask = lookout.claim(owner="frozen")
    lookout.look()
    lookout.clock.advance(7 * SECOND)
    (lock,) = lookout.view().locks
    assert (lock.state, lock.owner, lock.job, lock.run_id) == ("held", "frozen", "nightly", ask.lease.run_id)
    assert (lock.held_ns, lock.remaining_ns, lock.ttl_ns) == (7 * SECOND, TTL_NS - 7 * SECOND, TTL_NS)
    assert (lock.since_wall_ns, lock.allowed_ns, lock.stuck, lock.source) == (
        ask.due_ns,
        25 * SECOND,
        False,
        "memory://",
    )


def test_a_lease_that_may_have_been_renewed_since_the_look_is_not_called_expired(lookout: Lookout) -> None:
    lookout.register()
    lookout.claim()
    lookout.clock.advance(TTL_NS - SECOND)
    lookout.look()
    lookout.clock.advance(2 * SECOND)
    (lock,) = lookout.view().locks
    assert (lock.state, lock.remaining_ns, lock.held_ns) == ("held", None, TTL_NS + SECOND)
    assert lock.stuck, "for it is held for longer than its job may run"


def test_a_lease_that_ended_without_a_release_is_stuck(lookout: Lookout) -> None:
    lookout.register(timeout_ns=None)
    lookout.claim(owner="dead")
    lookout.clock.advance(TTL_NS + SECOND)
    lookout.look()
    lookout.clock.advance(SECOND)
    (lock,) = lookout.view().locks
    assert (lock.state, lock.stuck, lock.allowed_ns, lock.remaining_ns) == ("expired", True, None, -2 * SECOND)


def test_a_lease_that_ended_long_ago_is_shown_and_not_stuck(lookout: Lookout) -> None:
    lookout.register()
    lookout.claim(owner="dead")
    lookout.clock.advance(TTL_NS + round(LEASE_ENDED_LATELY_S * SECOND) - 1)
    lookout.look()
    assert [(lock.state, lock.stuck) for lock in lookout.view().locks] == [("expired", True)]
    lookout.clock.advance(1)
    assert [(lock.state, lock.stuck) for lock in lookout.view().locks] == [("expired", False)]


def test_a_holder_that_tells_us_is_newer_than_the_look(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    lookout.register()
    ask = lookout.claim()
    lock = teller.lock("nightly", "nightly", ask.lease.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=1)
    lookout.clock.advance(SECOND)
    lookout.look()
    (seen,) = lookout.view().locks
    assert (seen.owner, seen.held_ns, seen.source, seen.fence) == ("host-1", SECOND, "memory://", 1)
    lookout.clock.advance(9 * SECOND)
    lock.fire(LockEvent.RENEWED, margin_ns=1)
    assert lookout.view().locks[0].remaining_ns == TTL_NS, "which it has just renewed"
    lookout.clock.advance(1)
    lock.fire(LockEvent.RELEASED)
    assert lookout.view().locks == [], "whatever the last look showed"
    lookout.look()
    assert [lock.state for lock in lookout.view().locks] == ["held"], "for the store has not heard of it"


def test_a_hold_that_came_after_the_look_replaces_what_the_look_showed(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    lookout.claim(owner="before")
    lookout.look()
    lookout.clock.advance(SECOND)
    lock = teller.lock("nightly")
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=2)
    assert [(view.owner, view.fence) for view in lookout.view().locks] == [("host-1", 2)]


def test_a_holder_that_slept_through_the_end_of_its_lease_does_not_have_it(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    teller.lock("nightly").fire(LockEvent.REQUESTED)
    lock = teller.lock("nightly")
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=0)
    lookout.clock.advance(TTL_NS + SECOND)
    lookout.claim(owner="heir")
    lookout.look()
    (view,) = lookout.view().locks
    assert (view.owner, view.fence, view.waiters) == ("heir", 1, 1)


def test_a_free_resource_is_shown_while_somebody_waits(lookout: Lookout) -> None:
    teller = lookout.teller()
    lock = teller.lock("printer")
    lock.fire(LockEvent.REQUESTED)
    (view,) = lookout.view().locks
    assert (view.state, view.waiters, view.held_ns, view.owner) == ("free", 1, None, "")
    teller.leave()
    assert lookout.view().locks == []


def test_the_same_resource_in_two_stores_is_two_locks(lookout: Lookout) -> None:
    lookout.claim(owner="a")
    lookout.look()
    lookout.sights.append(replace(lookout.sights[0], source="redis://other"))
    assert [lock.source for lock in lookout.view().locks] == ["memory://", "redis://other"]


def test_of_too_many_locks_the_stuck_ones_are_shown(lookout: Lookout) -> None:
    for number in range(LOCKS_SHOWN + 5):
        lookout.store.acquire(LeaseAsk(f"order-{number:05}", "host-1", "billing", f"t{number}", TTL_NS * 2))
    lookout.store.acquire(LeaseAsk("zebra", "host-1", "billing", "z", SECOND))
    lookout.clock.advance(2 * SECOND)
    lookout.look()
    locks = lookout.view().locks
    assert len(locks) == LOCKS_SHOWN
    assert [lock.resource for lock in locks if lock.stuck] == ["zebra"]
    assert lookout.view().stores[0].leases == LOCKS_SHOWN + 6


def test_of_too_many_locks_those_whose_leases_ended_long_ago_are_left_out(lookout: Lookout) -> None:
    lookout.store.acquire(LeaseAsk("dead", "host-1", "billing", "d", SECOND))
    lookout.clock.advance(round(LEASE_ENDED_LATELY_S * SECOND) + SECOND)
    for number in range(LOCKS_SHOWN):
        lookout.store.acquire(LeaseAsk(f"order-{number:05}", "host-1", "billing", f"t{number}", TTL_NS))
    lookout.look()
    assert {lock.state for lock in lookout.view().locks} == {"held"}


def test_a_lease_record_without_a_job_is_a_lock_by_hand(lookout: Lookout) -> None:
    lookout.store.acquire(LeaseAsk("order:1", "host-1", "billing", "t", TTL_NS))
    lookout.look()
    (lock,) = lookout.view().locks
    assert isinstance(lookout.sights[0].leases[0], LeaseRecord)
    assert (lock.job, lock.run_id, lock.allowed_ns, lock.stuck) == ("", "", None, False)
