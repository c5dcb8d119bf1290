"""What every store promises of jobs and of looking on: see `Ledger` and `StoreObserver` in tickglass.sched.ports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    AlreadyClaimed,
    Claimed,
    Granted,
    Orphan,
    Renewed,
    Settled,
)

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import ClaimAsk, Store


# --- jobs


def test_registering_is_idempotent_and_answers_in_order(kit: StoreKit, store: Store) -> None:
    records = [kit.job_record("b", timeout_ns=5), kit.job_record("a", next_due_ns=None)]
    stored = [registered.job for registered in store.register(records)]
    assert [replace(job, seen_wall_ns=0) for job in stored] == records
    assert all(job.seen_wall_ns > 0 for job in stored)
    again = [registered.job for registered in store.register(records)]
    assert [replace(job, seen_wall_ns=0) for job in again] == records
    assert store.register([]) == []
    assert [job.name for job in store.jobs()] == ["a", "b"]


def test_registering_anew_keeps_the_last_due_instant_and_takes_the_rest(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record(next_due_ns=5)])
    ask = kit.claim(due_ns=5, next_due_ns=6)
    store.claim(ask)
    (registered,) = store.register([kit.job_record(trigger="every 2s", next_due_ns=7, last_due_ns=1)])
    stored = registered.job
    assert (stored.trigger, stored.next_due_ns, stored.last_due_ns) == ("every 2s", 7, 5)
    assert store.claim(kit.claim(due_ns=5)) == AlreadyClaimed("n1", None), "claims are not touched"


def test_claims_made_before_the_job_was_registered_count(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim(due_ns=5, next_due_ns=6))
    assert store.jobs() == []
    (registered,) = store.register([kit.job_record()])
    assert registered.before is None, "claimed is not registered"
    assert registered.job.last_due_ns == 5


def test_a_registration_tells_what_it_replaced(kit: StoreKit, store: Store) -> None:
    (first,) = store.register([kit.job_record(trigger="every 1s", owner="n1", next_due_ns=5)])
    assert first.before is None
    records = [kit.job_record("other"), kit.job_record(trigger="every 2s", owner="n2", next_due_ns=None)]
    other, second = kit.open().register(records)
    assert (other.before, second.before) == (None, first.job)
    (third,) = store.register([kit.job_record(next_due_ns=9)])
    assert third.before == second.job
    ask = kit.claim(due_ns=9, next_due_ns=10)
    store.claim(ask)
    (seen,) = (job for job in store.jobs() if job.name == "nightly")
    (fourth,) = store.register([kit.job_record(next_due_ns=11)])
    assert fourth.before is not None
    assert (fourth.before, fourth.before.next_due_ns, fourth.before.last_due_ns) == (seen, 10, 9)


def test_what_was_announced_under_another_trigger_is_told_to_who_replaces_it_and_not_to_the_next(
    kit: StoreKit, store: Store
) -> None:
    store.register([kit.job_record(trigger="every 1s", next_due_ns=5)])
    store.claim(kit.claim(due_ns=5, next_due_ns=6))
    new = kit.job_record(trigger="cron hourly", next_due_ns=3_600)
    first, second = (client.register([new])[0] for client in (store, kit.open()))
    assert first.before is not None
    assert (first.before.trigger, first.before.next_due_ns) == ("every 1s", 6)
    assert second.before is not None
    assert (second.before.trigger, second.before.next_due_ns) == ("cron hourly", 3_600)
    assert first.job.last_due_ns == second.job.last_due_ns == 5


def test_of_those_who_register_at_once_each_finds_what_another_wrote(kit: StoreKit) -> None:
    clients = [kit.open() for _ in range(kit.threads)]

    def register(number: int) -> int | None:
        (registered,) = clients[number].register([kit.job_record(next_due_ns=number)])
        return None if registered.before is None else registered.before.next_due_ns

    found = kit.at_once(register)
    (job,) = kit.open().jobs()
    if kit.name != "redlock":  # its servers are asked in different orders
        assert sorted([*found, job.next_due_ns], key=str) == sorted([None, *range(kit.threads)], key=str)


def test_a_claim_notes_the_next_due_instant_unless_it_is_a_late_one(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])

    def claim_and_look(due_ns: int, next_due_ns: int | None) -> tuple[int | None, int | None]:
        ask = kit.claim(due_ns=due_ns, next_due_ns=next_due_ns)
        store.settle(kit.settlement(ask, store.claim(ask)))
        (job,) = store.jobs()
        return job.next_due_ns, job.last_due_ns

    assert claim_and_look(10, 20) == (20, 10)
    assert claim_and_look(5, 6) == (20, 10)
    assert claim_and_look(20, None) == (None, 20)
    store.claim(kit.claim(due_ns=30, next_due_ns=40))
    kit.let_expire()
    assert isinstance(store.claim(kit.claim(due_ns=30, next_due_ns=50)), Claimed)
    (job,) = store.jobs()
    assert (job.next_due_ns, job.last_due_ns) == (40, 30), "a next attempt is a late one too"


# --- observers


def test_a_lease_is_shown_with_its_ages(kit: StoreKit, store: Store) -> None:
    ask = kit.claim(resource="ledger")
    answer = store.claim(ask)
    store.acquire(kit.ask("a lock by hand"))
    kit.let_pass(kit.ttl_ns // 2)
    store.renew(kit.lease(ask, answer))
    kit.let_pass(kit.ttl_ns // 4)
    by_hand, claimed = kit.open().leases()
    assert (by_hand.resource, by_hand.job, by_hand.run_id) == ("a lock by hand", "", "")
    assert isinstance(answer, Claimed)
    assert (claimed.resource, claimed.job, claimed.run_id) == ("ledger", "nightly", ask.lease.run_id)
    assert (claimed.owner, claimed.service) == ("n1", "billing")
    assert (claimed.fence, claimed.ttl_ns) == (answer.fence, kit.ttl_ns)
    assert kit.ttl_ns * 3 // 4 <= claimed.held_ns < kit.ttl_ns
    assert kit.ttl_ns // 2 - kit.grain_ns < claimed.remaining_ns <= kit.ttl_ns * 3 // 4 + kit.grain_ns
    assert by_hand.remaining_ns <= kit.ttl_ns // 4 + kit.grain_ns
    assert abs(store.time_ns() - claimed.acquired_wall_ns - claimed.held_ns) < SECOND


def test_an_expired_lease_stays_in_sight_until_somebody_takes_it(kit: StoreKit, store: Store) -> None:
    store.acquire(kit.ask(owner="dead"))
    kit.let_expire()
    (record,) = store.leases()
    assert (record.owner, record.remaining_ns <= 0, record.held_ns >= kit.ttl_ns) == ("dead", True, True)
    store.acquire(kit.ask(owner="heir"))
    (record,) = store.leases()
    assert (record.owner, record.remaining_ns > 0) == ("heir", True)


def test_runs_come_newest_first_and_no_more_than_asked_for(kit: StoreKit, store: Store) -> None:
    for job, due_ns in (("a", 2), ("b", 3), ("a", 1), ("a", 4)):
        ask = kit.claim(job, due_ns)
        store.settle(kit.settlement(ask, store.claim(ask)))
    assert [(run.job, run.due_ns) for run in store.runs()] == [("a", 4), ("b", 3), ("a", 2), ("a", 1)]
    assert [(run.job, run.due_ns) for run in store.runs(limit=2)] == [("a", 4), ("b", 3)]
    assert [run.due_ns for run in store.runs(JobId("billing", "a"), limit=2)] == [4, 2]
    assert store.runs(JobId("billing", "unknown")) == store.runs(limit=0) == []


def test_runs_that_were_due_before_an_instant_are_found_behind_all_later_ones(kit: StoreKit, store: Store) -> None:
    for job, due_ns in (("a", -3), ("a", 2), ("b", 3), ("a", 4)):
        ask = kit.claim(job, due_ns)
        store.settle(kit.settlement(ask, store.claim(ask)))
    store.claim(kit.claim("a", 5))  # not settled

    def dues(limit: int, before_ns: int, job: str | None = "a") -> list[int]:
        return [
            run.due_ns for run in store.runs(None if job is None else JobId("billing", job), limit, before_ns=before_ns)
        ]

    assert [dues(1, before_ns) for before_ns in (6, 5, 4, 2, -3)] == [[5], [4], [2], [-3], []]
    assert dues(2, 5) == [4, 2]
    assert dues(9, 4, job=None) == [3, 2, -3]
    assert dues(1, 5, job=None) == [4]
    assert (
        store.runs(JobId("billing", "a"), 0, before_ns=9) == store.runs(JobId("billing", "unknown"), before_ns=9) == []
    )


def test_so_many_leases_are_shown_as_are_asked_for(kit: StoreKit, store: Store) -> None:
    names = ["b", "a", "c%", "d/e", "零"]
    for name in names:
        store.acquire(kit.ask(name))
    assert [lease.resource for lease in store.leases()] == sorted(names)
    some = store.leases(limit=3)
    assert len(some) == 3
    assert all(lease.remaining_ns > 0 for lease in some)
    assert [lease.resource for lease in store.leases(limit=3)] == [lease.resource for lease in some]
    assert [lease.resource for lease in store.leases(limit=5)] == sorted(names)
    assert store.leases(limit=0) == []


def test_abandoned_claims_of_all_jobs_come_oldest_first(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim("b", 3, owner="dead"))
    first = kit.claim("a", 2, owner="dead", resource="ledger")
    answer = store.claim(first)
    settled = kit.claim("c", 1)
    store.settle(kit.settlement(settled, store.claim(settled)))
    assert store.abandoned() == []
    kit.let_expire()
    live = kit.claim("d", 4, resource="ledger")
    store.claim(live)
    found = store.abandoned()
    assert [(run.job, run.due_ns, run.owner, run.outcome) for run in found] == [
        ("a", 2, "dead", None),
        ("b", 3, "dead", None),
    ]
    assert isinstance(answer, Claimed)
    assert (found[0].run_id, found[0].fence, found[0].resource) == (first.lease.run_id, answer.fence, "ledger")
    assert found[0] in store.runs()
    assert [run.job for run in store.abandoned(limit=1)] == ["a"]
    assert store.abandoned(limit=0) == []
    assert store.abandon(Orphan("billing", "a", 2, 1, first.lease.run_id, "dead"))
    assert [run.job for run in store.abandoned()] == ["b"]


NAMES = ["零点对账", "a b\n'\"; DROP TABLE runs --", "%_*?[]{}:/", "é" * 500, "\0null", "𐍈", "-"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_will_do(kit: StoreKit, store: Store, name: str) -> None:
    store.register([kit.job_record(name, owner=name)])
    ask = kit.claim(name, owner=name)
    answer = store.claim(ask)
    store.release(kit.lease(ask, answer))
    assert store.orphans([JobId("billing", name)]) == [Orphan("billing", name, 1, 1, ask.lease.run_id, name)]
    assert store.settle(kit.settlement(ask, answer)).recorded
    (run,) = store.runs(JobId("billing", name))
    (job,) = store.jobs()
    assert (run.job, run.owner, job.name, job.owner) == (name, name, name, name)


def test_names_that_look_alike_are_not_the_same(kit: StoreKit, store: Store) -> None:
    for name in ("a", "A", "a ", "á", "a\u0301", "a\0"):
        assert isinstance(store.acquire(kit.ask(name)), Granted)
    assert len(store.leases()) == 6


def test_whoever_closes_leaves_the_leases_of_all_as_they_are(kit: StoreKit) -> None:
    closing, staying = kit.open(), kit.open()
    ask = kit.ask()
    lease = kit.lease(ask, closing.acquire(ask))
    closing.close()
    closing.close()
    assert staying.renew(lease) == Renewed()


def test_a_store_names_its_technology(kit: StoreKit, store: Store) -> None:
    assert store.name == kit.name


@pytest.mark.parametrize("clients_of_their_own", [True, False])
def test_whoever_has_a_resource_is_alone_with_it(kit: StoreKit, *, clients_of_their_own: bool) -> None:
    """Eight threads, one resource: the fences it sees only grow."""
    clients = [kit.open() for _ in range(kit.threads)] if clients_of_their_own else [kit.open()] * kit.threads
    inside: list[int] = []
    seen: list[int] = []

    def work(number: int) -> None:
        for round_ in range(20):
            ask: ClaimAsk = kit.claim(f"job-{number}", round_, f"n{number}", resource="ledger")
            answer = clients[number].claim(ask)
            if isinstance(answer, Claimed):
                inside.append(number)
                assert inside == [number]
                seen.append(answer.fence)
                inside.remove(number)
                assert clients[number].settle(kit.settlement(ask, answer)) == Settled(recorded=True, released=True)

    kit.at_once(work)
    assert seen
    assert seen == sorted(set(seen))
