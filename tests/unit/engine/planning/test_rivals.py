"""Two programs with one job are told so, once; a rolling deployment is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.rig import Rig

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.engine.planning.rivals import LOOK_EVERY_NS, Rivals
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import JobContested, StoreCalled
from tickglass.sched.job import declare
from tickglass.sched.policies.rivalry import DEPLOY_NS
from tickglass.sched.ports import ClaimAsk, LeaseAsk
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.job import Job


def job(name: str = "sync") -> Job:
    return declare(lambda: None, every("1s"), service="svc", name=name)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.stop()


@pytest.fixture
def rivals(rig: Rig) -> Rivals:
    return Rivals(rig.context, JobTable([job()]))


def look(rig: Rig, rivals: Rivals, times: int = 1, *, rival: str = "", service: str = "svc") -> None:
    """Let minutes pass; with `rival`, another program claims an instant in each."""
    for _ in range(times):
        rig.clock.advance(LOOK_EVERY_NS)
        now_ns = rig.clock.wall_ns()
        if rival:
            lease = LeaseAsk(f"{rival} {now_ns}", rival, service, f"t{now_ns}", SECOND, "sync", f"{now_ns:032x}")
            rig.store.claim(ClaimAsk(lease, now_ns, declaration="of another program"))
        rivals.look()


DOWN = StoreUnavailable("memory", "runs", "gone fishing")
MINUTES = DEPLOY_NS // LOOK_EVERY_NS


def test_another_program_that_stays_is_told_once(rig: Rig, rivals: Rivals) -> None:
    look(rig, rivals)
    began_ns = rig.clock.wall_ns() + LOOK_EVERY_NS
    look(rig, rivals, MINUTES, rival="b")
    assert rig.sink.of(JobContested) == [], "it may be a deployment"
    look(rig, rivals, 5, rival="b")
    (told,) = rig.sink.of(JobContested)
    assert (told.job, told.service, told.claimant, told.since_wall_ns) == ("sync", "svc", "b", began_ns)


def test_it_is_told_that_it_has_gone(rig: Rig, rivals: Rivals) -> None:
    look(rig, rivals)
    look(rig, rivals, MINUTES + 1, rival="b")
    look(rig, rivals, MINUTES + 1)
    assert [event.since_wall_ns is None for event in rig.sink.of(JobContested)] == [False, True]
    look(rig, rivals, MINUTES + 1, rival="b")
    assert len(rig.sink.of(JobContested)) == 3, "and once more if it comes back"


def test_a_deployment_is_not_told(rig: Rig, rivals: Rivals) -> None:
    look(rig, rivals)
    look(rig, rivals, MINUTES - 1, rival="b")
    look(rig, rivals, 3 * MINUTES)
    assert rig.sink.of(JobContested) == []


def test_what_was_claimed_before_this_instance_began_is_history(rig: Rig) -> None:
    before = Rivals(rig.context, JobTable())
    look(rig, before, 2 * MINUTES, rival="b")
    rivals = Rivals(rig.context, JobTable([job()]))
    look(rig, rivals, 2 * MINUTES)
    assert rig.sink.of(JobContested) == []


def test_a_job_of_the_same_name_in_another_service_is_no_rival(rig: Rig, rivals: Rivals) -> None:
    look(rig, rivals)
    look(rig, rivals, 2 * MINUTES, rival="b", service="other")
    assert rig.sink.of(JobContested) == []


def test_it_costs_so_many_requests_a_minute_however_many_jobs_there_are(rig: Rig) -> None:
    rivals = Rivals(rig.context, JobTable(job(f"j{number}") for number in range(25)))
    look(rig, rivals)
    rig.sink.events.clear()
    counts = []
    for _ in range(4):
        look(rig, rivals)
        rivals.look()  # within the minute: nothing
        counts.append(len(rig.sink.of(StoreCalled)))
    assert [after - before for before, after in zip([0, *counts], counts, strict=False)] == [11, 11, 6, 11]


def test_a_store_that_is_away_is_asked_again_in_a_minute(rig: Rig, rivals: Rivals) -> None:
    look(rig, rivals)
    rig.store.broken["runs"] = DOWN
    rig.clock.advance(LOOK_EVERY_NS)
    with pytest.raises(StoreUnavailable):
        rivals.look()
    del rig.store.broken["runs"]
    look(rig, rivals, MINUTES + 1, rival="b")
    assert len(rig.sink.of(JobContested)) == 1
