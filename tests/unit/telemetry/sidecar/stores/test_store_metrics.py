from __future__ import annotations

import pytest
from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, ScriptedStore, SidecarRig

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import SILENT_AFTER_NS, InstanceRecord, LeaseAsk
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.telemetry import catalogue
from tickglass.telemetry.sidecar.stores.probe import probe_once
from tickglass.telemetry.sidecar.stores.store_metrics import SHOWN_MAX, STORE_METRICS, store_families


@pytest.fixture
def rig() -> SidecarRig:
    return SidecarRig()


def down() -> None:
    raise StoreUnavailable("redis", "leases", "nobody there")


def shown(rig: SidecarRig) -> dict[str, dict[str, float]]:
    """Return every sample by name, and by its labels but for the source, and the service that is added."""
    found: dict[str, dict[str, float]] = {}
    for family in store_families(rig.snapshots, rig.clock.reading()):
        for sample in family.samples:
            of_lock = "resource" in sample.labels and "owner" not in sample.labels
            added = {"source", "service"} if of_lock else {"source"}
            labels = {name: value for name, value in sample.labels.items() if name not in added}
            assert sample.labels["source"] == "memory://"
            found.setdefault(sample.name, {})["/".join(labels.values())] = sample.value
    return found


def test_the_metrics_of_a_frozen_holder_grow_between_two_probes(rig: SidecarRig) -> None:
    rig.register()
    ask = rig.claim(owner="frozen")
    rig.probe()
    rig.clock.advance(7 * SECOND)
    found = shown(rig)
    assert found["distributed_lock_held_seconds"] == {"nightly/frozen/billing": 7}
    assert found["distributed_lock_acquired_timestamp_seconds"] == {"nightly/frozen/billing": ask.due_ns / SECOND}
    assert found["distributed_lock_lease_expiry_timestamp_seconds"] == {"nightly": (ask.due_ns + TTL_NS) / SECOND}
    assert found["distributed_lock_lease_ttl_seconds"] == {"nightly": 30}
    assert found["distributed_lock_max_hold_seconds"] == {"nightly": 25}
    assert found["distributed_lock_fencing_token"] == {"nightly": rig.store.leases()[0].fence}
    assert "distributed_lock_lease_expired_seconds" not in found
    assert "tickglass_job_next_run_timestamp_seconds" not in found, "it runs"


def test_jobs_of_one_name_have_series_of_their_own(rig: SidecarRig) -> None:
    rig.register(service="billing")
    rig.register(service="mail")
    rig.claim(service="mail", owner="dead")
    rig.clock.advance(TTL_NS + SECOND)
    rig.probe()
    assert shown(rig)["tickglass_job_abandoned_claims"] == {"nightly/billing": 0, "nightly/mail": 1}


def test_the_metrics_say_what_expired_and_what_was_abandoned(rig: SidecarRig) -> None:
    rig.register()
    rig.settle(rig.claim(), "failure")
    rig.settle(rig.claim(due_ns=rig.clock.wall_ns() + 1))
    rig.claim(due_ns=rig.clock.wall_ns() + 2, owner="dead")
    rig.clock.advance(TTL_NS + SECOND)
    rig.probe()
    rig.clock.advance(SECOND)
    found = shown(rig)
    assert found["distributed_lock_lease_expired_seconds"] == {"nightly/dead/billing": 2}
    of_holders = {"held_seconds", "acquired_timestamp_seconds", "lease_expiry_timestamp_seconds"}
    assert not {f"distributed_lock_{name}" for name in of_holders} & found.keys(), "nobody holds it"
    assert found["tickglass_job_abandoned_claims"] == {"nightly/billing": 1}
    assert found["tickglass_job_interval_seconds"] == {"nightly/billing": EVERY_NS / SECOND}
    assert found["tickglass_job_misfire_grace_seconds"] == {"nightly/billing": GRACE_NS / SECOND}
    began_s = (rig.clock.wall_ns() - TTL_NS - 2 * SECOND) / SECOND
    assert found["tickglass_job_last_completion_timestamp_seconds"] == {"nightly/billing": began_s}
    assert found["tickglass_job_last_success_timestamp_seconds"] == {"nightly/billing": began_s}
    assert found["tickglass_job_next_run_timestamp_seconds"]["nightly/billing"] == pytest.approx(began_s + 10)


def test_of_too_many_leases_the_live_ones_have_series(rig: SidecarRig) -> None:
    def take(resource: str, ttl_ns: int) -> None:
        rig.store.acquire(LeaseAsk(resource, "host-1", "billing", resource, ttl_ns))

    take("dead for long", SECOND)
    rig.clock.advance(2 * SECOND)
    for number in range(SHOWN_MAX):
        take(f"dead {number}", SECOND)
    rig.clock.advance(2 * SECOND)
    take("live", TTL_NS)
    rig.probe()
    found = shown(rig)
    assert found["distributed_lock_held_seconds"] == {"live/host-1/billing": 0}
    ended = found["distributed_lock_lease_expired_seconds"]
    assert (len(ended), "dead for long/host-1/billing" in ended) == (SHOWN_MAX - 1, False)


def test_a_probe_that_is_too_old_is_reported_without_what_it_saw(rig: SidecarRig) -> None:
    rig.register()
    rig.claim()
    rig.probe()
    rig.clock.advance(60 * SECOND)
    found = shown(rig)
    of_sidecar = {name for name in found if name.startswith("tickglass_sidecar_")}
    assert found.keys() - of_sidecar == {"tickglass_store_missing_records_total"}
    assert found["tickglass_sidecar_source_last_success_timestamp_seconds"] == {
        "": (rig.clock.wall_ns() - 60 * SECOND) / SECOND
    }
    assert found["tickglass_sidecar_probe_errors_total"] == {"unavailable": 0, "error": 0}
    assert found["tickglass_sidecar_probe_duration_seconds_count"] == {"": 1}


def test_a_store_that_was_never_seen_has_its_errors_only(rig: SidecarRig) -> None:
    rig.snapshots = [probe_once("memory://", ScriptedStore(rig.store, down), rig.clock)]
    found = shown(rig)
    assert "tickglass_sidecar_source_last_success_timestamp_seconds" not in found
    assert found["tickglass_sidecar_probe_errors_total"] == {"unavailable": 1, "error": 0}


def test_so_many_locks_get_series_and_no_more_the_longest_held_first(rig: SidecarRig) -> None:
    rig.store.acquire(LeaseAsk("old", "host-1", "billing", "old", 2 * TTL_NS))
    rig.clock.advance(SECOND)
    for number in range(1_100):
        rig.store.acquire(LeaseAsk(f"order-{number}", "host-1", "billing", f"t{number}", 2 * TTL_NS))
    rig.probe()
    held = shown(rig)["distributed_lock_held_seconds"]
    assert len(held) == 1_000
    assert "old/host-1/billing" in held


def test_what_is_shown_is_declared() -> None:
    declared = set(catalogue.metrics())
    assert set(STORE_METRICS) <= declared
    assert len({family.name for family in store_families([], SystemClock().reading())}) == len(STORE_METRICS)


def join(rig: SidecarRig, owner: str, *jobs: str, incarnation: str = "", state: str = "running") -> None:
    record = InstanceRecord("billing", owner, incarnation or owner, "1.2.3", "+".join(jobs), state)
    rig.store.join(record, jobs)


def test_the_metrics_say_how_many_instances_live_are_silent_and_have_each_job(rig: SidecarRig) -> None:
    for name in ("nightly", "some", "retired"):
        rig.register(name)
    rig.register("nightly", service="mail")
    join(rig, "died", "nightly")
    join(rig, "again", "nightly", incarnation="before")
    rig.clock.advance(SILENT_AFTER_NS)
    join(rig, "again", "nightly", "some", incarnation="after")
    join(rig, "n1", "nightly", state="draining")
    join(rig, "gone", "retired", state="left")
    rig.probe()
    found = shown(rig)
    assert found["tickglass_service_instances"] == {"billing": 2}
    assert found["tickglass_service_silent_instances"] == {"billing": 1}, "the other one was started again"
    assert found["tickglass_job_instances"] == {"nightly/billing": 2, "some/billing": 1}


def test_a_job_that_no_living_instance_has_is_not_due_and_is_without_limits(rig: SidecarRig) -> None:
    rig.register("kept")
    rig.register("retired")
    rig.probe()
    due = "tickglass_job_next_run_timestamp_seconds"
    assert shown(rig)[due].keys() == {"kept/billing", "retired/billing"}
    join(rig, "n1", "kept")
    rig.probe()
    found = shown(rig)
    assert found[due].keys() == {"kept/billing"}
    assert found["tickglass_job_interval_seconds"].keys() == {"kept/billing"}
    assert found["tickglass_job_abandoned_claims"].keys() == {"kept/billing", "retired/billing"}


def test_what_is_read_of_jobs_and_locks_names_their_service(rig: SidecarRig) -> None:
    rig.register()
    rig.claim(owner="frozen")
    rig.probe()
    for family in store_families(rig.snapshots, rig.clock.reading()):
        for sample in family.samples:
            about_the_probe = sample.name.startswith(("tickglass_sidecar_", "tickglass_store_missing"))
            assert sample.labels.get("service") == (None if about_the_probe else "billing"), sample


def test_a_job_is_as_overdue_as_the_probe_saw_it_however_late_the_scrape(rig: SidecarRig) -> None:
    rig.register()
    rig.probe()
    assert shown(rig)["tickglass_job_overdue_seconds"] == {"nightly/billing": 0}
    rig.clock.advance(EVERY_NS + 3 * SECOND)
    rig.probe()
    rig.clock.advance(4 * SECOND)
    assert shown(rig)["tickglass_job_overdue_seconds"] == {"nightly/billing": 3}
    assert shown(rig)["tickglass_sidecar_source_age_seconds"] == {"": 4}, "its only label is the source"


def test_records_that_a_probe_found_missing_are_counted_by_kind(rig: SidecarRig) -> None:
    store = ScriptedStore(rig.store)
    store.found_missing = [MissingRecord(MissingKind.LEASE, "printer")]
    rig.snapshots = [probe_once("memory://", store, rig.clock)]
    found = shown(rig)["tickglass_store_missing_records_total"]
    assert found == {"lease": 1, "job": 0, "attempt": 0, "open": 0}
