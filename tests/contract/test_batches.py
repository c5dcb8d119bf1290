"""What every store promises of batches of claims and settlements: see `Ledger`.

That each item of a batch is answered as it is alone is in test_ledger.py, which runs both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import BATCH_MAX, Ahead, AlreadyClaimed, Claimed, Refused, Settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contract.conftest import StoreKit

    from tickglass.sched.ports import ClaimAsk, Settlement, Store

NO_TEXT = "\udcff"  # half of a character: every store but the one in memory has to encode its words


def asks_for(kit: StoreKit, count: int, **changes: Any) -> list[ClaimAsk]:  # noqa: ANN401 - see StoreKit.claim
    return [kit.claim(f"job {number}", **changes) for number in range(count)]


def settlements_of(kit: StoreKit, asks: Sequence[ClaimAsk], answers: Sequence[object]) -> list[Settlement]:
    return [kit.settlement(ask, answer) for ask, answer in zip(asks, answers, strict=True)]


def test_a_full_batch_is_claimed_and_settled_and_each_answer_is_at_its_place(kit: StoreKit, store: Store) -> None:
    asks = asks_for(kit, BATCH_MAX)
    answers = store.claim_many(asks)
    fences = {lease.resource: lease.fence for lease in store.leases()}
    assert answers == [Claimed(fences[ask.lease.resource]) for ask in asks]
    assert store.settle_many(settlements_of(kit, asks, answers)) == [Settled(recorded=True, released=True)] * BATCH_MAX
    assert {run.run_id: (run.job, run.outcome) for run in store.runs()} == {
        ask.lease.run_id: (ask.lease.job, "success") for ask in asks
    }
    assert store.leases() == []


def test_an_empty_batch_has_no_answer_and_asks_nothing(store: Store) -> None:
    store.close()  # what is asked now is refused, but in memory
    assert list(store.claim_many([])) == []
    assert list(store.settle_many([])) == []


def test_each_item_of_a_batch_has_its_own_kind_of_answer(kit: StoreKit, store: Store) -> None:
    ended, running, held = kit.claim("ended"), kit.claim("running", owner="n2"), kit.ask("by hand", owner="n3")
    store.settle(kit.settlement(ended, store.claim(ended), outcome="failure"))
    store.claim(running)
    store.acquire(held)
    far_ns = store.time_ns() + 3_600 * SECOND
    answers = store.claim_many(
        [
            kit.claim("ended"),
            kit.claim("first"),
            kit.claim("waits", resource="by hand"),
            kit.claim("early", far_ns, max_ahead_ns=SECOND),
            kit.claim("running"),
            kit.claim("last"),
        ]
    )
    assert [type(answer) for answer in answers] == [AlreadyClaimed, Claimed, Refused, Ahead, AlreadyClaimed, Claimed]
    assert answers[0] == AlreadyClaimed("n1", "failure")
    assert answers[4] == AlreadyClaimed("n2", None)
    assert isinstance(answers[2], Refused)
    assert answers[2].holder.owner == "n3"
    assert {run.job for run in store.runs()} == {"ended", "running", "first", "last"}


def test_the_second_of_two_items_for_one_resource_is_refused_by_the_first(kit: StoreKit, store: Store) -> None:
    first, second = kit.claim("a", resource="ledger"), kit.claim("b", resource="ledger")
    won, refused = store.claim_many([first, second])
    assert isinstance(won, Claimed)
    assert isinstance(refused, Refused)
    assert (refused.holder.job, refused.holder.run_id) == ("a", first.lease.run_id)
    assert 0 < refused.retry_after_ns <= kit.ttl_ns + kit.late_ns
    (run,) = store.runs()
    assert run.job == "a"


def test_two_runs_of_one_occurrence_in_a_batch_claim_it_once(kit: StoreKit, store: Store) -> None:
    asks = [kit.claim(owner="n1"), kit.claim(owner="n2")]
    won, lost = store.claim_many(asks)
    assert isinstance(won, Claimed)
    assert lost == AlreadyClaimed("n1", None)


def test_a_batch_that_is_asked_for_again_is_answered_as_before(kit: StoreKit, store: Store) -> None:
    store.acquire(kit.ask("by hand"))
    asks = [*asks_for(kit, 3), kit.claim("waits", resource="by hand")]
    answers = store.claim_many(asks)
    before = store.runs()
    again = kit.open().claim_many([*asks, asks[0]])
    assert [*again[:3], again[4]] == [*answers[:3], answers[0]]
    assert isinstance(again[3], Refused)
    assert store.runs() == before

    settlements = settlements_of(kit, asks[:3], answers[:3])
    assert store.settle_many(settlements) == [Settled(recorded=True, released=True)] * 3
    ended = store.runs()
    other = replace(settlements[1], outcome="failure")
    known, unknown = Settled(recorded=False, released=False, earlier=True), Settled(recorded=False, released=False)
    assert kit.open().settle_many([settlements[0], other, settlements[2]]) == [known, unknown, known]
    assert store.runs() == ended


def test_an_occurrence_that_was_abandoned_is_claimed_again_in_a_batch(kit: StoreKit, store: Store) -> None:
    died = asks_for(kit, 2, owner="dead")
    store.claim_many(died)
    kit.let_expire()
    answers = store.claim_many([*asks_for(kit, 2), kit.claim("new")])
    assert [(it.attempt, it.previous_run_id, it.expired_owner) for it in answers if isinstance(it, Claimed)] == [
        (2, died[0].lease.run_id, "dead"),
        (2, died[1].lease.run_id, "dead"),
        (1, "", ""),
    ]


def test_batches_of_eight_threads_claim_each_occurrence_once(kit: StoreKit) -> None:
    clients = [kit.open() for _ in range(kit.threads)]

    def claim_all(number: int) -> set[str]:
        asks = asks_for(kit, 10, owner=f"n{number}")
        answers = clients[number].claim_many(asks)
        won = [(ask, answer) for ask, answer in zip(asks, answers, strict=True) if isinstance(answer, Claimed)]
        assert all(isinstance(answer, Claimed | AlreadyClaimed) for answer in answers), answers
        settled = clients[number].settle_many([kit.settlement(ask, answer) for ask, answer in won])
        assert all(isinstance(answer, Settled) and answer.recorded for answer in settled), settled
        return {ask.lease.job for ask, _ in won}

    won = kit.at_once(claim_all)
    assert sorted(job for jobs in won for job in jobs) == sorted(f"job {number}" for number in range(10))
    assert len(clients[0].runs()) == 10


def test_an_item_that_the_store_cannot_take_fails_alone_and_leaves_nothing(kit: StoreKit, store: Store) -> None:
    good, bad, other = kit.claim("good"), replace(kit.claim("bad"), declaration=NO_TEXT), kit.claim("other")
    if kit.name == "memory":
        pytest.skip("it takes every text")
    with pytest.raises(StoreUnavailable) as alone:
        store.claim(bad)
    answers = store.claim_many([good, bad, other])
    assert [type(answer) for answer in answers] == [Claimed, StoreUnavailable, Claimed]
    assert isinstance(answers[1], StoreUnavailable)
    assert answers[1].kind == alone.value.kind == "error"
    assert {run.job for run in store.runs()} == {lease.job for lease in store.leases()} == {"good", "other"}

    settlements = settlements_of(kit, [good, other], [answers[0], answers[2]])
    unfit = replace(settlements[0], outcome=NO_TEXT)
    settled = store.settle_many([unfit, settlements[1]])
    assert isinstance(settled[0], StoreUnavailable)
    assert settled[1] == Settled(recorded=True, released=True)
    assert store.settle_many(settlements[:1]) == [Settled(recorded=True, released=True)], "nothing of it was written"


def test_a_batch_that_gets_no_answer_raises(kit: StoreKit, store: Store) -> None:
    if kit.name == "memory":
        pytest.skip("it always answers")
    asks = asks_for(kit, 3)
    settlements = settlements_of(kit, asks, store.claim_many(asks))
    store.close()
    for ask in (lambda: store.claim_many(asks), lambda: store.settle_many(settlements)):
        with pytest.raises(StoreUnavailable):
            ask()
    assert kit.open().settle_many(settlements) == [Settled(recorded=True, released=True)] * 3
