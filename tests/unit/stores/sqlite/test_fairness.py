"""Processes that share a file take turns with a resource that they all want; each store here stands for one."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, Holder, LeaseAsk, Refused, Released
from tickglass.sched.stores.retention import PRUNE_EVERY_NS
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TTL = 30 * SECOND
_tokens = itertools.count()


class Party:
    """One process: it asks for the same resource again and again."""

    def __init__(self, path: Path, clock: FakeClock, owner: str) -> None:
        self.store = SqliteStore(path, clock)
        self._owner = owner
        self._ask = self._wish()

    def ask(self) -> Granted | Refused:
        """Ask as a waiter does: under one token until it is granted."""
        answer = self.store.acquire(self._ask)
        if isinstance(answer, Granted):
            self._lease = Lease("hot", self._owner, self._ask.token, answer.fence, TTL, 0)
            self._ask = self._wish()
        return answer

    def release(self) -> None:
        assert self.store.release(self._lease) == Released()

    def _wish(self) -> LeaseAsk:
        return LeaseAsk("hot", self._owner, "billing", f"token {next(_tokens)}", TTL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def party(path: Path, clock: FakeClock) -> Iterator[Callable[[str], Party]]:
    parties: list[Party] = []

    def one_more(owner: str) -> Party:
        parties.append(Party(path, clock, owner))
        return parties[-1]

    yield one_more
    for it in parties:
        it.store.close()


def wait_for(clock: FakeClock, *waiting: Party) -> None:
    """Let these ask in vain for as long as a turn lasts."""
    for it in waiting:
        assert isinstance(it.ask(), Refused)
    clock.advance(250 * MS)
    for it in waiting:
        assert isinstance(it.ask(), Refused)


def test_who_has_it_may_take_it_again_until_another_has_asked_for_long(
    clock: FakeClock, party: Callable[[str], Party]
) -> None:
    a, b = party("a"), party("b")
    a.ask()
    assert isinstance(b.ask(), Refused)
    clock.advance(249 * MS)
    assert isinstance(b.ask(), Refused)
    a.release()
    assert isinstance(a.ask(), Granted)
    clock.advance(MS)
    assert isinstance(b.ask(), Refused)
    a.release()
    assert a.ask() == Refused(Holder("b", "billing", "", "", 0), 500 * MS), "it is b's turn"
    assert isinstance(b.ask(), Granted)
    b.release()
    assert isinstance(b.ask(), Granted), "a has just begun to wait"


def test_who_asks_no_more_keeps_nobody_waiting(clock: FakeClock, party: Callable[[str], Party]) -> None:
    a, b = party("a"), party("b")
    a.ask()
    wait_for(clock, b)
    a.release()
    refused = a.ask()
    assert isinstance(refused, Refused)
    clock.advance(refused.retry_after_ns)
    assert isinstance(a.ask(), Granted)
    assert isinstance(b.ask(), Refused)
    a.release()
    assert isinstance(a.ask(), Granted), "b begins anew"


def test_those_who_wait_have_it_in_the_order_in_which_they_came(
    clock: FakeClock, party: Callable[[str], Party]
) -> None:
    a, b, c = (party(owner) for owner in "abc")
    a.ask()
    c.ask()
    clock.advance(1)
    wait_for(clock, b, c)
    a.release()
    for first, *others in ((c, a, b), (b, a)):
        for other in others:
            refused = other.ask()
            assert isinstance(refused, Refused)
            assert refused.holder.owner == first._owner
        assert isinstance(first.ask(), Granted)
        first.release()


def test_the_waiters_of_one_process_are_one_party(clock: FakeClock, party: Callable[[str], Party]) -> None:
    a, b = party("a"), party("b")
    a.ask()
    wait_for(clock, b)
    a.release()
    another = LeaseAsk("hot", "b", "billing", "of another thread", TTL)
    assert isinstance(b.store.acquire(another), Granted)


def test_a_claim_is_held_up_by_nobody_who_waits(clock: FakeClock, party: Callable[[str], Party]) -> None:
    a, b = party("a"), party("b")
    a.ask()
    wait_for(clock, b)
    a.release()
    lease = LeaseAsk("hot", "a", "billing", "claim", TTL, "nightly", "run")
    assert isinstance(a.store.claim(ClaimAsk(lease, due_ns=1)), Claimed)


def test_what_waiters_leave_behind_is_cleared(path: Path, clock: FakeClock, party: Callable[[str], Party]) -> None:
    a, b = party("a"), party("b")
    a.ask()
    wait_for(clock, b)
    clock.advance(PRUNE_EVERY_NS)
    a.store.orphans([])
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM waiting").fetchone() == (0,)
