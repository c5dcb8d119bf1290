"""A fixed number of threads, reused, and every wait for one of them measured."""

from __future__ import annotations

import math
import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import pytest
from kit.pools import new_pool
from kit.rig import wait_until

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.running.pool import SPIN_NS, checked_size, default_size
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import PoolMoved
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.engine.running.execution import Execution
    from tickglass.sched.engine.running.pool import Pool

PATIENCE_S = 10.0


def blocked_until(go_on: threading.Event) -> None:
    go_on.wait(PATIENCE_S)


class Stand:
    """A pool on a clock that stands still."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), ListSink()
        self.pools: list[Pool] = []

    def pool(self, size: int) -> Pool:
        pool = new_pool(size, self.clock, self.sink)
        pool.start()
        self.pools.append(pool)
        return pool

    def moved(self, fits: Callable[[PoolMoved], bool], *, count: int = 1) -> PoolMoved:
        found = self.sink.wait_for(lambda event: isinstance(event, PoolMoved) and fits(event), count=count)
        assert isinstance(found, PoolMoved)
        return found


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    for pool in stand.pools:
        pool.close(stand.clock.monotonic_ns() + SECOND)


def test_by_default_there_are_half_as_many_workers_again_as_cpus() -> None:
    assert default_size() == math.ceil(len(os.sched_getaffinity(0)) * 1.5)
    assert checked_size(None) == default_size()


@pytest.mark.parametrize(("cpus", "workers"), [(1, 2), (2, 3), (3, 5), (8, 12)])
def test_the_cpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cpus)))
    assert default_size() == workers


@pytest.mark.parametrize(("cpus", "workers"), [(4, 6), (None, 2)])
def test_where_a_system_cannot_tell_those_all_are_counted(
    monkeypatch: pytest.MonkeyPatch, cpus: int | None, workers: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert default_size() == workers


@pytest.mark.parametrize("size", [0, -1, 10_001, 1.5, "3", True])
def test_a_size_is_a_whole_number_within_reason(size: int) -> None:
    with pytest.raises(ConfigError, match="workers must be a whole number from 1 to 10000"):
        checked_size(size)


def test_workers_are_started_once_and_reused(stand: Stand) -> None:
    before = threading.active_count()
    pool = stand.pool(2)
    seen: set[int] = set()
    for _ in range(50):
        pool.submit(lambda: seen.add(threading.get_ident()))
    stand.moved(lambda move: move.waited_ns is not None, count=50)
    assert threading.active_count() == before + 2
    assert pool.close(stand.clock.monotonic_ns() + SECOND)
    assert 1 <= len(seen) <= 2
    assert threading.active_count() == before


def test_tasks_begin_in_the_order_in_which_they_were_submitted(stand: Stand) -> None:
    pool = stand.pool(1)
    begun: list[int] = []
    for number in range(20):
        pool.submit(lambda number=number: begun.append(number))  # type: ignore[misc] # mypy: a default in a lambda
    assert pool.close(stand.clock.monotonic_ns() + SECOND)
    assert begun == list(range(20))


def test_a_task_that_comes_after_the_close_is_done_on_a_thread_of_its_own(stand: Stand) -> None:
    pool = stand.pool(1)
    assert pool.close(stand.clock.monotonic_ns() + SECOND)
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    pool.submit(lambda: done.put(threading.current_thread().name))
    assert done.get(timeout=10) == "tickglass-default-late"


def test_a_queue_is_reported_though_every_worker_hangs(stand: Stand) -> None:
    go_on = threading.Event()
    pool = stand.pool(1)
    pool.submit(lambda: blocked_until(go_on))
    stand.moved(lambda move: (move.in_use, move.waiting) == (1, 0))
    pool.submit(lambda: None)
    stand.moved(lambda move: (move.in_use, move.waiting, move.waited_ns) == (1, 1, None))
    go_on.set()


def test_the_wait_for_a_worker_is_reported_with_what_is_in_use_and_waiting(stand: Stand) -> None:
    pool = stand.pool(1)
    go_on = threading.Event()
    pool.submit(lambda: blocked_until(go_on))
    stand.moved(lambda move: (move.in_use, move.waiting, move.waited_ns) == (1, 0, 0))
    pool.submit(lambda: None)
    stand.clock.advance(3 * SECOND)
    go_on.set()
    taken = stand.moved(lambda move: move.waited_ns is not None, count=2)
    assert (taken.pool, taken.slots, taken.in_use, taken.waited_ns) == ("default", 1, 1, 3 * SECOND)
    stand.moved(lambda move: (move.in_use, move.waiting, move.waited_ns) == (0, 0, None), count=2)


def boom(text: str) -> None:
    raise RuntimeError(text)


def test_a_task_that_raises_is_reported_and_its_worker_goes_on(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    pool = stand.pool(1)
    pool.submit(lambda: boom("no"))
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(PATIENCE_S)
    assert "a pool task raised" in caplog.text
    assert "RuntimeError: no" in caplog.text


def test_closing_waits_for_what_is_in_flight_and_for_what_waits(stand: Stand) -> None:
    pool = stand.pool(1)
    go_on, ended = threading.Event(), threading.Event()
    pool.submit(lambda: blocked_until(go_on))
    pool.submit(ended.set)
    with ThreadPoolExecutor(1) as aside:
        closing = aside.submit(pool.close, stand.clock.monotonic_ns() + SECOND)
        stand.clock.wait_for_sleepers(1)
        assert not closing.done()
        go_on.set()
        assert closing.result(PATIENCE_S) is True
    assert ended.is_set()


def test_closing_ends_at_its_deadline_and_says_that_something_was_left(stand: Stand) -> None:
    pool = stand.pool(2)
    go_on = threading.Event()
    pool.submit(lambda: blocked_until(go_on))
    with ThreadPoolExecutor(1) as aside:
        closing = aside.submit(pool.close, stand.clock.monotonic_ns() + SECOND)
        stand.clock.wait_for_sleepers(1)
        stand.clock.advance(SECOND)
        assert closing.result(PATIENCE_S) is False
    go_on.set()


def test_a_pool_that_was_never_started_closes_at_once() -> None:
    clock = FakeClock()
    assert new_pool(3, clock, ListSink()).close(clock.monotonic_ns())


class Due:
    """A run that notes when it is begun."""

    def __init__(self, clock: SystemClock, due_ns: int) -> None:
        self.due_ns = due_ns
        self.expected_ns = 0
        self.keeps_worker = True
        self.begun: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
        self._clock = clock

    def begin(self) -> None:
        self.begun.put((self._clock.monotonic_ns(), False))

    def begin_waited(self) -> None:
        self.begun.put((self._clock.monotonic_ns(), True))


@pytest.mark.parametrize("spin_ns", [0, SPIN_NS])
def test_a_worker_waits_for_a_due_instant_and_starts_never_before_it(spin_ns: int) -> None:
    clock = SystemClock()
    pool = new_pool(1, clock, ListSink(), spin_ns=spin_ns)
    pool.start()
    run = Due(clock, clock.monotonic_ns() + 20 * MS)
    pool.submit(lambda: pool.add_runs([cast("Execution", run)]))
    begun_ns, waited = run.begun.get(timeout=PATIENCE_S)
    assert begun_ns >= run.due_ns
    assert waited
    assert pool.close(clock.monotonic_ns() + 10 * SECOND)


def test_a_worker_that_spins_sleeps_until_shortly_before(stand: Stand) -> None:
    """The wait on the clock ends by so much earlier, and the rest is spent looking at it."""
    pool = new_pool(1, stand.clock, stand.sink, spin_ns=SPIN_NS)
    pool.start()
    stand.pools.append(pool)
    due_ns = stand.clock.monotonic_ns() + 20 * MS
    run = Due(cast("SystemClock", stand.clock), due_ns)
    pool.submit(lambda: pool.add_runs([cast("Execution", run)]))
    stand.clock.wait_for_sleepers(1)
    assert [until_ns for until_ns, _ in stand.clock._sleepers.values()] == [due_ns - SPIN_NS]
    stand.clock.advance(20 * MS)
    assert run.begun.get(timeout=PATIENCE_S) == (due_ns, True)


def test_runs_that_all_turn_out_to_be_long_are_all_started_while_workers_sleep(stand: Stand) -> None:
    """Each worker that takes one over has another one watch in its place."""
    pool = stand.pool(12)
    go_on, begun = threading.Event(), queue.SimpleQueue[int]()

    def blocks() -> None:
        begun.put(1)
        blocked_until(go_on)

    runs = [Blocking(stand.clock.monotonic_ns(), blocks) for _ in range(8)]
    pool.submit(lambda: pool.add_runs(cast("list[Execution]", runs)))
    all_begun(stand, begun, 8)
    go_on.set()


def test_steps_that_all_block_are_all_taken_while_workers_sleep(stand: Stand) -> None:
    pool = stand.pool(12)
    go_on, begun = threading.Event(), queue.SimpleQueue[int]()

    def blocks() -> None:
        begun.put(1)
        blocked_until(go_on)

    for _ in range(8):
        pool.submit(blocks)
    all_begun(stand, begun, 8)
    go_on.set()


def test_a_step_behind_one_that_blocks_waits_for_no_due_instant(stand: Stand) -> None:
    pool = stand.pool(3)
    go_on, begun = threading.Event(), queue.SimpleQueue[int]()
    later = [Blocking(stand.clock.monotonic_ns() + 50 * MS, lambda: None) for _ in range(2)]
    pool.submit(lambda: pool.add_runs(cast("list[Execution]", later)))
    stand.clock.wait_for_sleepers(2)  # one leads, one watches
    pool.submit(lambda: blocked_until(go_on))
    stand.moved(lambda move: move.waited_ns is not None, count=2)
    pool.submit(lambda: begun.put(1))
    started_ns = stand.clock.monotonic_ns()
    all_begun(stand, begun, 1)
    assert stand.clock.monotonic_ns() - started_ns < 50 * MS
    go_on.set()


def test_a_call_that_comes_as_a_wait_ends_by_itself_is_not_mistaken_for_a_later_one() -> None:
    """Otherwise a worker would be asleep twice, and be called while it is busy, in place of one that sleeps."""
    clock, rung_late = SystemClock(), threading.Event()
    pool = new_pool(3, clock, ListSink())

    class Late(SystemClock):
        def wait(self, until_ns: int | None, wake: Wake) -> bool:
            rung = super().wait(until_ns, wake)
            if not rung and not rung_late.is_set():
                rung_late.set()
                wake.ring()
            return rung

    pool._clock = Late()
    pool.start()
    run = Due(clock, clock.monotonic_ns() + 20 * MS)
    pool.submit(lambda: pool.add_runs([cast("Execution", run)]))
    run.begun.get(timeout=PATIENCE_S)
    assert rung_late.is_set()
    wait_until(lambda: len(pool._team._asleep) == 3)
    clock.wait(clock.monotonic_ns() + 20 * MS, Wake())
    assert len(set(pool._team._asleep)) == len(pool._team._asleep) == 3
    assert pool.close(clock.monotonic_ns() + 10 * SECOND)


class Blocking:
    """A run that is expected to be short."""

    expected_ns = 0
    keeps_worker = True

    def __init__(self, due_ns: int, begin: Callable[[], None]) -> None:
        self.due_ns = due_ns
        self.begin = self.begin_waited = begin


def all_begun(stand: Stand, begun: queue.SimpleQueue[int], count: int) -> None:
    """Let time pass until so many have begun."""
    seen = 0

    def enough() -> bool:
        nonlocal seen
        stand.clock.advance(MS // 4)
        while not begun.empty():
            seen += begun.get()
        return seen == count

    wait_until(enough)
