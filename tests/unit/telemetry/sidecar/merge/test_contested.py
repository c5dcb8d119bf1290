"""Jobs over all schedulers and stores: see test_merge.py. Here: a job that two programs declare differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.sched.durations import SECOND
from tickglass.sched.events import JobContested
from tickglass.telemetry.sidecar.explain.problems import problems

if TYPE_CHECKING:
    from kit.sidecar_views import SidecarRig


def contested(rig: SidecarRig, since_ns: int | None) -> JobContested:
    return JobContested(
        job="nightly",
        owner="host-1",
        service="billing",
        claimant="host-9",
        since_wall_ns=since_ns,
        wall_ns=rig.clock.wall_ns(),
    )


def test_a_job_that_a_scheduler_reports_to_be_in_two_programs_is_a_problem_while_it_lasts(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    scheduler.history.record(contested(rig, 1))
    words = "is in two programs: host-9 claims its due instants with another trigger or function than host-1"
    assert rig.job().contested == words
    assert [(it.name, it.words) for it in problems(rig.view())] == [("nightly", words)]
    scheduler.history.record(contested(rig, None))
    assert rig.job().contested == ""
    assert problems(rig.view()) == []


def test_a_scheduler_that_has_gone_tells_of_no_other_program(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    scheduler.history.record(contested(rig, 1))
    scheduler.leave()
    assert rig.job().contested == ""


def test_a_ledger_shows_two_programs_that_claim_a_job_side_by_side(rig: SidecarRig) -> None:
    rig.register()

    def both_claim() -> str:
        for owner in ("host-1", "host-2"):
            rig.settle(rig.claim(due_ns=rig.clock.wall_ns(), owner=owner, declaration=f"of {owner}"))
            rig.clock.advance(SECOND)
        rig.clock.advance(300 * SECOND)
        rig.probe()
        return rig.job().contested

    told = [both_claim() for _ in range(5)]
    assert told[:3] == ["", "", ""], "it may be a deployment"
    assert told[4].startswith("is in two programs: of host-1, host-2, one claims its due instants with another trigger")
