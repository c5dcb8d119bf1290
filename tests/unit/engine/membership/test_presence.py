"""Labels are advertised, preferred labels are checked, and each has its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from kit.own_process import threads
from kit.rig import BreakableStore, Rig, wait_until

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.context import EngineContext, NoTracer
from tickglass.sched.engine.engine import Engine
from tickglass.sched.engine.membership.presence import CHECK_EVERY_NS
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import LockMoved, StoreCalled
from tickglass.sched.lease import Lease
from tickglass.sched.policies.preference import PRESENCE_TTL_NS, preference, presence_resource
from tickglass.sched.ports import Granted, LeaseAsk, Refused
from tickglass.sched.triggers import every
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.engine.membership.presence import Presence

    MakeRig = Callable[..., Rig]

A, B = "region=a", "region=b"
PREFERRED: Final = preference("region=a, region=b")
NEAR_NS, FAR_NS = 200 * MS, 800 * MS
DOWN = StoreUnavailable("memory", "renew", "gone fishing")


@pytest.fixture
def rigs() -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(*labels: str) -> Rig:
        made.append(Rig(labels=frozenset(labels)))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def come(rig: Rig, label: str = A) -> Lease:
    """Have another instance advertise a label."""
    ask = LeaseAsk(presence_resource(label), "preferred", "svc", "token", PRESENCE_TTL_NS)
    granted = rig.store.acquire(ask)
    assert isinstance(granted, Granted)
    return Lease(ask.resource, ask.owner, ask.token, granted.fence, ask.ttl_ns, 0)


def shown(rig: Rig) -> dict[str, str]:
    """Return which instance advertises which label."""
    return {it.resource.removeprefix("tickglass:presence:"): it.owner for it in rig.store.leases()}


def holds_back(presence: Presence, for_ns: int) -> None:
    wait_until(lambda: presence.head_start_ns(PREFERRED) == for_ns)


def calls(rig: Rig) -> list[str]:
    return [call.operation for call in rig.sink.of(StoreCalled)]


# --- advertising


def test_each_label_is_shown_by_a_lease_that_is_kept(rigs: MakeRig) -> None:
    rig = rigs(A, "zone=1")
    wait_until(lambda: shown(rig) == {A: "a", "zone=1": "a"})
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(PRESENCE_TTL_NS // 3)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "renew", count=2)
    assert min(lease.remaining_ns for lease in rig.store.leases()) == PRESENCE_TTL_NS


def test_one_of_a_region_shows_it_and_the_next_takes_over(rigs: MakeRig) -> None:
    rig = rigs(A)
    wait_until(lambda: shown(rig) == {A: "a"})
    first = rig.dispatcher
    rig.start("b")
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "acquire", count=2)
    assert shown(rig) == {A: "a"}
    first.presence.stop()
    wait_until(lambda: shown(rig) == {A: "b"})


def test_a_presence_that_was_lost_is_taken_again(rigs: MakeRig) -> None:
    rig = rigs(A)
    wait_until(lambda: shown(rig) == {A: "a"})
    (fence,) = [lease.fence for lease in rig.store.leases()]
    rig.clock.wait_for_sleepers(2)
    rig.store.broken = {"renew": DOWN}
    rig.clock.advance(PRESENCE_TTL_NS)
    wait_until(lambda: [lease.fence for lease in rig.store.leases()] > [fence])


def test_a_presence_whose_renewal_got_no_answer_is_taken_up_again_at_once(rigs: MakeRig) -> None:
    rig = rigs(A)
    wait_until(lambda: shown(rig) == {A: "a"})
    rig.clock.wait_for_sleepers(2)
    rig.store.unheard = {"renew": DOWN}
    rig.clock.advance(PRESENCE_TTL_NS // 3)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "renew")
    rig.store.unheard = {}
    rig.store.broken = {"renew": DOWN}
    rig.clock.advance(PRESENCE_TTL_NS * 2 // 3)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "acquire", count=2)
    rig.store.broken = {}
    (lease,) = rig.store.leases()
    assert 0 < lease.remaining_ns < PRESENCE_TTL_NS
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(PRESENCE_TTL_NS // 3)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "renew" and not e.error)
    assert shown(rig) == {A: "a"}


def test_a_store_that_does_not_answer_is_asked_again(rigs: MakeRig) -> None:
    rig = rigs()
    rig.stop()
    rig.store.broken = {"acquire": DOWN}
    rig.labels = frozenset({A})
    rig.start()
    for count, pause_ns in enumerate((100 * MS, 300 * MS, 800 * MS, 800 * MS), start=1):
        rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "acquire", count=count)
        rig.clock.wait_for_sleepers(2)
        rig.clock.advance(pause_ns)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "acquire", count=5)
    rig.clock.wait_for_sleepers(2)
    rig.store.broken.clear()
    rig.clock.advance(800 * MS)
    wait_until(lambda: shown(rig) == {A: "a"})


def test_presence_is_no_lock_among_those_of_users(rigs: MakeRig) -> None:
    rig = rigs(A)
    wait_until(lambda: shown(rig) == {A: "a"})
    rig.dispatcher.presence.stop()
    assert shown(rig) == {}
    assert rig.sink.of(LockMoved) == []
    assert calls(rig) == ["acquire", "release"]


def test_an_engine_that_stops_gives_its_presence_back_first_of_all() -> None:
    clock, sink = FakeClock(), ListSink()
    store = BreakableStore(clock)
    engine = Engine(EngineContext(clock, store, sink, NoTracer(), "a", "svc"), workers=1, labels=frozenset({A}))
    assert store.leases() == []
    engine.start()
    wait_until(lambda: [lease.resource for lease in store.leases()] == [presence_resource(A)])
    assert engine.stop(0) == []
    assert store.leases() == []
    operations = [call.operation for call in sink.of(StoreCalled)]
    assert operations[-3:] == ["release", "beat", "beat"]
    assert "tickglass-presence" not in threads()


def test_a_stop_while_the_store_is_out_leaves_presence_to_run_out(rigs: MakeRig) -> None:
    rig = rigs(A)
    wait_until(lambda: shown(rig) == {A: "a"})
    rig.store.broken = {"release": DOWN}
    rig.dispatcher.presence.stop()
    assert shown(rig) == {A: "a"}
    rig.clock.advance(PRESENCE_TTL_NS)
    assert [lease.remaining_ns for lease in rig.store.leases()] == [0]


# --- checking


def test_a_present_label_is_seen_and_one_whose_lease_ended_is_absent(rigs: MakeRig) -> None:
    rig = rigs(B)
    come(rig)
    presence = rig.dispatcher.presence
    assert presence.head_start_ns(PREFERRED) == NEAR_NS, "a label counts as present until it was checked"
    presence.watch_labels(PREFERRED)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "renew")
    rig.clock.wait_for_sleepers(2)
    assert presence.head_start_ns(PREFERRED) == NEAR_NS
    rig.clock.advance(PRESENCE_TTL_NS)
    holds_back(presence, 0)
    rig.clock.wait_for_sleepers(2)
    come(rig)
    rig.clock.advance(CHECK_EVERY_NS)
    holds_back(presence, NEAR_NS)


def test_a_label_whose_lease_is_released_is_absent_at_once(rigs: MakeRig) -> None:
    rig = rigs()
    lease = come(rig)
    rig.dispatcher.presence.watch_labels(PREFERRED)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "renew", count=2)
    rig.clock.wait_for_sleepers(2)
    assert rig.dispatcher.presence.head_start_ns(PREFERRED) == FAR_NS
    rig.store.release(lease)  # and the clock stands still
    holds_back(rig.dispatcher.presence, 0)


def test_while_the_store_does_not_answer_every_label_counts_as_present(rigs: MakeRig) -> None:
    rig = rigs()
    presence = rig.dispatcher.presence
    presence.watch_labels(PREFERRED)
    holds_back(presence, 0)
    rig.clock.wait_for_sleepers(2)
    rig.store.broken = {"renew": DOWN}
    rig.clock.advance(CHECK_EVERY_NS)
    holds_back(presence, FAR_NS)
    rig.clock.wait_for_sleepers(2)
    rig.store.broken.clear()
    rig.clock.advance(CHECK_EVERY_NS)
    holds_back(presence, 0)


def test_a_check_takes_no_lease_and_blocks_none(rigs: MakeRig) -> None:
    rig = rigs()
    rig.dispatcher.presence.watch_labels(PREFERRED)
    holds_back(rig.dispatcher.presence, 0)
    assert rig.store.leases() == []
    lease = come(rig)
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(CHECK_EVERY_NS)
    holds_back(rig.dispatcher.presence, FAR_NS)
    (record,) = rig.store.leases()
    assert (record.fence, record.remaining_ns) == (lease.fence, PRESENCE_TTL_NS - CHECK_EVERY_NS)
    other = LeaseAsk(lease.resource, "other", "svc", "another token", PRESENCE_TTL_NS)
    assert isinstance(rig.store.acquire(other), Refused)


# --- what it costs


def test_without_labels_and_preferences_there_is_no_thread_and_no_call(rigs: MakeRig) -> None:
    rig = rigs()
    rig.add(lambda: None, every("1s"), name="plain")
    rig.advance(SECOND)
    assert rig.ended("plain")[0].outcome == "success"
    rig.free("plain")
    assert "tickglass-presence" not in threads()
    assert calls(rig) == ["claim", "settle"]


def test_a_preferred_instance_checks_no_label(rigs: MakeRig) -> None:
    rig = rigs(A)
    rig.add(lambda: None, every("1s"), name="ours", prefer=A)
    rig.advance(SECOND)
    (end,) = rig.ended("ours")
    assert end.lateness is not None
    assert end.lateness.total_ns == 0
    wait_until(lambda: A in shown(rig))
    assert calls(rig).count("acquire") == 1, "the one that advertises our label"


def test_a_check_that_raises_is_reported_and_the_next_one_comes(
    rigs: MakeRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs()
    renew = rig.store.renew

    def boom(lease: Lease) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rig.store, "renew", boom)
    rig.dispatcher.presence.watch_labels(PREFERRED)
    rig.clock.wait_for_sleepers(2)
    wait_until(lambda: "a step of the presence loop raised" in caplog.text)
    monkeypatch.setattr(rig.store, "renew", renew)
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(CHECK_EVERY_NS)
    holds_back(rig.dispatcher.presence, 0)
