"""The store is not asked for what other instances have claimed, unless a sweeper has found it abandoned."""

from __future__ import annotations

import pytest
from kit.rig import BreakableStore

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.claim_cache import REMEMBERED_MAX, REMEMBERED_NS, ClaimCachingStore
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClaimCacheHit, StoreCalled
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import AlreadyClaimed, ClaimAsk, Claimed, ClaimWatch, LeaseAsk, Settlement
from tickglass.testing import FakeClock, ListSink

TTL_NS = 60 * SECOND


class Fleet:
    """Two instances on one store; "b" is the one that comes late."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), ListSink()
        self.store = BreakableStore(self.clock)
        self.late = ClaimCachingStore(self.store, owner="b", service="svc", clock=self.clock, sink=self.sink)
        self.late.start()

    def ask(self, due_ns: int, owner: str = "b", run_id: str = "", job: str = "j") -> ClaimAsk:
        run_id = run_id or f"{owner}-{due_ns}"
        return ClaimAsk(LeaseAsk(f"{job}-{due_ns}", owner, "svc", run_id, TTL_NS, job, run_id), due_ns)

    def claims_asked(self, operation: str = "claim") -> int:
        return sum(call.operation == operation for call in self.sink.of(StoreCalled))


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


def test_of_a_batch_only_what_is_not_known_is_asked_for_in_one_request(fleet: Fleet) -> None:
    before: list[int] = []
    fleet.late.before_claim = lambda: before.append(fleet.claims_asked("claim_many"))
    for due_ns in (1, 3):
        fleet.store.claim(fleet.ask(due_ns, "a"))
    answers = fleet.late.claim_many([fleet.ask(due_ns) for due_ns in (1, 2, 3, 4)])
    assert [answers[0], answers[2]] == [AlreadyClaimed("a", None)] * 2
    assert [type(answers[1]), type(answers[3])] == [Claimed, Claimed]
    assert [run.due_ns for run in fleet.store.runs() if run.owner == "b"] == [4, 2]
    assert [hit.due_ns for hit in fleet.sink.of(ClaimCacheHit)] == [1, 3]
    assert before == [0], "once for the batch, and before it"
    assert fleet.claims_asked("claim_many") == 1


def test_a_batch_that_is_all_known_asks_nothing(fleet: Fleet) -> None:
    fleet.store.claim(fleet.ask(1, "a"))
    fleet.late.before_claim = lambda: pytest.fail("there is no claim")
    assert fleet.late.claim_many([fleet.ask(1)]) == [AlreadyClaimed("a", None)]
    assert fleet.late.claim_many([]) == []
    assert fleet.sink.of(StoreCalled) == []


@pytest.mark.parametrize("where", ["claim", "before"])
def test_what_is_known_stands_when_the_store_does_not_answer_for_the_rest(fleet: Fleet, where: str) -> None:
    gone = StoreUnavailable("memory", "claim_many", "gone")

    def fail() -> None:
        raise gone

    fleet.store.claim(fleet.ask(1, "a"))
    if where == "before":
        fleet.late.before_claim = fail
    else:
        fleet.store.broken["claim"] = gone
    assert fleet.late.claim_many([fleet.ask(2), fleet.ask(1), fleet.ask(3)]) == [gone, AlreadyClaimed("a", None), gone]
    with pytest.raises(StoreUnavailable):
        fleet.late.claim_many([fleet.ask(2), fleet.ask(3)])


def test_a_store_is_looked_at_once_and_only_for_what_is_not_known_yet(fleet: Fleet) -> None:
    looks: list[tuple[int, int]] = []

    def look(first_due_ns: int, last_due_ns: int) -> bool:
        looks.append((first_due_ns, last_due_ns))
        fleet.late._on_claim("j", 3, "a")
        return True

    fleet.store.claim(fleet.ask(1, "a"))
    fleet.late._watch = ClaimWatch(look=look)
    assert fleet.late.claim(fleet.ask(1)) == AlreadyClaimed("a", None)
    assert looks == []
    answers = fleet.late.claim_many([fleet.ask(due_ns) for due_ns in (1, 5, 3)])
    assert [answers[0], answers[2]] == [AlreadyClaimed("a", None)] * 2
    assert isinstance(answers[1], Claimed)
    assert looks == [(3, 5)]
