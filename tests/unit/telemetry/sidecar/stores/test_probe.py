from __future__ import annotations

import threading

import pytest
from kit.sidecar_views import TTL_NS, ScriptedStore, SidecarRig

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.ports import InstanceRecord, LeaseAsk
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.telemetry.sidecar.stores import probe as probe_module
from tickglass.telemetry.sidecar.stores.probe import Probe, probe_once

PATIENCE_S = 10.0


@pytest.fixture
def rig() -> SidecarRig:
    return SidecarRig()


def down() -> None:
    raise StoreUnavailable("redis", "leases", "nobody there")


def broken() -> None:
    raise RuntimeError("no idea")


def test_a_probe_reads_leases_jobs_runs_and_abandoned_claims(rig: SidecarRig) -> None:
    rig.register()
    died = rig.claim("nightly", owner="dead", resource="other")
    rig.clock.advance(TTL_NS + SECOND)
    ended = rig.claim()
    rig.settle(ended)
    rig.claim("nightly", due_ns=1)
    snapshot = probe_once("memory://", rig.store, rig.clock)
    assert snapshot.taken == rig.clock.reading()
    assert [(lease.resource, lease.remaining_ns <= 0) for lease in snapshot.leases] == [
        ("nightly", False),
        ("other", True),
    ]
    assert [job.name for job in snapshot.jobs] == ["nightly"]
    assert [run.run_id for run in snapshot.abandoned] == [died.lease.run_id]
    assert [run.outcome for run in snapshot.runs[snapshot.jobs[0].job_id]] == [None, None, "success"]
    assert (snapshot.skew_ns, snapshot.skew_bound_ns, snapshot.truncated, snapshot.error) == (0, 0, False, "")


def test_who_only_shows_that_it_is_there_holds_no_lock(rig: SidecarRig) -> None:
    rig.store.acquire(LeaseAsk(presence_resource("region=a"), "n1", "billing", "t", TTL_NS))
    assert probe_once("memory://", rig.store, rig.clock).leases == ()


def test_our_clock_is_compared_with_the_stores_within_half_a_round_trip(rig: SidecarRig) -> None:
    store = ScriptedStore(rig.store)

    def slowly() -> None:
        if store.asked == ["time"]:
            rig.clock.advance(4 * MS)

    store.before = slowly
    snapshot = probe_once("slow", store, rig.clock)
    assert (snapshot.skew_ns, snapshot.skew_bound_ns) == (-2 * MS, 2 * MS)


def test_a_probe_that_cuts_off_leases_says_so(rig: SidecarRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "LEASES_MAX", 2)
    for name in "abc":
        rig.store.acquire(LeaseAsk(name, "host-1", "billing", name, TTL_NS))
    snapshot = probe_once("memory://", rig.store, rig.clock)
    assert ([lease.resource for lease in snapshot.leases], snapshot.truncated) == (["a", "b"], True)
    rig.snapshots = [snapshot]
    assert rig.view().stores[0].truncated
    assert rig.view().unready == ["memory:// holds more than one probe reads"]


# --- again and again


def running(rig: SidecarRig, **stores: ScriptedStore) -> Probe:
    probe = Probe(stores, clock=rig.clock)
    probe.start()
    rig.clock.wait_for_sleepers(len(stores))
    return probe


def test_a_store_that_does_not_answer_keeps_its_last_snapshot_and_is_asked_again(rig: SidecarRig) -> None:
    rig.register()
    store = ScriptedStore(rig.store)
    probe = running(rig, redis=store)
    first = probe.snapshots()[0].taken
    assert first is not None
    for failure, kind in ((down, "unavailable"), (broken, "error")):
        store.before = failure
        turn(rig, store)
        (snapshot,) = probe.snapshots()
        assert (snapshot.taken, snapshot.error_kind, len(snapshot.jobs)) == (first, kind, 1)
    assert snapshot.error == "RuntimeError: no idea"
    assert snapshot.errors == {"unavailable": 1, "error": 1}
    assert snapshot.age_ns(rig.clock.reading()) == 10 * SECOND
    store.before = lambda: None
    turn(rig, store)
    (snapshot,) = probe.snapshots()
    assert (snapshot.error, snapshot.taken) == ("", rig.clock.reading())
    probe.stop()


def turn(rig: SidecarRig, store: ScriptedStore) -> None:
    """Let the next look come, and end."""
    store.was_asked.clear()
    rig.clock.advance(probe_module.EVERY_NS)
    assert store.was_asked.wait(PATIENCE_S), "no look came"
    rig.clock.wait_for_sleepers(1)


def test_a_probe_that_is_hurried_reads_at_once_though_no_time_passes(rig: SidecarRig) -> None:
    store = ScriptedStore(rig.store)
    probe = running(rig, redis=store)
    store.was_asked.clear()
    probe.hurry()
    assert store.was_asked.wait(PATIENCE_S)
    probe.stop()


def test_a_store_that_hangs_holds_up_nobody(rig: SidecarRig) -> None:
    let_go, stuck = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        let_go.wait(PATIENCE_S)

    well, hanging = ScriptedStore(rig.store), ScriptedStore(rig.store, hang)
    probe = Probe({"well": well, "hanging": hanging}, clock=rig.clock)
    probe.start()
    rig.clock.wait_for_sleepers(1)
    assert stuck.wait(PATIENCE_S)
    one, other = probe.snapshots()
    assert (one.source, one.taken is not None) == ("well", True)
    assert (other.source, other.taken) == ("hanging", None)
    rig.snapshots = [one, other]
    assert rig.view().unready == ["hanging has not been read yet"]
    let_go.set()
    rig.clock.wait_for_sleepers(2)
    probe.stop()
    assert all(snapshot.taken is not None for snapshot in probe.snapshots())


def test_stopping_ends_the_threads(rig: SidecarRig) -> None:
    probe = running(rig, redis=ScriptedStore(rig.store))
    probe.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tickglass-probe")]


def test_instances_are_read_with_the_jobs_of_those_that_live(rig: SidecarRig) -> None:
    rig.store.join(InstanceRecord("billing", "n1", "i1", "1.2.3", "f00d", "running"), ["nightly"])
    roster = probe_once("memory://", rig.store, rig.clock).roster
    assert [it.owner for it in roster.instances] == ["n1"]
    assert roster.names == {"f00d": frozenset({"nightly"})}


def test_a_record_that_is_missing_is_logged_and_counted_once_an_hour(
    rig: SidecarRig, caplog: pytest.LogCaptureFixture
) -> None:
    store = ScriptedStore(rig.store)
    probe = Probe({"redis://here": store}, clock=rig.clock)
    (one,) = probe._probes
    for _ in range(2):
        store.found_missing = [MissingRecord(MissingKind.LEASE, "printer")]
        one.probe()
    assert one.snapshot.missing["lease"] == 1
    assert caplog.messages == ["redis://here: the lease on printer was deleted by hand: the resource is free"]
    rig.clock.advance(3_600 * SECOND)
    store.found_missing = [MissingRecord(MissingKind.LEASE, "printer")]
    one.probe()
    assert one.snapshot.missing["lease"] == 2
