"""What a call finds missing in the store is reported with it, each record once an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreRecordMissing
from tickglass.sched.identity import JobId
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.stores.memory import MemoryStore
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.ports import Orphan

LEASE: Final = MissingRecord(MissingKind.LEASE, "printer")
READS: Final[dict[str, Callable[[InstrumentedStore], object]]] = {
    "register": lambda store: store.register([]),
    "orphans": lambda store: store.orphans([JobId("s", "job")]),
    "leases": lambda store: store.leases(),
    "jobs": lambda store: store.jobs(),
    "runs": lambda store: store.runs(),
    "abandoned": lambda store: store.abandoned(),
}


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
