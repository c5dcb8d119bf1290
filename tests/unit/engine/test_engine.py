"""The engine's life: it starts whole or not at all, says why not to count on it, and stops in good order."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing, threads
from kit.rig import BreakableStore, wait_until
from kit.stand import Stand

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.events import (
    JobRegistered,
    OccurrenceMoved,
    StoreCalled,
    Streak,
)
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.lifecycle import STOP_GRACE_NS
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settlement
from tickglass.sched.triggers import Trigger, every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.run import Run

AWAY = StoreUnavailable("memory", "register", "gone fishing")
REFUSED = StoreUnavailable("memory", "register", "wrong password", kind="error")
PATIENCE_S = 10.0


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.stop(0)
    wait_until(lambda: threads() == set())


def test_its_life_is_told_in_order(stand: Stand) -> None:
    assert threads() == set(), "before the start there is nothing"
    assert stand.engine.unready() == ["the scheduler is new"]
    stand.engine.start()
    assert stand.engine.unready() == []
    assert {"tickglass-timeline", "tickglass-sweeper", "tickglass-default-1", "tickglass-default-2"} <= threads()
    assert stand.engine.stop(0) == []
    assert stand.states == ["starting", "running", "draining", "stopped"]
    assert stand.engine.unready() == ["the scheduler is stopped"]


def test_without_its_event_loop_it_is_not_ready(stand: Stand) -> None:
    stand.engine.start()
    stand.engine._dispatcher.loop.stop()
    assert stand.engine.unready() == ["the event loop of the coroutine jobs has ended"]


def test_it_starts_once_and_stops_once(stand: Stand) -> None:
    assert stand.engine.stop(0) == [], "before the start there is nothing to stop"
    stand.engine.start()
    with pytest.raises(ConfigError, match="this engine is running"):
        stand.engine.start()
    stand.engine.stop(0)
    assert stand.engine.stop(0) == []
    with pytest.raises(ConfigError, match="this engine is stopped"):
        stand.engine.start()
    assert stand.states == ["starting", "running", "draining", "stopped"]


def test_a_coroutine_that_outlives_the_stop_has_an_outcome_when_its_loop_ends(stand: Stand) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    stand.add(stubborn, every("1s"), name="job")
    stand.engine.start()
    stand.run_until_started()
    assert stand.stop(0) == ["job"]
    assert stand.moved("ended", outcome="cancelled").reason == "shutdown"


def test_a_store_that_refuses_the_start_leaves_nothing_behind(stand: Stand) -> None:
    stand.store.broken["register"] = REFUSED
    stand.add(nothing, every("1s"), name="job")
    with pytest.raises(StoreUnavailable, match="wrong password"):
        stand.engine.start()
    wait_until(lambda: threads() == set())
    assert stand.states == ["starting", "stopped"]


@pytest.fixture
def careful() -> Iterator[Stand]:
    """It refuses to start anything while the clocks are too far apart."""
    stand = Stand(SkewGuard(refuse=True))
    yield stand
    stand.stop(0)


def test_the_clocks_are_compared_before_anything_falls_due(careful: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(careful.store, "time_ns", lambda: careful.clock.wall_ns() - 60 * SECOND)
    monkeypatch.setattr("tickglass.sched.engine.recovery.sweeper.Sweeper.start", lambda _: None)
    careful.add(nothing, every("1s"), name="job")
    careful.engine.start()
    assert careful.engine.unready() == ["our clock is at least 60.000 s from the store's, and 1s is allowed"]
    careful.advance_until(lambda: careful.sink.of(OccurrenceMoved) != [])
    assert careful.moved("ended").reason == "skew"


def test_clocks_that_could_not_be_compared_count_as_too_far_apart_until_they_are(careful: Stand) -> None:
    careful.store.broken["time"] = AWAY
    careful.add(nothing, every("1s"), name="job")
    careful.engine.start()
    assert careful.engine.unready() == ["our clock has not been compared with the store's yet"]
    careful.advance_until(lambda: careful.sink.of(OccurrenceMoved) != [])
    assert careful.moved("ended").reason == "skew"
    careful.store.broken.clear()
    careful.advance_until(lambda: careful.engine.unready() == [])
    careful.run_until_started()


def test_clocks_that_could_not_be_compared_hold_up_nobody_who_only_wants_to_be_told(stand: Stand) -> None:
    stand.store.broken["time"] = AWAY
    stand.add(nothing, every("1s"), name="job")
    stand.engine.start()
    assert stand.engine.unready() == []
    stand.run_until_started()


def fill_the_ledger(store: BreakableStore, job: str, *outcomes: str) -> None:
    """End one run after the other, of the nanoseconds that come: so nothing is due until the next day."""
    for due_ns, outcome in enumerate(outcomes, store.time_ns() + 1):
        ask = LeaseAsk(job, "b", "svc", f"{job}-{due_ns}", SECOND, job, f"{job}-{due_ns}")
        claimed = store.claim(ClaimAsk(ask, due_ns))
        assert isinstance(claimed, Claimed)
        lease = Lease(job, "b", ask.token, claimed.fence, SECOND, 0)
        store.settle(Settlement(lease, "svc", job, due_ns, ask.run_id, outcome))


def test_a_job_is_introduced_with_how_it_did_before_this_process(stand: Stand) -> None:
    fill_the_ledger(stand.store, "bad", "success", "failure", "timeout")
    fill_the_ledger(stand.store, "good", "failure", "success")
    for name in ("bad", "good", "new"):
        stand.add(nothing, every("24h"), name=name)
    stand.engine.start()
    now_ns = stand.clock.wall_ns()
    assert {event.job: event.streak for event in stand.sink.of(JobRegistered)} == {
        "bad": Streak(failures=2, since_ns=now_ns + 2, latest_ns=now_ns + 3, succeeded_wall_ns=now_ns),
        "good": Streak(succeeded_wall_ns=now_ns),
        "new": Streak(),
    }
    asked = [call.operation for call in stand.sink.of(StoreCalled)]
    assert asked.count("runs") == 2, "one question for each that has a past"


def test_a_store_that_does_not_say_how_jobs_did_keeps_nobody_from_starting(stand: Stand) -> None:
    for name in ("one", "two"):
        fill_the_ledger(stand.store, name, "failure")
        stand.add(nothing, every("24h"), name=name)
    stand.store.broken["runs"] = StoreUnavailable("memory", "runs", "gone fishing")
    stand.engine.start()
    assert [event.streak for event in stand.sink.of(JobRegistered)] == [Streak(), Streak()]
    failed = [call for call in stand.sink.of(StoreCalled) if call.operation == "runs" and call.error]
    assert len(failed) == 1, "nobody waits for it twice"


def test_a_job_that_is_there_already_is_refused(stand: Stand) -> None:
    stand.add(nothing, every("1s"), name="job")
    with pytest.raises(ConfigError, match="there is already a job named job"):
        stand.add(nothing, every("2s"), name="job")
    assert str(stand.engine.jobs()["job"].trigger) == 'every("1s")'


@pytest.mark.parametrize("running", [False, True])
def test_a_job_whose_lease_is_too_short_for_the_drift_of_the_store_is_refused(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, *, running: bool
) -> None:
    monkeypatch.setattr(stand.store, "allowance_ns", lambda ttl_ns: 40 * SECOND)
    if running:
        stand.engine.start()
    with pytest.raises(ConfigError, match="job short asks for leases of 30s, and this store allows 40s") as refused:
        stand.add(nothing, every("1s"), name="short")
    assert refused.value.instead == ('ttl="1m20s"',)
    stand.add(nothing, every("1s"), name="long", ttl="1m20s")
    assert list(stand.engine.jobs()) == ["long"]


def test_a_job_that_comes_while_it_runs_is_run(stand: Stand) -> None:
    stand.engine.start()
    stand.add(nothing, every("1s"), name="job")
    stand.run_until_started()
    stand.moved("ended", outcome="success")


def test_a_job_that_the_store_did_not_take_is_not_there(stand: Stand) -> None:
    stand.engine.start()
    stand.store.broken["register"] = REFUSED
    with pytest.raises(StoreUnavailable):
        stand.add(nothing, every("1s"), name="job")
    assert stand.engine.jobs() == {}
    del stand.store.broken["register"]
    stand.add(nothing, every("1s"), name="job")
    assert list(stand.engine.jobs()) == ["job"]


# --- ready or not: see test_readiness.py


class Stuck(Trigger):
    """A trigger of somebody else's that does not return, the third time it is asked."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def next_after_ns(self, after_ns: int) -> int | None:
        if threading.current_thread().name == "tickglass-timeline":
            self.entered.set()
            self.go_on.wait(PATIENCE_S)
            return None
        return after_ns - after_ns % SECOND + SECOND


def test_a_timeline_that_does_not_turn_makes_it_unready(stand: Stand) -> None:
    trigger = Stuck()
    stand.add(nothing, trigger, name="job")
    stand.engine.start()
    stand.advance_until(trigger.entered.is_set)
    stand.clock.advance(31 * SECOND)
    wait_until(
        lambda: [reason.rpartition(" for ")[0] for reason in stand.engine.unready()] == ["the timeline has not turned"]
    )
    trigger.go_on.set()
    stand.advance_until(lambda: stand.engine.unready() == [])


# --- stopping


def test_a_stop_waits_for_the_run_in_hand_and_claims_nothing_more(stand: Stand) -> None:
    go_on = threading.Event()
    stand.add(lambda: go_on.wait(PATIENCE_S), every("1s"), name="job")
    stand.add(nothing, every("1s"), name="waits", resource="printer", misfire_grace="1h")
    stand.store.acquire(LeaseAsk("printer", "other", "svc", "token", 3_600 * SECOND, job="labels"))
    stand.engine.start()
    stand.run_until_started()
    stand.sink.wait_for(
        lambda event: isinstance(event, OccurrenceMoved) and (event.job, event.event) == ("waits", "taken")
    )
    with ThreadPoolExecutor(1) as aside:
        stopping = aside.submit(stand.engine.stop, 3_600 * SECOND)
        stand.moved("ended", job="waits", outcome="skipped", reason="stopping")
        assert stand.engine.unready() == ["the scheduler is draining"]
        go_on.set()
        assert stopping.result(PATIENCE_S) == []
    stand.moved("ended", outcome="success")
    assert [lease.resource for lease in stand.store.leases()] == ["printer"]


def test_after_the_drain_a_run_is_asked_to_stop(stand: Stand) -> None:
    def obey(run: Run) -> None:
        run.wait("24h")

    stand.add(obey, every("1s"), name="job")
    stand.engine.start()
    stand.run_until_started()
    assert stand.stop(3 * SECOND) == []
    stand.moved("ended", outcome="cancelled", reason="shutdown")
    assert stand.store.leases() == []


def test_a_run_that_does_not_end_is_named_and_its_lease_left_to_expire(stand: Stand) -> None:
    go_on = threading.Event()
    stand.add(lambda: go_on.wait(PATIENCE_S), every("1s"), name="job", ttl="1h")
    stand.engine.start()
    stand.run_until_started()
    assert stand.stop(SECOND) == ["job"]
    assert stand.moved("stop_asked").reason == "shutdown"
    (lease,) = stand.store.leases()
    assert lease.remaining_ns > 0
    assert stand.store.runs(JobId("svc", "job"))[0].outcome is None
    go_on.set()


@pytest.mark.parametrize("hurries", [1, 2])
def test_each_hurry_cuts_one_wait_short(stand: Stand, hurries: int) -> None:
    go_on = threading.Event()

    def stubborn(run: Run) -> None:
        run.wait("24h")
        if hurries == 2:
            go_on.wait(PATIENCE_S)

    stand.add(stubborn, every("1s"), name="job", ttl="1h")
    stand.engine.start()
    stand.run_until_started()
    with ThreadPoolExecutor(1) as aside:
        stopping = aside.submit(stand.engine.stop, 3_600 * SECOND)
        wait_until(lambda: stand.engine.state == "draining")
        stand.engine.cut_short()
        stand.moved("stop_asked")
        if hurries == 2:
            stand.engine.cut_short()
        assert stopping.result(PATIENCE_S) == (["job"] if hurries == 2 else [])
    go_on.set()


def test_the_grace_after_the_request_to_stop_is_bounded(stand: Stand) -> None:
    go_on = threading.Event()
    stand.add(lambda: go_on.wait(PATIENCE_S), every("1s"), name="job", ttl="1h")
    stand.engine.start()
    stand.run_until_started()
    with ThreadPoolExecutor(1) as aside:
        stopping = aside.submit(stand.engine.stop, 0)
        asked_ns = stand.moved("stop_asked").at_ns
        stand.advance_until(stopping.done, 100 * MS)
        assert stopping.result() == ["job"]
    assert stand.clock.monotonic_ns() >= asked_ns + STOP_GRACE_NS
    go_on.set()
