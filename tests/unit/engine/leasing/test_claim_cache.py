"""The store is not asked for what other instances have claimed, unless a sweeper has found it abandoned."""

from __future__ import annotations

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.claim_cache import REMEMBERED_MAX, REMEMBERED_NS, ClaimCachingStore
from tickglass.sched.events import ClaimCacheHit, StoreCalled
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import AlreadyClaimed, ClaimAsk, Claimed, LeaseAsk, Settlement
from tickglass.sched.stores.memory import MemoryStore
from tickglass.testing import FakeClock, ListSink

TTL_NS = 60 * SECOND


class Fleet:
    """Two instances on one store; "b" is the one that comes late."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), ListSink()
        self.store = MemoryStore(self.clock)
        self.late = ClaimCachingStore(self.store, owner="b", service="svc", clock=self.clock, sink=self.sink)
        self.late.start()

    def ask(self, due_ns: int, owner: str = "b", run_id: str = "", job: str = "j") -> ClaimAsk:
        run_id = run_id or f"{owner}-{due_ns}"
        return ClaimAsk(LeaseAsk(f"{job}-{due_ns}", owner, "svc", run_id, TTL_NS, job, run_id), due_ns)

    def claims_asked(self) -> int:
        return sum(call.operation == "claim" for call in self.sink.of(StoreCalled))


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_an_occurrence_that_another_is_known_to_have_claimed_is_not_asked_for(fleet: Fleet) -> None:
    fleet.store.claim(fleet.ask(1, "a"))
    assert fleet.late.claim(fleet.ask(1)) == AlreadyClaimed("a", None)
    assert fleet.claims_asked() == 0
    (remembered,) = fleet.sink.of(ClaimCacheHit)
    assert (remembered.job, remembered.due_ns, remembered.claimant) == ("j", 1, "a")
    assert isinstance(fleet.late.claim(fleet.ask(2)), Claimed), "another occurrence"


def test_our_own_claim_is_asked_for_again(fleet: Fleet) -> None:
    ask = fleet.ask(1)
    assert fleet.late.claim(ask) == fleet.late.claim(ask)
    assert fleet.claims_asked() == 2


def test_after_fifteen_seconds_the_store_is_asked(fleet: Fleet) -> None:
    fleet.store.claim(fleet.ask(1, "a"))
    fleet.clock.advance(REMEMBERED_NS)
    assert fleet.late.claim(fleet.ask(1)) == AlreadyClaimed("a", None)
    assert fleet.claims_asked() == 1


def test_a_claim_whose_claimant_died_is_forgotten_when_it_is_found(fleet: Fleet) -> None:
    ask = fleet.ask(1, "a")
    claimed = fleet.store.claim(ask)
    assert isinstance(claimed, Claimed)
    fleet.store.release(Lease(ask.lease.resource, "a", ask.lease.token, claimed.fence, TTL_NS, 0))
    assert fleet.late.claim(fleet.ask(1)) == AlreadyClaimed("a", None)
    assert [orphan.owner for orphan in fleet.late.orphans([JobId("svc", "j")])] == ["a"]
    again = fleet.late.claim(fleet.ask(1))
    assert isinstance(again, Claimed)
    assert again.attempt == 2


def test_other_services_and_notifications_after_the_end_are_ignored(fleet: Fleet) -> None:
    fleet.late.stop()
    fleet.store.claim(fleet.ask(1, "a"))
    assert fleet.late.claim(fleet.ask(1)) == AlreadyClaimed("a", None)
    other = ClaimCachingStore(fleet.store, owner="b", service="else", clock=fleet.clock, sink=fleet.sink)
    other.start()
    fleet.store.claim(fleet.ask(2, "a"))
    assert other.claim(fleet.ask(2)) == AlreadyClaimed("a", None)
    assert fleet.claims_asked() == 2


def test_the_memory_is_bounded_by_count_and_by_time(fleet: Fleet) -> None:
    for due_ns in range(REMEMBERED_MAX + 5):
        fleet.late._on_claim("j", due_ns, "a")
    assert len(fleet.late._claims) == REMEMBERED_MAX
    fleet.clock.advance(REMEMBERED_NS)
    fleet.late._on_claim("j", -1, "a")
    assert list(fleet.late._claims) == [(JobId("svc", "j"), -1)]


def test_a_settled_occurrence_still_counts_as_claimed(fleet: Fleet) -> None:
    ask = fleet.ask(1, "a")
    claimed = fleet.store.claim(ask)
    assert isinstance(claimed, Claimed)
    lease = Lease(ask.lease.resource, "a", ask.lease.token, claimed.fence, TTL_NS, 0)
    assert fleet.store.settle(Settlement(lease, "svc", "j", 1, ask.lease.run_id, "success")).recorded
    assert fleet.late.claim(fleet.ask(1)) == AlreadyClaimed("a", None)
    assert fleet.claims_asked() == 0
