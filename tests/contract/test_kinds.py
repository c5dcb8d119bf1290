"""What every store promises of attempts that no trigger asked for: they are kept as others, and move no job's plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.ports import MANUAL, SCHEDULED, AlreadyClaimed, Claimed, Orphan
from tickglass.sched.stores import retention

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store


def plan_of(store: Store) -> tuple[int | None, int | None]:
    """Return the latest and the next due instant of the one job."""
    (job,) = store.jobs()
    return job.last_due_ns, job.next_due_ns


def run(kit: StoreKit, store: Store, due_ns: int, kind: str = SCHEDULED, **more: object) -> None:
    """Claim and settle an occurrence."""
    ask = kit.claim(due_ns=due_ns, kind=kind, **more)  # type: ignore[arg-type]
    assert store.settle(kit.settlement(ask, store.claim(ask))).recorded


@pytest.mark.usefixtures("alone_and_in_batches")
@pytest.mark.parametrize("kind", [SCHEDULED, MANUAL, "of a later version"])
def test_the_kind_is_kept_with_the_attempt(kit: StoreKit, kind: str) -> None:
    store = kit.open()
    ask = kit.claim(kind=kind)
    answer = store.claim(ask)
    assert [it.kind for it in kit.open().runs()] == [kind]
    assert [it.kind for it in store.runs(ask.job_id)] == [kind]
    assert store.settle(kit.settlement(ask, answer)).recorded
    assert [(it.kind, it.outcome) for it in store.runs()] == [(kind, "success")]


@pytest.mark.usefixtures("alone_and_in_batches")
def test_only_scheduled_occurrences_move_the_latest_and_the_next_due_instant(kit: StoreKit) -> None:
    store = kit.open()
    store.register([kit.job_record(next_due_ns=10)])
    run(kit, store, 7, MANUAL, next_due_ns=99)
    assert plan_of(store) == (None, 10)
    run(kit, store, 10, next_due_ns=20)
    assert plan_of(store) == (10, 20)
    run(kit, store, 15, MANUAL, next_due_ns=99)
    run(kit, store, 16, "of a later version", next_due_ns=99)
    assert plan_of(store) == (10, 20)
    run(kit, store, 12, next_due_ns=14)  # later than the latest scheduled one, though not than the latest of all
    assert plan_of(store) == (12, 14)
    (registered,) = store.register([kit.job_record(next_due_ns=14)])
    assert registered.job.last_due_ns == 12
    assert registered.before is not None
    assert registered.before.last_due_ns == 12


def test_a_manual_and_a_scheduled_attempt_are_side_by_side(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    scheduled, manual = kit.claim(due_ns=1, resource="r"), kit.claim(due_ns=2, resource="s", kind=MANUAL)
    for ask in (scheduled, manual):
        assert isinstance(store.claim(ask), Claimed)
    assert [(it.due_ns, it.kind) for it in store.runs()] == [(2, MANUAL), (1, SCHEDULED)]
    assert [(it.due_ns, it.kind) for it in store.runs(manual.job_id, before_ns=2)] == [(1, SCHEDULED)]


def test_a_manual_occurrence_is_claimed_once(kit: StoreKit, store: Store) -> None:
    first = kit.claim(due_ns=3, kind=MANUAL)
    answer = store.claim(first)
    assert isinstance(answer, Claimed)
    assert store.claim(first) == answer
    assert store.claim(kit.claim(due_ns=3, kind=MANUAL, owner="n2")) == AlreadyClaimed("n1", None)
    assert store.settle(kit.settlement(first, answer)).recorded
    assert store.claim(kit.claim(due_ns=3, kind=MANUAL, owner="n2")) == AlreadyClaimed("n1", "success")


def test_an_abandoned_manual_attempt_is_an_orphan_of_its_kind(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    asks = [kit.claim(due_ns=1), kit.claim(due_ns=2, kind=MANUAL), kit.claim(due_ns=3, kind="of a later version")]
    for ask in asks:
        store.release(kit.lease(ask, store.claim(ask)))
    found = store.orphans([asks[0].job_id])
    assert [(it.due_ns, it.kind) for it in found] == [(1, SCHEDULED), (2, MANUAL), (3, "of a later version")]
    assert [(it.due_ns, it.kind) for it in store.abandoned()] == [(it.due_ns, it.kind) for it in found]
    assert found[1] == Orphan("billing", "nightly", 2, 1, asks[1].lease.run_id, "n1", MANUAL)
    assert store.abandon(found[1])
    assert [(it.kind, it.outcome) for it in store.runs()][1] == (MANUAL, "orphaned")
    again = kit.claim(due_ns=3, kind=MANUAL)
    answer = store.claim(again)
    assert isinstance(answer, Claimed)
    assert answer.attempt == 2
    assert [it.kind for it in store.runs(limit=2)] == [MANUAL, "of a later version"]
    assert plan_of(store)[0] == 1


def test_a_job_that_was_only_run_by_hand_is_found_among_all_runs(kit: StoreKit, store: Store) -> None:
    for due_ns in (1, 2):
        run(kit, store, due_ns, job="scheduled")
    for due_ns in (3, 4):
        run(kit, store, due_ns, MANUAL, job="manual")
    run(kit, store, 5, MANUAL, job="scheduled")
    assert [(it.job, it.due_ns) for it in store.runs()] == [
        ("scheduled", 5),
        ("manual", 4),
        ("manual", 3),
        ("scheduled", 2),
        ("scheduled", 1),
    ]
    assert [(it.job, it.due_ns) for it in store.runs(limit=2)] == [("scheduled", 5), ("manual", 4)]
    assert [(it.job, it.due_ns) for it in store.runs(limit=1, before_ns=5)] == [("manual", 4)]


def test_forgetting_a_job_forgets_what_was_run_by_hand(kit: StoreKit, store: Store) -> None:
    run(kit, store, 3, MANUAL)
    left = kit.claim(due_ns=4, kind=MANUAL)
    store.release(kit.lease(left, store.claim(left)))
    assert store.forget(left.job_id)
    assert list(store.runs()) == []
    assert list(store.orphans([left.job_id])) == []
    assert not store.forget(left.job_id)


def test_old_manual_attempts_are_forgotten_and_the_latest_scheduled_instant_is_not(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    run(kit, store, 1)
    run(kit, store, 2)
    count = retention.LATEST_KEPT + 5
    for due_ns in range(3, 3 + count):
        run(kit, store, due_ns, MANUAL)
    for due_ns in range(1, 1 + count):
        run(kit, store, due_ns, MANUAL, job="only by hand")
    kit.forget(store)
    assert plan_of(store)[0] == 2
    kept = [it.due_ns for it in store.runs(kit.claim().job_id, limit=200)]
    assert kept[: retention.LATEST_KEPT] == list(range(2 + count, 2 + count - retention.LATEST_KEPT, -1))
    assert len(kept) <= retention.LATEST_KEPT + 1
    assert len(store.runs(kit.claim("only by hand").job_id, limit=200)) == retention.LATEST_KEPT
