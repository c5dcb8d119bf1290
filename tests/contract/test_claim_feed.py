"""A store that can tell says which occurrences were claimed elsewhere; a later instance then asks nothing."""

from __future__ import annotations

import contextlib
import queue
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.leasing.claim_cache import ClaimCachingStore
from tickglass.sched.events import StoreCalled
from tickglass.sched.ports import AlreadyClaimed, Claimed, ClaimFeed, Refused
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.conftest import StoreKit

    from tickglass.sched.ports import ClaimAsk, Store

Told: TypeAlias = tuple[str, int, str]

CLOCK = SystemClock()
PATIENCE_NS = 20 * SECOND
EARLY = -1_000_000  # the due instants of claims that wait for a subscription to begin


class Listener:
    """Hears what a store tells one owner of a service."""

    def __init__(self, store: Store, service: str, owner: str) -> None:
        assert isinstance(store, ClaimFeed)
        self.told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self.watch = store.watch_claims(service, owner, lambda *claim: self.told.put(claim))

    def heard(self, expected: set[Told]) -> set[Told]:
        """Look once, and return what was told until all of these were; not what was told before them."""
        due_ns = [claim[1] for claim in expected]
        self.watch.look(min(due_ns), max(due_ns))
        heard: set[Told] = set()
        while not heard >= expected:
            heard.add(self.told.get(timeout=PATIENCE_NS / SECOND))
        return {claim for claim in heard if claim[1] >= 0}

    def begin(self, claim: Callable[[int, str], object]) -> None:
        """Claim until the first owner and the last one by name were heard: a subscription may begin late."""
        until_ns = CLOCK.monotonic_ns() + PATIENCE_NS
        owners: set[str] = set()
        for due_ns in range(EARLY, 0):
            claim(due_ns, "a")
            claim(due_ns, "z")
            self.watch.look(due_ns, due_ns)
            while True:
                try:
                    owners.add(self.told.get(timeout=50 * MS / SECOND)[2])
                except queue.Empty:
                    break
                if owners == {"a", "z"}:
                    return
            assert CLOCK.monotonic_ns() < until_ns, f"only {owners} were heard"


@pytest.fixture
def telling(kit: StoreKit) -> StoreKit:
    if not kit.tells_claims:
        pytest.skip("it cannot tell")
    return kit


def claim_of(kit: StoreKit, job: str, due_ns: int, owner: str = "other", service: str = "billing") -> ClaimAsk:
    return kit.claim(job, due_ns, owner, service=service, resource=f"{service}-{job}-{due_ns}-{owner}")


def test_a_store_says_whether_it_can_tell(kit: StoreKit, store: Store) -> None:
    assert isinstance(store, ClaimFeed) == kit.tells_claims


def test_each_claim_of_others_in_the_service_is_told_and_nothing_else(telling: StoreKit, store: Store) -> None:
    other = telling.open()
    listener = Listener(store, "billing", "own")
    listener.begin(lambda due_ns, owner: other.claim(claim_of(telling, owner, due_ns, owner)))
    other.claim(claim_of(telling, "elsewhere", 5, service="mail"))
    other.claim(claim_of(telling, "own", 6, "own"))
    other.claim(claim_of(telling, "first", 7, "ow"))
    other.claim(claim_of(telling, "b/c d", 7, "own2"))
    assert isinstance(other.claim(claim_of(telling, "first", 7, "third")), AlreadyClaimed)
    batch = [claim_of(telling, f"batch {number}", 8, "ów/1") for number in range(3)]
    assert {type(answer) for answer in other.claim_many(batch)} == {Claimed}
    other.claim(claim_of(telling, "last", 9, "a"))
    other.claim(claim_of(telling, "last", 10, "z"))
    expected = {("first", 7, "ow"), ("b/c d", 7, "own2"), ("last", 9, "a"), ("last", 10, "z")}
    expected |= {(f"batch {number}", 8, "ów/1") for number in range(3)}
    assert listener.heard(expected) == expected
    listener.watch.end()


def test_a_claim_that_was_refused_is_not_told(telling: StoreKit, store: Store) -> None:
    other = telling.open()
    listener = Listener(store, "billing", "own")
    listener.begin(lambda due_ns, owner: other.claim(claim_of(telling, owner, due_ns, owner)))
    other.acquire(telling.ask("held", "somebody"))
    assert isinstance(other.claim(telling.claim("refused", 5, "other", resource="held")), Refused)
    other.claim(claim_of(telling, "j", 6))
    assert listener.heard({("j", 6, "other")}) == {("j", 6, "other")}
    listener.watch.end()


def test_after_its_end_a_watch_tells_nothing(telling: StoreKit, store: Store) -> None:
    other = telling.open()
    ended, still = Listener(store, "billing", "own"), Listener(telling.open(), "billing", "own too")
    still.begin(lambda due_ns, owner: other.claim(claim_of(telling, owner, due_ns, owner)))
    ended.watch.end()
    ended.watch.end()
    other.claim(claim_of(telling, "j", 5))
    still.heard({("j", 5, "other")})
    assert not ended.watch.look(5, 5)
    assert all(ended.told.get_nowait()[1] < 0 for _ in range(ended.told.qsize()))
    still.watch.end()


class Late(ClaimCachingStore):
    """The second of two instances; it notes what it has heard."""

    def __init__(self, store: Store, sink: ListSink) -> None:
        super().__init__(store, owner="late", service="billing", clock=CLOCK, sink=sink)
        self.told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self.by_itself = store.name != "sqlite"

    def begin(self, claim: Callable[[int], object]) -> None:
        """Claim until one is heard of; a store that is looked at says nothing before it is asked."""
        until_ns = CLOCK.monotonic_ns() + PATIENCE_NS
        for due_ns in range(EARLY, 0):
            claim(due_ns)
            self._watch.look(due_ns, due_ns)
            with contextlib.suppress(queue.Empty):
                self.told.get(timeout=50 * MS / SECOND)
                return
            assert CLOCK.monotonic_ns() < until_ns, "nothing was heard"

    def wait_for(self, expected: set[Told]) -> None:
        """Wait for what the store tells by itself; return at once if it says that when it is asked."""
        heard: set[Told] = set()
        while not heard >= expected and self.by_itself:
            heard.add(self.told.get(timeout=PATIENCE_NS / SECOND))

    def _on_claim(self, job: str, due_ns: int, owner: str) -> None:
        super()._on_claim(job, due_ns, owner)
        self.told.put((job, due_ns, owner))


def test_of_two_instances_the_one_that_comes_second_asks_nothing(telling: StoreKit, store: Store) -> None:
    sink, known = ListSink(), AlreadyClaimed("first", None)
    late, first = Late(store, sink), telling.open()
    late.start()
    late.begin(lambda due_ns: first.claim(claim_of(telling, "j", due_ns, "first")))
    for due_ns in range(1, 11):
        asks = [claim_of(telling, job, due_ns, "first") for job in ("a", "b")]
        assert [type(answer) for answer in first.claim_many(asks)] == [Claimed, Claimed]
        late.wait_for({(job, due_ns, "first") for job in ("a", "b")})
        assert late.claim(claim_of(telling, "a", due_ns, "late")) == known
        assert late.claim_many([claim_of(telling, job, due_ns, "late") for job in ("a", "b")]) == [known, known]
    assert sink.of(StoreCalled) == []
    assert isinstance(late.claim(claim_of(telling, "c", 10, "late")), Claimed), "of what nobody has claimed it asks"
    assert len(sink.of(StoreCalled)) == 1
    late.stop()
