from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, Lookout

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import FencingRejected, PoolMoved
from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.telemetry.sidecar.merge.merge import TIMELINE_NS
from tickglass.telemetry.sidecar.stores.overdue import DROPPED_AFTER_NS
from tickglass.telemetry.sidecar.view import View


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


# --- jobs


def test_nothing_is_known_at_first(lookout: Lookout) -> None:
    view = lookout.view()
    assert (view.jobs, view.locks, view.schedulers, view.stores) == ([], [], [], [])
    assert view.unready == ["no scheduler has connected yet, and no store is looked into"]


def test_a_job_is_told_by_its_scheduler_alone(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    occurrence = teller.occurrence("nightly")
    teller.begin(occurrence)
    teller.run_on(occurrence, teller.lock("nightly", "nightly", occurrence.run_id), fence=1)
    job = lookout.job()
    assert (job.running, job.pending, job.running_since_wall_ns) == (1, 1, lookout.clock.wall_ns())
    assert (job.next_due_ns, job.overdue_ns, job.owners, job.abandoned) == (
        occurrence.due_ns + EVERY_NS,
        0,
        ["host-1"],
        None,
    )
    assert (job.interval_ns, job.grace_ns, job.timeout_ns) == (EVERY_NS, GRACE_NS, 25 * SECOND)
    lookout.clock.advance(SECOND)
    teller.end(occurrence, late_ns=3 * MS)
    job = lookout.job()
    assert (job.running, job.pending, job.lateness_ns) == (0, 0, [3 * MS])
    assert [view.outcome for view in job.recent] == ["success"]


def test_a_job_is_known_from_the_store_alone(lookout: Lookout) -> None:
    lookout.register()
    first, second = lookout.claim(), lookout.claim("other", resource="elsewhere")
    lookout.clock.advance(SECOND)
    lookout.settle(first, "failure", detail="ValueError: no")
    lookout.register("other")
    lookout.look()
    job, other = lookout.job(), lookout.job("other")
    assert (job.next_due_ns, job.failures, job.abandoned, job.owners) == (first.due_ns + EVERY_NS, 1, 0, ["host-1"])
    assert (job.interval_ns, job.last_success_wall_ns, job.last_end_wall_ns) == (
        EVERY_NS,
        None,
        lookout.clock.wall_ns(),
    )
    assert [(view.outcome, view.why) for view in job.recent] == [("failure", "failed after 999 ms: ValueError: no")]
    assert (other.running, other.running_since_wall_ns, other.next_due_ns) == (1, second.due_ns, None)


def test_an_occurrence_that_nobody_claims_is_overdue_though_every_scheduler_is_dead(lookout: Lookout) -> None:
    record = lookout.register()
    assert record.next_due_ns is not None
    lookout.clock.advance(EVERY_NS + GRACE_NS)
    lookout.look()
    assert lookout.job().overdue_ns == 0, "its grace has not passed"
    lookout.clock.advance(SECOND)
    assert lookout.job().overdue_ns == 0, "who knows what happened since the look"
    lookout.look()
    lookout.clock.advance(2 * SECOND)
    job = lookout.job()
    assert (job.next_due_ns, job.overdue_ns) == (record.next_due_ns, GRACE_NS + 3 * SECOND)
    assert job.why == (
        "nobody claimed it: it was due 8.00 s ago, its grace of 5s has passed, "
        "and the last that was heard of it is from host-1, 18.00 s ago"
    )
    assert [(view.state, view.due_ns) for view in job.recent] == [("overdue", record.next_due_ns)]


def test_how_long_ago_a_store_says_something_does_not_depend_on_its_clock(lookout: Lookout) -> None:
    lookout.register()
    lookout.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    lookout.look()
    (sight,) = lookout.sights
    (record,) = sight.jobs
    ahead = replace(record, seen_wall_ns=record.seen_wall_ns + 7 * SECOND)
    lookout.sights = [replace(sight, jobs=(ahead,), skew_ns=-7 * SECOND)]
    assert "the last that was heard of it is from host-1, 16.00 s ago" in lookout.job().why


def test_an_overdue_job_says_that_its_scheduler_went_away(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    lookout.register()
    teller.leave()
    lookout.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    lookout.look()
    assert lookout.job().why.endswith("and host-1, which had it, went away 16.00 s ago")


def test_without_a_store_nobody_knows_what_a_gone_scheduler_would_have_done(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    teller.leave()
    lookout.clock.advance(EVERY_NS * 10)
    job = lookout.job()
    assert (job.next_due_ns, job.overdue_ns, job.abandoned) == (None, 0, None)


def test_others_that_are_at_work_without_a_job_are_believed_an_hour_after_it_was_due(lookout: Lookout) -> None:
    lookout.register()
    teller = lookout.teller("host-2")
    for passed_ns, overdue in ((DROPPED_AFTER_NS, True), (EVERY_NS + SECOND, False)):
        lookout.clock.advance(passed_ns)
        teller.start("another")
        lookout.look()
        assert bool(lookout.job().overdue_ns) is overdue


def test_instants_during_a_long_run_were_skipped_and_are_not_overdue(lookout: Lookout) -> None:
    lookout.register(ttl_ns=1000 * SECOND)
    ask = lookout.claim()
    lookout.clock.advance(TTL_NS - SECOND)
    lookout.look()
    assert (lookout.job().overdue_ns, lookout.job().next_due_ns) == (0, None)
    lookout.settle(ask)
    lookout.clock.advance(2 * SECOND)
    lookout.look()
    job = lookout.job()
    assert job.overdue_ns == 0
    assert job.next_due_ns == ask.due_ns + TTL_NS, "the first that is due after its end"


def test_after_a_long_run_of_a_foreign_trigger_nobody_knows_what_is_next(lookout: Lookout) -> None:
    lookout.register(trigger="Tides()")
    ask = lookout.claim()
    lookout.clock.advance(TTL_NS - SECOND)
    lookout.settle(ask)
    lookout.clock.advance(10 * EVERY_NS)
    lookout.look()
    assert (lookout.job().next_due_ns, lookout.job().overdue_ns, lookout.job().interval_ns) == (None, 0, None)


def test_a_job_that_its_scheduler_does_not_have_any_more_is_not_overdue(lookout: Lookout) -> None:
    lookout.register()
    lookout.teller().start("another")
    lookout.clock.advance(EVERY_NS * 10)
    lookout.tellers[0].turn()
    lookout.look()
    assert (lookout.job().next_due_ns, lookout.job().overdue_ns) == (None, 0)


def test_a_job_whose_resource_is_held_says_by_whom(lookout: Lookout) -> None:
    lookout.register("labels", resource="printer")
    lookout.register("invoices", resource="printer")
    lookout.clock.advance(EVERY_NS)
    lookout.claim("labels", resource="printer", owner="host-2")
    lookout.clock.advance(GRACE_NS + SECOND)
    lookout.look()
    assert lookout.job("invoices").why.endswith("and printer is held by host-2 (job labels) since 00:00:10.000Z")


def test_what_a_scheduler_skipped_before_it_went_away_is_not_overdue(lookout: Lookout) -> None:
    lookout.register()
    teller = lookout.teller()
    teller.start("nightly")
    lookout.claim()
    lookout.clock.advance(EVERY_NS)
    occurrence = teller.occurrence("nightly")
    occurrence.fire(OccurrenceEvent.FELL_DUE, next_due_ns=occurrence.due_ns + EVERY_NS)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    teller.leave()
    lookout.clock.advance(TTL_NS)
    lookout.look()
    assert lookout.job().next_due_ns == occurrence.due_ns + EVERY_NS
    assert lookout.job().recent[-1].due_ns == occurrence.due_ns + EVERY_NS


def test_a_live_scheduler_beats_an_older_look(lookout: Lookout) -> None:
    lookout.register()
    teller = lookout.teller()
    teller.start("nightly")
    lookout.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    lookout.look()
    due_ns = lookout.clock.wall_ns() - GRACE_NS - SECOND
    occurrence = teller.occurrence("nightly", due_ns)
    teller.begin(occurrence)
    teller.turn()
    job = lookout.job()
    assert (job.overdue_ns, job.next_due_ns, job.pending) == (0, due_ns + EVERY_NS, 1)


def test_a_scheduler_whose_timeline_stands_still_is_stalled_and_its_jobs_overdue(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    lookout.clock.advance(EVERY_NS + GRACE_NS + 3 * SECOND)
    view = lookout.view()
    assert view.schedulers[0].stalled
    assert view.unready == ["the timeline of host-1 does not turn"]
    assert view.jobs[0].overdue_ns == GRACE_NS + 3 * SECOND
    assert view.jobs[0].why.endswith("and the timeline of host-1 has not turned for 18.00 s")
    teller.turn()
    assert not lookout.view().schedulers[0].stalled


def test_a_scheduler_at_work_leaves_nothing_undone_though_its_word_was_lost(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    lookout.clock.advance(EVERY_NS + GRACE_NS + 4 * SECOND)
    teller.turn()
    assert (lookout.job().overdue_ns, lookout.job().why) == (0, "")
    assert lookout.job().next_due_ns == lookout.clock.wall_ns() + SECOND


def test_an_abandoned_claim_is_seen(lookout: Lookout) -> None:
    lookout.register()
    ask = lookout.claim(owner="host-9")
    lookout.clock.advance(TTL_NS + SECOND)
    lookout.look()
    job = lookout.job()
    assert (job.abandoned, job.running) == (1, 0)
    assert [(view.state, view.due_ns) for view in job.recent] == [
        ("abandoned", ask.due_ns),
        ("overdue", ask.due_ns + EVERY_NS),
    ]
    assert job.recent[0].why == (
        "abandoned: host-9 claimed it at 00:00:00.000Z, and its lease ended without a word of how the run ended"
    )


def test_a_run_that_was_left_ends_as_the_ledger_says(lookout: Lookout) -> None:
    lookout.register()
    teller = lookout.teller()
    teller.start("nightly")
    ask = lookout.claim()
    occurrence = teller.occurrence("nightly", ask.due_ns, ask.lease.run_id)
    teller.begin(occurrence)
    teller.run_on(occurrence, teller.lock("nightly", "nightly", ask.lease.run_id), fence=1)
    teller.leave()
    assert [view.state for view in lookout.job().recent] == ["left"]
    lookout.look()
    assert [view.state for view in lookout.job().recent] == ["left"]
    lookout.clock.advance(SECOND)
    lookout.settle(ask)
    lookout.look()
    assert [(view.outcome, view.state) for view in lookout.job().recent] == [("success", "")]


def test_a_run_that_was_left_and_whose_lease_ended_is_abandoned(lookout: Lookout) -> None:
    lookout.register()
    teller = lookout.teller()
    teller.start("nightly")
    ask = lookout.claim()
    teller.begin(occurrence := teller.occurrence("nightly", ask.due_ns, ask.lease.run_id))
    teller.run_on(occurrence, teller.lock("nightly", "nightly", ask.lease.run_id), fence=1)
    teller.leave()
    lookout.clock.advance(TTL_NS + SECOND)
    lookout.look()
    abandoned = lookout.job().recent[0]
    assert (abandoned.state, abandoned.run_id) == ("abandoned", ask.lease.run_id)
    assert abandoned.started_wall_ns == ask.due_ns, "which the ledger does not know"


def test_of_several_schedulers_the_one_that_ran_it_is_the_truth(lookout: Lookout) -> None:
    lookout.register()
    one, two = lookout.teller("host-1"), lookout.teller("host-2")
    one.start("nightly")
    two.start("nightly")
    ask = lookout.claim(owner="host-2")
    ran = two.occurrence("nightly", ask.due_ns, ask.lease.run_id)
    two.begin(ran)
    beaten = one.occurrence("nightly", ask.due_ns)
    one.begin(beaten)
    assert lookout.job().pending == 2
    assert [view.state for view in lookout.job().recent] == ["claiming"]
    two.run_on(ran, two.lock("nightly", "nightly", ran.run_id), fence=1)
    assert [view.state for view in lookout.job().recent] == ["running"]
    lookout.clock.advance(400_000)
    lock = one.lock("nightly", "nightly", beaten.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.REFUSED, other_owner="host-2")
    beaten.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
    lookout.clock.advance(SECOND)
    two.end(ran)
    lookout.settle(ask)
    lookout.look()
    (view,) = lookout.job().recent
    assert (view.outcome, view.owner, view.run_id) == ("success", "host-2", ran.run_id)
    assert view.others == ("host-1: elsewhere: claimed by host-2 0.40 ms earlier, where it ended as success",)
    assert lookout.job().owners == ["host-1", "host-2"]


def test_an_occurrence_that_all_skipped_is_one(lookout: Lookout) -> None:
    for owner in ("host-1", "host-2"):
        teller = lookout.teller(owner)
        teller.start("nightly")
        occurrence = teller.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.SKEW)
    (view,) = lookout.job().recent
    assert (view.outcome, view.owner, len(view.others)) == ("skipped", "host-1", 1)


def test_two_attempts_are_both_shown(lookout: Lookout) -> None:
    lookout.register()
    died = lookout.claim(owner="host-1")
    lookout.clock.advance(TTL_NS + SECOND)
    again = lookout.claim(due_ns=died.due_ns, owner="host-2")
    lookout.settle(again)
    lookout.look()
    assert [(view.attempt, view.outcome, view.owner) for view in lookout.job().recent[:2]] == [
        (1, "orphaned", "host-1"),
        (2, "success", "host-2"),
    ]


def test_jobs_of_two_services_with_one_name_are_two(lookout: Lookout) -> None:
    one, two = lookout.teller("host-1"), lookout.teller("host-2")
    two.service = "shipping"
    one.start("nightly")
    two.start("nightly")
    assert [(job.name, job.service) for job in lookout.view().jobs] == [("nightly", "billing"), ("nightly", "shipping")]


def test_of_two_services_each_has_its_own_runs_and_marks(lookout: Lookout) -> None:
    tellers = {"billing": lookout.teller("host-1"), "shipping": lookout.teller("host-2")}
    for service, teller in tellers.items():
        teller.service = service
        teller.start("nightly")
        ended, going = (teller.occurrence("nightly", lookout.clock.wall_ns() + ns) for ns in (0, 1))
        lock = teller.lock("nightly", "nightly", ended.run_id)
        teller.begin(ended)
        teller.run_on(ended, lock, fence=1)
        lock.fire(LockEvent.EXPIRED)
        teller.end(ended, Outcome.LOST)
        teller.begin(going)
    lookout.register(owner="host-3", service="sales", name="nightly")
    lookout.claim(owner="host-3")
    lookout.look()
    view = lookout.view()
    assert {(run.service, run.owner) for run in view.runs} == {
        ("billing", "host-1"),
        ("shipping", "host-2"),
        ("sales", "host-3"),
    }
    assert [(job.service, {run.service for run in job.recent}, len(job.recent)) for job in view.jobs] == [
        ("billing", {"billing"}, 2),
        ("sales", {"sales"}, 1),
        ("shipping", {"shipping"}, 2),
    ]
    assert [(mark.service, mark.owner) for mark in view.marks] == [("billing", "host-1"), ("shipping", "host-2")]


def test_failures_are_those_since_the_last_success_anywhere(lookout: Lookout) -> None:
    lookout.register()
    for number, outcome in enumerate(("failure", "success", "failure", "timeout", "cancelled")):
        ask = lookout.claim(due_ns=lookout.clock.wall_ns() + number)
        lookout.settle(ask, outcome)
    lookout.look()
    assert lookout.job().failures == 2


# --- the rest


def test_a_look_that_is_too_old_is_left_out_and_the_view_says_so(lookout: Lookout) -> None:
    lookout.register()
    lookout.claim()
    lookout.look()
    lookout.clock.advance(60 * SECOND)
    view = lookout.view()
    assert (view.jobs, view.locks) == ([], [])
    assert view.unready == ["memory:// has not answered for 1m00s, and is left out"]
    assert (view.stores[0].ok, view.stores[0].age_ns, view.stores[0].leases) == (False, 60 * SECOND, 1)


def test_the_timeline_shows_the_last_minutes_and_what_is_in_hand(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.start("nightly")
    running, ended = teller.occurrence("nightly"), teller.occurrence("nightly", due_ns=lookout.clock.wall_ns() + 1)
    teller.begin(running)
    teller.run_on(running, teller.lock("nightly"), fence=1)
    teller.begin(ended, next_due_ns=lookout.clock.wall_ns() + 3600 * SECOND)
    teller.run_on(ended, teller.lock("nightly"), fence=2)
    teller.end(ended)
    teller.history.record(
        FencingRejected(
            resource="nightly",
            owner="host-1",
            service="billing",
            job="nightly",
            run_id="",
            fence=1,
            newest=2,
            wall_ns=lookout.clock.wall_ns(),
        )
    )
    assert [run.outcome for run in lookout.view().runs] == ["", "success"]
    assert [mark.what for mark in lookout.view().marks] == ["rejected"]
    lookout.clock.advance(TIMELINE_NS + SECOND)
    assert [run.outcome for run in lookout.view().runs] == [""]
    assert lookout.view().marks == []


def test_a_scheduler_is_described(lookout: Lookout) -> None:
    teller = lookout.teller()
    teller.gaps, teller.missed, teller.last_gap_ns = 1, 3, lookout.clock.monotonic_ns()
    teller.start("nightly")
    teller.history.record(PoolMoved(pool="default", slots=8, in_use=2, waiting=0, waited_ns=None))
    lookout.clock.advance(SECOND)
    (scheduler,) = lookout.view().schedulers
    assert (scheduler.state, scheduler.connected, scheduler.silent_ns) == ("running", True, SECOND)
    assert (scheduler.pool_slots, scheduler.pool_in_use) == (8, 2)
    assert (scheduler.gaps, scheduler.missed, scheduler.gap_age_ns) == (1, 3, SECOND)
    teller.leave()
    (scheduler,) = lookout.view().schedulers
    assert (scheduler.state, scheduler.connected, scheduler.pool_slots) == ("gone", False, None)


def test_a_view_survives_its_json(lookout: Lookout) -> None:
    lookout.register()
    lookout.settle(lookout.claim())
    lookout.look()
    view = lookout.view()
    assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view
