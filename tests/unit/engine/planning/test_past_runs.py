"""What the ledger says about a job's past when it is registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.planning.past_runs import streaks_of, without_claims_ahead
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import Streak
from tickglass.sched.job import declare
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, JobRecord, LeaseAsk, Settlement
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.rig import Rig

    from tickglass.sched.registration import Registered

DOWN = StoreUnavailable("memory", "runs", "gone fishing")


def run_once(rig: Rig, name: str, due_ns: int, outcome: str = "success") -> None:
    run_id = f"{due_ns:032x}"
    ask = LeaseAsk(name, "b", "svc", run_id, 30 * SECOND, name, run_id)
    claimed = rig.store.claim(ClaimAsk(ask, due_ns))
    assert isinstance(claimed, Claimed)
    lease = Lease(name, "b", run_id, claimed.fence, 30 * SECOND, 0)
    rig.store.settle(Settlement(lease, "svc", name, due_ns, run_id, outcome))


def register(rig: Rig, name: str) -> Registered:
    return rig.register(declare(lambda: None, every("1s"), service="svc", name=name))


def records(rig: Rig, *names: str) -> list[JobRecord]:
    return [register(rig, name).job for name in names]


def test_the_latest_claim_counts_up_to_now_and_one_ahead_of_it_does_not(rig: Rig) -> None:
    now_ns = rig.clock.wall_ns()
    run_once(rig, "job", now_ns - 2 * SECOND)
    run_once(rig, "job", now_ns + 3_600 * SECOND)
    registered = replace(register(rig, "job"), before=None)
    assert registered.job.last_due_ns == now_ns + 3_600 * SECOND
    assert without_claims_ahead(registered, now_ns, rig.store).job.last_due_ns == now_ns - 2 * SECOND


def test_a_claim_in_time_is_not_asked_about(rig: Rig) -> None:
    now_ns = rig.clock.wall_ns()
    run_once(rig, "job", now_ns)
    registered = register(rig, "job")
    rig.store.broken = {"runs": DOWN}
    assert without_claims_ahead(registered, now_ns, rig.store) is registered


def test_without_an_answer_a_claim_ahead_counts_as_none(rig: Rig) -> None:
    now_ns = rig.clock.wall_ns()
    run_once(rig, "job", now_ns + SECOND)
    registered = register(rig, "job")
    rig.store.broken = {"runs": DOWN}
    assert without_claims_ahead(registered, now_ns, rig.store).job.last_due_ns is None


def test_each_job_has_the_streak_of_its_latest_runs(rig: Rig) -> None:
    now_ns = rig.clock.wall_ns()
    for number in (3, 2, 1):
        run_once(rig, "failing", now_ns - number * SECOND, "failure")
    found = streaks_of(records(rig, "failing", "new"), rig.store)
    assert (found["failing"].failures, found["failing"].since_ns) == (3, now_ns - 3 * SECOND)
    assert found["new"] == Streak()


def test_a_store_that_does_not_answer_is_asked_once(rig: Rig) -> None:
    for name in ("a", "b"):
        run_once(rig, name, rig.clock.wall_ns() - SECOND)
    jobs = records(rig, "new", "a", "b")
    rig.store.broken = {"runs": DOWN}
    assert streaks_of(jobs, rig.store) == {"new": Streak()}
