"""A job that is forgotten is as if it had never been; all others stay: see `Ledger.forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.identity import JobId
from tickglass.sched.ports import Claimed, Settled

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

JOB = JobId("billing", "nightly")


def fill(kit: StoreKit, store: Store, name: str = "nightly", service: str = "billing", runs: int = 3) -> int:
    """Register a job, run it so often, and leave one claim abandoned; return the last fence."""
    store.register([kit.job_record(name, service=service)])
    for due_ns in range(1, runs + 1):
        ask = kit.claim(name, due_ns, service=service)
        store.settle(kit.settlement(ask, store.claim(ask)))
    dead = kit.claim(name, due_ns=runs + 1, service=service)
    answer = store.claim(dead)
    assert isinstance(answer, Claimed)
    store.release(kit.lease(dead, answer))
    return answer.fence


def test_its_record_and_its_attempts_go_and_a_second_call_finds_nothing(kit: StoreKit, store: Store) -> None:
    fill(kit, store)
    assert store.forget(JOB)
    assert (store.jobs(), store.runs(), store.abandoned(), store.orphans([JOB])) == ([], [], [], [])
    assert not store.forget(JOB)


def test_other_jobs_and_those_of_other_services_stay(kit: StoreKit, store: Store) -> None:
    fill(kit, store, "nightly", "mail")
    fill(kit, store, "other")
    before = kit.state(store)
    fill(kit, store)
    store.forget(JOB)
    assert kit.state(store) == before


def test_a_job_that_comes_back_owes_nothing_and_its_fences_go_on_growing(kit: StoreKit, store: Store) -> None:
    fence = fill(kit, store)
    store.forget(JOB)
    (registered,) = store.register([kit.job_record()])
    assert (registered.before, registered.job.last_due_ns) == (None, None)
    answer = store.claim(kit.claim(due_ns=1))
    assert isinstance(answer, Claimed)
    assert answer.attempt == 1
    assert answer.fence > fence


def test_a_job_that_was_claimed_and_never_registered_can_be_forgotten(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim())
    assert store.forget(JOB)
    assert store.runs() == []


def test_a_run_of_a_forgotten_job_frees_its_lease_and_is_not_recorded(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    answer = store.claim(ask)
    store.forget(JOB)
    assert store.settle(kit.settlement(ask, answer)) == Settled(recorded=False, released=True)
    assert (store.leases(), store.runs()) == ([], [])


def test_many_attempts_go_too(kit: StoreKit, store: Store) -> None:
    fill(kit, store, runs=450)
    assert store.forget(JOB)
    assert store.runs() == []
    assert not store.forget(JOB)
