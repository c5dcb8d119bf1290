"""Which worker does what next, and which of the others wait, for what, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.running.leader_followers import LeaderFollowers, Work, Worker
from tickglass.sched.engine.running.run_queue import LONG_NS, WATCH_NS, Step
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution

NOW_NS = FakeClock().monotonic_ns()
DUE_NS = NOW_NS + 10 * MS


class Item:
    """All that they know of an assignment and of an execution."""

    def __init__(self, expected_ns: int = 0, due_ns: int = DUE_NS, *, keeps_worker: bool = True) -> None:
        self.expected_ns = expected_ns
        self.keeps_worker = keeps_worker
        self.begun: list[str] = []
        self.due_ns = due_ns
        self.start_by_ns = NOW_NS + SECOND

    def begin(self) -> None:
        """Begin without having been waited for."""
        self.begun.append("due")

    def begin_waited(self) -> None:
        """Begin at the end of a wait for it."""
        self.begun.append("waited")


class Outcomes:
    """Outcomes that wait to be written."""

    def __init__(self) -> None:
        self.waiting = False
        self.due = False
        self.held = 0

    def is_due(self, now_ns: int) -> bool:
        return self.due

    def flush(self) -> None:
        """Stands for their writing."""

    def hold(self) -> None:
        self.held += 1


class Stand:
    """Workers at the instant `NOW_NS`, on which nobody waits in truth."""

    def __init__(self) -> None:
        self.outcomes = Outcomes()
        self.claimed: list[list[Assignment]] = []
        self.team = LeaderFollowers(claim=self.claimed.append, settlements=self.outcomes, clock=FakeClock())

    def runs(self, *items: Item) -> None:
        self.team.add_runs(cast("list[Execution]", items))

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.team.queue.submit(Step(NOW_NS, done))

    def waiting(self, count: int, now_ns: int = NOW_NS) -> list[Worker]:
        """Workers that found nothing to do."""
        workers = [Worker() for _ in range(count)]
        for worker in workers:
            assert self.team.next_work(worker, now_ns) is None
            self.team.begin_to_wait(worker, now_ns)
        return workers

    def comes(self, worker: Worker, now_ns: int, *, rung: bool = False) -> Work | None:
        """A worker whose wait for an instant has ended asks what is next."""
        self.team.end_wait(worker, rung=rung)
        return self.team.next_work(worker, now_ns)


def done() -> None:
    """Stands for a step."""


def does(work: Work | None) -> Callable[[], None] | None:
    return None if work is None else work.do


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_one_worker_waits_for_a_short_run_another_watches_whether_it_starts_and_the_rest_sleeps(stand: Stand) -> None:
    stand.runs(Item(), Item())
    until_ns = [stand.team.begin_to_wait(Worker(), NOW_NS) for _ in range(4)]
    assert until_ns == [DUE_NS, DUE_NS + WATCH_NS, None, None]
    assert stand.team.sleeping == 2


def test_each_long_run_has_a_worker_that_waits_for_it(stand: Stand) -> None:
    stand.runs(Item(LONG_NS), Item(LONG_NS), Item())
    until_ns = [stand.team.begin_to_wait(Worker(), NOW_NS) for _ in range(5)]
    assert until_ns == [DUE_NS, DUE_NS, DUE_NS, DUE_NS + WATCH_NS, None]


def test_a_run_that_was_waited_for_begins_as_such(stand: Stand) -> None:
    stand.runs(item := Item())
    worker, _watcher = stand.waiting(2)
    assert does(stand.comes(worker, DUE_NS)) == item.begin_waited
    stand.runs(other := Item())
    assert does(stand.team.next_work(worker, DUE_NS)) == other.begin


def test_runs_that_are_only_handed_on_begin_in_one_step_up_to_one_that_keeps_its_worker(stand: Stand) -> None:
    handed = [Item(keeps_worker=False) for _ in range(3)]
    stand.runs(*handed, kept := Item(), Item(keeps_worker=False), Item(due_ns=DUE_NS + MS, keeps_worker=False))
    worker, _watcher = stand.waiting(2)
    moves = stand.team.queue.moves
    work = stand.comes(worker, DUE_NS)
    assert work is not None
    work.do()
    assert [item.begun for item in handed] == [["waited"], ["due"], ["due"]]
    assert stand.team.queue.moves - moves == len(handed), "the watcher sees them"
    assert does(stand.team.next_work(worker, DUE_NS)) == kept.begin
    assert stand.team.next_work(worker, DUE_NS) is not None
    assert stand.team.queue.claimed == 1, "what is not due yet waits"


def test_a_worker_that_waits_for_a_later_run_is_called_for_a_sooner_one(stand: Stand) -> None:
    stand.runs(Item(due_ns=DUE_NS + MS))
    (worker,) = stand.waiting(1)
    stand.runs(sooner := Item())
    assert worker.wake.rung
    assert stand.comes(worker, NOW_NS, rung=True) is None, "not due yet"
    assert stand.team.begin_to_wait(worker, NOW_NS) == DUE_NS
    assert does(stand.comes(worker, DUE_NS)) == sooner.begin_waited


def test_short_runs_are_left_to_the_worker_that_starts_them(stand: Stand) -> None:
    first, second = Worker(), Worker()
    stand.runs(one := Item(), two := Item())
    assert does(stand.team.next_work(first, DUE_NS)) == one.begin
    assert stand.team.next_work(second, DUE_NS) is None
    assert does(stand.team.next_work(first, DUE_NS)) == two.begin


def test_a_long_run_is_left_to_nobody(stand: Stand) -> None:
    first, second = Worker(), Worker()
    stand.runs(one := Item(LONG_NS), two := Item(LONG_NS))
    assert does(stand.team.next_work(first, DUE_NS)) == one.begin
    assert does(stand.team.next_work(second, DUE_NS)) == two.begin


def test_the_watcher_takes_over_when_the_others_do_not_get_on(stand: Stand) -> None:
    runs = [Item() for _ in range(3)]
    stand.runs(*runs)
    starter, watcher, sleeper = stand.waiting(3)
    assert does(stand.comes(starter, DUE_NS)) == runs[0].begin_waited  # and blocks
    assert does(stand.comes(watcher, DUE_NS + WATCH_NS)) == runs[1].begin
    assert sleeper.wake.rung, "somebody watches this one"
    assert stand.team.sleeping == 0


def test_the_watcher_takes_nothing_over_while_the_others_get_on(stand: Stand) -> None:
    stand.runs(*(Item() for _ in range(10)))
    starter, watcher = stand.waiting(2)
    assert stand.comes(starter, DUE_NS) is not None
    for _ in range(5):
        assert stand.team.next_work(starter, DUE_NS) is not None
    assert stand.comes(watcher, DUE_NS + WATCH_NS) is None
    assert stand.team.begin_to_wait(watcher, DUE_NS + WATCH_NS) == DUE_NS + 2 * WATCH_NS


def test_what_is_handed_over_calls_the_worker_that_began_to_sleep_last(stand: Stand) -> None:
    early, late = stand.waiting(2)
    stand.steps(1)
    assert stand.team.call_one()
    assert (early.wake.rung, late.wake.rung) == (False, True)


def test_nobody_can_be_called_while_all_work(stand: Stand) -> None:
    stand.steps(2)
    assert stand.team.next_work(Worker(), NOW_NS) is not None
    assert not stand.team.call_one()


def test_while_a_worker_is_about_to_come_back_another_one_is_called_only_to_watch(stand: Stand) -> None:
    busy, (sleeper,) = Worker(), stand.waiting(1)
    stand.steps(3)
    assert does(stand.team.next_work(busy, NOW_NS)) is done
    assert sleeper.wake.rung
    assert stand.team.call_one()
    assert stand.team.begin_to_wait(sleeper, NOW_NS) == NOW_NS + WATCH_NS
    assert does(stand.comes(sleeper, NOW_NS + WATCH_NS)) is done, "the busy one took too little"


def test_a_batch_is_claimed_by_one_worker_and_tells_how_long_it_waited(stand: Stand) -> None:
    items = cast("list[Assignment]", [Item(), Item()])
    stand.team.queue.offer(items, NOW_NS)
    work = stand.team.next_work(Worker(), NOW_NS + MS)
    assert work is not None
    assert (list(work.waited), work.is_run) == ([(MS, 2)], False)
    work.do()
    assert stand.claimed == [items]


def test_outcomes_are_written_when_there_is_nothing_else_and_otherwise_held(stand: Stand) -> None:
    worker = Worker()
    stand.outcomes.waiting = True
    stand.runs(Item())
    assert stand.team.next_work(worker, DUE_NS) is not None
    assert stand.outcomes.held == 1
    assert does(stand.team.next_work(worker, DUE_NS)) == stand.outcomes.flush


@pytest.mark.parametrize("due", [False, True])
def test_outcomes_that_are_due_are_written_by_a_worker_that_leaves_runs_to_others(stand: Stand, *, due: bool) -> None:
    stand.runs(Item(), Item())
    assert stand.team.next_work(Worker(), DUE_NS) is not None
    stand.outcomes.waiting, stand.outcomes.due = True, due
    held = stand.outcomes.held
    assert does(stand.team.next_work(Worker(), DUE_NS)) == (stand.outcomes.flush if due else None)
    assert stand.outcomes.held == (held if due else held + 1), "they are written soon"


def test_at_the_close_runs_begin_before_they_are_due_and_everyone_is_called(stand: Stand) -> None:
    stand.runs(item := Item(LONG_NS))
    workers = stand.waiting(3)
    stand.team.closing = True
    stand.team.call_all()
    assert all(worker.wake.rung for worker in workers)
    assert does(stand.comes(workers[0], NOW_NS, rung=True)) == item.begin


def test_the_watch_passes_on_when_a_watcher_ends(stand: Stand) -> None:
    stand.runs(Item(), Item())
    _leader, watcher = stand.waiting(2)
    stand.team.end_wait(watcher, rung=True)
    stand.team.retire(watcher)
    assert stand.team.begin_to_wait(Worker(), NOW_NS) == DUE_NS + WATCH_NS
