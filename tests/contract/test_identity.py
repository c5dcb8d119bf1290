"""Jobs of one name in two services are two jobs: each has its own instants, record, orphans and outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.identity import JobId
from tickglass.sched.ports import AlreadyClaimed, Claimed, Refused, Settled

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

pytestmark = pytest.mark.usefixtures("alone_and_in_batches")

BILLING, MAIL = JobId("billing", "sync"), JobId("mail", "sync")
SERVICES = ("billing", "mail")


def test_each_claims_the_same_instant_and_neither_waits_for_the_other(kit: StoreKit, store: Store) -> None:
    asks = [kit.claim("sync", 5, service=service) for service in SERVICES]
    answers = [store.claim(ask) for ask in asks]
    assert all(isinstance(answer, Claimed) and answer.attempt == 1 for answer in answers), answers
    for ask in asks:
        again = store.claim(kit.claim("sync", 5, "n2", service=ask.lease.service))
        assert again == AlreadyClaimed("n1", None)
    outcomes = {"billing": "success", "mail": "failure"}
    for ask, answer in zip(asks, answers, strict=True):
        settlement = kit.settlement(ask, answer, outcomes[ask.lease.service])
        assert store.settle(settlement) == Settled(recorded=True, released=True)
    found = {
        service: [(run.service, run.outcome) for run in store.runs(JobId(service, "sync"))] for service in SERVICES
    }
    assert found == {service: [(service, outcome)] for service, outcome in outcomes.items()}
    assert len(store.runs()) == 2


def test_a_run_settles_its_own_service_alone(kit: StoreKit, store: Store) -> None:
    billing, mail = (kit.claim("sync", 5, service=service) for service in SERVICES)
    answers = [store.claim(billing), store.claim(mail)]
    ended = kit.settlement(mail, answers[1])
    store.settle(ended)
    assert store.runs(BILLING)[0].outcome is None
    assert store.settle(ended).earlier
    assert store.settle(kit.settlement(billing, answers[0])).recorded


def test_a_resource_that_is_named_by_hand_is_shared(kit: StoreKit, store: Store) -> None:
    billing = kit.claim("sync", 5, service="billing", resource="ledger")
    answer = store.claim(billing)
    refused = store.claim(kit.claim("sync", 5, service="mail", resource="ledger"))
    assert isinstance(refused, Refused)
    assert refused.holder.job_id == BILLING
    store.settle(kit.settlement(billing, answer))
    assert isinstance(store.claim(kit.claim("sync", 5, service="mail", resource="ledger")), Claimed)


def test_each_has_a_record_and_a_latest_instant_of_its_own(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record("sync", service="billing", owner="b")])
    (mail,) = store.register([kit.job_record("sync", service="mail", owner="m")])
    assert mail.before is None
    store.claim(kit.claim("sync", 7, service="billing", next_due_ns=8))
    found = {job.job_id: (job.owner, job.last_due_ns, job.next_due_ns) for job in store.jobs()}
    assert found == {BILLING: ("b", 7, 8), MAIL: ("m", None, 1)}
    (again,) = store.register([kit.job_record("sync", service="mail", owner="m2")])
    assert again.before is not None
    assert (again.before.owner, again.job.last_due_ns) == ("m", None)


def test_each_finds_its_own_orphans(kit: StoreKit, store: Store) -> None:
    for service in SERVICES:
        store.claim(kit.claim("sync", 5, f"dead {service}", service=service))
    kit.let_expire()
    (found,) = store.orphans([BILLING])
    assert (found.job_id, found.owner) == (BILLING, "dead billing")
    assert store.abandon(found)
    assert store.orphans([BILLING]) == []
    (left,) = store.orphans([BILLING, MAIL])
    assert left.job_id == MAIL
    assert [(run.service, run.owner) for run in store.abandoned()] == [("mail", "dead mail")]
    rerun = store.claim(kit.claim("sync", 5, "heir", service="mail"))
    assert isinstance(rerun, Claimed)
    assert (rerun.attempt, rerun.previous_run_id) == (2, left.run_id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (JobId("a", "b/c"), JobId("a/b", "c")),
        (JobId("a%2Fb", "c"), JobId("a/b", "c")),
        (JobId("a", "bc"), JobId("ab", "c")),
    ],
)
def test_names_that_look_alike_are_two_jobs(kit: StoreKit, store: Store, one: JobId, other: JobId) -> None:
    assert str(one) != str(other)
    for job in (one, other):
        store.register([kit.job_record(job.name, service=job.service, resource=str(job))])
        assert isinstance(store.claim(kit.claim(job.name, 5, service=job.service, resource=str(job))), Claimed)
    assert {job.job_id for job in store.jobs()} == {one, other}
    assert [run.job_id for run in store.runs(one)] == [one]
