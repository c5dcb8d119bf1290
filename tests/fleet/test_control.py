"""Two real schedulers on one store obey what operators ask, whichever of them it comes to."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kit.processes import Fleet, Instance, running_fleet, wait_until

from tickglass import Control
from tickglass.sched.control.roster import read_roster
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import RedisServer

    from tickglass.sched.ports import RunRecord

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py

BEAT = JobId("fleet", "beat")
OBEYED_NS = 3 * SECOND  # a second is promised; on a busy machine an instance may stand still for a while
RUNS_ASKED_FOR = 12


class Operated:
    """Two instances with a job each 250 ms, and someone who acts on their store."""

    def __init__(self, fleet: Fleet, url: str) -> None:
        self.instances = [fleet.start("beat", more={"FLEET_SERVICE": "fleet", "FLEET_URL": url}) for _ in range(2)]
        for instance in self.instances:
            instance.running()
        self.control = Control(url, by="anna")
        wait_until(lambda: len(read_roster(self.control._store).having(BEAT)) == 2, "the store does not know of them")

    def runs(self, kind: str) -> list[RunRecord]:
        return [run for run in self.control._store.runs(BEAT, 1_000) if run.kind == kind]

    def reasons(self, instance: Instance, after_ns: int) -> Counter[tuple[str | None, str]]:
        ends = [it for it in instance.occurrences("ended") if it.due_ns > after_ns]
        return Counter((it.outcome, it.reason) for it in ends)


@pytest.fixture(params=["sqlite", "redis"])
def operated(
    request: pytest.FixtureRequest, tmp_path: Path, redis_servers: Callable[[int], list[RedisServer]]
) -> Iterator[Operated]:
    url = f"sqlite:///{tmp_path}/shared.db"
    if request.param == "redis":
        url = f"redis://127.0.0.1:{redis_servers(1)[0].port}/0"
    (tmp_path / "fleet").mkdir()
    with running_fleet(tmp_path / "fleet") as fleet:
        operated = Operated(fleet, url)
        yield operated
        operated.control.close()


def test_a_paused_job_runs_nowhere_until_it_is_resumed(operated: Operated) -> None:
    wait_until(lambda: len(operated.runs("scheduled")) > 2, "nothing runs")
    paused = operated.control.pause("beat", reason="a freeze")
    skipped = paused.at_ns + OBEYED_NS
    for instance in operated.instances:
        wait_until(lambda it=instance: operated.reasons(it, skipped)["skipped", "paused"] > 4, "not obeyed")  # type: ignore[misc]
    resumed = operated.control.resume("beat", reason="it thaws")
    wait_until(lambda: operated.runs("scheduled")[0].due_ns > resumed.at_ns, "not resumed")
    between = [run for run in operated.runs("scheduled") if paused.at_ns + OBEYED_NS < run.due_ns < resumed.at_ns]
    assert between == []


def test_each_run_that_is_asked_for_is_made_once_in_the_fleet(operated: Operated) -> None:
    operated.control.pause("beat", reason="only what is asked for")
    with ThreadPoolExecutor(3) as operators:
        asked = list(operators.map(lambda _: operated.control.trigger("beat", reason="r"), range(RUNS_ASKED_FOR)))
    assert [act.version for act in sorted(asked, key=lambda act: act.version)] == list(range(2, RUNS_ASKED_FOR + 2))
    due_ns = {act.entry.due_ns for act in asked}

    def accounted_for() -> bool:
        ends = [[it for it in instance.occurrences("ended") if it.due_ns in due_ns] for instance in operated.instances]
        return all(len({it.due_ns for it in of_one}) == len(due_ns) for of_one in ends)

    wait_until(accounted_for, "an instance does not know of all of them")
    runs = operated.runs("manual")
    assert {run.due_ns for run in runs} == due_ns
    assert Counter((run.attempt, run.outcome) for run in runs) == {(1, "success"): len(due_ns)}
