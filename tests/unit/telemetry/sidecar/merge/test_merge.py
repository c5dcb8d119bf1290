from __future__ import annotations

import msgspec
from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, SidecarRig

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import FencingRejected, PoolMoved
from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason
from tickglass.sched.ports import SILENT_AFTER_NS, InstanceRecord
from tickglass.telemetry.sidecar.merge.merge import TIMELINE_NS
from tickglass.telemetry.sidecar.view import View

# --- jobs


def test_nothing_is_known_at_first(rig: SidecarRig) -> None:
    view = rig.view()
    assert (view.jobs, view.locks, view.schedulers, view.stores) == ([], [], [], [])
    assert view.unready == ["no scheduler has connected yet, and no store is read"]


def test_a_job_is_told_by_its_scheduler_alone(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    occurrence = scheduler.occurrence("nightly")
    scheduler.begin(occurrence)
    scheduler.run_on(occurrence, scheduler.lock("nightly", "nightly", occurrence.run_id), fence=1)
    job = rig.job()
    assert (job.running, job.pending, job.running_since_wall_ns) == (1, 1, rig.clock.wall_ns())
    assert (job.next_due_ns, job.overdue_ns, job.owners, job.abandoned) == (
        occurrence.due_ns + EVERY_NS,
        0,
        ["host-1"],
        None,
    )
    assert (job.interval_ns, job.grace_ns, job.timeout_ns) == (EVERY_NS, GRACE_NS, 25 * SECOND)
    rig.clock.advance(SECOND)
    scheduler.end(occurrence, late_ns=3 * MS)
    job = rig.job()
    assert (job.running, job.pending, job.lateness_ns) == (0, 0, [3 * MS])
    assert [view.outcome for view in job.recent] == ["success"]


def test_a_job_is_known_from_the_store_alone(rig: SidecarRig) -> None:
    rig.register()
    first, second = rig.claim(), rig.claim("other", resource="elsewhere")
    rig.clock.advance(SECOND)
    rig.settle(first, "failure", detail="ValueError: no")
    rig.register("other")
    rig.probe()
    job, other = rig.job(), rig.job("other")
    assert (job.next_due_ns, job.failures, job.abandoned, job.owners) == (first.due_ns + EVERY_NS, 1, 0, ["host-1"])
    assert (job.interval_ns, job.last_success_wall_ns, job.last_end_wall_ns) == (
        EVERY_NS,
        None,
        rig.clock.wall_ns(),
    )
    assert [(view.outcome, view.why) for view in job.recent] == [("failure", "failed after 999 ms: ValueError: no")]
    assert (other.running, other.running_since_wall_ns, other.next_due_ns) == (1, second.due_ns, None)


def test_what_a_live_scheduler_reports_overrides_an_older_probe(rig: SidecarRig) -> None:
    rig.register()
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    rig.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    rig.probe()
    due_ns = rig.clock.wall_ns() - GRACE_NS - SECOND
    occurrence = scheduler.occurrence("nightly", due_ns)
    scheduler.begin(occurrence)
    scheduler.turn()
    job = rig.job()
    assert (job.overdue_ns, job.next_due_ns, job.pending) == (0, due_ns + EVERY_NS, 1)


def test_an_abandoned_claim_is_seen(rig: SidecarRig) -> None:
    rig.register()
    ask = rig.claim(owner="host-9")
    rig.clock.advance(TTL_NS + SECOND)
    rig.probe()
    job = rig.job()
    assert (job.abandoned, job.running) == (1, 0)
    assert [(view.state, view.due_ns) for view in job.recent] == [
        ("abandoned", ask.due_ns),
        ("overdue", ask.due_ns + EVERY_NS),
    ]
    assert job.recent[0].why == (
        "abandoned: host-9 claimed it at 00:00:00.000Z, and its lease ended before an outcome was recorded"
    )


def test_a_run_that_was_left_ends_as_the_ledger_says(rig: SidecarRig) -> None:
    rig.register()
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    ask = rig.claim()
    occurrence = scheduler.occurrence("nightly", ask.due_ns, ask.lease.run_id)
    scheduler.begin(occurrence)
    scheduler.run_on(occurrence, scheduler.lock("nightly", "nightly", ask.lease.run_id), fence=1)
    scheduler.leave()
    assert [view.state for view in rig.job().recent] == ["left"]
    rig.probe()
    assert [view.state for view in rig.job().recent] == ["left"]
    rig.clock.advance(SECOND)
    rig.settle(ask)
    rig.probe()
    assert [(view.outcome, view.state) for view in rig.job().recent] == [("success", "")]


def test_a_run_that_was_left_and_whose_lease_ended_is_abandoned(rig: SidecarRig) -> None:
    rig.register()
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    ask = rig.claim()
    scheduler.begin(occurrence := scheduler.occurrence("nightly", ask.due_ns, ask.lease.run_id))
    scheduler.run_on(occurrence, scheduler.lock("nightly", "nightly", ask.lease.run_id), fence=1)
    scheduler.leave()
    rig.clock.advance(TTL_NS + SECOND)
    rig.probe()
    abandoned = rig.job().recent[0]
    assert (abandoned.state, abandoned.run_id) == ("abandoned", ask.lease.run_id)
    assert abandoned.started_wall_ns == ask.due_ns, "which the ledger does not know"


def test_of_several_schedulers_the_one_that_ran_it_is_the_truth(rig: SidecarRig) -> None:
    rig.register()
    one, two = rig.scheduler("host-1"), rig.scheduler("host-2")
    one.start("nightly")
    two.start("nightly")
    ask = rig.claim(owner="host-2")
    ran = two.occurrence("nightly", ask.due_ns, ask.lease.run_id)
    two.begin(ran)
    beaten = one.occurrence("nightly", ask.due_ns)
    one.begin(beaten)
    assert rig.job().pending == 2
    assert [view.state for view in rig.job().recent] == ["claiming"]
    two.run_on(ran, two.lock("nightly", "nightly", ran.run_id), fence=1)
    assert [view.state for view in rig.job().recent] == ["running"]
    rig.clock.advance(400_000)
    lock = one.lock("nightly", "nightly", beaten.run_id)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.REFUSED, other_owner="host-2")
    beaten.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
    rig.clock.advance(SECOND)
    two.end(ran)
    rig.settle(ask)
    rig.probe()
    (view,) = rig.job().recent
    assert (view.outcome, view.owner, view.run_id) == ("success", "host-2", ran.run_id)
    assert view.others == ("host-1: elsewhere: claimed by host-2 0.40 ms earlier, where it ended as success",)
    assert rig.job().owners == ["host-1", "host-2"]


def test_an_occurrence_that_all_instances_skipped_is_shown_once(rig: SidecarRig) -> None:
    for owner in ("host-1", "host-2"):
        scheduler = rig.scheduler(owner)
        scheduler.start("nightly")
        occurrence = scheduler.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=SkipReason.SKEW)
    (view,) = rig.job().recent
    assert (view.outcome, view.owner, len(view.others)) == ("skipped", "host-1", 1)


def test_two_attempts_are_both_shown(rig: SidecarRig) -> None:
    rig.register()
    died = rig.claim(owner="host-1")
    rig.clock.advance(TTL_NS + SECOND)
    again = rig.claim(due_ns=died.due_ns, owner="host-2")
    rig.settle(again)
    rig.probe()
    assert [(view.attempt, view.outcome, view.owner) for view in rig.job().recent[:2]] == [
        (1, "orphaned", "host-1"),
        (2, "success", "host-2"),
    ]
    assert rig.job().recent[0].why == "orphaned: host-1 died before it recorded an outcome; attempt 2 followed"


def test_failures_are_those_since_the_last_success_anywhere(rig: SidecarRig) -> None:
    rig.register()
    for number, outcome in enumerate(("failure", "success", "failure", "timeout", "cancelled")):
        ask = rig.claim(due_ns=rig.clock.wall_ns() + number)
        rig.settle(ask, outcome)
    rig.probe()
    assert rig.job().failures == 2


# --- the rest


def test_a_probe_that_is_too_old_is_left_out_and_the_view_says_so(rig: SidecarRig) -> None:
    rig.register()
    rig.claim()
    rig.probe()
    rig.clock.advance(60 * SECOND)
    view = rig.view()
    assert (view.jobs, view.locks) == ([], [])
    assert view.unready == ["memory:// has not answered for 1m00s, and is left out"]
    assert (view.stores[0].ok, view.stores[0].age_ns, view.stores[0].leases) == (False, 60 * SECOND, 1)


def test_the_timeline_shows_the_last_minutes_and_what_is_in_hand(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.start("nightly")
    running, ended = scheduler.occurrence("nightly"), scheduler.occurrence("nightly", due_ns=rig.clock.wall_ns() + 1)
    scheduler.begin(running)
    scheduler.run_on(running, scheduler.lock("nightly"), fence=1)
    scheduler.begin(ended, next_due_ns=rig.clock.wall_ns() + 3600 * SECOND)
    scheduler.run_on(ended, scheduler.lock("nightly"), fence=2)
    scheduler.end(ended)
    scheduler.history.record(
        FencingRejected(
            resource="nightly",
            owner="host-1",
            service="billing",
            job="nightly",
            run_id="",
            fence=1,
            newest=2,
            wall_ns=rig.clock.wall_ns(),
        )
    )
    assert [run.outcome for run in rig.view().runs] == ["", "success"]
    assert [mark.what for mark in rig.view().marks] == ["rejected"]
    rig.clock.advance(TIMELINE_NS + SECOND)
    assert [run.outcome for run in rig.view().runs] == [""]
    assert rig.view().marks == []


def test_a_scheduler_is_described(rig: SidecarRig) -> None:
    scheduler = rig.scheduler()
    scheduler.gaps, scheduler.missed, scheduler.last_gap_ns = 1, 3, rig.clock.monotonic_ns()
    scheduler.start("nightly")
    scheduler.history.record(PoolMoved(pool="default", slots=8, in_use=2, waiting=0, waited_ns=None))
    rig.clock.advance(SECOND)
    (shown,) = rig.view().schedulers
    assert (shown.state, shown.connected, shown.silent_ns) == ("running", True, SECOND)
    assert (shown.pool_slots, shown.pool_in_use) == (8, 2)
    assert (shown.gaps, shown.missed, shown.gap_age_ns) == (1, 3, SECOND)
    scheduler.leave()
    (shown,) = rig.view().schedulers
    assert (shown.state, shown.connected, shown.pool_slots) == ("gone", False, None)


def test_a_view_survives_its_json(rig: SidecarRig) -> None:
    rig.register()
    rig.settle(rig.claim())
    rig.probe()
    view = rig.view()
    assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view


def test_instances_are_shown_as_their_stores_have_them_until_they_have_left(rig: SidecarRig) -> None:
    for incarnation, jobs, state in (("i1", "f1", "running"), ("i2", "f1", "running"), ("i3", "f2", "left")):
        rig.store.join(InstanceRecord("billing", "n1", incarnation, "1.2.3", jobs, state), ["a"])
    rig.clock.advance(SILENT_AFTER_NS - SECOND)
    rig.store.join(InstanceRecord("billing", "n2", "i4", "1.2.4", "f4", "draining"), ["a", "b"])
    rig.clock.advance(SECOND)
    rig.probe()
    rig.clock.advance(2 * SECOND)
    shown = {it.incarnation: (it.state, it.silent_ns // SECOND, it.difference) for it in rig.view().instances}
    assert shown == {"i1": ("silent", 62, ""), "i2": ("silent", 62, ""), "i4": ("draining", 3, "")}
