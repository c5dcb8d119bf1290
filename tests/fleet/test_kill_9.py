"""What a process leaves behind that is killed with -9: the next one ends it, writes it, or goes on without it."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from kit.processes import Fleet, Instance, running_fleet, wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import RedisServer

    from tickglass.sched.events import OccurrenceMoved

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py

ATTEMPTS: Final = 3
HELD_BACK_NS: Final = 100 * MS  # half the way to the next due instant of the job `near`
SOON_NS: Final = 3 * SECOND  # the presence of the dead lasts longer: 5 s, renewed every 1.7 s


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path) as fleet:
        yield fleet


def killed(instance: Instance) -> Instance:
    instance.signal(signal.SIGKILL)
    assert instance.exit_code() == -signal.SIGKILL
    return instance


def successes(instance: Instance, after_ns: int) -> list[OccurrenceMoved]:
    return [end for end in instance.occurrences("ended") if end.outcome == "success" and end.due_ns > after_ns]


def test_an_occurrence_that_takes_its_process_down_each_time_is_given_up_after_three_attempts(fleet: Fleet) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        doomed = fleet.start("bomb", ttl="500ms").running()
        start = doomed.occurrence("bomb", "started", attempt=attempt)
        assert doomed.exit_code() == -signal.SIGKILL
    instance = fleet.start("bomb", ttl="500ms").running()

    def ends() -> list[tuple[int, str | None]]:
        runs = fleet.store.runs(JobId("fleet", "bomb"), 1_000_000)
        return sorted((run.attempt, run.outcome) for run in runs if run.due_ns == start.due_ns)

    given_up = [(attempt, "orphaned") for attempt in range(1, ATTEMPTS + 1)]
    wait_until(lambda: ends() == given_up, "it is not given up")
    settled_ns = SystemClock().wall_ns()
    wait_until(lambda: bool(successes(instance, settled_ns)), "its job does not go on")
    assert instance.stopped() == 0
    assert ends() == given_up


def test_an_outcome_that_waited_in_the_spool_of_a_killed_process_is_written_by_the_next(
    fleet: Fleet, own_redis: Callable[..., RedisServer]
) -> None:
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    url = f"redis://127.0.0.1:{server.port}?timeout=200ms"
    holder = fleet.start("hold", more={"FLEET_URL": url}).running()
    start = holder.occurrence("hold", "started")
    server.kill()
    fleet.open_gate(1)
    wait_until(lambda: holder.scrape().total("tickglass_spool_depth") == 1, "it waits for the store")
    owner = killed(holder).owner
    server.start()
    heir = fleet.start("hold", more={"FLEET_URL": url}).running()
    assert heir.owner == owner
    wait_until(lambda: heir.scrape().total("tickglass_spool_outcomes_total", move="written") == 1, "it is not written")
    assert heir.stopped() == 0
    with closing(open_store(url, SystemClock())) as store:
        (run,) = [run for run in store.runs(JobId("fleet", "hold"), 1_000_000) if run.due_ns == start.due_ns]
    assert (run.attempt, run.outcome, run.owner, run.fence) == (1, "success", owner, start.fence)


def test_a_standby_goes_on_at_once_when_the_preferred_region_is_killed_and_on_time_when_its_presence_ends(
    fleet: Fleet,
) -> None:
    preferred, standby = (
        fleet.start("near", ttl="500ms", more={"FLEET_REGION": region}).running() for region in ("a", "b")
    )
    shown = presence_resource("region=a")
    wait_until(lambda: shown in {lease.resource for lease in fleet.store.leases()}, "it is not shown to be there")
    wait_until(lambda: len(preferred.occurrences("ended")) >= 5, "it does not run")
    killed(preferred)
    killed_ns = SystemClock().wall_ns()
    wait_until(lambda: bool(successes(standby, killed_ns)), "nobody goes on")
    assert successes(standby, killed_ns)[0].due_ns < killed_ns + SOON_NS

    def on_time() -> bool:
        runs = successes(standby, killed_ns)
        return any(run.lateness is not None and run.lateness.total_ns < HELD_BACK_NS for run in runs)

    wait_until(on_time, "it holds back for ever")
    assert standby.stopped() == 0
