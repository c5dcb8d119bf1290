"""What every store promises of leases: see `LockStore` in tickglass.sched.ports."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import DURATION_MAX_NS, MS, SECOND
from tickglass.sched.ports import (
    AlreadyClaimed,
    Claimed,
    Gone,
    Granted,
    Holder,
    Refused,
    Released,
    Renewed,
)

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store


# --- mutual exclusion and expiry


def test_a_lease_may_last_as_long_as_a_duration_can(kit: StoreKit, store: Store) -> None:
    asked = kit.ask(ttl_ns=DURATION_MAX_NS)
    granted = store.acquire(asked)
    assert isinstance(granted, Granted)
    refused = store.acquire(kit.ask())
    assert isinstance(refused, Refused)
    assert refused.retry_after_ns > DURATION_MAX_NS // 2
    assert store.renew(kit.lease(asked, granted)) == Renewed()
    assert store.release(kit.lease(asked, granted)) == Released()


def test_a_held_resource_is_refused_with_its_holder_and_its_rest(kit: StoreKit, store: Store) -> None:
    granted = store.acquire(kit.ask(owner="n1"))
    assert isinstance(granted, Granted)
    refused = kit.open().acquire(kit.ask(owner="n2"))
    assert isinstance(refused, Refused)
    assert refused.holder == Holder("n1", "billing", "", "", granted.fence)
    assert 0 < refused.retry_after_ns <= kit.ttl_ns + kit.late_ns
    (record,) = store.leases()
    assert refused.retry_after_ns >= record.remaining_ns > 0


def test_the_resource_is_free_after_retry_after(kit: StoreKit, store: Store) -> None:
    store.acquire(kit.ask())
    refused = store.acquire(kit.ask())
    assert isinstance(refused, Refused)
    kit.let_pass(refused.retry_after_ns)
    assert isinstance(store.acquire(kit.ask()), Granted)


def test_different_resources_do_not_exclude_each_other(kit: StoreKit, store: Store) -> None:
    assert isinstance(store.acquire(kit.ask("eu")), Granted)
    assert isinstance(store.acquire(kit.ask("us")), Granted)


def test_one_of_eight_threads_gets_the_lock(kit: StoreKit) -> None:
    clients = [kit.open() for _ in range(kit.threads)]
    answers = kit.at_once(lambda number: clients[number].acquire(kit.ask()))
    assert len([answer for answer in answers if isinstance(answer, Granted)]) == 1
    assert len([answer for answer in answers if isinstance(answer, Refused)]) == kit.threads - 1


def test_an_expired_lease_is_taken_and_its_owner_named_once(kit: StoreKit, store: Store) -> None:
    store.acquire(kit.ask(owner="dead"))
    kit.let_expire()
    taken = kit.ask(owner="heir")
    answer = store.acquire(taken)
    assert isinstance(answer, Granted)
    assert answer.expired_owner == "dead"
    assert store.release(kit.lease(taken, answer)) == Released()
    after = store.acquire(kit.ask())
    assert isinstance(after, Granted)
    assert after.expired_owner == ""


def test_a_released_lease_was_no_expiry(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    store.release(kit.lease(ask, store.acquire(ask)))
    answer = store.acquire(kit.ask())
    assert isinstance(answer, Granted)
    assert answer.expired_owner == ""


def test_a_second_acquire_with_the_same_token_answers_as_the_first_did(kit: StoreKit, store: Store) -> None:
    store.acquire(kit.ask(owner="dead"))
    kit.let_expire()
    ask = kit.ask()
    first = store.acquire(ask)
    assert kit.open().acquire(ask) == first
    (record,) = store.leases()
    assert isinstance(first, Granted)
    assert (record.fence, first.expired_owner) == (first.fence, "dead")


def test_the_same_token_begins_a_new_lease_once_the_first_has_expired(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    first = store.acquire(ask)
    kit.let_expire()
    second = store.acquire(ask)
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert second.fence > first.fence


def test_a_lease_of_a_millisecond_ends(kit: StoreKit, store: Store) -> None:
    if not kit.grants_short:
        pytest.skip("less than the allowance for the drift of several clocks: a vote for it is given up")
    ask = kit.ask(ttl_ns=MS)
    lease = kit.lease(ask, store.acquire(ask))
    kit.let_pass(kit.least_ttl_ns + kit.late_ns)
    assert store.renew(lease) == Gone()
    assert isinstance(store.acquire(kit.ask()), Granted)


def test_a_lease_of_a_day_lasts(kit: StoreKit, store: Store) -> None:
    day_ns = 86_400 * SECOND
    store.acquire(kit.ask(ttl_ns=day_ns))
    kit.let_expire()
    refused = store.acquire(kit.ask())
    assert isinstance(refused, Refused)
    assert day_ns - 2 * kit.ttl_ns <= refused.retry_after_ns <= day_ns - kit.ttl_ns + kit.late_ns


# --- renewal and release


def test_a_renewal_lasts_a_whole_ttl_from_now(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    lease = kit.lease(ask, store.acquire(ask))
    for _ in range(3):
        kit.let_pass(kit.ttl_ns // 2)
        assert store.renew(lease) == Renewed()
    kit.let_pass(kit.ttl_ns // 2)
    assert isinstance(store.acquire(kit.ask()), Refused)
    kit.let_expire()
    assert isinstance(store.acquire(kit.ask()), Granted)


def test_an_expired_lease_cannot_be_renewed_though_nobody_took_it(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    lease = kit.lease(ask, store.acquire(ask))
    kit.let_expire()
    assert store.renew(lease) == Gone()
    (record,) = store.leases()
    assert record.remaining_ns <= 0


def test_a_lease_taken_by_another_is_gone_and_its_owner_named(kit: StoreKit, store: Store) -> None:
    ask = kit.ask(owner="late")
    lease = kit.lease(ask, store.acquire(ask))
    kit.let_expire()
    store.acquire(kit.ask(owner="heir"))
    assert store.renew(lease) == Gone("heir")
    assert store.release(lease) == Gone("heir")
    assert isinstance(store.acquire(kit.ask()), Refused), "the heir's lease was not touched"


def test_releasing_twice_frees_nobody_elses_lease(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    lease = kit.lease(ask, store.acquire(ask))
    assert store.release(lease) == Released()
    assert store.release(lease) == Gone()
    store.acquire(kit.ask(owner="next"))
    assert store.release(lease) == Gone("next")
    assert isinstance(store.acquire(kit.ask()), Refused)


def test_releasing_an_expired_lease_ends_it_without_having_held_it(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    lease = kit.lease(ask, store.acquire(ask))
    kit.let_expire()
    assert store.release(lease) == Gone()
    assert store.leases() == []
    after = store.acquire(kit.ask())
    assert isinstance(after, Granted)
    assert after.expired_owner == ""


def test_a_resource_never_locked_is_gone(kit: StoreKit, store: Store) -> None:
    ask = kit.ask()
    lease = kit.lease(ask, Granted(1))
    assert store.renew(lease) == Gone()
    assert store.release(lease) == Gone()


# --- fences


def test_fences_grow_over_release_expiry_claims_and_clients(kit: StoreKit, store: Store) -> None:
    fences = []
    for due_ns in range(1, 4):
        by_hand = kit.ask("ledger")
        granted = store.acquire(by_hand)
        assert isinstance(granted, Granted)
        store.release(kit.lease(by_hand, granted))
        expiring = kit.open().acquire(kit.ask("ledger"))
        kit.let_expire()
        claim = kit.claim(due_ns=due_ns, resource="ledger")
        claimed = store.claim(claim)
        assert isinstance(expiring, Granted)
        assert isinstance(claimed, Claimed)
        store.settle(kit.settlement(claim, claimed))
        fences += [granted.fence, expiring.fence, claimed.fence]
    assert fences == sorted(set(fences))


def test_fences_grow_over_a_restart(kit: StoreKit) -> None:
    if not kit.keeps:
        pytest.skip("nothing of it outlives its clients")
    fences = []
    for _ in range(3):
        store = kit.open()
        ask = kit.ask()
        granted = store.acquire(ask)
        assert isinstance(granted, Granted)
        fences.append(granted.fence)
        store.release(kit.lease(ask, granted))
        store.close()
    assert fences == sorted(set(fences))


def test_leases_claims_and_jobs_outlive_a_restart(kit: StoreKit) -> None:
    if not kit.keeps:
        pytest.skip("nothing of it outlives its clients")
    store = kit.open()
    store.register([kit.job_record()])
    claim = kit.claim(next_due_ns=2)
    store.claim(claim)
    before = kit.state(store)
    store.close()
    store = kit.open()
    assert kit.state(store) == before
    assert store.claim(kit.claim(owner="n2")) == AlreadyClaimed("n1", None)


# --- being told


def test_who_watches_a_resource_is_told_when_it_is_freed_and_not_after_the_watch(kit: StoreKit, store: Store) -> None:
    told: list[str] = []
    heard = threading.Event()

    def freed() -> None:
        told.append("freed")
        heard.set()

    def hold_and_release() -> None:
        wish = kit.ask("r")
        granted = store.acquire(wish)
        assert isinstance(granted, Granted)
        store.release(kit.lease(wish, granted))

    unwatch = store.watch("r", freed)
    hold_and_release()
    assert heard.wait(10)
    unwatch()
    unwatch()
    later = threading.Semaphore(0)
    store.watch("r", later.release)
    counts = []
    for _ in range(2):  # what was on its way has come before the first is told
        hold_and_release()
        assert later.acquire(timeout=10)
        counts.append(len(told))
    assert counts[0] == counts[1]


def test_the_allowance_leaves_most_of_a_lease_and_grows_with_it(store: Store) -> None:
    assert 0 < store.allowance_ns(SECOND) < SECOND // 2
    assert store.allowance_ns(60 * SECOND) > store.allowance_ns(SECOND)
