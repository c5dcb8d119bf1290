"""A ledger forgets what is settled, old, and not among its job's latest: and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import AlreadyClaimed, ClaimAsk, Claimed, InstanceRecord, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.stores.retention import LATEST_KEPT, PRUNE_EVERY_NS, gone_for_long
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.ports import Store

HOUR = 3_600 * SECOND


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory://?keep=1h", "sqlite:///{home}/jobs.db?keep=1h"], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = open_store(request.param.format(home=tmp_path), clock)
    yield store
    store.close()


def run(store: Store, job: str, due_ns: int, *, settled: bool = True) -> Claimed:
    lease = LeaseAsk(f"{job} {due_ns}", "n1", "billing", f"t{due_ns}", SECOND, job, f"r{due_ns}")
    answer = store.claim(ClaimAsk(lease, due_ns))
    assert isinstance(answer, Claimed)
    if settled:
        held = Lease(lease.resource, "n1", lease.token, answer.fence, SECOND, 0)
        store.settle(Settlement(held, "billing", job, due_ns, lease.run_id, "success"))
    return answer


def due_instants(store: Store, job: str) -> list[int]:
    return [found.due_ns for found in store.runs(JobId("billing", job), limit=10_000)]


def test_old_settled_rows_go_and_the_latest_stay(store: Store, clock: FakeClock) -> None:
    for due_ns in range(LATEST_KEPT + 450):
        run(store, "busy", due_ns)
    for due_ns in range(LATEST_KEPT):
        run(store, "rare", due_ns)
    clock.advance(HOUR)
    store.orphans([])
    assert len(due_instants(store, "busy")) == LATEST_KEPT + 450, "not older than an hour"
    clock.advance(PRUNE_EVERY_NS)
    store.orphans([])
    assert due_instants(store, "busy") == list(range(LATEST_KEPT + 449, 449, -1))
    assert len(due_instants(store, "rare")) == LATEST_KEPT


def test_unsettled_rows_are_never_forgotten(store: Store, clock: FakeClock) -> None:
    run(store, "busy", 0, settled=False)
    for due_ns in range(1, LATEST_KEPT + 10):
        run(store, "busy", due_ns)
    clock.advance(2 * HOUR)
    store.register([])
    assert due_instants(store, "busy")[-1] == 0
    assert len(due_instants(store, "busy")) == LATEST_KEPT + 1
    assert [orphan.due_ns for orphan in store.orphans([JobId("billing", "busy")])] == [0]


def test_what_ended_lately_is_kept_however_old_its_due_instant(store: Store, clock: FakeClock) -> None:
    clock.advance(2 * HOUR)
    for due_ns in range(LATEST_KEPT + 10):
        run(store, "late", due_ns)
    store.register([])
    assert len(due_instants(store, "late")) == LATEST_KEPT + 10


def test_the_last_due_instant_outlives_every_pruning(store: Store, clock: FakeClock) -> None:
    for due_ns in range(LATEST_KEPT + 10):
        run(store, "busy", due_ns)
    clock.advance(1_000 * HOUR)
    record = JobRecord("busy", "t", "busy", "n1", "billing", SECOND, SECOND, None, None)
    (registered,) = store.register([record])
    assert registered.job.last_due_ns == LATEST_KEPT + 9
    latest = LeaseAsk("busy", "n2", "billing", "t", SECOND, "busy", "r")
    assert store.claim(ClaimAsk(latest, LATEST_KEPT + 9)) == AlreadyClaimed("n1", "success")


def test_pruning_is_at_most_once_a_minute_while_looking_for_orphans(store: Store, clock: FakeClock) -> None:
    clock.advance(2 * HOUR)
    store.orphans([])
    for due_ns in range(LATEST_KEPT + 1):
        run(store, "busy", due_ns)
    clock.step(2 * HOUR)
    clock.advance(PRUNE_EVERY_NS - 1)
    store.orphans([])
    assert len(due_instants(store, "busy")) == LATEST_KEPT + 1
    clock.advance(1)
    store.orphans([])
    assert len(due_instants(store, "busy")) == LATEST_KEPT


def test_records_of_instances_go_an_hour_after_they_left_and_a_day_after_they_fell_silent() -> None:
    minute = 60 * SECOND
    ages = {"left": (59 * minute, 60 * minute), "running": (1_439 * minute, 1_440 * minute), "draining": (minute, 0)}
    records = [
        InstanceRecord("svc", "a", f"{state} {age}", "1", "f", state, silent_ns=age)
        for state, its in ages.items()
        for age in its
    ]
    assert gone_for_long(records) == [f"left {60 * minute}", f"running {1_440 * minute}"]


def test_of_a_process_that_restarts_all_the_time_the_latest_thousand_records_are_kept_beside_the_living() -> None:
    records = [
        InstanceRecord("svc", "a", str(number), "1", "f", "running", silent_ns=60 * SECOND + number)
        for number in range(1_002)
    ]
    living = [InstanceRecord("svc", "a", f"living {number}", "1", "f", "running") for number in range(1_500)]
    assert gone_for_long([*living, *records]) == ["1000", "1001"]
