"""A job, an answer, the spool or a step of the engine breaks: nothing else fails with it, nothing is held for ever."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.leasing.in_doubt import IN_DOUBT_MAX, InDoubt
from tickglass.sched.engine.locking.acquisition import NotAcquired
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import LockMoved
from tickglass.sched.identity import JobId
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, Holder, LeaseAsk, Settlement
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.manual_locks import Desk
    from kit.rig import Rig

    from tickglass.sched.lease import Lease
    from tickglass.sched.run import Run

DOWN = StoreUnavailable("memory", "settle", "the answer was lost")


class Panic(BaseException):
    """What extension modules raise."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        return "caf\udce9"


# --- what a job raises


@pytest.mark.parametrize(
    ("error", "told"),
    [(Panic("core"), "Panic: core"), (MuteError(), "MuteError"), (UnspeakableError(), "UnspeakableError: caf?")],
)
def test_whatever_a_job_raises_is_a_failure_and_frees_its_lock(rig: Rig, error: BaseException, told: str) -> None:
    def job() -> None:
        raise error

    rig.add(job, every("1s"))
    for count in (1, 2):
        rig.advance(SECOND)
        end = rig.ended("job", count)[-1]
        assert (end.outcome, end.error) == ("failure", told)
        rig.free("job")
    assert rig.store.leases() == []
    assert [run.detail for run in rig.store.runs(JobId("svc", "job"))] == [told, told]


def test_a_coroutine_that_panics_is_a_failure_too(rig: Rig) -> None:
    async def job() -> None:
        raise Panic

    rig.add(job, every("1s"))
    rig.advance(SECOND)
    assert rig.ended("job")[0].outcome == "failure"
    rig.free("job")
    assert rig.store.leases() == []


# --- steps of our own


@pytest.mark.parametrize(
    ("breaking", "outcome", "lock"),
    [("claim", "skipped", "failed"), ("start", "failure", "expired"), ("wait", "lost", "expired")],
)
def test_an_execution_that_the_engine_breaks_ends_and_lets_its_lease_run_out(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, breaking: str, outcome: str, lock: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("our own mistake")

    match breaking:
        case "claim":
            monkeypatch.setattr(rig.store, "claim", broken)
        case "start":
            monkeypatch.setattr("tickglass.sched.engine.running.execution.executing", broken)
        case _:
            monkeypatch.setattr("tickglass.sched.engine.running.run_lease.ClaimedRun.check", broken)
    rig.add(lambda: None, every("60s"), name="job", ttl="10s")
    rig.advance(60 * SECOND)
    assert rig.ended("job")[0].outcome == outcome
    rig.free("job")
    while not [move for move in rig.sink.of(LockMoved) if move.event == lock]:
        rig.clock.wait_for_sleepers(1)
        rig.clock.advance(SECOND)
    assert [lease for lease in rig.store.leases() if lease.remaining_ns > SECOND] == []
    assert [move for move in rig.sink.of(LockMoved) if move.event == "renewed"] == []


def test_a_job_is_not_started_under_a_lease_that_is_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, started = rig.store.claim, threading.Event()

    def slow(ask: ClaimAsk) -> object:
        answer = claim(ask)
        rig.clock.advance(11 * SECOND)  # and nobody wakes the timers in time
        return answer

    monkeypatch.setattr(rig.store, "claim", slow)
    rig.add(started.set, every("60s"), name="job", ttl="10s", misfire_grace="59s")
    rig.advance(60 * SECOND)
    assert rig.ended("job")[0].outcome == "lost"
    assert not started.is_set()


# --- answers that are lost


def test_a_run_whose_settlement_was_written_without_an_answer_has_not_lost_its_lock(rig: Rig) -> None:
    rig.store.unheard["settle"] = DOWN
    rig.add(lambda: None, every("60s"), name="job")
    rig.advance(60 * SECOND)
    rig.ended("job")
    rig.asleep("settle")
    rig.store.unheard.clear()
    rig.clock.advance(100 * MS)
    rig.free("job")
    assert [move.event for move in rig.sink.of(LockMoved)] == ["requested", "granted", "released"]
    assert rig.store.runs(JobId("svc", "job"))[0].outcome == "success"


def test_a_run_whose_settlement_was_overtaken_without_an_answer_has_lost_its_lock(rig: Rig) -> None:
    """The answer that was lost, and the one that came within the lease, may both be those of a forgotten claim."""
    rig.store.broken["settle"] = DOWN
    rig.add(lambda: None, every("60s"), name="job", ttl="10s")
    rig.advance(60 * SECOND)
    rig.ended("job")
    rig.asleep("settle")
    fresh = MemoryStore(rig.clock)
    rig.store._attempts, rig.store._leases = fresh._attempts, fresh._leases
    rig.store.broken.clear()
    rig.clock.advance(100 * MS)
    rig.free("job")
    assert [move.event for move in rig.sink.of(LockMoved)] == ["requested", "granted", "lost", "released"]


def test_a_claim_granted_without_an_answer_and_given_up_blocks_no_instance(rig: Rig) -> None:
    rig.store.unheard["claim"] = DOWN
    rig.add(lambda: None, every("10s"), name="job", ttl="9h")
    rig.advance(10 * SECOND)
    for count, pause in enumerate((100 * MS, 300 * MS, 800 * MS), start=1):
        rig.asleep("claim", count)
        rig.clock.advance(pause)
    assert rig.ended("job")[0].reason == "store_unavailable"
    rig.free("job")
    rig.store.unheard.clear()
    rig.advance(10 * SECOND)
    assert [end.outcome for end in rig.ended("job", 2)] == ["skipped", "success"]
    rig.free("job")
    assert [(run.outcome, run.detail) for run in rig.store.runs(JobId("svc", "job"))] == [
        ("success", ""),
        ("skipped", "store_unavailable"),
    ]
    assert rig.store.leases() == []


def _in_doubt(rig: Rig) -> InDoubt:
    return InDoubt(rig.context, rig.dispatcher.outbox.reclaim)


def _skipped(ask: ClaimAsk) -> Settlement:
    return Settlement(
        ask.lease.untrusted(0), "svc", ask.lease.job, ask.due_ns, ask.lease.run_id, "skipped", "store_unavailable"
    )


def test_a_claim_in_doubt_that_cannot_be_released_now_is_released_later(rig: Rig) -> None:
    in_doubt = _in_doubt(rig)
    ask = ClaimAsk(LeaseAsk("svc/job", "dead", "svc", "t", SECOND, "job", "0" * 32), 1)
    assert isinstance(rig.store.claim(ask), Claimed)
    rig.clock.advance(2 * SECOND)
    rig.store.broken["settle"] = DOWN
    holder = Holder("dead", "svc", "job", ask.lease.run_id, 1)
    in_doubt.note(_skipped(ask))
    assert not in_doubt.reclaim("job", holder)
    rig.store.broken.clear()
    in_doubt.reclaim("job", holder)
    assert [run.outcome for run in rig.store.runs(JobId("svc", "job"))] == ["skipped"]
    assert not in_doubt.reclaim("job", holder), "it is settled"


def test_a_lock_granted_without_an_answer_and_given_up_blocks_no_instance(desk: Desk) -> None:
    desk.rig.store.unheard["acquire"] = DOWN
    with pytest.raises(StoreUnavailable):
        desk.lock(blocking=False).acquire()
    desk.rig.store.unheard.clear()
    (lease,) = desk.rig.store.leases()
    _, mine = desk.take()
    assert mine.fence > lease.fence
    assert desk.lock(blocking=False).acquire() == NotAcquired("held", "a", 0), (
        "what somebody here has is not taken back"
    )


def test_a_lock_granted_without_an_answer_keeps_no_job_from_running(desk: Desk) -> None:
    rig = desk.rig
    rig.store.unheard["acquire"] = DOWN
    with pytest.raises(StoreUnavailable):
        desk.lock("ledger", blocking=False).acquire()
    rig.store.unheard.clear()
    rig.add(lambda: None, every("10s"), name="job", resource="ledger")
    rig.advance(10 * SECOND)
    (end,) = rig.ended("job")
    assert end.outcome == "success"


def test_a_lock_in_doubt_that_cannot_be_released_now_is_released_later(rig: Rig) -> None:
    in_doubt, ask = _in_doubt(rig), LeaseAsk("r", "a", "svc", "t", SECOND)
    granted = rig.store.acquire(ask)
    assert isinstance(granted, Granted)
    holder = Holder("a", "svc", "", "", granted.fence)
    in_doubt.note_lock(ask)
    rig.store.broken["release"] = DOWN
    assert not in_doubt.reclaim("r", holder)
    rig.store.broken.clear()
    assert not in_doubt.reclaim("other", holder)
    assert in_doubt.reclaim("r", holder)
    assert not in_doubt.reclaim("r", holder), "it is released"


def test_requests_in_doubt_are_bounded(rig: Rig) -> None:
    in_doubt = _in_doubt(rig)
    for number in range(IN_DOUBT_MAX + 5):
        ask = ClaimAsk(LeaseAsk("r", "a", "svc", str(number), SECOND, "job", str(number)), number)
        in_doubt.note(_skipped(ask))
        in_doubt.note_open(ask)
        in_doubt.note_lock(ask.lease)
    assert next(iter(in_doubt._ended)) == next(iter(in_doubt._open)) == next(iter(in_doubt._locks)) == "5"


def test_a_lock_released_without_an_answer_was_not_lost(desk: Desk) -> None:
    lock, _ = desk.take()
    desk.rig.store.unheard["release"] = DOWN
    giving_back = desk._threads.submit(lock.release)
    desk.called("release", 1)
    desk.rig.clock.wait_for_sleepers(2)
    desk.rig.store.unheard.clear()
    desk.rig.clock.advance(100 * MS)
    giving_back.result(10)
    assert desk.events() == ["requested", "granted", "released"]


def test_a_lock_that_is_granted_while_the_scheduler_stops_is_given_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, acquire = desk.rig.store, desk.rig.store.acquire

    def granting(ask: LeaseAsk) -> object:
        desk.lock_host.manual_locks.stop()
        return acquire(ask)

    monkeypatch.setattr(store, "acquire", granting)
    assert isinstance(desk.lock().acquire(), NotAcquired)
    assert desk.events() == ["requested", "granted", "released"]
    assert store.leases() == []


def test_a_renewal_that_raises_is_tried_again_and_reported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    renew, wishes = rig.store.renew, []

    def broken(lease: Lease) -> object:
        wishes.append(lease)
        if len(wishes) == 1:
            raise UnicodeError("a driver's mistake")
        return renew(lease)

    def job(run: Run) -> None:
        run.wait("20s")

    monkeypatch.setattr(rig.store, "renew", broken)
    rig.add(job, every("60s"), ttl="9s")
    rig.advance(60 * SECOND)
    rig.started("job")
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(3 * SECOND)
    assert rig.lock_event("renewal_failed").reason == "store_error"
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(100 * MS)
    rig.lock_event("renewed")
