"""A forked child uses the database of its parent without a hang, and without damage to it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kit.rig import wait_until
from kit.servers import PATIENCE_S

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Granted, LeaseAsk, Settlement, SpooledOutcome
from tickglass.sched.stores.fork_gate import FORK_GATE, ForkGate
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.sched.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path


def ask(resource: str) -> LeaseAsk:
    return LeaseAsk(resource, "o", "svc", f"token of {resource}", 60 * SECOND)


def fork(work: Callable[[], object]) -> int:
    """Do it in a child; return its process."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def held(path: Path) -> set[str]:
    with closing(SqliteStore(path, SystemClock())) as store:
        return {lease.resource for lease in store.leases()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def test_what_a_child_writes_stays_when_its_parent_closes_the_file(path: Path) -> None:
    opened, go_on = os.pipe(), os.pipe()

    def work() -> None:
        with closing(SqliteStore(path, SystemClock())) as store:
            store.acquire(ask("first"))
            os.write(opened[1], b"!")
            os.read(go_on[0], 1)
            store.acquire(ask("second"))

    store = SqliteStore(path, SystemClock())
    store.acquire(ask("before"))
    child = fork(work)
    os.read(opened[0], 1)
    store.acquire(ask("beside"))
    store.close()  # were it the last one that has the file open, SQLite would remove its log
    os.write(go_on[1], b"!")
    assert status_of(child) == 0
    assert held(path) == {"before", "first", "beside", "second"}
    for end in (*opened, *go_on):
        os.close(end)


def test_a_parent_goes_on_with_its_store_and_its_child_may_not(path: Path) -> None:
    with closing(SqliteStore(path, SystemClock())) as store:

        def work() -> None:
            with pytest.raises(StoreUnavailable, match="before this process was forked"):
                store.acquire(ask("of the child"))

        assert isinstance(store.acquire(ask("first")), Granted)
        assert status_of(fork(work)) == 0
        assert isinstance(store.acquire(ask("second")), Granted)
        assert status_of(fork(work)) == 0
        assert {lease.resource for lease in store.leases()} == {"first", "second"}
        assert status_of(fork(work)) == 0
        path.rename(path.with_name("away"))
        with pytest.raises(StoreUnavailable, match="was removed or replaced"):
            store.acquire(ask("third"))
        assert not path.exists()


class Inside:
    """A thread inside a transaction."""

    def __init__(self, store: SqliteStore) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._store = store

    def work(self, _: sqlite3.Connection) -> None:
        self.reached.set()
        assert self.go_on.wait(PATIENCE_S)

    def stay(self) -> None:
        self._store._file.write("stay", self.work)


def test_a_fork_waits_for_a_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FORK_GATE, "_patience_ns", int(PATIENCE_S) * SECOND)
    order: list[str] = []
    with closing(SqliteStore(path, SystemClock())) as store, ThreadPoolExecutor(2) as threads:
        inside = Inside(store)
        staying = threads.submit(inside.stay)
        staying.add_done_callback(lambda _: order.append("left"))
        assert inside.reached.wait(PATIENCE_S)

        def forks() -> int:
            child = fork(lambda: SqliteStore(path, SystemClock()).acquire(ask("of the child")))
            order.append("forked")
            return child

        forking = threads.submit(forks)
        wait_until(lambda: forking.done() or FORK_GATE._mutex.locked())
        inside.go_on.set()
        assert status_of(forking.result(PATIENCE_S)) == 0
        assert order == ["left", "forked"]
        assert {lease.resource for lease in store.leases()} == {"of the child"}


def test_a_child_of_a_fork_that_could_not_wait_is_refused_the_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FORK_GATE, "_patience_ns", MS)

    def work() -> None:
        with pytest.raises(StoreUnavailable, match=r"forked while .* was in use"):
            SqliteStore(path, SystemClock())
        with closing(SqliteStore(path.with_name("another.db"), SystemClock())) as store:
            assert isinstance(store.acquire(ask("first")), Granted)

    with closing(SqliteStore(path, SystemClock())) as store, ThreadPoolExecutor(1) as threads:
        inside = Inside(store)
        staying = threads.submit(inside.stay)
        assert inside.reached.wait(PATIENCE_S)
        child = fork(work)
        inside.go_on.set()
        staying.result(PATIENCE_S)
        assert status_of(child) == 0
        assert isinstance(store.acquire(ask("first")), Granted)


def test_a_spool_is_closed_for_a_fork_and_goes_on(tmp_path: Path) -> None:
    outcome = SpooledOutcome(Settlement(ask("r").untrusted(1), "svc", "job", 1, "run", "success"))
    with closing(SqliteSpool(tmp_path / "spool", "svc")) as spool:
        assert spool.put(outcome)
        assert status_of(fork(lambda: None)) == 0
        assert spool._connection is None
        assert spool.put(outcome)
        assert spool.depth() == 2


class Recorded:
    """Something that a fork closes."""

    def __init__(self) -> None:
        self.mutexes: Sequence[threading.Lock] = (threading.Lock(), threading.Lock())
        self.calls: list[str] = []

    def disconnect(self) -> None:
        self.calls.append("disconnect")

    def inherited(self) -> None:
        self.calls.append("inherited")


def test_a_gate_takes_what_it_can_in_time_and_releases_what_it_took() -> None:
    gate, free, busy = ForkGate(MS), Recorded(), Recorded()
    gate._hooked = True  # the forks of this process are none of its business
    gate.add(free)
    gate.add(busy)
    busy.mutexes[1].acquire()
    for _ in range(2):
        gate.before()
        gate.after()
    assert (free.calls, busy.calls) == (["disconnect"] * 2, [])
    assert [mutex.locked() for mutex in (*free.mutexes, *busy.mutexes)] == [False, False, False, True]
    gate.before()
    gate.after_in_child()
    assert busy.calls == ["inherited"]


def test_a_fork_beside_a_slow_one_closes_nothing_and_its_child_knows() -> None:
    gate, gated = ForkGate(MS), Recorded()
    gate._hooked = True
    gate.add(gated)
    with ThreadPoolExecutor(1) as other:
        other.submit(gate.before).result()
        gate.before()
        gate.after()
        assert gated.mutexes[0].locked()
        other.submit(gate.after).result()
    assert not gated.mutexes[0].locked()
    assert gated.calls == ["disconnect"]
