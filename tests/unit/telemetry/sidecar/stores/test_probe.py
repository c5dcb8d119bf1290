from __future__ import annotations

import threading

import pytest
from kit.sidecar_views import TTL_NS, Lookout, ScriptedStore

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.ports import LeaseAsk
from tickglass.telemetry.sidecar.stores import probe as probe_module
from tickglass.telemetry.sidecar.stores.probe import Probe, look_once

PATIENCE_S = 10.0


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


def down() -> None:
    raise StoreUnavailable("redis", "leases", "nobody there")


def broken() -> None:
    raise RuntimeError("no idea")


def test_a_look_sees_all_of_it(lookout: Lookout) -> None:
    lookout.register()
    died = lookout.claim("nightly", owner="dead", resource="other")
    lookout.clock.advance(TTL_NS + SECOND)
    ended = lookout.claim()
    lookout.settle(ended)
    lookout.claim("nightly", due_ns=1)
    sight = look_once("memory://", lookout.store, lookout.clock)
    assert sight.taken == lookout.clock.reading()
    assert [(lease.resource, lease.remaining_ns <= 0) for lease in sight.leases] == [
        ("nightly", False),
        ("other", True),
    ]
    assert [job.name for job in sight.jobs] == ["nightly"]
    assert [run.run_id for run in sight.abandoned] == [died.lease.run_id]
    assert [run.outcome for run in sight.runs["nightly"]] == [None, None, "success"]
    assert (sight.skew_ns, sight.skew_bound_ns, sight.truncated, sight.error) == (0, 0, False, "")


def test_who_only_shows_that_it_is_there_holds_no_lock(lookout: Lookout) -> None:
    lookout.store.acquire(LeaseAsk(presence_resource("region=a"), "n1", "billing", "t", TTL_NS))
    assert look_once("memory://", lookout.store, lookout.clock).leases == ()


def test_our_clock_is_compared_with_the_stores_within_half_a_round_trip(lookout: Lookout) -> None:
    store = ScriptedStore(lookout.store)

    def slowly() -> None:
        if store.asked == ["time"]:
            lookout.clock.advance(4 * MS)

    store.before = slowly
    sight = look_once("slow", store, lookout.clock)
    assert (sight.skew_ns, sight.skew_bound_ns) == (-2 * MS, 2 * MS)


def test_a_look_is_bounded_and_says_so(lookout: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "LEASES_MAX", 2)
    for name in "abc":
        lookout.store.acquire(LeaseAsk(name, "host-1", "billing", name, TTL_NS))
    sight = look_once("memory://", lookout.store, lookout.clock)
    assert ([lease.resource for lease in sight.leases], sight.truncated) == (["a", "b"], True)
    lookout.sights = [sight]
    assert lookout.view().stores[0].truncated
    assert lookout.view().unready == ["memory:// holds more than one look reads"]


# --- again and again


def running(lookout: Lookout, **stores: ScriptedStore) -> Probe:
    probe = Probe(stores, clock=lookout.clock)
    probe.start()
    lookout.clock.wait_for_sleepers(len(stores))
    return probe


def test_a_store_that_does_not_answer_keeps_its_last_look_and_is_asked_again(lookout: Lookout) -> None:
    lookout.register()
    store = ScriptedStore(lookout.store)
    probe = running(lookout, redis=store)
    first = probe.sights()[0].taken
    assert first is not None
    for failure, kind in ((down, "unavailable"), (broken, "error")):
        store.before = failure
        turn(lookout, store)
        (sight,) = probe.sights()
        assert (sight.taken, sight.error_kind, len(sight.jobs)) == (first, kind, 1)
    assert sight.error == "RuntimeError: no idea"
    assert sight.errors == {"unavailable": 1, "error": 1}
    assert sight.age_ns(lookout.clock.reading()) == 10 * SECOND
    store.before = lambda: None
    turn(lookout, store)
    (sight,) = probe.sights()
    assert (sight.error, sight.taken) == ("", lookout.clock.reading())
    probe.stop()


def turn(lookout: Lookout, store: ScriptedStore) -> None:
    """Let the next look come, and end."""
    store.was_asked.clear()
    lookout.clock.advance(probe_module.EVERY_NS)
    assert store.was_asked.wait(PATIENCE_S), "no look came"
    lookout.clock.wait_for_sleepers(1)


def test_a_store_that_hangs_holds_up_nobody(lookout: Lookout) -> None:
    let_go, stuck = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        let_go.wait(PATIENCE_S)

    well, hanging = ScriptedStore(lookout.store), ScriptedStore(lookout.store, hang)
    probe = Probe({"well": well, "hanging": hanging}, clock=lookout.clock)
    probe.start()
    lookout.clock.wait_for_sleepers(1)
    assert stuck.wait(PATIENCE_S)
    one, other = probe.sights()
    assert (one.source, one.taken is not None) == ("well", True)
    assert (other.source, other.taken) == ("hanging", None)
    lookout.sights = [one, other]
    assert lookout.view().unready == ["hanging has not been seen yet"]
    let_go.set()
    lookout.clock.wait_for_sleepers(2)
    probe.stop()
    assert all(sight.taken is not None for sight in probe.sights())


def test_stopping_ends_the_threads(lookout: Lookout) -> None:
    probe = running(lookout, redis=ScriptedStore(lookout.store))
    probe.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tickglass-probe")]
