"""Real schedulers on one Redis, one of which has a wrong clock: the others run every instant, once and on time."""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from kit.processes import Fleet, Instance, running_fleet, wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import RedisServer

    from tickglass.sched.ports import RunRecord, Store

PERIODS: Final = {"beat": 250 * MS, "chime": SECOND}  # as in the app
EARLY_MAX_NS: Final = SECOND + 50 * MS  # max_skew, and the lead
# On a busy machine. The clocks here are 20 s off, or an hour, and what is wrong silences a job for as long.
LATE_MAX_NS: Final = 15 * SECOND
EVERYTHING: Final = 1_000_000


class Clocks:
    """A fleet on a Redis, and its ledger."""

    def __init__(self, fleet: Fleet, url: str, store: Store) -> None:
        self.fleet = fleet
        self.url = url
        self.store = store

    def start(self, *ahead_s: int) -> Instance:
        """Start an instance whose clock is so many seconds ahead, by the next number after each SIGUSR1."""
        ahead = " ".join(map(str, ahead_s))
        return self.fleet.start("beat", more={"FLEET_URL": self.url, "FLEET_AHEAD": ahead}).running()

    def runs(self, job: str) -> list[RunRecord]:
        return sorted(self.store.runs(JobId("fleet", job), EVERYTHING), key=lambda run: run.due_ns)

    def wait_for_runs(self, job: str, count: int, *, since_ns: int = 0) -> None:
        wait_until(
            lambda: sum(run.due_ns > since_ns for run in self.runs(job)) >= count, f"{job} does not run often enough"
        )

    def assert_each_instant_ran_once_and_on_time(self, job: str, since_ns: int) -> None:
        runs = [run for run in self.runs(job) if run.due_ns >= since_ns]
        for run in runs:
            assert -EARLY_MAX_NS <= run.claimed_wall_ns - run.due_ns <= LATE_MAX_NS, run
            assert (run.attempt, run.outcome) in [(1, "success"), (1, None)]
        gaps = [after.due_ns - before.due_ns for before, after in pairwise(runs)]
        assert max(gaps) <= LATE_MAX_NS, (job, since_ns, gaps)


@pytest.fixture
def clocks(tmp_path: Path, redis_servers: Callable[[int], list[RedisServer]]) -> Iterator[Clocks]:
    (server,) = redis_servers(1)
    store = open_store(server.url, SystemClock())
    with running_fleet(tmp_path) as fleet:
        yield Clocks(fleet, server.url, store)
    store.close()


@pytest.mark.parametrize("ahead_s", [3_600, -3_600])
def test_an_instance_with_a_wrong_clock_takes_nothing_from_those_that_start_after_it(
    clocks: Clocks, ahead_s: int
) -> None:
    wrong = clocks.start(ahead_s)
    clocks.wait_for_runs("beat", 8)
    began_ns = clocks.store.time_ns()
    assert clocks.runs("beat")[-1].due_ns <= began_ns + EARLY_MAX_NS
    answer = wrong.get("/readyz")
    assert (answer.status, "from the store's, and 1s is allowed" in answer.text) == (503, True)
    healthy = clocks.start(0)
    clocks.wait_for_runs("chime", 3, since_ns=began_ns)
    assert wrong.stopped() == 0
    alone_ns = clocks.store.time_ns()
    for job in PERIODS:
        clocks.wait_for_runs(job, 4, since_ns=alone_ns)
        assert {run.owner for run in clocks.runs(job) if run.due_ns > alone_ns} == {healthy.owner}
    assert healthy.get("/readyz").status == 200
    assert healthy.stopped() == 0
    clocks.assert_each_instant_ran_once_and_on_time("beat", began_ns)
    # A clock that is behind says when a time of day is due: in this young ledger nobody has run its instants before.
    clocks.assert_each_instant_ran_once_and_on_time("chime", began_ns if ahead_s > 0 else alone_ns)


def test_a_clock_that_is_ahead_for_a_while_and_comes_back_leaves_no_gap_and_no_doubled_work(clocks: Clocks) -> None:
    astray = clocks.start(0, 20, 0)
    clocks.wait_for_runs("beat", 4)
    began_ns = clocks.store.time_ns()
    for status in (503, 200):  # 20 s ahead, and back
        astray.signal(signal.SIGUSR1)
        wait_until(lambda status=status: astray.get("/readyz").status == status, "it is not noticed")  # type: ignore[misc]
        clocks.wait_for_runs("beat", 8, since_ns=clocks.store.time_ns())
    again = clocks.start(0)
    clocks.wait_for_runs("chime", 3, since_ns=clocks.store.time_ns())
    assert [one.stopped() for one in (astray, again)] == [0, 0]
    for job in PERIODS:
        clocks.assert_each_instant_ran_once_and_on_time(job, began_ns)
