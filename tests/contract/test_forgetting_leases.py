"""What every store promises of leases that nobody released and nobody took: they are shown, and then forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.ports import Claimed, Gone, Granted, Orphan, Released, Renewed

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import LeaseAsk, Store

LONG_NS = 1_000 * 86_400 * SECOND


def fence_of(answer: object) -> int:
    assert isinstance(answer, Granted | Claimed), answer
    return answer.fence


@pytest.mark.parametrize("resource", ["order:pay:1001", presence_resource("region=a")])
def test_a_lease_that_ended_long_ago_is_forgotten_and_its_fence_is_not(
    kit: StoreKit, store: Store, resource: str
) -> None:
    ask = kit.ask(resource, owner="dead")
    dead = store.acquire(ask)
    kit.let_expire()
    assert len(store.leases()) == 1
    kit.forget(store)
    assert store.leases() == []
    assert store.release(kit.lease(ask, dead)) == Gone()
    answer = kit.open().acquire(kit.ask(resource))
    assert isinstance(answer, Granted)
    assert answer.fence > fence_of(dead)
    assert answer.expired_owner == ""


def test_a_lease_that_ended_just_now_is_not_forgotten(kit: StoreKit, store: Store) -> None:
    dead = store.acquire(kit.ask(owner="dead"))
    kit.let_expire()
    store.orphans([])
    store.register([])
    (record,) = store.leases()
    assert (record.owner, record.fence, record.remaining_ns <= 0) == ("dead", fence_of(dead), True)
    heir = store.acquire(kit.ask())
    assert isinstance(heir, Granted)
    assert heir.expired_owner == "dead"


def test_what_is_held_is_not_forgotten_however_long_ago_it_was_taken(kit: StoreKit, store: Store) -> None:
    first = kit.ask("taken once", ttl_ns=LONG_NS)
    lease = kit.lease(first, store.acquire(first))
    store.acquire(kit.ask("taken anew"))
    kit.let_expire()
    second = kit.ask("taken anew", owner="heir", ttl_ns=LONG_NS)
    heirs = kit.lease(second, store.acquire(second))
    kit.forget(store)
    assert [it.resource for it in store.leases()] == ["taken anew", "taken once"]
    assert [store.renew(it) for it in (lease, heirs)] == [Renewed(), Renewed()]
    assert [store.release(it) for it in (lease, heirs)] == [Released(), Released()]


def test_a_claim_whose_lease_is_forgotten_is_still_an_orphan(kit: StoreKit, store: Store) -> None:
    ask = kit.claim(owner="dead")
    dead = store.claim(ask)
    kit.let_expire()
    kit.forget(store)
    assert store.orphans([JobId("billing", "nightly")]) == [
        Orphan("billing", "nightly", 1, 1, ask.lease.run_id, "dead")
    ]
    again = store.claim(kit.claim())
    assert isinstance(again, Claimed)
    assert (again.attempt, again.previous_run_id, again.fence > fence_of(dead)) == (2, ask.lease.run_id, True)


def test_what_is_taken_while_another_forgets_is_kept(kit: StoreKit) -> None:
    """Half of the threads forget; the others take what has ended, and must find that they have it."""
    clients = [kit.open() for _ in range(kit.threads)]
    names = [f"r{number}" for number in range(24)]
    dead = {name: fence_of(clients[0].acquire(kit.ask(name))) for name in names}
    kit.let_expire()

    def work(number: int) -> list[tuple[LeaseAsk, Granted]]:
        client, taken = clients[number], []
        for name in names[number // 2 :: kit.threads // 2]:
            if number % 2:
                kit.forget(client)
                continue
            ask = kit.ask(name, ttl_ns=LONG_NS)
            answer = client.acquire(ask)
            assert isinstance(answer, Granted)
            taken.append((ask, answer))
        return taken

    taken = [it for some in kit.at_once(work) for it in some]
    assert sorted(ask.resource for ask, _ in taken) == sorted(names)
    assert all(answer.fence > dead[ask.resource] for ask, answer in taken)
    assert {clients[0].renew(kit.lease(*it)) for it in taken} == {Renewed()}
