"""What the merged view says of instants that nobody did: overdue, skipped, or unknown."""

from __future__ import annotations

from dataclasses import replace

from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, SidecarRig

from tickglass.sched.durations import SECOND
from tickglass.sched.events import PoolMoved
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.sched.ports import InstanceRecord
from tickglass.telemetry.sidecar.stores.overdue import DROPPED_AFTER_NS


def test_an_occurrence_that_nobody_claims_is_overdue_though_every_scheduler_is_dead(rig: SidecarRig) -> None:
    record = rig.register()
    assert record.next_due_ns is not None
    rig.clock.advance(EVERY_NS + GRACE_NS)
    rig.probe()
    assert rig.job().overdue_ns == 0, "its grace has not passed"
    rig.clock.advance(SECOND)
    assert rig.job().overdue_ns == 0, "who knows what happened since the look"
    rig.probe()
    rig.clock.advance(2 * SECOND)
    job = rig.job()
    assert (job.next_due_ns, job.overdue_ns) == (record.next_due_ns, GRACE_NS + 3 * SECOND)
    assert job.why == (
        "no instance claimed it: it was due 8.00 s ago, its grace of 5s has passed, "
        "and the last instance that registered it is host-1, 18.00 s ago"
    )
    assert [(view.state, view.due_ns) for view in job.recent] == [("overdue", record.next_due_ns)]


def test_how_long_ago_a_store_says_something_does_not_depend_on_its_clock(rig: SidecarRig) -> None:
    rig.register()
    rig.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    rig.probe()
    (snapshot,) = rig.snapshots
    (record,) = snapshot.jobs
    ahead = replace(record, seen_wall_ns=record.seen_wall_ns + 7 * SECOND)
    rig.snapshots = [replace(snapshot, jobs=(ahead,), skew_ns=-7 * SECOND)]
    assert "the last instance that registered it is host-1, 16.00 s ago" in rig.job().why


def test_an_overdue_job_says_that_its_scheduler_went_away(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.register()
    scheduler.leave()
    rig.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    rig.probe()
    assert rig.job().why.endswith("and host-1, which had it, went away 16.00 s ago")


def test_without_a_store_nobody_knows_what_a_gone_scheduler_would_have_done(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    scheduler.leave()
    rig.clock.advance(EVERY_NS * 10)
    job = rig.job()
    assert (job.next_due_ns, job.overdue_ns, job.abandoned) == (None, 0, None)


def test_a_job_that_nobody_at_work_has_is_not_missed_if_who_had_it_is_not_known_to_have_died(rig: SidecarRig) -> None:
    rig.register()
    scheduler = rig.scheduler("host-2")
    rig.clock.advance(10 * EVERY_NS)
    scheduler.start("another")
    rig.probe()
    assert rig.job().overdue_ns == 0
    stopped = rig.scheduler("host-1")
    stopped.start()
    stopped.moved("running", "stop_asked", "draining")
    stopped.moved("draining", "drained", "stopped")
    stopped.leave()
    assert rig.job().overdue_ns == 0


def test_a_service_that_was_stopped_on_request_has_no_overdue_jobs(rig: SidecarRig) -> None:
    rig.register()
    scheduler = rig.scheduler("host-1")
    scheduler.start("nightly")
    scheduler.moved("running", "stop_asked", "draining")
    scheduler.moved("draining", "drained", "stopped")
    scheduler.leave()
    rig.clock.advance(10 * EVERY_NS)
    rig.probe()
    assert rig.job().overdue_ns == 0
    died = rig.scheduler("host-2")
    died.start("nightly")
    died.leave()
    rig.clock.advance(10 * EVERY_NS)
    rig.probe()
    assert rig.job().overdue_ns > 0


def test_others_that_are_at_work_without_a_job_of_one_that_died_are_believed_after_an_hour(rig: SidecarRig) -> None:
    rig.register()
    died = rig.scheduler("host-1")
    died.start("nightly")
    died.leave()
    scheduler = rig.scheduler("host-2")
    for passed_ns, overdue in ((DROPPED_AFTER_NS, True), (EVERY_NS + SECOND, False)):
        rig.clock.advance(passed_ns)
        scheduler.start("another")
        rig.probe()
        assert bool(rig.job().overdue_ns) is overdue


def test_instants_during_a_long_run_were_skipped_and_are_not_overdue(rig: SidecarRig) -> None:
    rig.register(ttl_ns=1000 * SECOND)
    ask = rig.claim()
    rig.clock.advance(TTL_NS - SECOND)
    rig.probe()
    assert (rig.job().overdue_ns, rig.job().next_due_ns) == (0, None)
    rig.settle(ask)
    rig.clock.advance(2 * SECOND)
    rig.probe()
    job = rig.job()
    assert job.overdue_ns == 0
    assert job.next_due_ns == ask.due_ns + TTL_NS, "the first that is due after its end"


def test_after_a_long_run_of_a_foreign_trigger_nobody_knows_what_is_next(rig: SidecarRig) -> None:
    rig.register(trigger="Tides()")
    ask = rig.claim()
    rig.clock.advance(TTL_NS - SECOND)
    rig.settle(ask)
    rig.clock.advance(10 * EVERY_NS)
    rig.probe()
    assert (rig.job().next_due_ns, rig.job().overdue_ns, rig.job().interval_ns) == (None, 0, None)


def test_a_job_that_its_scheduler_does_not_have_any_more_is_not_overdue(rig: SidecarRig) -> None:
    rig.register()
    rig.scheduler().start("another")
    rig.clock.advance(EVERY_NS * 10)
    rig.schedulers[0].turn()
    rig.probe()
    assert (rig.job().next_due_ns, rig.job().overdue_ns) == (None, 0)


def test_a_job_whose_resource_is_held_says_by_whom(rig: SidecarRig) -> None:
    rig.register("labels", resource="printer")
    rig.register("invoices", resource="printer")
    rig.clock.advance(EVERY_NS)
    rig.claim("labels", resource="printer", owner="host-2")
    rig.clock.advance(GRACE_NS + SECOND)
    rig.probe()
    assert rig.job("invoices").why.endswith("and printer is held by host-2 (job labels) since 00:00:10.000Z")


def test_what_a_scheduler_skipped_before_it_went_away_is_not_overdue(rig: SidecarRig) -> None:
    rig.register()
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.claim()
    rig.clock.advance(EVERY_NS)
    occurrence = scheduler.occurrence("nightly")
    occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=occurrence.due_ns + EVERY_NS)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    scheduler.leave()
    rig.clock.advance(TTL_NS)
    rig.probe()
    assert rig.job().next_due_ns == occurrence.due_ns + EVERY_NS
    assert rig.job().recent[-1].due_ns == occurrence.due_ns + EVERY_NS


def test_a_scheduler_whose_timeline_stands_still_is_stalled_and_its_jobs_overdue(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.clock.advance(EVERY_NS + GRACE_NS + 3 * SECOND)
    view = rig.view()
    assert view.schedulers[0].stalled
    assert view.unready == ["the timeline of host-1 does not tick"]
    assert view.jobs[0].overdue_ns == GRACE_NS + 3 * SECOND
    assert view.jobs[0].why.endswith("and the timeline of host-1 has not ticked for 18.00 s")
    scheduler.turn()
    assert not rig.view().schedulers[0].stalled


def test_a_scheduler_at_work_leaves_nothing_undone_though_its_word_was_lost(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.clock.advance(EVERY_NS + GRACE_NS + 4 * SECOND)
    scheduler.turn()
    scheduler.gaps, scheduler.missed, scheduler.last_gap_ns = 1, 3, rig.clock.monotonic_ns() - SECOND
    assert (rig.job().overdue_ns, rig.job().why) == (0, "")
    assert rig.job().next_due_ns == rig.clock.wall_ns() + SECOND


def test_what_a_scheduler_at_work_keeps_back_is_overdue_as_its_metrics_say(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    scheduler.history.record(PoolMoved(pool="default", slots=2, in_use=2, waiting=16, waited_ns=None))
    rig.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    scheduler.turn()
    assert rig.job().overdue_ns == 0, "an event may be under way"
    rig.clock.advance(3 * SECOND)
    scheduler.turn()
    job = rig.job()
    assert (job.overdue_ns, job.next_due_ns) == (GRACE_NS + 4 * SECOND, rig.clock.wall_ns() - GRACE_NS - 4 * SECOND)
    assert job.why == (
        "no instance claimed it: it was due 9.00 s ago, its grace of 5s has passed, and all workers of host-1 are busy"
    )
    other = rig.scheduler("host-2")
    other.start("nightly")
    assert rig.job().overdue_ns == 0, "another instance has gone on"


def test_what_passes_while_the_job_is_in_hand_is_not_overdue(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.clock.advance(EVERY_NS)
    scheduler.begin(scheduler.occurrence("nightly"))
    rig.clock.advance(EVERY_NS + GRACE_NS + 4 * SECOND)
    scheduler.turn()
    assert (rig.job().overdue_ns, rig.job().next_due_ns) == (0, rig.clock.wall_ns() + SECOND)


def test_a_job_that_no_living_instance_has_is_not_overdue(rig: SidecarRig) -> None:
    rig.register()
    rig.settle(rig.claim())
    rig.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    rig.probe()
    assert rig.job().overdue_ns > 0
    rig.store.join(InstanceRecord("billing", "n1", "i1", "1.2.3", "f1", "running"), ["another"])
    rig.probe()
    assert (rig.job().overdue_ns, rig.job().next_due_ns) == (0, None)
