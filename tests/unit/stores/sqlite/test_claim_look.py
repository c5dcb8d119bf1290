"""A look at a database file finds what others have claimed, nothing that may be claimed again, and cheaply."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settlement
from tickglass.sched.stores.sqlite.claim_look import ROWS_MAX
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tickglass.sched.ports import ClaimWatch

TTL_NS = 30 * SECOND
COUNT = itertools.count()


class Pair:
    """Two processes on one file, of which this one listens; each has a store of its own."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.path = path
        self.ours, self.theirs = (SqliteStore(path, self.clock, busy_timeout_ns=50 * MS) for _ in range(2))
        self.told: list[tuple[str, int, str]] = []
        self.watch = self.listen(lambda *claim: self.told.append(claim))
        self.queries: list[str] = []
        writer = self.ours._file._writer
        assert writer is not None
        writer.set_trace_callback(lambda text: self.queries.append(text) if "attempts" in text else None)

    def listen(self, on_claim: Callable[[str, int, str], None]) -> ClaimWatch:
        return self.ours.watch_claims("svc", "ours", on_claim)

    def ask(self, due_ns: int, owner: str = "theirs", job: str = "j") -> ClaimAsk:
        number = next(COUNT)
        wish = LeaseAsk(f"{job}-{due_ns}", owner, "svc", f"token {number}", TTL_NS, job, f"run {number}")
        return ClaimAsk(wish, due_ns)

    def claim(self, due_ns: int, owner: str = "theirs", job: str = "j") -> Lease:
        store, ask = self.ours if owner == "ours" else self.theirs, self.ask(due_ns, owner, job)
        answer = store.claim(ask)
        assert isinstance(answer, Claimed)
        return Lease(ask.lease.resource, owner, ask.lease.token, answer.fence, TTL_NS, 0)

    def look(self, first_due_ns: int, last_due_ns: int | None = None) -> list[tuple[str, int, str]]:
        self.told.clear()
        assert self.watch.look(first_due_ns, last_due_ns or first_due_ns) == bool(self.told)
        return sorted(self.told)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "jobs.db")
    yield pair
    pair.close()


def test_an_instance_alone_on_its_file_reads_nothing(pair: Pair) -> None:
    pair.look(1)
    pair.queries.clear()
    for due_ns in range(2, 12):
        assert pair.look(due_ns) == []
        assert pair.queries == []
        pair.claim(due_ns, "ours")
        pair.queries.clear()


def test_one_query_finds_what_others_claimed_and_none_follows_until_they_write_again(pair: Pair) -> None:
    for due_ns in (1, 2, 3, 4):
        pair.claim(due_ns)
    assert pair.look(2) == [("j", 2, "theirs"), ("j", 3, "theirs"), ("j", 4, "theirs")]
    assert len(pair.queries) == 1
    assert pair.look(3) == pair.look(4, 9) == []
    assert len(pair.queries) == 1
    assert pair.look(1, 4)[0] == ("j", 1, "theirs"), "that was not read yet"
    pair.claim(5)
    assert pair.look(5) == [("j", 5, "theirs")]


def test_what_may_be_claimed_again_is_not_told(pair: Pair) -> None:
    lease = pair.claim(1)
    pair.theirs.release(lease)  # without a settlement: as if the claimant had died
    pair.claim(2)
    pair.clock.advance(TTL_NS)
    assert pair.look(1) == []
    pair.claim(3)
    assert pair.look(1) == [("j", 3, "theirs")]


def test_a_second_attempt_counts_and_not_the_first(pair: Pair) -> None:
    for due_ns in (1, 2):
        pair.theirs.release(pair.claim(due_ns))
        assert pair.ours.orphans([]) == []
    pair.claim(1, "ours")
    pair.claim(2, "third")
    assert pair.look(1) == [("j", 2, "third")], "the first attempts ended as orphaned; that at 1 is ours now"


def test_a_settled_occurrence_is_told(pair: Pair) -> None:
    ask = pair.ask(1)
    claimed = pair.theirs.claim(ask)
    assert isinstance(claimed, Claimed)
    lease = Lease(ask.lease.resource, "theirs", ask.lease.token, claimed.fence, TTL_NS, 0)
    assert pair.theirs.settle(Settlement(lease, "svc", "j", 1, ask.lease.run_id, "success")).recorded
    assert pair.look(1) == [("j", 1, "theirs")]


def test_of_very_many_occurrences_a_look_reads_so_many_and_the_next_one_goes_on(pair: Pair) -> None:
    for due_ns in range(ROWS_MAX + 10):
        pair.claim(due_ns)
    assert [due_ns for _, due_ns, _ in pair.look(0)] == list(range(ROWS_MAX - 1))
    assert [due_ns for _, due_ns, _ in pair.look(ROWS_MAX)] == list(range(ROWS_MAX, ROWS_MAX + 10))


def test_the_query_begins_at_the_due_instant_however_many_attempts_there_are(pair: Pair) -> None:
    pair.claim(1)
    pair.look(1)
    (query,) = pair.queries
    with closing(sqlite3.connect(pair.path)) as connection:
        plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert "USING PRIMARY KEY (due_ns>?)" in plan[0], plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("harm", ["replaced", "busy", "closed", "ended"])
def test_a_look_that_cannot_be_made_tells_nothing(pair: Pair, harm: str) -> None:
    pair.claim(1)
    if harm == "replaced":
        pair.path.rename(pair.path.with_suffix(".old"))
    elif harm == "busy":
        pair.ours._file._write_mutex.acquire()
    elif harm == "closed":
        pair.ours.close()
    else:
        pair.watch.end()
    assert pair.look(1) == []
    assert pair.queries == []
    if harm == "busy":
        pair.ours._file._write_mutex.release()
        assert pair.look(1) == [("j", 1, "theirs")]


def test_a_look_does_not_wait_for_the_write_lock_of_another_process(pair: Pair) -> None:
    pair.claim(1)
    with closing(sqlite3.connect(pair.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert pair.look(1) == [("j", 1, "theirs")]
