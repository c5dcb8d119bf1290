"""What every store does about claims of instants that are still far off: see `Ahead`, `Ledger.claim`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.planning.past_runs import without_claims_ahead
from tickglass.sched.ports import Ahead, AlreadyClaimed, Claimed

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

pytestmark = pytest.mark.usefixtures("alone_and_in_batches")

HOUR: Final = 3_600 * SECOND
SLACK_NS: Final = 2 * SECOND  # etcd tells the time to the second


def test_a_claim_that_comes_too_early_is_refused_and_leaves_nothing(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record(next_due_ns=7)])
    before = kit.state(store)
    answer = store.claim(kit.claim(due_ns=store.time_ns() + HOUR, next_due_ns=8, max_ahead_ns=SECOND))
    assert isinstance(answer, Ahead)
    assert HOUR - SECOND - SLACK_NS <= answer.early_ns <= HOUR - SECOND + SLACK_NS
    assert kit.state(store) == before
    assert (store.runs(), store.leases()) == ([], [])


def test_a_claim_that_is_no_earlier_than_allowed_is_granted(kit: StoreKit, store: Store) -> None:
    now_ns = store.time_ns()
    for ahead_ns in (-HOUR, 0, HOUR):
        ask = kit.claim(due_ns=now_ns + ahead_ns, max_ahead_ns=HOUR + SLACK_NS)
        answer = store.claim(ask)
        assert isinstance(answer, Claimed), ahead_ns
        store.settle(kit.settlement(ask, answer))


def test_what_is_claimed_is_said_first_then_that_it_is_too_early_and_last_who_holds_the_resource(
    kit: StoreKit, store: Store
) -> None:
    due_ns = store.time_ns() + HOUR
    claim = kit.claim(due_ns=due_ns)
    store.claim(claim)
    assert store.claim(kit.claim(due_ns=due_ns, max_ahead_ns=SECOND)) == AlreadyClaimed("n1", None)
    assert isinstance(store.claim(kit.claim(due_ns=due_ns + 1, max_ahead_ns=SECOND)), Ahead), "though it is held"


def poison(kit: StoreKit, store: Store) -> int:
    """Have an instant in an hour claimed, as by a wrong clock and an older version; return the present."""
    now_ns = store.time_ns()
    wrong = kit.claim(due_ns=now_ns + HOUR, next_due_ns=now_ns + 2 * HOUR)
    store.settle(kit.settlement(wrong, store.claim(wrong)))
    return now_ns


def test_a_job_that_is_registered_after_a_claim_far_ahead_owes_its_instants_from_now_on(
    kit: StoreKit, store: Store
) -> None:
    store.register([kit.job_record()])
    now_ns = poison(kit, store)
    (registered,) = store.register([kit.job_record(next_due_ns=now_ns)])
    assert registered.job.last_due_ns == now_ns + HOUR
    assert without_claims_ahead(registered, now_ns + SECOND, store).owes_after_ns(now_ns) <= now_ns


def test_a_job_that_ran_before_a_claim_far_ahead_owes_its_instants_from_that_run_on(
    kit: StoreKit, store: Store
) -> None:
    ran_ns = store.time_ns() - 5 * SECOND
    ask = kit.claim(due_ns=ran_ns)
    store.settle(kit.settlement(ask, store.claim(ask)))
    now_ns = poison(kit, store)
    (registered,) = store.register([kit.job_record(next_due_ns=now_ns)])
    assert without_claims_ahead(registered, now_ns + SECOND, store).owes_after_ns(now_ns) == ran_ns


def test_the_next_claim_in_time_names_the_next_due_instant_again(kit: StoreKit, store: Store) -> None:
    store.register([kit.job_record()])
    now_ns = poison(kit, store)
    ask = kit.claim(due_ns=now_ns, next_due_ns=now_ns + SECOND, max_ahead_ns=HOUR // 2)
    assert isinstance(store.claim(ask), Claimed)
    (job,) = store.jobs()
    assert job.next_due_ns == now_ns + SECOND
    if store.own_clock:
        assert job.last_due_ns == now_ns
