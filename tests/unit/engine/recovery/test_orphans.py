"""Claims of instances that died: run again once, or settled as orphaned once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.rig import wait_until

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.engine.recovery.sweeper import Sweeper
from tickglass.sched.events import ClaimOrphaned
from tickglass.sched.job import declare
from tickglass.sched.ports import ClaimAsk, LeaseAsk
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.rig import Rig

    from tickglass.sched.run import Run


def nothing() -> None: ...


def test_an_occurrence_whose_claimant_cannot_renew_is_rerun_after_the_old_run_was_asked_to_stop(rig: Rig) -> None:
    def holds(run: Run) -> None:
        run.wait("40s" if run.attempt == 1 else "1s")

    rig.add(holds, every("1h"))
    rig.advance(3_600 * SECOND)
    rig.started("holds")
    rig.dispatcher.renewer.stop()  # as when the store cannot be reached any more
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(30 * SECOND)
    (first,) = rig.ended("holds")
    assert (first.outcome, first.attempt) == ("lost", 1)

    rig.start("b")
    rig.add(holds, every("1h"))
    sweeper = Sweeper(
        rig.context,
        rig.planner,
        rig.dispatcher,
        rig.skew,
        JobTable([declare(holds, every("1h"), service="svc")]),
    )
    rig.planner.rerun_orphan(declare(holds, every("1h"), service="svc"), first.due_ns)
    rig.skew.note(60 * SECOND, 0)
    rig.timeline.tick()
    assert not rig.dispatcher.busy("holds"), "not while the clocks disagree"
    sweeper.sweep()  # which compares them again
    rig.timeline.tick()
    rig.started("holds", 2)

    def ended() -> bool:
        rig.clock.advance(SECOND)  # again, because its wait may not have begun
        return len(rig.moves("holds", "ended")) == 2

    wait_until(ended)
    second = rig.ended("holds", 2)[1]
    assert (second.outcome, second.attempt, second.owner, second.due_ns) == ("success", 2, "b", first.due_ns)
    assert second.fence > first.fence
    assert second.lateness is not None
    assert second.lateness.lock_ns == second.lateness.total_ns == 30 * SECOND, "a dead instance had it, no timer"


def test_an_orphan_of_a_job_that_is_not_to_be_rerun_is_settled_as_orphaned_once(rig: Rig) -> None:
    job = declare(nothing, every("1h"), service="svc", rerun_orphaned=False)
    due_ns = rig.clock.wall_ns()
    rig.register(job)
    lease = LeaseAsk("svc/nothing", "dead", "svc", "token", 30 * SECOND, job="nothing", run_id="0" * 31 + "1")
    rig.store.claim(ClaimAsk(lease, due_ns))
    rig.clock.advance(31 * SECOND)
    sweeper = Sweeper(rig.context, rig.planner, rig.dispatcher, rig.skew, JobTable([job]))
    sweeper.sweep()
    sweeper.sweep()
    (end,) = rig.ended("nothing")
    assert end.outcome == "orphaned"
    assert rig.moves("nothing", "fell_due")[0].next_due_ns == due_ns + 3_600 * SECOND, "its next one is known"
    (orphan,) = rig.sink.of(ClaimOrphaned)
    assert orphan.claimant == "dead"
