"""A batch is one transaction on SQLite: of all items, or of all but those whose words do not fit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import BATCH_MAX, ClaimAsk, Claimed, LeaseAsk, Settled, Settlement
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, FakeClock(), busy_timeout_ns=50 * MS)
    yield store
    store.close()


def asks(count: int) -> list[ClaimAsk]:
    leases = [LeaseAsk(f"r{it}", "n1", "s", f"t{it}", 30 * SECOND, f"j{it}", f"run {it}") for it in range(count)]
    return [ClaimAsk(lease, due_ns=1) for lease in leases]


def settlements(claims: Sequence[ClaimAsk], answers: Sequence[object]) -> list[Settlement]:
    assert all(isinstance(answer, Claimed) for answer in answers)
    return [
        Settlement(ask.lease.untrusted(1), "s", ask.lease.job, ask.due_ns, ask.lease.run_id, "success")
        for ask in claims
    ]


def transactions(store: SqliteStore) -> list[str]:
    """Return the list to which each transaction that begins or ends is added from now on."""
    seen: list[str] = []

    def trace(statement: str) -> None:
        if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            seen.append(statement)

    assert store._file._writer is not None
    store._file._writer.set_trace_callback(trace)
    return seen


def test_a_full_batch_is_one_transaction(store: SqliteStore) -> None:
    seen, claims = transactions(store), asks(BATCH_MAX)
    answers = store.claim_many(claims)
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"]
    assert store.settle_many(settlements(claims, answers)) == [Settled(recorded=True, released=True)] * BATCH_MAX
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"] * 2


def test_an_item_that_does_not_fit_is_undone_alone_in_the_same_transaction(store: SqliteStore) -> None:
    seen, claims = transactions(store), asks(4)
    claims[1] = replace(claims[1], declaration="\udcff")  # noticed after its lease was granted
    claims[2] = replace(claims[2], next_due_ns=1 << 70)
    answers = store.claim_many(claims)
    assert [type(answer) for answer in answers] == [Claimed, StoreUnavailable, StoreUnavailable, Claimed]
    assert [answer.kind for answer in answers if isinstance(answer, StoreUnavailable)] == ["error", "error"]
    assert seen == ["BEGIN IMMEDIATE", "ROLLBACK TO item", "ROLLBACK TO item", "COMMIT"]
    assert [lease.resource for lease in store.leases()] == ["r0", "r3"]
    assert isinstance(store.claim_many(asks(2)[1:])[0], Claimed), "nothing of it is left"


def test_a_batch_whose_transaction_cannot_begin_raises(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="write lock") as raised:
            store.claim_many(asks(3))
    assert (raised.value.operation, raised.value.kind) == ("claim_many", "unavailable")
    assert [type(answer) for answer in store.claim_many(asks(3))] == [Claimed] * 3


def test_a_batch_for_which_the_disk_has_no_room_leaves_nothing(store: SqliteStore) -> None:
    claims = asks(3)
    claims[1] = replace(claims[1], declaration="x" * 50_000)
    writer = store._file._writer
    assert writer is not None
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreUnavailable, match="full") as raised:
        store.claim_many(claims)
    assert raised.value.kind == "unavailable"
    assert (store.leases(), store.runs()) == ([], [])
    writer.execute(f"PRAGMA max_page_count={1 << 30}")
    assert [type(answer) for answer in store.claim_many(claims)] == [Claimed] * 3


def test_waiters_are_woken_by_each_settlement_of_a_batch_after_it(store: SqliteStore) -> None:
    claims, freed = asks(2), []
    ended = settlements(claims, store.claim_many(claims))
    for ask in claims:
        resource = ask.lease.resource
        store.watch(resource, lambda resource=resource: freed.append((resource, len(store.leases()))))  # type: ignore[misc]
    store.settle_many(ended)
    assert freed == [("r0", 0), ("r1", 0)]
