"""Every call is one event, a batch too; the health of writes is judged by the answers; what is missing is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from kit.rig import BreakableStore

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreCalled, StoreRecordMissing
from tickglass.sched.identity import JobId
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settled, Settlement
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.ports import ClaimAnswer, Orphan

GONE: Final = StoreUnavailable("memory", "claim_many", "no route")
WRONG: Final = StoreUnavailable("memory", "claim_many", "WRONGTYPE", kind="error")
LEASE: Final = MissingRecord(MissingKind.LEASE, "printer")
READS: Final[dict[str, Callable[[InstrumentedStore], object]]] = {
    "register": lambda store: store.register([]),
    "orphans": lambda store: store.orphans([JobId("s", "job")]),
    "leases": lambda store: store.leases(),
    "jobs": lambda store: store.jobs(),
    "runs": lambda store: store.runs(),
    "abandoned": lambda store: store.abandoned(),
}


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


class Holed(MemoryStore):
    """A store of which a person deleted a part."""

    found: Sequence[MissingRecord] = ()
    away = False

    def missing(self) -> Sequence[MissingRecord]:
        found, self.found = self.found, ()
        return found

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        if self.away:
            raise StoreUnavailable("memory", "orphans", "gone fishing")
        return super().orphans(jobs, limit)


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_call_that_reads_lists_reports_what_it_found_missing(read: Callable[[InstrumentedStore], object]) -> None:
    clock, sink = FakeClock(), ListSink()
    store = Holed(clock)
    instrumented = InstrumentedStore(store, clock=clock, sink=sink)
    store.found = [LEASE]
    read(instrumented)
    (told,) = sink.of(StoreRecordMissing)
    assert (told.store, told.kind, told.name, told.wall_ns) == ("memory", "lease", "printer", clock.wall_ns())
    assert list(instrumented.missing()) == []


def test_the_same_record_is_reported_once_an_hour() -> None:
    clock, sink = FakeClock(), ListSink()
    store = Holed(clock)
    instrumented = InstrumentedStore(store, clock=clock, sink=sink)
    for told in (1, 1, 2):
        store.found = [LEASE]
        instrumented.leases()
        assert len(sink.of(StoreRecordMissing)) == told
        clock.advance(1_800 * SECOND)


def test_a_call_that_fails_midway_reports_what_it_had_found_by_then() -> None:
    clock, sink = FakeClock(), ListSink()
    store = Holed(clock)
    instrumented = InstrumentedStore(store, clock=clock, sink=sink)
    store.found, store.away = [LEASE], True
    with pytest.raises(StoreUnavailable):
        instrumented.orphans([JobId("s", "job")])
    assert len(sink.of(StoreRecordMissing)) == 1
