"""An instance says whether it can be counted on, and why not; without a store it does everything but runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing, threads
from kit.rig import wait_until
from kit.stand import WRITES, Stand

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import (
    InstantsElsewhere,
    InstantsMissed,
    OccurrenceMoved,
    ReadinessMoved,
    StoreCalled,
    TimelineTicked,
)
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Holder, LeaseAsk, Refused, Settlement
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 10.0


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.stop(0)
    wait_until(lambda: threads() == set())


# --- a store that is away


def test_a_store_that_is_away_at_the_start_is_waited_for_while_the_scheduler_runs(stand: Stand) -> None:
    stand.away()
    stand.add(nothing, every("5s"), name="job")
    stand.engine.start()
    assert stand.states == ["starting", "running"]
    stand.advance_until(lambda: len(stand.engine.unready()) == 2, 0)
    store, jobs = stand.engine.unready()
    assert store.startswith("the memory store has not taken our writes since 20")
    assert store.endswith(": gone fishing")
    assert jobs == "1 job is not registered with the memory store yet"
    stand.advance_until(lambda: any(move.reason == "store_unavailable" for move in stand.sink.of(OccurrenceMoved)))
    stand.store.broken.clear()
    stand.advance_until(lambda: stand.engine.unready() == [])
    stand.run_until_started()
    assert [job.name for job in stand.store.jobs()] == ["job"]
    assert [told.error == "" for told in stand.sink.of(ReadinessMoved)] == [False, True]


def test_a_job_that_comes_while_the_store_is_away_is_registered_later(stand: Stand) -> None:
    stand.engine.start()
    stand.away()
    stand.add(nothing, every("1s"), name="job")
    assert list(stand.engine.jobs()) == ["job"]
    assert stand.engine.unready()[-1] == "1 job is not registered with the memory store yet"
    stand.store.broken.clear()
    stand.run_until_started()
    assert [job.name for job in stand.store.jobs()] == ["job"]


def test_a_job_that_runs_unclaimed_in_an_outage_does_so_before_it_is_registered(stand: Stand) -> None:
    stand.away()
    stand.add(nothing, every("1s"), name="job", on_outage="run")
    stand.engine.start()
    stand.run_until_started()
    assert stand.moved("ended", outcome="success").fence == 0


def outcomes(stand: Stand, before_ns: int) -> list[tuple[int, str]]:
    """Return what became of each instant before the start, second by second."""
    told = [
        (move.due_ns, str(move.outcome))
        for move in stand.sink.of(OccurrenceMoved)
        if move.event == "ended" and move.due_ns <= before_ns
    ]
    passed: list[InstantsMissed | InstantsElsewhere] = [
        *stand.sink.of(InstantsMissed),
        *stand.sink.of(InstantsElsewhere),
    ]
    for them in passed:
        outcome = "missed" if isinstance(them, InstantsMissed) else "elsewhere"
        told += [(due_ns, outcome) for due_ns in range(them.first_due_ns, them.before_ns, SECOND)]
    return sorted(told)


@pytest.mark.parametrize(("grace", "latest"), [("500ms", "missed"), ("1h", "success")])
def test_what_passed_before_a_start_without_the_store_is_accounted_for_once_it_is_there(
    stand: Stand, grace: str, latest: str
) -> None:
    claimed_ns = stand.clock.wall_ns() // SECOND * SECOND
    ask = LeaseAsk("svc/job", "b", "svc", "before", SECOND, "job", "before")
    assert isinstance(stand.store.claim(ClaimAsk(ask, claimed_ns)), Claimed)
    stand.store.settle(
        Settlement(Lease("svc/job", "b", "before", 1, SECOND, 0), "svc", "job", claimed_ns, "before", "success")
    )
    stand.clock.advance(3 * SECOND + 700 * MS)  # so long, nobody was there
    begun_ns = stand.clock.wall_ns()
    stand.away()
    stand.add(nothing, every("1s"), name="job", misfire_grace=grace)
    stand.engine.start()
    stand.advance_until(lambda: "orphans" in [call.operation for call in stand.sink.of(StoreCalled)], 0)
    stand.store.broken.clear()
    stand.engine._registrar.catch_up()
    owed = [claimed_ns + number * SECOND for number in (1, 2, 3)]
    wait_until(lambda: len(outcomes(stand, begun_ns)) == len(owed))
    assert outcomes(stand, begun_ns) == list(zip(owed, ["missed", "missed", latest], strict=True))


# --- ready or not: with jobs of a TTL of 30 s, something must be heard of every 10 s, three times over


def test_a_store_that_answers_and_takes_no_writes_makes_it_unready_until_it_does(stand: Stand) -> None:
    stand.add(nothing, every("24h"), name="job")
    stand.engine.start()
    stand.sink.wait_for(lambda event: isinstance(event, StoreCalled) and event.operation == "release")
    for operation in WRITES:
        stand.store.broken[operation] = StoreUnavailable("memory", operation, "OOM:\nit is full", kind="error")
    assert stand.engine.unready() == []
    stand.advance_until(lambda: stand.engine.unready() != [])
    (why,) = stand.engine.unready()
    assert why.endswith(" UTC; last error, of acquire: OOM: it is full")
    stand.store.broken.clear()
    stand.advance_until(lambda: stand.engine.unready() == [])
    wait_until(lambda: [told.error for told in stand.sink.of(ReadinessMoved)] == ["", why, ""])


def test_a_store_that_answers_only_writes_is_one_to_claim_from(stand: Stand) -> None:
    for operation in ("time", "orphans", "runs"):
        stand.store.broken[operation] = StoreUnavailable("memory", operation, "gone fishing")
    stand.add(nothing, every("1s"), name="job")
    stand.engine.start()
    stand.run_until_started()
    assert stand.engine.unready() == []


def test_an_idle_instance_writes_once_a_sweep_and_a_busy_one_need_not(stand: Stand) -> None:
    def beats() -> int:
        return sum(ask.resource == "tickglass:presence:heartbeat:svc/a" for ask in stand.store.asks)

    stand.engine.start()
    for count in range(1, 4):
        stand.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "release", count=count)
        assert beats() == count
        stand.clock.wait_for_sleepers(3)  # the timeline, the timers and the sweeper
        stand.clock.advance(10 * SECOND)
    assert stand.store.leases() == []


def test_a_store_call_that_never_returns_makes_it_unready(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hang(_: LeaseAsk) -> Refused:
        entered.set()
        go_on.wait(PATIENCE_S)
        return Refused(Holder("b", "svc", "", "", 1), SECOND)

    monkeypatch.setattr(stand.store, "acquire", hang)
    stand.add(nothing, every("24h"), name="job")
    stand.engine.start()
    assert entered.wait(PATIENCE_S)
    stand.clock.advance(31 * SECOND)
    stand.wait_for_more(TimelineTicked)
    wait_until(lambda: stand.engine.unready() == ["the memory store has not answered a write for 31.0 s"])
    go_on.set()
    wait_until(lambda: stand.engine.unready() == [])


def test_a_coroutine_that_blocks_the_event_loop_makes_it_unready_until_it_returns(stand: Stand) -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        go_on.wait(PATIENCE_S)  # as `time.sleep` does

    stand.add(block, every("1s"), name="job")
    stand.engine.start()
    stand.advance_until(entered.is_set)
    stand.advance_until(lambda: stand.engine.unready() != [])
    (why,) = stand.engine.unready()
    assert why.startswith("the event loop of the coroutine jobs has not turned for ")
    go_on.set()
    stand.advance_until(lambda: stand.engine.unready() == [])
