"""What a free worker does next, and how much it claims ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.running.run_queue import AHEAD_NS, LONG_NS, RunQueue, Step
from tickglass.sched.ports import BATCH_MAX

if TYPE_CHECKING:
    from tickglass.sched.engine.running.assignment import Assignment
    from tickglass.sched.engine.running.execution import Execution


class Item:
    """All that the queue knows of an assignment and of an execution."""

    def __init__(self, expected_ns: int, due_ns: int = 0, start_by_ns: int = SECOND) -> None:
        self.expected_ns = expected_ns
        self.keeps_worker = True
        self.due_ns = due_ns
        self.start_by_ns = start_by_ns


def assignments(*expected_ns: int) -> list[Assignment]:
    return cast("list[Assignment]", [Item(expected) for expected in expected_ns])


def run(due_ns: int, expected_ns: int = 0) -> Execution:
    return cast("Execution", Item(expected_ns, due_ns))


def batch_sizes(queue: RunQueue, free: int, now_ns: int = 0) -> list[int]:
    sizes = []
    while (batch := queue.next_batch(free, now_ns)) is not None:
        sizes.append(len(batch.assignments))
    return sizes


@pytest.mark.parametrize(
    ("expected_ns", "free", "sizes"),
    [
        ([0] * 10, 1, [10]),  # short runs wait for each other
        ([0] * 100, 1, [BATCH_MAX, 100 - BATCH_MAX]),
        ([AHEAD_NS] * 5, 1, [1, 1, 1, 1, 1]),  # long ones wait for nobody: another instance may be free
        ([AHEAD_NS] * 5, 3, [3, 2]),
        ([5 * MS] * 10, 1, [4, 4, 2]),  # as many as one worker starts within 20 ms
        ([10**12, 0, 0], 1, [1, 2]),
    ],
)
def test_no_more_is_claimed_than_the_free_workers_start_soon(
    expected_ns: list[int], free: int, sizes: list[int]
) -> None:
    queue = RunQueue()
    queue.offer(assignments(*expected_ns), 0)
    assert batch_sizes(queue, free) == sizes
    assert queue.empty


def test_nothing_is_claimed_to_wait_behind_long_runs_that_are_claimed_already() -> None:
    """Another instance may have a free worker."""
    queue = RunQueue()
    queue.add_runs([run(10, AHEAD_NS)])
    queue.offer(assignments(0, 0, 0), 0)
    assert batch_sizes(queue, 1) == []
    assert queue.waiting == 3
    assert batch_sizes(queue, 2) == [3]
    queue.offer(assignments(0, 0, 0), 0)
    queue.next_run(10)
    assert batch_sizes(queue, 1) == [3]


def test_a_batch_knows_since_when_each_of_it_waits() -> None:
    queue = RunQueue()
    queue.offer(assignments(0, 0), 7)
    queue.offer(assignments(0), 9)
    batch = queue.next_batch(1, now_ns=0)
    assert batch is not None
    assert batch.submitted_ns == [7, 7, 9]


def test_runs_are_started_in_the_order_in_which_they_are_due_and_not_before() -> None:
    queue = RunQueue()
    late, early, same = run(20), run(10), run(10)
    assert queue.add_runs([late])
    assert queue.add_runs([early, same]), "sooner than what was there"
    assert not queue.add_runs([run(30)])
    assert queue.next_run(9) is None
    assert [queue.next_run(25) for _ in range(4)] == [early, same, late, None]
    assert (queue.due_ns, queue.moves, queue.empty) == (30, 3, False)


@pytest.mark.parametrize(
    ("expected_ns", "lanes", "shared"),
    [
        ([], 0, False),
        ([0], 1, False),
        ([0, 0, 0], 1, True),
        ([LONG_NS, LONG_NS], 2, False),
        ([LONG_NS, LONG_NS, 0], 3, False),
        ([LONG_NS, 0, 0], 2, True),
    ],
)
def test_each_long_run_has_a_worker_of_its_own_and_all_short_ones_share_one(
    expected_ns: list[int], lanes: int, *, shared: bool
) -> None:
    queue = RunQueue()
    queue.add_runs([run(1, expected) for expected in expected_ns])
    assert (queue.lanes, queue.shared) == (lanes, shared)
    while queue.next_run(1) is not None:
        pass
    assert (queue.lanes, queue.shared) == (0, False)


def test_steps_are_taken_in_the_order_in_which_they_came() -> None:
    queue = RunQueue()
    steps = [Step(at_ns, print) for at_ns in (1, 2)]
    for step in steps:
        queue.submit(step)
    assert queue.waiting == 2
    assert [queue.next_step() for _ in range(3)] == [*steps, None]


def claims_one_each_10_ms(queue: RunQueue) -> int:
    """Have a queue learn its pace; return when that is done."""
    queue.offer(assignments(*[AHEAD_NS] * 50), 0)
    for at_ns in range(0, 490 * MS, 10 * MS):
        assert queue.next_batch(1, at_ns) is not None
    assert queue.next_batch(1, 490 * MS) is not None
    return 490 * MS


def test_nothing_is_claimed_beside_the_first_that_cannot_start_within_its_grace_at_the_present_pace() -> None:
    queue = RunQueue()
    now_ns = claims_one_each_10_ms(queue)
    items = [Item(0, start_by_ns=now_ns + start_by_ns) for start_by_ns in (0, 5 * MS, 100 * MS, 100 * MS)]
    first, hopeless, *others = offered = cast("list[Assignment]", items)
    queue.offer(offered, now_ns)
    batch = queue.next_batch(1, now_ns)
    assert batch is not None
    assert batch.assignments == [first, *others]
    left = queue.next_batch(1, now_ns)
    assert left is not None
    assert left.assignments == [hopeless], "it is tried, or found to be too late"


def test_what_is_too_late_is_taken_beside_others_because_it_is_not_claimed() -> None:
    queue = RunQueue()
    now_ns = claims_one_each_10_ms(queue)
    items = [Item(AHEAD_NS, start_by_ns=now_ns + start_by_ns) for start_by_ns in (-1, -1, 0, -1, 0)]
    queue.offer(cast("list[Assignment]", items), now_ns)
    assert batch_sizes(queue, 1, now_ns) == [3, 2]


def test_what_is_offered_next_waits_for_what_is_before_it_at_the_present_pace() -> None:
    queue = RunQueue()
    queue.offer(assignments(*[0] * 1_000), 0)
    assert queue.wait_ns(0, 0) == 0, "no pace is known"
    assert sum(batch_sizes(queue, 1)) == 1_000
    now_ns = claims_one_each_10_ms(queue)
    queue.offer(assignments(*[0] * 15), now_ns)
    assert queue.wait_ns(now_ns, 0) == 0, "workers shall find something at any time"
    queue.offer(assignments(0), now_ns)
    assert queue.wait_ns(now_ns, 0) > 100 * MS
    assert queue.wait_ns(now_ns, 16) == 2 * queue.wait_ns(now_ns, 0), "so does what is dispatched before it"


def test_the_pace_is_not_that_of_a_pool_that_waits() -> None:
    queue = RunQueue()
    for at_ns in range(0, 1_000 * MS, 10 * MS):  # one occurrence each 10 ms, and it is all that there is
        queue.offer(assignments(0), at_ns)
        assert queue.next_batch(1, at_ns) is not None
        assert queue.next_batch(1, at_ns + MS) is None
    queue.offer(assignments(*[0] * 50), 1_000 * MS)
    assert queue.wait_ns(1_000 * MS, 0) == 0
    assert batch_sizes(queue, 1) == [50]


def test_claimed_runs_wait_for_a_worker_from_the_instant_at_which_the_first_is_due() -> None:
    queue = RunQueue()
    now_ns = claims_one_each_10_ms(queue)
    queue.add_runs([run(now_ns + MS) for _ in range(16)])
    assert queue.wait_ns(now_ns, 0) == 0
    assert queue.wait_ns(now_ns + MS, 0) > 0


def test_a_pace_is_forgotten_after_pauses_because_the_workers_have_kept_up() -> None:
    queue = RunQueue()
    now_ns = claims_one_each_10_ms(queue)
    queue.offer(assignments(*[0] * 16), now_ns)
    before_ns = queue.wait_ns(now_ns, 0)
    for _ in range(8):
        while queue.next_batch(1, now_ns) is not None:
            pass
        now_ns += SECOND
        queue.offer(assignments(*[0] * 16), now_ns)
    assert queue.wait_ns(now_ns, 0) < before_ns / 5
