"""Real processes over one database file: they race, and they are killed in the middle of it."""

from __future__ import annotations

import json
import queue
import random
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.ports import Store

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py

WORKER: Final = Path(__file__).with_name("sqlite_worker.py")
OCCURRENCES: Final = 600  # as in the worker
OWNERS: Final = ("n1", "n2", "n3", "n4")
Fact = tuple[str, int, int]  # what, due_ns, fence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{path}", SystemClock())
    yield store
    store.close()


def started(task: str, path: Path, owner: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), task, str(path), owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONSAFEPATH": "1"},
    )


def told(line: str) -> Fact:
    what, due_ns, fence = json.loads(line)
    return what, due_ns, fence


def rest_of(worker: subprocess.Popen[str]) -> list[Fact]:
    """Return what it still tells; a line cut short by the kill was not told."""
    with worker:
        assert worker.stdout is not None
        return [told(line) for line in worker.stdout if line.endswith("\n")]


def assert_intact(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_each_occurrence_is_claimed_by_one_of_four_processes(path: Path, store: Store) -> None:
    workers = [started("race", path, owner) for owner in OWNERS]
    for worker in workers:
        assert worker.stdout is not None
        assert told(worker.stdout.readline())[0] == "ready"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    with ThreadPoolExecutor(len(workers)) as readers:
        facts = list(readers.map(rest_of, workers))
    assert [worker.returncode for worker in workers] == [0] * len(workers)
    claimed = [fact for ours in facts for fact in ours]
    assert {what for what, _, _ in claimed} == {"claimed"}
    assert sorted(due_ns for _, due_ns, _ in claimed) == list(range(OCCURRENCES))
    assert all(facts), "every process got some"
    fences = [fence for _, _, fence in claimed]
    assert len(set(fences)) == OCCURRENCES
    for ours in facts:
        seen = [fence for _, _, fence in ours]
        assert seen == sorted(seen), "each sees them grow"
    runs = store.runs(limit=OCCURRENCES + 1)
    assert {(run.due_ns, run.fence) for run in runs} == {(due_ns, fence) for _, due_ns, fence in claimed}
    assert {(run.attempt, run.outcome) for run in runs} == {(1, "success")}
    in_order = sorted(runs, key=lambda run: run.fence)
    assert store.leases() == []
    assert all(
        before.ended_wall_ns is not None and before.ended_wall_ns <= after.claimed_wall_ns
        for before, after in pairwise(in_order)
    ), "one at a time: each began after the one with the fence before it had ended"
    assert_intact(path)


def test_processes_killed_while_they_write_lose_nothing_that_was_answered(path: Path, store: Store) -> None:
    rng = random.Random(7)
    facts: dict[str, list[Fact]] = {owner: [] for owner in OWNERS}
    for _ in range(3):
        workers = {owner: started("toil", path, owner) for owner in OWNERS}
        for owner, worker in workers.items():
            assert worker.stdout is not None
            facts[owner] += [told(worker.stdout.readline()) for _ in range(rng.randrange(60, 120))]
        for worker in workers.values():
            worker.kill()
        for owner, worker in workers.items():
            facts[owner] += rest_of(worker)
        assert_intact(path)
    assert_nothing_lost(store, facts)
    assert_all_of_it_can_be_taken_over(store)


def test_two_processes_that_want_a_lock_all_the_time_take_turns(path: Path) -> None:
    workers = {owner: started("hog", path, owner) for owner in OWNERS[:2]}
    held = dict.fromkeys(workers, 0)
    holders: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen(owner: str) -> None:
        with workers[owner] as worker:
            assert worker.stdout is not None
            for _ in worker.stdout:
                holders.put(owner)

    with ThreadPoolExecutor(len(workers)) as readers:
        try:
            for worker in workers.values():
                assert worker.stdout is not None
                assert told(worker.stdout.readline())[0] == "ready"
            for owner, worker in workers.items():
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
                readers.submit(listen, owner)
            while min(held.values()) < 4:
                held[holders.get(timeout=60)] += 1
                assert max(held.values()) < 300, held
        finally:
            for worker in workers.values():
                worker.kill()


def assert_nothing_lost(store: Store, facts: dict[str, list[Fact]]) -> None:
    leases = {lease.resource: lease.fence for lease in store.leases()}
    fences = []
    for owner, ours in facts.items():
        runs = {run.due_ns: run for run in store.runs(JobId("fleet", owner), 100_000)}
        for what, due_ns, fence in ours:
            match what:
                case "claimed":
                    assert runs[due_ns].fence == fence
                    fences.append(fence)
                case "settled":
                    assert runs[due_ns].outcome == "success"
                    assert f"resource of {owner} {due_ns}" not in leases
                case "kept":
                    assert leases[f"lock of {owner} {due_ns}"] == fence
                    fences.append(fence)
                case _:
                    pytest.fail(f"{owner}: {what} {due_ns}")
        answered = {due_ns for what, due_ns, _ in ours if what == "claimed"}
        assert len(runs.keys() - answered) <= 3, "one in the air at each kill"
    assert len(set(fences)) == len(fences)


def assert_all_of_it_can_be_taken_over(store: Store) -> None:
    clock = SystemClock()
    highest = max(lease.fence for lease in store.leases())
    clock.wait(clock.monotonic_ns() + max(0, *(lease.remaining_ns for lease in store.leases())), Wake())
    unsettled = {(run.job, run.due_ns) for run in store.runs(limit=100_000) if run.outcome is None}
    orphans = store.orphans([JobId("fleet", owner) for owner in OWNERS])
    assert {(orphan.job, orphan.due_ns) for orphan in orphans} == unsettled
    for number, orphan in enumerate(orphans):
        resource = f"resource of {orphan.job} {orphan.due_ns}"
        lease = LeaseAsk(resource, "heir", "fleet", f"t{number}", SECOND, orphan.job, f"r{number}")
        answer = store.claim(ClaimAsk(lease, orphan.due_ns))
        assert isinstance(answer, Claimed)
        assert (answer.attempt, answer.previous_run_id) == (2, orphan.run_id)
        assert (answer.expired_owner, answer.fence > highest) == (orphan.job, True)
    assert store.orphans([JobId("fleet", owner) for owner in OWNERS]) == []
