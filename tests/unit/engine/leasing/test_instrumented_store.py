"""Every call to a store is one event, a batch too, and the health of its writes is judged by what was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from kit.rig import BreakableStore

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreCalled
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settled, Settlement
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.ports import ClaimAnswer

GONE: Final = StoreUnavailable("memory", "claim_many", "no route")
WRONG: Final = StoreUnavailable("memory", "claim_many", "WRONGTYPE", kind="error")


def ask(number: int) -> ClaimAsk:
    lease = LeaseAsk(f"r{number}", "a", "svc", f"t{number}", 30 * SECOND, f"job {number}", f"run {number}")
    return ClaimAsk(lease, due_ns=1)


class HalfStore(BreakableStore):
    """The reference store; the items of a batch at these places fail."""

    failures: Sequence[int] = ()

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:  # type: ignore[override]
        answers: list[ClaimAnswer | StoreUnavailable] = [*super().claim_many(asks)]
        for place in self.failures:
            answers[place] = WRONG
        return answers


class Bench:
    """A store, and what is told of it."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), ListSink()
        self.store = HalfStore(self.clock)
        self.store.let_pass = self.clock.advance
        self.instrumented = InstrumentedStore(self.store, clock=self.clock, sink=self.sink)

    def calls(self) -> list[tuple[str, int, str]]:
        return [(call.operation, call.duration_ns, call.error) for call in self.sink.of(StoreCalled)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_batch_is_one_call(bench: Bench) -> None:
    bench.store.slow = {"claim": 3 * MS, "settle": 2 * MS}
    asks = [ask(number) for number in range(3)]
    answers = bench.instrumented.claim_many(asks)
    assert all(isinstance(answer, Claimed) for answer in answers)
    leases = [it.lease.untrusted(1) for it in asks]
    settlements = [
        Settlement(lease, "svc", it.lease.job, 1, it.lease.run_id, "success")
        for it, lease in zip(asks, leases, strict=True)
    ]
    assert bench.instrumented.settle_many(settlements) == [Settled(recorded=True, released=True)] * 3
    assert bench.calls() == [("claim_many", 3 * MS, ""), ("settle_many", 2 * MS, "")]


def test_an_empty_batch_is_no_call(bench: Bench) -> None:
    assert bench.instrumented.claim_many([]) == []
    assert bench.instrumented.settle_many([]) == []
    assert bench.calls() == []


def test_a_batch_without_an_answer_failed_and_so_do_writes(bench: Bench) -> None:
    bench.store.broken["claim"] = GONE
    with pytest.raises(StoreUnavailable):
        bench.instrumented.claim_many([ask(1)])
    assert bench.calls() == [("claim_many", 0, "unavailable")]
    assert "of claim_many: no route" in (bench.instrumented.write_health.reason(0, SECOND) or "")
    del bench.store.broken["claim"]
    bench.instrumented.claim_many([ask(1)])
    assert not bench.instrumented.write_health.fails


def test_a_batch_of_which_one_item_failed_is_told_as_failed_but_the_store_takes_writes(bench: Bench) -> None:
    bench.instrumented.write_health.failed("acquire", "no route", "unavailable", bench.clock.reading())
    bench.store.failures = (1,)
    assert [type(it) for it in bench.instrumented.claim_many([ask(1), ask(2)])] == [Claimed, StoreUnavailable]
    assert bench.calls() == [("claim_many", 0, "error")]
    assert not bench.instrumented.write_health.fails, "the grant proves it"


def test_a_batch_of_which_every_item_failed_shows_that_writes_do(bench: Bench) -> None:
    bench.store.failures = (0, 1)
    assert bench.instrumented.claim_many([ask(1), ask(2)]) == [WRONG, WRONG]
    assert bench.calls() == [("claim_many", 0, "error")]
    assert "of claim_many: WRONGTYPE" in (bench.instrumented.write_health.reason(0, SECOND) or "")
