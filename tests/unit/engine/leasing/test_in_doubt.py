"""A lease that was granted without an answer blocks no instance, and its occurrence ends in the ledger as here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.engine.leasing.in_doubt import TRIES_MAX, InDoubt
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.engine.recovery.sweeper import Sweeper
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClaimOrphaned, LockMoved, SpoolMoved, StoreCalled
from tickglass.sched.identity import JobId
from tickglass.sched.job import declare
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, Holder, LeaseAsk
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from pathlib import Path

    from kit.manual_locks import Desk
    from kit.rig import Rig

    from tickglass.sched.run import Run

DOWN = StoreUnavailable("memory", "claim", "the answer was lost")
EVERY = every("10s")
PAUSES = (100 * MS, 300 * MS, 800 * MS)


def nothing() -> None: ...


def give_a_spool(rig: Rig, tmp_path: Path) -> None:
    rig.use_spool(SqliteSpool(tmp_path / "spool", "s"))


def fall_due_unheard(rig: Rig, operation: str = "claim") -> None:
    """Have the next occurrence ask in vain, four times, of a store that does what it is asked."""
    rig.store.unheard[operation] = DOWN
    asked = sum(call.operation == operation for call in rig.sink.of(StoreCalled))
    rig.advance(10 * SECOND)
    for count, pause_ns in enumerate(PAUSES, start=1):
        rig.asleep(operation, asked + count)
        rig.clock.advance(pause_ns)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == operation, count=asked + len(PAUSES) + 1)


def ledger(rig: Rig, job: str = "job") -> list[tuple[int, str | None, str]]:
    return [(run.attempt, run.outcome, run.detail) for run in reversed(rig.store.runs(JobId("svc", job)))]


def outcomes(rig: Rig, job: str = "job") -> dict[str, float]:
    """Return what the metrics say became of a job's occurrences."""
    return {
        sample.labels["outcome"]: sample.value
        for family in rig.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tickglass_job_outcomes_total" and sample.labels["job_name"] == job and sample.value
    }


def sweeper(rig: Rig, *, rerun_orphaned: bool = True) -> Sweeper:
    job = declare(nothing, EVERY, service="svc", name="job", rerun_orphaned=rerun_orphaned)
    return Sweeper(rig.context, rig.planner, rig.dispatcher, rig.skew, JobTable([job]))


# --- jobs that go ahead


@pytest.mark.parametrize("spooled", [True, False])
def test_after_an_outage_the_next_run_is_not_held_up_by_the_claim_of_one_that_went_ahead(
    rig: Rig, tmp_path: Path, *, spooled: bool
) -> None:
    if spooled:
        give_a_spool(rig, tmp_path)
    rig.add(nothing, EVERY, name="job", on_outage="run", ttl="9h")
    fall_due_unheard(rig)
    assert [(end.outcome, end.fence) for end in rig.ended("job")] == [("success", 0)]
    rig.free("job")
    assert ledger(rig) == [(1, None, "")], "granted, and nobody heard"
    rig.store.unheard.clear()
    rig.advance(10 * SECOND)
    assert [end.outcome for end in rig.ended("job", 2)] == ["success", "success"]
    rig.free("job")
    rig.dispatcher.outbox.flush()
    assert ledger(rig) == [(1, "success", ""), (1, "success", "")]
    assert outcomes(rig) == {"success": 2}
    assert [move.move for move in rig.sink.of(SpoolMoved)] == (["spooled", "written"] if spooled else ["dropped"])
    assert rig.store.leases() == []


def test_a_claim_in_doubt_whose_lease_has_ended_is_settled_as_its_run_ended_and_not_run_again(
    rig: Rig, tmp_path: Path
) -> None:
    give_a_spool(rig, tmp_path)
    rig.add(nothing, EVERY, name="job", on_outage="run", ttl="5s")
    fall_due_unheard(rig)
    rig.free("job")
    rig.store.unheard.clear()
    rig.clock.advance(6 * SECOND)
    sweeper(rig).sweep()
    rig.timeline.tick()
    assert ledger(rig) == [(1, "success", "")]
    assert rig.sink.of(ClaimOrphaned) == []


def test_a_run_without_a_claim_that_lasts_keeps_its_resource_and_lets_go_at_its_end(desk: Desk, tmp_path: Path) -> None:
    def long(run: Run) -> None:
        run.wait("3s")

    rig = desk.rig
    give_a_spool(rig, tmp_path)
    rig.add(long, EVERY, name="job", resource="printer", on_outage="run", ttl="9h")
    desk.lock_host.manual_locks._in_doubt = rig.dispatcher.in_doubt
    fall_due_unheard(rig)
    rig.started("job")
    rig.store.unheard.clear()
    waiting = desk.waiting(desk.lock(), asleep=3)
    assert not waiting.done()
    rig.clock.advance(3 * SECOND)
    rig.ended("job")
    rig.free("job")
    while not waiting.done():
        rig.clock.advance(50 * MS)
    assert isinstance(waiting.result(10), HeldLease)
    assert ledger(rig) == [(1, "success", "")]


def test_of_two_claims_in_doubt_both_are_written_whichever_the_store_granted(rig: Rig, tmp_path: Path) -> None:
    give_a_spool(rig, tmp_path)
    rig.add(nothing, EVERY, name="job", on_outage="run", ttl="9h")
    rig.store.broken["claim"] = DOWN
    for count in (1, 2):
        if count == 2:
            del rig.store.broken["claim"]  # the second one is heard, the first was lost on the way
        fall_due_unheard(rig)
        rig.ended("job", count)
        rig.free("job")
    rig.store.unheard.clear()
    rig.dispatcher.outbox.flush()
    assert ledger(rig) == [(1, "success", ""), (1, "success", "")]
    assert [move.move for move in rig.sink.of(SpoolMoved)][2:] == ["written", "written"]


# --- outcomes that could not be written


@pytest.mark.parametrize("spooled", [True, False])
def test_a_run_whose_outcome_waits_keeps_the_next_one_from_nothing(rig: Rig, tmp_path: Path, *, spooled: bool) -> None:
    if spooled:
        give_a_spool(rig, tmp_path)
    rig.add(nothing, EVERY, name="job", ttl="9h")
    rig.store.broken["settle"] = DOWN
    rig.advance(10 * SECOND)
    rig.ended("job")
    for count, pause_ns in enumerate(PAUSES, start=1):
        rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "settle", count=count)
        rig.clock.wait_for_sleepers(2)
        rig.clock.advance(pause_ns)
    rig.free("job")
    rig.store.broken.clear()
    rig.advance(10 * SECOND)
    assert [end.outcome for end in rig.ended("job", 2)] == ["success", "success"]
    rig.free("job")
    assert ledger(rig) == [(1, "success", ""), (1, "success", "")]
    assert outcomes(rig) == {"success": 2}


def test_what_a_sweep_writes_just_then_is_asked_for_once_more(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_a_spool(rig, tmp_path)
    rig.add(nothing, EVERY, name="job", on_outage="run")
    fall_due_unheard(rig)
    rig.free("job")
    rig.store.unheard.clear()

    def too_late(resource: str, holder: Holder) -> bool:
        rig.dispatcher.outbox.flush()
        return in_doubt.reclaim(resource, holder)

    in_doubt = InDoubt(rig.context, rig.dispatcher.outbox.reclaim)
    monkeypatch.setattr(rig.dispatcher.in_doubt, "reclaim", too_late)
    rig.advance(10 * SECOND)
    assert [end.outcome for end in rig.ended("job", 2)] == ["success", "success"]


# --- claims that ended here as skipped


def test_a_claim_that_was_given_up_because_the_scheduler_stops_is_settled_as_that(rig: Rig) -> None:
    rig.add(nothing, EVERY, name="job")
    rig.store.unheard["claim"] = DOWN
    rig.advance(10 * SECOND)
    rig.asleep("claim")
    for assignment in rig.dispatcher.assignments():
        assignment.stop_claiming()
    assert [end.reason for end in rig.ended("job")] == ["stopping"]
    rig.free("job")
    rig.store.unheard.clear()
    rig.dispatcher.in_doubt.settle_all()
    assert ledger(rig) == [(1, "skipped", "stopping")]
    assert rig.store.leases() == []


@pytest.mark.parametrize("ended", [False, True])
def test_a_sweep_settles_a_claim_in_doubt_before_an_instance_reruns_it(rig: Rig, *, ended: bool) -> None:
    rig.add(nothing, EVERY, name="job", ttl="5s")
    fall_due_unheard(rig)
    rig.ended("job")
    rig.free("job")
    rig.store.unheard.clear()
    rig.clock.advance(6 * SECOND if ended else SECOND)
    sweeper(rig).sweep()
    rig.timeline.tick()
    assert ledger(rig) == [(1, "skipped", "store_unavailable")]
    assert outcomes(rig) == {"skipped": 1}


def test_a_sweep_asks_for_a_claim_that_never_arrived_some_times_and_what_arrives_later_is_still_no_orphan(
    rig: Rig,
) -> None:
    rig.add(nothing, EVERY, name="job", ttl="5s")
    rig.store.broken["claim"] = DOWN
    fall_due_unheard(rig)
    rig.ended("job")
    rig.free("job")
    ask = next(iter(rig.dispatcher.in_doubt._ended.values())).settlement
    rig.store.broken.clear()
    rig.store.unheard.clear()
    sweeping = sweeper(rig)
    for _ in range(TRIES_MAX + 2):
        sweeping.sweep()
    assert sum(call.operation == "settle" for call in rig.sink.of(StoreCalled)) == TRIES_MAX
    lease = LeaseAsk("svc/job", "a", "svc", ask.lease.token, 5 * SECOND, "job", ask.run_id)
    assert isinstance(rig.store.claim(ClaimAsk(lease, ask.due_ns)), Claimed), "late"
    rig.clock.advance(6 * SECOND)
    sweeping.sweep()
    rig.timeline.tick()
    assert ledger(rig) == [(1, "skipped", "store_unavailable")]


def test_a_job_that_is_not_to_be_run_again_is_not_reported_as_elsewhere_when_the_claim_is_its_own(rig: Rig) -> None:
    rig.add(nothing, EVERY, name="job", ttl="50ms", rerun_orphaned=False)
    rig.store.unheard["claim"] = DOWN
    rig.advance(10 * SECOND)
    rig.asleep("claim")
    rig.store.unheard.clear()
    rig.clock.advance(100 * MS)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("skipped", "store_unavailable")
    rig.free("job")
    sweeper(rig, rerun_orphaned=False).sweep()
    assert ledger(rig) == [(1, "skipped", "store_unavailable")]
    assert outcomes(rig) == {"skipped": 1}


# --- claims of what is to be run again


def orphaned(rig: Rig) -> int:
    """Have somebody claim the next occurrence and die."""
    due_ns = EVERY.next_after_ns(rig.clock.wall_ns())
    assert due_ns is not None
    rig.clock.advance(due_ns - rig.clock.wall_ns())
    ask = LeaseAsk("svc/job", "dead", "svc", "t", SECOND, "job", "d" * 32)
    assert isinstance(rig.store.claim(ClaimAsk(ask, due_ns)), Claimed)
    rig.clock.advance(2 * SECOND)
    return due_ns


def adopt_unheard(rig: Rig, due_ns: int) -> None:
    rig.store.unheard["claim"] = DOWN
    rig.planner.rerun_orphan(declare(nothing, EVERY, service="svc", name="job"), due_ns)
    rig.timeline.tick()
    for count, pause_ns in enumerate(PAUSES, start=1):
        rig.asleep("claim", count)
        rig.clock.advance(pause_ns)
    assert [end.reason for end in rig.ended("job")] == ["store_unavailable"]
    rig.free("job")
    rig.store.unheard.clear()


def test_a_rerun_in_doubt_blocks_no_instance_and_is_still_owed(rig: Rig) -> None:
    due_ns = orphaned(rig)
    rig.add(nothing, EVERY, name="job")
    adopt_unheard(rig, due_ns)
    rig.advance(7 * SECOND)
    assert rig.ended("job", 2)[1].outcome == "success", "the next occurrence, under the same resource"
    rig.free("job")
    sweeper(rig).sweep()
    rig.timeline.tick()
    third = rig.ended("job", 3)[2]
    rig.free("job")
    assert (third.due_ns, third.attempt, third.outcome) == (due_ns, 3, "success")
    assert [run.outcome for run in rig.store.runs(JobId("svc", "job")) if run.due_ns == due_ns] == [
        "success",
        "orphaned",
        "orphaned",
    ]


def test_a_rerun_that_is_asked_for_again_is_not_reported_as_elsewhere_when_the_claim_is_its_own(rig: Rig) -> None:
    due_ns = orphaned(rig)
    adopt_unheard(rig, due_ns)
    rig.planner.rerun_orphan(declare(nothing, EVERY, service="svc", name="job"), due_ns)
    rig.timeline.tick()
    end = rig.ended("job", 2)[1]
    assert (end.outcome, end.attempt) == ("success", 3)


@pytest.mark.parametrize("broken", ["claim", "release"])
def test_a_rerun_in_doubt_that_cannot_be_released_now_is_left_to_end(rig: Rig, broken: str) -> None:
    due_ns = orphaned(rig)
    adopt_unheard(rig, due_ns)
    rig.store.broken[broken] = DOWN
    assert not rig.dispatcher.in_doubt.release_rerun(JobId("svc", "job"), due_ns)
    rig.store.broken.clear()
    assert rig.dispatcher.in_doubt.release_rerun(JobId("svc", "job"), due_ns)
    assert not rig.dispatcher.in_doubt.release_rerun(JobId("svc", "job"), due_ns), "it is released"


# --- renewals and releases without an answer


def lose_trust(rig: Rig) -> None:
    """Let a lease of nine seconds, taken just now, be renewed once unheard, and trust end."""
    rig.store.unheard["renew"] = DOWN
    rig.clock.wait_for_sleepers(1)
    rig.clock.advance(3 * SECOND)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "renew")
    rig.clock.advance(6 * SECOND)
    rig.lock_event("expired")
    assert rig.store.leases()[0].remaining_ns > SECOND, "as the store has it"
    rig.store.unheard.clear()


def test_a_lost_run_whose_renewal_got_no_answer_blocks_no_instance(rig: Rig) -> None:
    def long(run: Run) -> None:
        run.wait("20s")

    rig.add(long, EVERY, name="job", ttl="9s")
    rig.advance(10 * SECOND)
    rig.started("job")
    rig.clock.wait_for_sleepers(2)
    lose_trust(rig)
    assert rig.ended("job")[0].outcome == "lost"
    rig.free("job")
    rig.advance(SECOND)
    rig.started("job", 2)
    assert ledger(rig)[0] == (1, None, ""), "it is still to be run again"


def test_a_lock_whose_release_did_not_arrive_blocks_no_instance(desk: Desk) -> None:
    lock, first = desk.take()
    desk.rig.store.broken["release"] = DOWN
    giving_back = desk._threads.submit(lock.release)
    for count, pause_ns in enumerate(PAUSES, start=1):
        desk.called("release", count)
        desk.rig.clock.wait_for_sleepers(2)
        desk.rig.clock.advance(pause_ns)
    giving_back.result(10)
    desk.rig.store.broken.clear()
    second = desk.lock(blocking=False).acquire()
    assert isinstance(second, HeldLease)
    assert second.fence > first.fence


def test_a_lost_lock_whose_renewal_got_no_answer_blocks_no_instance(desk: Desk) -> None:
    lock, first = desk.take(ttl="9s")
    lose_trust(desk.rig)
    assert not first.trusted
    assert not lock.release()
    assert isinstance(desk.lock(blocking=False).acquire(), HeldLease)


def test_a_lock_in_doubt_is_asked_for_once_per_lease_that_is_in_the_way_and_not_for_ever(rig: Rig) -> None:
    in_doubt = rig.dispatcher.in_doubt
    in_doubt.note_lock(LeaseAsk("r", "a", "svc", "never arrived", SECOND))
    for fence in range(1, 2 + TRIES_MAX):
        holder = Holder("a", "svc", "", "", fence)
        assert in_doubt.reclaim("r", holder) is (fence <= TRIES_MAX)
        assert not in_doubt.reclaim("r", holder)
    assert sum(call.operation == "release" for call in rig.sink.of(StoreCalled)) == TRIES_MAX


def test_a_lock_that_another_thread_has_is_not_released_with_one_in_doubt(desk: Desk) -> None:
    store = desk.rig.store
    mine = LeaseAsk("printer", "a", "svc", "in doubt", 30 * SECOND)
    desk.rig.dispatcher.in_doubt.note_lock(mine)
    lock, lease = desk.take()
    assert desk.lock(blocking=False).acquire() is not None
    assert lease.trusted
    assert lock.release()
    assert isinstance(store.acquire(mine), Granted), "it arrives late, all the same"
    assert isinstance(desk.lock(blocking=False).acquire(), HeldLease)
    assert "lost" not in [move.event for move in desk.rig.sink.of(LockMoved)]
