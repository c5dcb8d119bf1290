"""A lease that may be as old as an earlier request is not trusted for longer than it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreCalled
from tickglass.sched.ports import Granted
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.manual_locks import Desk
    from kit.rig import Rig

DOWN = StoreUnavailable("memory", "acquire", "the answer was lost")
TTL = "10s"
TTL_NS = 10 * SECOND


def test_a_lease_whose_grant_was_not_heard_is_renewed_before_it_is_trusted(desk: Desk) -> None:
    desk.rig.store.unheard["acquire"] = DOWN
    waiting = desk.waiting(desk.lock(ttl=TTL))
    desk.rig.store.unheard.clear()
    desk.rig.clock.advance(100 * MS)
    lease = waiting.result(10)
    assert isinstance(lease, HeldLease)
    assert desk.calls("renew") == 1
    assert lease.remaining() == pytest.approx(9.898)
    assert desk.rig.store.leases()[0].remaining_ns == TTL_NS


def test_a_request_that_arrives_after_a_later_one_was_refused_prolongs_no_trust(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = desk.rig.store, desk.rig.clock
    monkeypatch.setattr(store, "watch", lambda resource, freed: lambda: None)
    in_the_way = desk.taken_by_the_other()
    store.broken["acquire"] = DOWN
    waiting = desk.waiting(desk.lock(ttl=TTL))
    del store.broken["acquire"]
    clock.advance(100 * MS)
    desk.called("acquire", 2)  # refused
    store.release(in_the_way)
    late = store.acquire(store.asks[-1])
    clock.wait_for_sleepers(2)
    clock.advance(250 * MS)
    lease = waiting.result(10)
    assert isinstance(lease, HeldLease)
    assert isinstance(late, Granted)
    assert lease.fence == late.fence
    assert lease.remaining() * SECOND < store.leases()[0].remaining_ns


@pytest.mark.parametrize("renewal", ["fails", "is refused"])
def test_without_a_renewal_it_is_as_old_as_the_first_request(desk: Desk, renewal: str) -> None:
    desk.rig.store.unheard["acquire"] = DOWN
    waiting = desk.waiting(desk.lock(ttl=TTL))
    desk.rig.store.unheard.clear()
    if renewal == "fails":
        desk.rig.store.broken["renew"] = DOWN
    else:
        desk.rig.store.gone = True
    desk.rig.clock.advance(100 * MS)
    lease = waiting.result(10)
    assert isinstance(lease, HeldLease)
    assert lease.remaining() == pytest.approx(9.798)


def test_a_claim_whose_answer_was_lost_is_renewed_too(rig: Rig) -> None:
    rig.store.unheard["claim"] = DOWN
    rig.add(lambda: None, every("60s"), name="j", ttl=TTL)
    rig.advance(60 * SECOND)
    rig.asleep("claim")
    rig.store.unheard.clear()
    rig.clock.advance(100 * MS)
    (end,) = rig.ended("j")
    assert end.outcome == "success"
    assert [call.operation for call in rig.sink.of(StoreCalled)].count("renew") == 1
    assert rig.lock_event("granted").fence > 0
