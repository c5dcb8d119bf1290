from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.sidecar_views import EVERY_NS, Lookout
from prometheus_client import CollectorRegistry

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import IllegalTransition
from tickglass.sched.events import (
    ClaimOrphaned,
    InstantsMissed,
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
    from kit.sidecar_views import Teller

    from tickglass.sched.events import Event
    from tickglass.sched.ports import EventSink
    from tickglass.telemetry.sidecar.schedulers.job_history import JobSnapshot


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


@pytest.fixture
def teller(lookout: Lookout) -> Teller:
    teller = lookout.teller()
    teller.start("nightly")
    return teller


def job_of(teller: Teller, name: str = "nightly") -> JobSnapshot:
    (job,) = [job for job in teller.history.sight().jobs if job.name == name]
    return job


def test_a_run_is_followed_from_falling_due_to_its_end(lookout: Lookout, teller: Teller) -> None:
    occurrence, lock = teller.occurrence("nightly"), teller.lock("nightly")
    teller.begin(occurrence)
    assert [(hand.state, hand.outcome) for hand in job_of(teller).hands] == [("claiming", "")]
    teller.run_on(occurrence, lock, fence=7)
    (hand,) = job_of(teller).hands
    assert (hand.state, hand.fence, hand.started_wall_ns) == ("running", 7, lookout.clock.wall_ns())
    lookout.clock.advance(SECOND)
    teller.end(occurrence)
    job = job_of(teller)
    (end,) = job.recent
    assert (end.outcome, end.why, end.lateness_ns, end.ran_ns, end.fence) == ("success", "", MS, SECOND, 7)
    assert end.started_wall_ns == hand.started_wall_ns
    assert end.ended_wall_ns == job.last_success_wall_ns == job.last_end_wall_ns == lookout.clock.wall_ns()
    assert (job.hands, job.lateness_ns, job.next_due_ns) == ([], [MS], occurrence.due_ns + EVERY_NS)
    assert teller.history.sight().runs == [end]


def test_failures_are_counted_until_a_success(teller: Teller) -> None:
    for outcome in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CANCELLED):
        occurrence = teller.occurrence("nightly")
        teller.begin(occurrence)
        teller.run_on(occurrence, teller.lock("nightly"), fence=1)
        teller.end(occurrence, outcome, error="ValueError: no")
    assert job_of(teller).failures == 2
    assert job_of(teller).recent[0].why == "failed after 1.00 s: ValueError: no"
    occurrence = teller.occurrence("nightly")
    teller.begin(occurrence)
    teller.run_on(occurrence, teller.lock("nightly"), fence=2)
    teller.end(occurrence)
    assert job_of(teller).failures == 0


def test_an_overlap_names_the_start_of_the_run_before(lookout: Lookout, teller: Teller) -> None:
    previous = teller.occurrence("nightly")
    teller.begin(previous)
    lookout.clock.advance(4 * MS)
    teller.run_on(previous, teller.lock("nightly"), fence=1)
    lookout.clock.advance(EVERY_NS)
    occurrence = teller.occurrence("nightly")
    occurrence.fire(OccurrenceEvent.FELL_DUE)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    (skipped,) = job_of(teller).recent
    assert skipped.why == "skipped: its previous run, which started 00:00:00.004Z, was still going"


def test_an_overlap_with_what_waits_for_its_claim_says_so_and_how_the_store_failed(
    lookout: Lookout, teller: Teller
) -> None:
    def failed() -> None:
        wall_ns = lookout.clock.wall_ns()
        teller.history.record(
            StoreCalled(store="redis", operation="claim", duration_ns=1, error="unavailable", wall_ns=wall_ns)
        )

    def skipped() -> str:
        lookout.clock.advance(EVERY_NS)
        occurrence = teller.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
        return job_of(teller).recent[-1].why

    failed()
    lookout.clock.advance(SECOND)
    teller.begin(teller.occurrence("nightly"))
    told = "skipped: its previous occurrence, due 00:00:01.000Z, was still waiting for its claim"
    assert skipped() == told, "the store had failed before, and for another"
    failed()
    assert skipped() == f"{told}; the store's latest failure: redis, claim: unavailable"


def test_a_lock_that_was_held_names_its_holder_and_its_job(lookout: Lookout, teller: Teller) -> None:
    teller.start("labels", "invoices", resource="printer")
    held = teller.occurrence("labels")
    teller.begin(held)
    teller.run_on(held, teller.lock("printer", "labels", held.run_id), fence=1)
    occurrence = teller.occurrence("invoices")
    teller.begin(occurrence)
    lock = teller.lock("printer", "invoices", occurrence.run_id)
    lock.fire(LockEvent.REQUESTED)
    (hand,) = job_of(teller, "invoices").hands
    assert hand.why == "waits for printer, which host-1 (job labels) has held since 00:00:00.000Z"
    lookout.clock.advance(5 * SECOND)
    lock.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT, other_owner="host-1")
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.LOCK_HELD)
    (end,) = job_of(teller, "invoices").recent
    assert end.by == "host-1"
    assert end.why == "skipped: host-1 (job labels) held printer, since 00:00:00.000Z, for all of its grace of 5s"


def test_elsewhere_names_who_claimed_it(teller: Teller) -> None:
    occurrence = teller.occurrence("nightly")
    teller.begin(occurrence)
    lock = teller.lock("nightly", "nightly", occurrence.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.REFUSED, other_owner="host-2")
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
    assert job_of(teller).recent[0].why == "elsewhere: claimed by host-2"


@pytest.mark.parametrize(
    ("taken_by", "cause"), [("host-2", "host-2 has it now"), ("", "no renewal of it was confirmed")]
)
def test_a_lost_run_names_who_has_the_lease_now_and_nobody_else(teller: Teller, taken_by: str, cause: str) -> None:
    occurrence = teller.occurrence("nightly")
    teller.begin(occurrence)
    lock = teller.lock("nightly", "nightly", occurrence.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=3, other_owner="host-3")  # from whom it was taken over
    occurrence.fire(OccurrenceEvent.CLAIMED)
    occurrence.fire(OccurrenceEvent.STARTED)
    lock.fire(LockEvent.LOST if taken_by else LockEvent.EXPIRED, other_owner=taken_by)
    teller.end(occurrence, Outcome.LOST)
    assert cause in job_of(teller).recent[0].why
    assert [(mark.what, mark.other) for mark in teller.history.sight().marks] == [
        ("taken over", "host-3"),
        ("lost" if taken_by else "expired", taken_by),
    ]


def test_a_store_that_failed_and_a_skewed_clock_are_named(teller: Teller) -> None:
    told: list[Event] = [
        StoreCalled(store="redis", operation="claim", duration_ns=1, error="unavailable", wall_ns=0),
        StoreCalled(store="redis", operation="time", duration_ns=1, error="", wall_ns=0),
        SkewMeasured(skew_ns=3 * SECOND, bound_ns=1, wall_ns=0),
    ]
    for event in told:
        teller.history.record(event)
    for reason in (SkipReason.STORE_UNAVAILABLE, SkipReason.SKEW):
        occurrence = teller.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=reason)
    unavailable, skewed = (view.why for view in job_of(teller).recent)
    assert "(redis, claim: unavailable)" in unavailable
    assert "ahead of the store's by 3.00 s" in skewed


def test_an_orphan_and_a_second_attempt_name_the_claimant_that_died(teller: Teller) -> None:
    occurrence = teller.occurrence("nightly")
    orphan = ClaimOrphaned(job="nightly", due_ns=occurrence.due_ns, attempt=1, run_id="1", claimant="host-9", wall_ns=0)
    teller.history.record(orphan)
    occurrence.fire(OccurrenceEvent.FELL_DUE)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ORPHANED)
    again = teller.occurrence("nightly")
    teller.begin(again)
    again.attempt = 2
    teller.run_on(again, teller.lock("nightly"), fence=1)
    assert job_of(teller).hands[0].why == ("attempt 2: host-9, which had claimed it before, did not say how it ended")
    teller.end(again)
    orphaned, success = job_of(teller).recent
    assert orphaned.by == success.by == "host-9"
    assert orphaned.why.startswith("orphaned: host-9 died")


def test_instants_that_nobody_saw_are_one_entry_with_a_count(teller: Teller) -> None:
    missed = InstantsMissed(job="nightly", count=7, exact=True, first_due_ns=5, before_ns=90, wall_ns=100)
    teller.history.record(missed)
    (view,) = job_of(teller).recent
    assert (view.outcome, view.count, view.due_ns, view.until_ns) == ("missed", 7, 5, 90)


def test_holds_waiters_and_limits_are_those_of_now(lookout: Lookout, teller: Teller) -> None:
    teller.start("labels", resource="printer", timeout_ns=5 * SECOND)
    teller.start("invoices", resource="printer", timeout_ns=9 * SECOND)
    holder, waiting = teller.lock("printer", "labels", "a"), teller.lock("printer")
    holder.fire(LockEvent.REQUESTED)
    holder.fire(LockEvent.GRANTED, fence=4)
    waiting.fire(LockEvent.REQUESTED)
    lookout.clock.advance(SECOND)
    holder.fire(LockEvent.RENEWED, margin_ns=1)
    sight = teller.history.sight()
    (hold,) = sight.holds
    assert (hold.resource, hold.fence, hold.job) == ("printer", 4, "labels")
    assert (hold.renewed_ns - hold.since_ns, sight.waiters) == (SECOND, {"printer": 1})
    assert sight.limits == {"nightly": 25 * SECOND, "printer": 9 * SECOND}
    holder.fire(LockEvent.RELEASED)
    waiting.fire(LockEvent.GRANTED, fence=5)
    sight = teller.history.sight()
    assert ([hold.fence for hold in sight.holds], sight.waiters) == ([5], {})
    assert sight.ends == {("printer", 4): lookout.clock.monotonic_ns()}
    teller.start("unlimited", resource="printer", timeout_ns=None)
    assert teller.history.sight().limits["printer"] is None


def test_what_is_live_goes_with_the_scheduler_and_the_past_stays(lookout: Lookout, teller: Teller) -> None:
    ended, running = teller.occurrence("nightly"), teller.occurrence("nightly")
    teller.begin(ended)
    teller.run_on(ended, teller.lock("nightly"), fence=1)
    teller.end(ended)
    teller.begin(running)
    teller.run_on(running, teller.lock("nightly"), fence=2)
    teller.history.record(PoolMoved(pool="default", slots=8, in_use=1, waiting=0, waited_ns=None))
    lookout.clock.advance(SECOND)
    teller.history.gone()
    sight = teller.history.sight()
    assert (sight.state, sight.turned_ns, sight.pools, sight.holds) == (GONE, None, {}, [])
    assert sight.gone_wall_ns == lookout.clock.wall_ns()
    job = job_of(teller)
    assert ([view.outcome for view in job.recent], job.hands) == (["success", ""], [])
    assert job.recent[-1].state == "left"
    assert job.recent[-1].why == "its scheduler, host-1, went away at 00:00:01.000Z, and nothing says how it ended"


def test_a_scheduler_that_said_it_stopped_is_not_just_gone(teller: Teller) -> None:
    teller.moved("running", "stop_asked", "draining")
    teller.moved("draining", "stopped", "stopped")
    teller.history.gone()
    assert teller.history.sight().state == "stopped"


def test_an_introduction_brings_back_what_is_live(lookout: Lookout, teller: Teller) -> None:
    kept = ListSink()
    running, lost = teller.occurrence("nightly"), teller.occurrence("nightly")
    for occurrence in (running, lost):
        teller.begin(occurrence)
        teller.run_on(occurrence, teller.lock("nightly"), fence=1)
    teller.history.gone()
    told = lookout.teller("host-1")  # what the scheduler's own side would tell again
    told.sink = kept
    told.start("nightly")
    again = told.occurrence("nightly", running.due_ns, running.run_id)
    told.begin(again, next_due_ns=1)
    told.run_on(again, told.lock("nightly"), fence=1)
    teller.history.restored(kept.events)
    sight, job = teller.history.sight(), job_of(teller)
    assert (sight.state, sight.gone_wall_ns, len(sight.holds)) == ("running", None, 1)
    assert [view.run_id for view in job.hands] == [running.run_id]
    assert [view.run_id for view in job.recent] == [lost.run_id] == [view.run_id for view in sight.runs]
    assert job.next_due_ns == teller.registration("nightly").next_due_ns, "not what a run in flight said long ago"


def test_a_job_that_is_not_introduced_again_is_not_declared_any_more(teller: Teller) -> None:
    teller.history.restored([])
    assert job_of(teller).declared is None
    assert teller.history.sight().limits == {}


def test_memory_is_bounded(lookout: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "JOBS_MAX", 5)
    teller = lookout.teller()
    for number in range(100):
        for job in range(10):
            occurrence = teller.occurrence(f"job-{job}", due_ns=number)
            teller.begin(occurrence)
            lock = teller.lock(f"job-{job}", f"job-{job}", occurrence.run_id)
            teller.run_on(occurrence, lock, fence=number + 1)
            teller.end(occurrence)
    sight = teller.history.sight()
    assert [job.name for job in sight.jobs] == [f"job-{number}" for number in range(5)]
    assert {len(job.recent) for job in sight.jobs} == {RECENT_MAX}
    assert sight.left_out > 0


def test_a_full_history_fits_in_memory(lookout: Lookout) -> None:
    """A thousand jobs with forty outcomes each: some twenty megabytes."""
    teller = lookout.teller()
    for job in range(50):
        for number in range(60):
            occurrence = teller.occurrence(f"job-{job}", due_ns=number)
            occurrence.fire(OccurrenceEvent.FELL_DUE)
            occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    views = [view for job in teller.history.sight().jobs for view in job.recent]
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
    lookout = Lookout()
    teller = lookout.teller()
    metrics = MetricSink(lookout.clock, CollectorRegistry())
    teller.sink = Both(metrics, teller.history)
    teller.start("a", "b")
    occurrences = [teller.occurrence("ab"[number % 2]) for number in range(6)]
    for number, event, outcome, fresh in moves:
        reason = SkipReason.OVERLAP if outcome is Outcome.SKIPPED else ""
        try:
            if event is OccurrenceEvent.ENDED:
                occurrences[number].fire(event, outcome=outcome, reason=reason)
            else:
                occurrences[number].fire(event)
        except IllegalTransition:
            if fresh:
                occurrences[number] = teller.occurrence("ab"[number % 2])
        shown = {
            (sample.name, sample.labels["job_name"]): sample.value
            for family in metrics.collect()
            if family.name in ("tickglass_job_pending", "tickglass_job_running")
            for sample in family.samples
        }
        for job in teller.history.sight().jobs:
            running = sum(view.state in ("running", "stopping") for view in job.hands)
            assert len(job.hands) == shown["tickglass_job_pending", job.name]
            assert running == shown["tickglass_job_running", job.name]
            assert len(job.recent) <= RECENT_MAX


def test_moves_of_which_the_beginning_was_lost_are_taken_as_they_come(teller: Teller) -> None:
    teller.sink = kept = ListSink()
    occurrence = teller.occurrence("nightly")
    teller.begin(occurrence)
    occurrence.fire(OccurrenceEvent.CLAIMED)
    occurrence.fire(OccurrenceEvent.STARTED)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS)
    teller.history.record(kept.events[-1])
    assert [view.outcome for view in job_of(teller).recent] == ["success"]
    assert job_of(teller).recent[0].started_wall_ns is None, "nobody said when"
