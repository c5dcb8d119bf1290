"""Two services with one job name are two jobs in the merged view, each with its own runs, marks and locks."""

from __future__ import annotations

from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, SidecarRig

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease, LockEvent
from tickglass.sched.occurrence import Outcome


def test_jobs_of_two_services_with_one_name_are_two(rig: SidecarRig) -> None:
    one, two = rig.scheduler("host-1"), rig.scheduler("host-2")
    two.service = "shipping"
    one.start("nightly")
    two.start("nightly")
    assert [(job.name, job.service) for job in rig.view().jobs] == [("nightly", "billing"), ("nightly", "shipping")]


def test_of_two_services_each_has_its_own_runs_and_marks(rig: SidecarRig) -> None:
    schedulers = {"billing": rig.scheduler("host-1"), "shipping": rig.scheduler("host-2")}
    for service, scheduler in schedulers.items():
        scheduler.service = service
        scheduler.start("nightly")
        ended, going = (scheduler.occurrence("nightly", rig.clock.wall_ns() + ns) for ns in (0, 1))
        lock = scheduler.lock("nightly", "nightly", ended.run_id)
        scheduler.begin(ended)
        scheduler.run_on(ended, lock, fence=1)
        lock.fire(LockEvent.EXPIRED)
        scheduler.end(ended, Outcome.LOST)
        scheduler.begin(going)
    rig.register(owner="host-3", service="sales", name="nightly")
    rig.claim(owner="host-3", service="sales")
    rig.probe()
    view = rig.view()
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


def test_of_two_services_in_one_store_each_job_has_its_own_attempts(rig: SidecarRig) -> None:
    for service, outcome in (("billing", "failure"), ("mail", "success")):
        rig.register(service=service, resource="shared")
        rig.settle(rig.claim(service=service, resource="shared"), outcome)
    rig.claim(service="mail", resource="shared", due_ns=rig.clock.wall_ns() + 1)
    rig.probe()
    found = {job.service: ([run.outcome for run in job.recent], job.failures, job.running) for job in rig.view().jobs}
    assert found == {"billing": (["failure"], 1, 0), "mail": (["success", ""], 0, 1)}


def test_an_overdue_job_names_the_service_of_the_job_that_holds_its_lock(rig: SidecarRig) -> None:
    rig.register(resource="shared", timeout_ns=None)
    rig.register(resource="shared", service="mail", timeout_ns=None)
    rig.claim(service="mail", owner="host-2", resource="shared")
    rig.clock.advance(EVERY_NS + GRACE_NS + SECOND)
    rig.store.renew(Lease("shared", "host-2", "token-0", 0, TTL_NS, 0))
    rig.probe()
    (billing,) = [job for job in rig.view().jobs if job.service == "billing"]
    assert "host-2 (job mail/nightly)" in billing.why
