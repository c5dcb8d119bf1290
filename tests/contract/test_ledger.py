"""What every store promises of claims: see `Ledger` in tickglass.sched.ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    AlreadyClaimed,
    Claimed,
    Gone,
    Holder,
    Orphan,
    Refused,
    Renewed,
    Settled,
)

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

pytestmark = pytest.mark.usefixtures("alone_and_in_batches")


# --- claims


def test_an_occurrence_is_claimed_once_by_eight_threads(kit: StoreKit) -> None:
    clients = [kit.open() for _ in range(kit.threads)]

    def claim_all(number: int) -> dict[int, int]:
        won = {}
        for due_ns in range(1, 26):
            ask = kit.claim(due_ns=due_ns, owner=f"n{number}", resource=f"nightly-{due_ns}")
            answer = clients[number].claim(ask)
            if isinstance(answer, Claimed):
                won[due_ns] = answer.fence
                clients[number].settle(kit.settlement(ask, answer))
            else:
                assert isinstance(answer, AlreadyClaimed)
        return won

    won = [due_ns for ours in kit.at_once(claim_all) for due_ns in ours]
    assert sorted(won) == list(range(1, 26))


def test_an_occurrence_that_was_settled_stays_claimed(kit: StoreKit, store: Store) -> None:
    ask = kit.claim(owner="n1")
    store.settle(kit.settlement(ask, store.claim(ask), outcome="failure"))
    assert store.claim(kit.claim(owner="n2")) == AlreadyClaimed("n1", "failure")
    assert store.claim(ask) == AlreadyClaimed("n1", "failure"), "not even the same run twice"
    assert store.leases() == []


def test_an_occurrence_is_the_job_and_the_instant(kit: StoreKit, store: Store) -> None:
    for ask in (kit.claim("a", 1), kit.claim("a", 2), kit.claim("b", 1)):
        answer = store.claim(ask)
        assert isinstance(answer, Claimed)
        store.settle(kit.settlement(ask, answer))
    assert isinstance(store.claim(kit.claim("a", 1)), AlreadyClaimed)
    assert isinstance(store.claim(kit.claim("b", 2)), Claimed)


def test_jobs_that_share_a_resource_exclude_each_other(kit: StoreKit, store: Store) -> None:
    first = kit.claim("a", resource="ledger", owner="n1")
    claimed = store.claim(first)
    assert isinstance(claimed, Claimed)
    refused = store.claim(kit.claim("b", resource="ledger", owner="n2"))
    assert isinstance(refused, Refused)
    assert refused.holder == Holder("n1", "billing", "a", first.lease.run_id, claimed.fence)
    assert 0 < refused.retry_after_ns <= kit.ttl_ns + kit.late_ns


def test_a_refused_claim_leaves_nothing(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record(next_due_ns=7)])
    by_hand = kit.ask("billing/nightly")
    granted = store.acquire(by_hand)
    before = kit.state(store)
    ask = kit.claim(next_due_ns=8)
    assert isinstance(store.claim(ask), Refused)
    assert kit.state(store) == before
    assert store.runs() == []
    store.release(kit.lease(by_hand, granted))
    assert isinstance(store.claim(ask), Claimed)


def test_already_claimed_takes_precedence_over_refused(kit: StoreKit, store: Store) -> None:
    ask = kit.claim(owner="n1")
    store.claim(ask)
    assert store.claim(kit.claim(owner="n2")) == AlreadyClaimed("n1", None)
    settled = kit.claim("other", resource="shared")
    store.settle(kit.settlement(settled, store.claim(settled)))
    store.acquire(kit.ask("shared"))
    assert store.claim(kit.claim("other", resource="shared")) == AlreadyClaimed("n1", "success")


def test_a_second_claim_of_the_same_run_answers_as_the_first_did(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim(owner="dead"))
    kit.let_expire()
    ask = kit.claim()
    first = store.claim(ask)
    assert isinstance(first, Claimed)
    assert (first.attempt, first.expired_owner) == (2, "dead")
    assert kit.open().claim(ask) == first
    assert len(store.runs()) == 2


def test_a_claim_expires_like_a_lock_and_is_renewed_like_one(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    lease = kit.lease(ask, store.claim(ask))
    kit.let_pass(kit.ttl_ns // 2)
    assert store.renew(lease) == Renewed()
    kit.let_pass(kit.ttl_ns // 2)
    assert isinstance(store.claim(kit.claim()), AlreadyClaimed)
    kit.let_expire()
    assert isinstance(store.claim(kit.claim()), Claimed)


# --- claimants that die


def test_an_abandoned_occurrence_is_claimed_again_as_a_next_attempt(kit: StoreKit, store: Store) -> None:
    runs = [kit.claim(owner=f"n{number}") for number in (1, 2, 3)]
    previous = ""
    for number, ask in enumerate(runs, start=1):
        answer = store.claim(ask)
        assert isinstance(answer, Claimed)
        assert (answer.attempt, answer.previous_run_id) == (number, previous)
        assert answer.expired_owner == ("" if number == 1 else f"n{number - 1}")
        previous = ask.lease.run_id
        kit.let_expire()
    assert [(run.attempt, run.outcome) for run in store.runs()] == [(3, None), (2, "orphaned"), (1, "orphaned")]


def test_an_abandoned_occurrence_is_left_alone_if_the_job_wants_it_so(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim(owner="dead"))
    kit.let_expire()
    assert store.claim(kit.claim(rerun=False)) == AlreadyClaimed("dead", None)
    (run,) = store.runs()
    assert run.outcome is None, "that is for abandon to settle"


def test_a_rerun_waits_for_the_resource(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim("a", resource="ledger"))
    kit.let_expire()
    store.acquire(kit.ask("ledger", "by hand"))
    refused = store.claim(kit.claim("a", resource="ledger"))
    assert isinstance(refused, Refused)
    assert refused.holder.owner == "by hand"
    (run,) = store.runs()
    assert run.outcome is None, "both or nothing"


def test_a_job_is_not_alive_because_another_holds_their_common_resource(kit: StoreKit, store: Store) -> None:
    dead = kit.claim("a", resource="ledger", owner="dead")
    store.claim(dead)
    kit.let_expire()
    heir = kit.claim("b", resource="ledger", owner="dead")
    answer = store.claim(heir)
    assert [found.job for found in store.orphans([JobId("billing", "a"), JobId("billing", "b")])] == ["a"]
    store.settle(kit.settlement(heir, answer))
    again = store.claim(kit.claim("a", resource="ledger"))
    assert isinstance(again, Claimed)
    assert (again.attempt, again.previous_run_id) == (2, dead.lease.run_id)


def test_orphans_are_found_only_after_their_leases_end(kit: StoreKit, store: Store) -> None:
    asks = [kit.claim("a", 3), kit.claim("b", 1), kit.claim("c", 2), kit.claim("not ours", 1)]
    for ask in asks:
        store.claim(ask)
    ended = kit.claim("d", 1)
    store.settle(kit.settlement(ended, store.claim(ended)))
    ours = [JobId("billing", name) for name in ("a", "b", "c", "d")]
    assert store.orphans(ours) == []
    kit.let_expire()
    assert [(found.job, found.due_ns) for found in store.orphans(ours)] == [("b", 1), ("c", 2), ("a", 3)]
    assert store.orphans(ours, limit=2) == store.orphans(ours)[:2]
    assert store.orphans([]) == store.orphans(ours, limit=0) == []


def test_a_released_lease_without_a_settlement_is_an_orphan_at_once(kit: StoreKit, store: Store) -> None:
    ask = kit.claim(owner="n1")
    store.release(kit.lease(ask, store.claim(ask)))
    assert store.orphans([JobId("billing", "nightly")]) == [Orphan("billing", "nightly", 1, 1, ask.lease.run_id, "n1")]


def test_one_of_eight_threads_abandons_an_orphan(kit: StoreKit, store: Store) -> None:
    store.claim(kit.claim(owner="dead"))
    kit.let_expire()
    (orphan,) = store.orphans([JobId("billing", "nightly")])
    clients = [kit.open() for _ in range(kit.threads)]
    assert sorted(kit.at_once(lambda number: clients[number].abandon(orphan))) == [False] * (kit.threads - 1) + [True]
    (run,) = store.runs()
    assert (run.outcome, run.ended_wall_ns is None) == ("orphaned", False)
    assert store.orphans([JobId("billing", "nightly")]) == []
    assert store.claim(kit.claim()) == AlreadyClaimed("dead", "orphaned")


def test_only_what_is_abandoned_still_can_be_settled_as_such(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    lease = kit.lease(ask, store.claim(ask))
    run_id = ask.lease.run_id
    assert not store.abandon(Orphan("billing", "nightly", 1, 1, run_id, "n1")), "it is alive"
    kit.let_expire()
    (orphan,) = store.orphans([JobId("billing", "nightly")])
    store.claim(kit.claim(owner="n2"))
    assert not store.abandon(orphan), "somebody began the next attempt"
    assert not store.abandon(replace(orphan, attempt=2)), "that attempt is another run"
    assert not store.abandon(replace(orphan, due_ns=99)), "there is no such claim"
    assert store.renew(lease) == Gone("n2")


# --- settlements


def test_settling_writes_the_outcome_and_frees_the_lease(kit: StoreKit, store: Store) -> None:
    ask = kit.claim(due_ns=10)
    answer = store.claim(ask)
    kit.let_pass(kit.ttl_ns // 3)
    settlement = kit.settlement(ask, answer, outcome="failure", detail="ValueError: no such file")
    assert store.settle(settlement) == Settled(recorded=True, released=True)
    assert store.leases() == []
    (run,) = store.runs()
    assert isinstance(answer, Claimed)
    assert (run.job, run.due_ns, run.attempt, run.owner, run.service) == ("nightly", 10, 1, "n1", "billing")
    assert (run.run_id, run.resource, run.fence) == (ask.lease.run_id, "billing/nightly", answer.fence)
    assert (run.outcome, run.detail) == ("failure", "ValueError: no such file")
    assert (run.started_wall_ns, run.lateness_ns) == (15, 5)
    assert run.ended_wall_ns is not None
    assert run.ended_wall_ns > run.claimed_wall_ns


def test_settling_twice_changes_nothing(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    settlement = kit.settlement(ask, store.claim(ask))
    store.settle(settlement)
    before = store.runs()
    assert store.settle(replace(settlement, outcome="failure")) == Settled(recorded=False, released=False)
    assert store.runs() == before


@pytest.mark.parametrize("skew_ns", [-5 * SECOND, 5 * SECOND])
def test_an_outcome_told_late_by_a_wrong_clock_says_how_long_the_run_took(
    kit: StoreKit, store: Store, skew_ns: int
) -> None:
    ask = kit.claim()
    answer = store.claim(ask)
    started_ns = store.time_ns() + skew_ns
    told = replace(
        kit.settlement(ask, answer), started_wall_ns=started_ns, started_after_ns=2_000_000, ran_ns=1_700_001
    )
    kit.let_expire()
    assert store.settle(told).recorded
    (run,) = store.runs()
    assert run.started_wall_ns is not None
    assert run.ended_wall_ns is not None
    assert run.ended_wall_ns - run.started_wall_ns == 1_700_001
    assert abs(run.started_wall_ns - run.claimed_wall_ns - 2_000_000) <= 1_000, "and it did so on the store's clock"


def test_a_run_that_had_no_claim_is_dated_by_its_instance_and_never_ahead_of_the_store(
    kit: StoreKit, store: Store
) -> None:
    for due_ns, ago_ns in ((1, 10 * SECOND), (2, -10 * SECOND)):
        ask = kit.claim(due_ns=due_ns)
        told = kit.settlement(ask, store.claim(ask))
        assert store.settle(replace(told, started_wall_ns=store.time_ns() - ago_ns, ran_ns=SECOND)).recorded
    ahead, behind = store.runs()
    for run in (ahead, behind):
        assert run.started_wall_ns is not None
        assert run.ended_wall_ns == run.started_wall_ns + SECOND
    assert behind.ended_wall_ns is not None
    assert ahead.ended_wall_ns is not None
    assert abs(behind.claimed_wall_ns - behind.ended_wall_ns - 9 * SECOND) < SECOND
    assert abs(ahead.ended_wall_ns - ahead.claimed_wall_ns) < SECOND


def test_the_same_outcome_of_the_same_run_is_known_to_be_recorded(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    settlement = kit.settlement(ask, store.claim(ask))
    assert store.settle(settlement).recorded
    known = Settled(recorded=False, released=False, earlier=True)
    assert store.settle(settlement) == known
    assert kit.open().settle(settlement) == known, "by another process, which replays the spool"


def test_settling_after_a_take_over_writes_nothing_and_frees_nothing(kit: StoreKit, store: Store) -> None:
    late = kit.claim(owner="late")
    late_answer = store.claim(late)
    kit.let_expire()
    heir = kit.claim(owner="heir")
    answer = store.claim(heir)
    assert store.settle(kit.settlement(late, late_answer)) == Settled(recorded=False, released=False)
    assert [run.outcome for run in store.runs()] == [None, "orphaned"]
    assert store.renew(kit.lease(heir, answer)) == Renewed()
    assert store.settle(kit.settlement(heir, answer)) == Settled(recorded=True, released=True)


def test_an_outcome_counts_though_the_lease_was_lost_while_nobody_began_again(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    answer = store.claim(ask)
    kit.let_expire()
    other = kit.ask("billing/nightly")
    other_answer = store.acquire(other)
    assert store.settle(kit.settlement(ask, answer, outcome="lost")) == Settled(recorded=True, released=False)
    assert store.renew(kit.lease(other, other_answer)) == Renewed()
    assert store.orphans([JobId("billing", "nightly")]) == []


def test_an_outcome_counts_though_the_lease_has_expired(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    answer = store.claim(ask)
    kit.let_expire()
    assert store.settle(kit.settlement(ask, answer)) == Settled(recorded=True, released=False)
    assert store.leases() == []


def test_settling_what_was_never_claimed_writes_nothing(kit: StoreKit, store: Store) -> None:
    ask = kit.claim()
    assert store.settle(kit.settlement(ask, Claimed(1))) == Settled(recorded=False, released=False)
    assert store.runs() == []


def test_a_detail_is_cut_and_never_refused(kit: StoreKit, store: Store) -> None:
    for due_ns, detail in enumerate(("x" * 5_000, "\udcff is no text", "零\0é")):
        ask = kit.claim(due_ns=due_ns)
        assert store.settle(kit.settlement(ask, store.claim(ask), detail=detail)).recorded
    assert [run.detail for run in store.runs()] == ["零\0é", "? is no text", "x" * 2_000]


def test_an_attempt_keeps_what_asked_for_it_how_long_it_ran_and_its_declaration(kit: StoreKit, store: Store) -> None:
    ask = replace(kit.claim(due_ns=1), declaration="0123abcd")
    answer = store.claim(ask)
    assert [(run.kind, run.not_before_ns, run.ran_ns, run.declaration) for run in store.runs()] == [
        ("scheduled", None, None, "0123abcd")
    ]
    store.settle(replace(kit.settlement(ask, answer), started_after_ns=5_000, ran_ns=123_456_789))
    assert [(run.kind, run.not_before_ns, run.ran_ns, run.declaration) for run in store.runs()] == [
        ("scheduled", None, 123_456_789, "0123abcd")
    ]
