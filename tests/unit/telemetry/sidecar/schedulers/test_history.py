from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.sidecar_views import EVERY_NS, SidecarRig
from prometheus_client import CollectorRegistry

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import IllegalTransition
from tickglass.sched.events import (
    ClaimOrphaned,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    PoolMoved,
    SkewMeasured,
    StoreCalled,
)
from tickglass.sched.lease import LockEvent, LockReason
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.telemetry import MetricSink
from tickglass.telemetry.sidecar.schedulers import history as history_module
from tickglass.telemetry.sidecar.schedulers.history import GONE
from tickglass.telemetry.sidecar.schedulers.job_history import RECENT_MAX
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from kit.sidecar_views import FakeScheduler

    from tickglass.sched.events import Event
    from tickglass.sched.ports import EventSink
    from tickglass.telemetry.sidecar.schedulers.job_history import JobSnapshot


@pytest.fixture
def rig() -> SidecarRig:
    return SidecarRig()


@pytest.fixture
def scheduler(rig: SidecarRig) -> FakeScheduler:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    return scheduler


def job_of(scheduler: FakeScheduler, name: str = "nightly") -> JobSnapshot:
    (job,) = [job for job in scheduler.history.snapshot().jobs if job.name == name]
    return job


def test_a_run_is_followed_from_falling_due_to_its_end(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    occurrence, lock = scheduler.occurrence("nightly"), scheduler.lock("nightly")
    scheduler.begin(occurrence)
    assert [(hand.state, hand.outcome) for hand in job_of(scheduler).open_occurrences] == [("claiming", "")]
    scheduler.run_on(occurrence, lock, fence=7)
    (hand,) = job_of(scheduler).open_occurrences
    assert (hand.state, hand.fence, hand.started_wall_ns) == ("running", 7, rig.clock.wall_ns())
    rig.clock.advance(SECOND)
    scheduler.end(occurrence)
    job = job_of(scheduler)
    (end,) = job.recent
    assert (end.outcome, end.why, end.lateness_ns, end.ran_ns, end.fence) == ("success", "", MS, SECOND, 7)
    assert end.started_wall_ns == hand.started_wall_ns
    assert end.ended_wall_ns == job.last_success_wall_ns == job.last_end_wall_ns == rig.clock.wall_ns()
    assert (job.open_occurrences, job.lateness_ns, job.next_due_ns) == ([], [MS], occurrence.due_ns + EVERY_NS)
    assert scheduler.history.snapshot().runs == [end]


def test_failures_are_counted_until_a_success(scheduler: FakeScheduler) -> None:
    for outcome in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CANCELLED):
        occurrence = scheduler.occurrence("nightly")
        scheduler.begin(occurrence)
        scheduler.run_on(occurrence, scheduler.lock("nightly"), fence=1)
        scheduler.end(occurrence, outcome, error="ValueError: no")
    assert job_of(scheduler).failures == 2
    assert job_of(scheduler).recent[0].why == "failed after 1.00 s: ValueError: no"
    occurrence = scheduler.occurrence("nightly")
    scheduler.begin(occurrence)
    scheduler.run_on(occurrence, scheduler.lock("nightly"), fence=2)
    scheduler.end(occurrence)
    assert job_of(scheduler).failures == 0


def test_an_overlap_names_the_start_of_the_run_before(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    previous = scheduler.occurrence("nightly")
    scheduler.begin(previous)
    rig.clock.advance(4 * MS)
    scheduler.run_on(previous, scheduler.lock("nightly"), fence=1)
    rig.clock.advance(EVERY_NS)
    occurrence = scheduler.occurrence("nightly")
    occurrence.fire(OccurrenceEvent.FELL_DUE)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    (skipped,) = job_of(scheduler).recent
    assert skipped.why == "skipped: its previous run, which started 00:00:00.004Z, was still running"


def overlapped(rig: SidecarRig, count: int) -> InstantsSkipped:
    now_ns = rig.clock.wall_ns()
    return InstantsSkipped(
        job="nightly",
        reason=SkipReason.OVERLAP,
        count=count,
        exact=True,
        first_due_ns=now_ns - SECOND,
        latest_due_ns=now_ns,
        next_due_ns=now_ns + EVERY_NS,
        wall_ns=now_ns,
    )


@pytest.mark.parametrize("ended", [False, True])
def test_instants_that_overlap_are_one_entry_that_names_the_start_of_the_run(
    rig: SidecarRig, scheduler: FakeScheduler, *, ended: bool
) -> None:
    run = scheduler.occurrence("nightly")
    scheduler.begin(run)
    rig.clock.advance(4 * MS)
    scheduler.run_on(run, scheduler.lock("nightly"), fence=1)
    rig.clock.advance(EVERY_NS)
    if ended:
        scheduler.end(run)
    told = overlapped(rig, 7)
    scheduler.history.record(told)
    job = job_of(scheduler)
    view = job.recent[-1]
    assert (view.outcome, view.reason, view.count) == ("skipped", "overlap", 7)
    assert (view.due_ns, view.until_ns, job.next_due_ns) == (
        told.first_due_ns,
        told.latest_due_ns + 1,
        told.next_due_ns,
    )
    assert view.why.startswith("skipped: 7 due instants between ")
    assert view.why.endswith(": its previous run, which started 00:00:00.004Z, was still running")


def test_an_instant_that_overlaps_alone_is_told_as_before(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    scheduler.begin(scheduler.occurrence("nightly"))
    rig.clock.advance(EVERY_NS)
    scheduler.history.record(overlapped(rig, 1))
    (skipped,) = job_of(scheduler).recent
    assert skipped.why.startswith("skipped: its previous occurrence, due ")


def test_an_overlap_with_what_waits_for_its_claim_says_so_and_how_the_store_failed(
    rig: SidecarRig, scheduler: FakeScheduler
) -> None:
    def failed() -> None:
        wall_ns = rig.clock.wall_ns()
        scheduler.history.record(
            StoreCalled(store="redis", operation="claim", duration_ns=1, error="unavailable", wall_ns=wall_ns)
        )

    def skipped() -> str:
        rig.clock.advance(EVERY_NS)
        occurrence = scheduler.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
        return job_of(scheduler).recent[-1].why

    failed()
    rig.clock.advance(SECOND)
    scheduler.begin(scheduler.occurrence("nightly"))
    told = "skipped: its previous occurrence, due 00:00:01.000Z, was still waiting for its claim"
    assert skipped() == told, "the store had failed before, and for another"
    failed()
    assert skipped() == f"{told}; the store's latest failure: redis, claim: unavailable"


def test_a_lock_that_was_held_names_its_holder_and_its_job(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    scheduler.start("labels", "invoices", resource="printer")
    held = scheduler.occurrence("labels")
    scheduler.begin(held)
    scheduler.run_on(held, scheduler.lock("printer", "labels", held.run_id), fence=1)
    occurrence = scheduler.occurrence("invoices")
    scheduler.begin(occurrence)
    lock = scheduler.lock("printer", "invoices", occurrence.run_id)
    lock.fire(LockEvent.REQUESTED)
    (hand,) = job_of(scheduler, "invoices").open_occurrences
    assert hand.why == "waits for printer, which host-1 (job labels) has held since 00:00:00.000Z"
    rig.clock.advance(5 * SECOND)
    lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner="host-1")
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.LOCK_HELD)
    (end,) = job_of(scheduler, "invoices").recent
    assert end.by == "host-1"
    assert end.why == "skipped: host-1 (job labels) held printer, since 00:00:00.000Z, for all of its grace of 5s"


def test_elsewhere_names_who_claimed_it(scheduler: FakeScheduler) -> None:
    occurrence = scheduler.occurrence("nightly")
    scheduler.begin(occurrence)
    lock = scheduler.lock("nightly", "nightly", occurrence.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.REFUSED, other_owner="host-2")
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
    assert job_of(scheduler).recent[0].why == "elsewhere: claimed by host-2"


@pytest.mark.parametrize(("taken_by", "cause"), [("host-2", "host-2 has it now"), ("", "no renewal was confirmed")])
def test_a_lost_run_names_who_has_the_lease_now_and_nobody_else(
    scheduler: FakeScheduler, taken_by: str, cause: str
) -> None:
    occurrence = scheduler.occurrence("nightly")
    scheduler.begin(occurrence)
    lock = scheduler.lock("nightly", "nightly", occurrence.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=3, other_owner="host-3")  # from whom it was taken over
    occurrence.fire(OccurrenceEvent.CLAIMED)
    occurrence.fire(OccurrenceEvent.STARTED)
    lock.fire(LockEvent.LOST if taken_by else LockEvent.EXPIRED, other_owner=taken_by)
    scheduler.end(occurrence, Outcome.LOST)
    assert cause in job_of(scheduler).recent[0].why
    assert [(mark.what, mark.other) for mark in scheduler.history.snapshot().marks] == [
        ("taken over", "host-3"),
        ("lost" if taken_by else "expired", taken_by),
    ]


def test_a_store_that_failed_and_a_skewed_clock_are_named(scheduler: FakeScheduler) -> None:
    told: list[Event] = [
        StoreCalled(store="redis", operation="claim", duration_ns=1, error="unavailable", wall_ns=0),
        StoreCalled(store="redis", operation="time", duration_ns=1, error="", wall_ns=0),
        SkewMeasured(skew_ns=3 * SECOND, bound_ns=1, wall_ns=0),
    ]
    for event in told:
        scheduler.history.record(event)
    for reason in (SkipReason.STORE_UNAVAILABLE, SkipReason.SKEW):
        occurrence = scheduler.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=reason)
    unavailable, skewed = (view.why for view in job_of(scheduler).recent)
    assert "(redis, claim: unavailable)" in unavailable
    assert "ahead of the store's by 3.00 s" in skewed


def test_an_orphan_and_a_second_attempt_name_the_claimant_that_died(scheduler: FakeScheduler) -> None:
    occurrence = scheduler.occurrence("nightly")
    orphan = ClaimOrphaned(job="nightly", due_ns=occurrence.due_ns, attempt=1, run_id="1", claimant="host-9", wall_ns=0)
    scheduler.history.record(orphan)
    occurrence.fire(OccurrenceEvent.FELL_DUE)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ORPHANED)
    again = scheduler.occurrence("nightly")
    scheduler.begin(again)
    again.attempt = 2
    scheduler.run_on(again, scheduler.lock("nightly"), fence=1)
    assert job_of(scheduler).open_occurrences[0].why == (
        "attempt 2: host-9, which had claimed it before, did not record how it ended"
    )
    scheduler.end(again)
    orphaned, success = job_of(scheduler).recent
    assert orphaned.by == success.by == "host-9"
    assert orphaned.why.startswith("orphaned: host-9 died")


def test_instants_that_nobody_saw_are_one_entry_with_a_count(scheduler: FakeScheduler) -> None:
    missed = InstantsMissed(job="nightly", count=7, exact=True, first_due_ns=5, before_ns=90, wall_ns=100)
    scheduler.history.record(missed)
    (view,) = job_of(scheduler).recent
    assert (view.outcome, view.count, view.due_ns, view.until_ns) == ("missed", 7, 5, 90)


@pytest.mark.parametrize("kind", [InstantsMissed, InstantsElsewhere])
def test_instants_that_passed_while_the_pool_was_full_move_what_is_next(
    scheduler: FakeScheduler, kind: type[InstantsMissed | InstantsElsewhere]
) -> None:
    scheduler.start("nightly")
    due_ns = job_of(scheduler).next_due_ns
    assert due_ns is not None
    scheduler.history.record(
        kind(job="nightly", count=2, exact=True, first_due_ns=due_ns, before_ns=due_ns + 2, wall_ns=due_ns + 3)
    )
    assert job_of(scheduler).next_due_ns == due_ns + 2


def test_holds_waiters_and_limits_are_those_of_now(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    scheduler.start("labels", resource="printer", timeout_ns=5 * SECOND)
    scheduler.start("invoices", resource="printer", timeout_ns=9 * SECOND)
    holder, waiting = scheduler.lock("printer", "labels", "a"), scheduler.lock("printer")
    holder.fire(LockEvent.REQUESTED)
    holder.fire(LockEvent.GRANTED, fence=4)
    waiting.fire(LockEvent.REQUESTED)
    rig.clock.advance(SECOND)
    holder.fire(LockEvent.RENEWED, margin_ns=1)
    snapshot = scheduler.history.snapshot()
    (hold,) = snapshot.holds
    assert (hold.resource, hold.fence, hold.job) == ("printer", 4, "labels")
    assert (hold.renewed_ns - hold.since_ns, snapshot.waiters) == (SECOND, {"printer": 1})
    assert snapshot.limits == {"nightly": 25 * SECOND, "printer": 9 * SECOND}
    holder.fire(LockEvent.RELEASED)
    waiting.fire(LockEvent.GRANTED, fence=5)
    snapshot = scheduler.history.snapshot()
    assert ([hold.fence for hold in snapshot.holds], snapshot.waiters) == ([5], {})
    assert snapshot.ends == {("printer", 4): rig.clock.monotonic_ns()}
    scheduler.start("unlimited", resource="printer", timeout_ns=None)
    assert scheduler.history.snapshot().limits["printer"] is None


def test_what_is_live_goes_with_the_scheduler_and_the_past_stays(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    ended, running = scheduler.occurrence("nightly"), scheduler.occurrence("nightly")
    scheduler.begin(ended)
    scheduler.run_on(ended, scheduler.lock("nightly"), fence=1)
    scheduler.end(ended)
    scheduler.begin(running)
    scheduler.run_on(running, scheduler.lock("nightly"), fence=2)
    scheduler.history.record(PoolMoved(pool="default", slots=8, in_use=1, waiting=0, waited_ns=None))
    rig.clock.advance(SECOND)
    scheduler.history.gone()
    snapshot = scheduler.history.snapshot()
    assert (snapshot.state, snapshot.ticked_ns, snapshot.pools, snapshot.holds) == (GONE, None, {}, [])
    assert snapshot.gone_wall_ns == rig.clock.wall_ns()
    job = job_of(scheduler)
    assert ([view.outcome for view in job.recent], job.open_occurrences) == (["success", ""], [])
    assert job.recent[-1].state == "left"
    assert job.recent[-1].why == "its scheduler, host-1, went away at 00:00:01.000Z, and nothing says how it ended"


def test_a_scheduler_that_said_it_stopped_is_not_just_gone(scheduler: FakeScheduler) -> None:
    scheduler.moved("running", "stop_asked", "draining")
    scheduler.moved("draining", "stopped", "stopped")
    scheduler.history.gone()
    assert scheduler.history.snapshot().state == "stopped"


def test_an_introduction_brings_back_what_is_live(rig: SidecarRig, scheduler: FakeScheduler) -> None:
    kept = ListSink()
    running, lost = scheduler.occurrence("nightly"), scheduler.occurrence("nightly")
    for occurrence in (running, lost):
        scheduler.begin(occurrence)
        scheduler.run_on(occurrence, scheduler.lock("nightly"), fence=1)
    scheduler.history.gone()
    told = rig.scheduler("host-1")  # what the scheduler's own side would tell again
    told.sink = kept
    told.start("nightly")
    again = told.occurrence("nightly", running.due_ns, running.run_id)
    told.begin(again, next_due_ns=1)
    told.run_on(again, told.lock("nightly"), fence=1)
    scheduler.history.restored(kept.events)
    snapshot, job = scheduler.history.snapshot(), job_of(scheduler)
    assert (snapshot.state, snapshot.gone_wall_ns, len(snapshot.holds)) == ("running", None, 1)
    assert [view.run_id for view in job.open_occurrences] == [running.run_id]
    assert [view.run_id for view in job.recent] == [lost.run_id] == [view.run_id for view in snapshot.runs]
    assert job.next_due_ns == scheduler.registration("nightly").next_due_ns, "not what a run in flight said long ago"


def test_a_job_that_is_not_introduced_again_is_not_declared_any_more(scheduler: FakeScheduler) -> None:
    scheduler.history.restored([])
    assert job_of(scheduler).declared is None
    assert scheduler.history.snapshot().limits == {}


def test_memory_is_bounded(rig: SidecarRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "JOBS_MAX", 5)
    scheduler = rig.scheduler()
    for number in range(100):
        for job in range(10):
            occurrence = scheduler.occurrence(f"job-{job}", due_ns=number)
            scheduler.begin(occurrence)
            lock = scheduler.lock(f"job-{job}", f"job-{job}", occurrence.run_id)
            scheduler.run_on(occurrence, lock, fence=number + 1)
            scheduler.end(occurrence)
    snapshot = scheduler.history.snapshot()
    assert [job.name for job in snapshot.jobs] == [f"job-{number}" for number in range(5)]
    assert {len(job.recent) for job in snapshot.jobs} == {RECENT_MAX}
    assert snapshot.left_out > 0


def test_a_full_history_fits_in_memory(rig: SidecarRig) -> None:
    """A thousand jobs with forty outcomes each: some twenty megabytes."""
    scheduler = rig.scheduler()
    for job in range(50):
        for number in range(60):
            occurrence = scheduler.occurrence(f"job-{job}", due_ns=number)
            occurrence.fire(OccurrenceEvent.FELL_DUE)
            occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    views = [view for job in scheduler.history.snapshot().jobs for view in job.recent]
    assert len(views) == 50 * RECENT_MAX
    each = sys.getsizeof(views[0]) + sum(sys.getsizeof(getattr(views[0], name)) for name in views[0].__struct_fields__)
    assert each < 2_000


class Both:
    """Tells two sinks."""

    def __init__(self, *sinks: EventSink) -> None:
        self.sinks = sinks

    def record(self, event: Event) -> None:
        for sink in self.sinks:
            sink.record(event)


MOVES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(OccurrenceEvent), st.sampled_from(Outcome), st.booleans()),
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_it_agrees_with_the_metrics_after_every_event(moves: list[tuple[int, OccurrenceEvent, Outcome, bool]]) -> None:
    rig = SidecarRig()
    scheduler = rig.scheduler()
    metrics = MetricSink(rig.clock, CollectorRegistry())
    scheduler.sink = Both(metrics, scheduler.history)
    scheduler.start("a", "b")
    occurrences = [scheduler.occurrence("ab"[number % 2]) for number in range(6)]
    for number, event, outcome, fresh in moves:
        reason = SkipReason.OVERLAP if outcome is Outcome.SKIPPED else ""
        try:
            if event is OccurrenceEvent.ENDED:
                occurrences[number].fire(event, outcome=outcome, reason=reason)
            else:
                occurrences[number].fire(event)
        except IllegalTransition:
            if fresh:
                occurrences[number] = scheduler.occurrence("ab"[number % 2])
        shown = {
            (sample.name, sample.labels["job_name"]): sample.value
            for family in metrics.collect()
            if family.name in ("tickglass_job_pending", "tickglass_job_running")
            for sample in family.samples
        }
        for job in scheduler.history.snapshot().jobs:
            running = sum(view.state in ("running", "stopping") for view in job.open_occurrences)
            assert len(job.open_occurrences) == shown["tickglass_job_pending", job.name]
            assert running == shown["tickglass_job_running", job.name]
            assert len(job.recent) <= RECENT_MAX


def test_moves_of_which_the_beginning_was_lost_are_taken_as_they_come(scheduler: FakeScheduler) -> None:
    scheduler.sink = kept = ListSink()
    occurrence = scheduler.occurrence("nightly")
    scheduler.begin(occurrence)
    occurrence.fire(OccurrenceEvent.CLAIMED)
    occurrence.fire(OccurrenceEvent.STARTED)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS)
    scheduler.history.record(kept.events[-1])
    assert [view.outcome for view in job_of(scheduler).recent] == ["success"]
    assert job_of(scheduler).recent[0].started_wall_ns is None, "nobody said when"
