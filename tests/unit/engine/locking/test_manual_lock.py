"""A manual lock: granted, kept, lost, released, on a clock that stands still."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kit.manual_locks import LockHost

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.locking.acquisition import Acquisition, NotAcquired
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.engine.locking.manual_lock import ManualLock, ManualLocks
from tickglass.sched.errors import ConfigError, LeaseLost, LockInUse, LockNotHeld, StoreUnavailable
from tickglass.sched.events import LockMoved, StoreCalled
from tickglass.sched.lock_terms import lock_terms
from tickglass.sched.stores.memory.lease_table import LeaseTable

if TYPE_CHECKING:
    from kit.manual_locks import Desk
    from kit.rig import Rig

    from tickglass.sched.ports import EventSink, Granted, LeaseAsk, Refused

DOWN = StoreUnavailable("memory", "release", "gone fishing")


# --- acquisition and giving back


def test_a_free_lock_is_granted_at_once_and_given_back(desk: Desk) -> None:
    lock, lease = desk.take(ttl="30s")
    assert (lease.resource, lease.fence > 0, lease.trusted) == ("printer", True, True)
    assert lease.remaining() == 29.698  # less 1 % and 2 ms
    assert lease.trusted_until.timestamp() == desk.rig.clock.wall_ns() / 1e9 + 29.698
    lease.check()
    assert lock.release() is True
    assert desk.events() == ["requested", "granted", "released"]
    assert not lease.trusted
    assert desk.rig.store.leases() == []
    assert desk.metric("acquire_attempts_total", status="acquired") == 1
    assert desk.metric("releases_total", reason="released") == 1


def test_a_lock_that_is_free_costs_two_requests_five_events_and_no_thread(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.take()[0].release()  # what the first one makes is made
    store, asked = desk.rig.context.store, list[int]()
    allowance_ns = store.allowance_ns

    def counted(ttl_ns: int) -> int:
        asked.append(ttl_ns)
        return allowance_ns(ttl_ns)

    monkeypatch.setattr(store, "allowance_ns", counted)
    threads, told = threading.active_count(), len(desk.rig.sink.events)
    desk.take(ttl="30s")[0].release()
    assert asked == [30 * SECOND]
    told_now = [type(event) for event in desk.rig.sink.events[told:]]
    assert told_now == [LockMoved, StoreCalled, LockMoved, StoreCalled, LockMoved]
    assert threading.active_count() == threads


def test_a_manual_lock_has_no_job_and_no_run(desk: Desk) -> None:
    desk.take()
    assert {(move.job, move.run_id, move.owner) for move in desk.rig.sink.of(LockMoved)} == {("", "", "a")}


def test_an_object_takes_its_lock_again_after_its_release(desk: Desk) -> None:
    lock, first = desk.take()
    lock.release()
    second = lock.acquire()
    assert isinstance(second, HeldLease)
    assert second.fence > first.fence
    assert (first.trusted, second.trusted) == (False, True)


def test_the_lease_is_renewed_while_it_is_held(desk: Desk) -> None:
    lock, lease = desk.take(ttl="30s")
    for count in (1, 2, 3, 4):
        desk.rig.clock.advance(10 * SECOND)
        desk.rig.lock_event("renewed", count)
        desk.rig.clock.wait_for_sleepers(1)
    assert lease.trusted
    assert lock.release() is True


def test_a_lease_that_is_not_to_be_renewed_runs_out(desk: Desk) -> None:
    lock, lease = desk.take(ttl="30s", renew=False)
    desk.rig.clock.advance(29_697 * MS)
    assert lease.trusted
    desk.rig.clock.advance(MS)
    desk.rig.lock_event("expired")
    assert not lease.trusted
    assert lock.release() is False
    assert desk.calls("renew") == 0


def test_acquiring_what_this_object_holds_is_an_error(desk: Desk) -> None:
    lock, lease = desk.take()
    with pytest.raises(LockInUse, match="printer"):
        lock.acquire()
    assert lease.trusted
    assert lock.release() is True


def test_acquiring_what_this_object_waits_for_is_an_error(desk: Desk) -> None:
    desk.taken_by_the_other()
    lock = desk.lock()
    desk.waiting(lock)
    with pytest.raises(LockInUse):
        lock.acquire()


def test_releasing_what_is_not_held_is_an_error(desk: Desk) -> None:
    with pytest.raises(LockNotHeld, match="printer"):
        desk.lock().release()
    lock, _ = desk.take()
    lock.release()
    with pytest.raises(LockNotHeld):
        lock.release()


def test_a_ttl_that_leaves_too_little_after_the_drift_of_the_stores_clock_is_refused_before_it_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.rig.store, "allowance_ns", lambda ttl_ns: 200 * MS)
    for ttl in ("100ms", "399ms"):
        with pytest.raises(ConfigError, match=r"lock printer asks for .* 200ms for drift") as refused:
            desk.lock(ttl=ttl).acquire()
        assert refused.value.instead == ('ttl="400ms"',)
    assert (desk.events(), desk.calls("acquire")) == ([], 0)
    desk.take(ttl="400ms")


# --- losing it


def test_a_lease_that_another_instance_got_is_lost_at_the_next_renewal(desk: Desk) -> None:
    lock, lease = desk.take(ttl="30s")
    told = threading.Event()
    lease.on_lost(told.set)
    desk.rig.store.gone = True
    desk.rig.clock.advance(10 * SECOND)
    assert told.wait(10)
    assert desk.rig.lock_event("lost").other_owner == "somebody"
    assert not lease.trusted
    with pytest.raises(LeaseLost) as caught:
        lease.check()
    assert (caught.value.resource, caught.value.fence) == ("printer", lease.fence)
    assert lock.release() is False
    assert desk.events()[-2:] == ["lost", "released"]
    assert desk.metric("releases_total", reason="lost") == 1


def test_the_renewer_does_not_die_silently(desk: Desk) -> None:
    lock, lease = desk.take(ttl="30s")
    told = threading.Event()
    lease.on_lost(told.set)
    desk.rig.store.broken["renew"] = StoreUnavailable("memory", "renew", "partitioned")
    for count, pause in enumerate((10 * SECOND, 100 * MS, 300 * MS, 800 * MS, 800 * MS), start=1):
        desk.rig.clock.advance(pause)
        desk.rig.lock_event("renewal_failed", count)
        desk.rig.clock.wait_for_sleepers(1)
    assert (lease.trusted, told.is_set()) == (True, False)
    desk.rig.clock.advance(29_698 * MS - 12_000 * MS)  # trust: 30 s less 1 % and 2 ms
    assert told.wait(10)
    assert not lease.trusted
    assert desk.rig.lock_event("expired").at_ns < desk.rig.lock_event("granted").at_ns + 30 * SECOND
    assert desk.metric("renewals_total", status="error") == 5
    assert desk.metric("releases_total", reason="expired") == 1
    assert lock.release() is False


def test_a_frozen_holder_finds_on_waking_that_it_may_not_act(desk: Desk) -> None:
    _, lease = desk.take(ttl="30s")
    told = threading.Event()
    lease.on_lost(told.set)
    desk.rig.dispatcher.timers.stop()  # all of the process stands still
    desk.rig.clock.advance(60 * SECOND)
    assert (lease.trusted, lease.remaining()) == (False, 0)
    assert lease.trusted_until.timestamp() == desk.rig.clock.wall_ns() / 1e9
    with pytest.raises(LeaseLost):
        lease.check()  # which reports it, too
    assert desk.events()[-1] == "expired"
    assert told.wait(10)


def test_release_after_expiry_does_not_free_the_new_owner(desk: Desk) -> None:
    lock, _ = desk.take(ttl="30s")
    desk.rig.dispatcher.timers.stop()
    desk.rig.clock.advance(31 * SECOND)
    desk.taken_by_the_other()
    assert lock.release() is False
    (present,) = desk.rig.store.leases()
    assert (present.owner, present.remaining_ns) == ("other", 30 * SECOND)
    assert desk.events()[-2:] == ["expired", "released"]


def test_a_store_that_says_at_the_release_that_it_was_lost_is_believed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, lease = desk.take()
    monkeypatch.setattr(desk.rig.store, "_leases", LeaseTable(desk.rig.clock))  # it was taken away behind our back
    desk.taken_by_the_other()
    assert lease.trusted
    assert lock.release() is False
    assert desk.events()[-2:] == ["lost", "released"]
    assert desk.rig.store.leases()[0].owner == "other"


def test_a_lease_that_cannot_be_given_back_runs_out_and_says_so(desk: Desk) -> None:
    lock, _ = desk.take()
    desk.rig.store.broken["release"] = DOWN
    with ThreadPoolExecutor(1) as thread:
        releasing = thread.submit(lock.release)
        for count, pause in enumerate((100 * MS, 300 * MS, 800 * MS), start=1):
            desk.called("release", count)
            desk.rig.clock.wait_for_sleepers(2)
            desk.rig.clock.advance(pause)
        assert releasing.result(10) is False
    assert desk.events()[-2:] == ["expired", "released"]


# --- being told


def test_a_callback_after_the_loss_is_called_at_once_and_once(desk: Desk) -> None:
    _, lease = desk.take(renew=False)
    told: list[str] = []
    early = threading.Event()
    lease.on_lost(early.set)
    desk.rig.clock.advance(30 * SECOND)
    assert early.wait(10)
    lease.on_lost(lambda: told.append("late"))
    assert told == ["late"]


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(1)])
def test_a_callback_that_raises_is_logged_and_stops_no_other(
    desk: Desk, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    _, lease = desk.take(renew=False)
    told = threading.Event()

    def boom() -> None:
        raise error

    lease.on_lost(boom)
    lease.on_lost(told.set)
    with caplog.at_level(logging.ERROR):
        desk.rig.clock.advance(30 * SECOND)
        assert told.wait(10)
    assert "callback for the loss of printer" in caplog.text


def test_a_callback_that_takes_its_time_holds_up_no_other_lease(desk: Desk) -> None:
    _, lease = desk.take("printer", ttl="1s", renew=False)
    desk.take("scanner", ttl="30s")
    entered, leave = threading.Event(), threading.Event()

    def dawdle() -> None:
        entered.set()
        leave.wait(10)

    lease.on_lost(dawdle)
    desk.rig.clock.advance(SECOND)
    assert entered.wait(10)
    desk.rig.clock.advance(9 * SECOND)
    assert desk.rig.lock_event("renewed").resource == "scanner"
    leave.set()


def test_no_callback_follows_a_lease_that_was_released(desk: Desk) -> None:
    lock, lease = desk.take(renew=False)
    told: list[str] = []
    lease.on_lost(lambda: told.append("lost"))
    lock.release()
    lease.on_lost(lambda: told.append("lost"))
    desk.rig.clock.advance(60 * SECOND)
    desk.rig.clock.wait_for_sleepers(1)
    assert (told, desk.events()[-1]) == ([], "released")
    with pytest.raises(LeaseLost):
        lease.check()


# --- when those who keep it stop


def test_a_stop_ends_the_waiting_and_tells_the_holders(desk: Desk) -> None:
    held, lease = desk.take("printer")
    waiting = desk.waiting(desk.lock())
    told = threading.Event()
    lease.on_lost(told.set)
    desk.lock_host.manual_locks.stop()
    answer = waiting.result(10)
    assert isinstance(answer, NotAcquired)
    assert answer.reason == "cancelled"
    assert told.wait(10)
    assert not lease.trusted
    assert desk.rig.lock_event("expired").reason == "cancelled"
    assert held.release() is False
    assert desk.calls("release") == 0  # it runs out by itself: its holder may still be at work
    with pytest.raises(ConfigError, match="stopped"):
        desk.lock().acquire()


# --- whoever listens


def test_a_sink_that_raises_hurts_no_lock(rig: Rig) -> None:
    class Broken:
        def record(self, event: object) -> None:
            raise RuntimeError("sink")

    broken: dict[str, EventSink] = {"broken": Broken()}
    rig._sinks = broken
    rig.start("b")
    lock = ManualLock(lock_terms("printer"), LockHost(rig))
    assert isinstance(lock.acquire(), HeldLease)
    assert lock.release() is True


# --- interrupted: a signal's handler raised


class Interrupt(BaseException):
    """What a signal's handler raised."""


@pytest.mark.parametrize("step", ["take", "begin"])
def test_a_lock_whose_taking_was_interrupted_after_the_grant_is_given_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where, name = {"take": (Acquisition, "take"), "begin": (ManualLocks, "begin")}[step]
    real = getattr(where, name)

    def interrupted(*arguments: object) -> object:
        real(*arguments)
        raise Interrupt

    lock = desk.lock()
    with monkeypatch.context() as patch:
        patch.setattr(where, name, interrupted)
        with pytest.raises(Interrupt):
            lock.acquire()
    assert desk.rig.store.leases() == []
    assert desk.events() == (["requested", "granted", "released"] if step == "take" else [])
    assert (lock.held, lock.in_use) == (False, False)


def test_a_block_that_was_interrupted_before_it_began_holds_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> object:
        raise Interrupt

    lock = desk.face()
    monkeypatch.setattr(lock, "_entered", interrupted)
    with pytest.raises(Interrupt), lock:
        pytest.fail("entered")
    assert desk.rig.store.leases() == []


@pytest.mark.parametrize("step", ["keep", "check"])
def test_a_lease_whose_holder_was_interrupted_runs_out_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(desk.rig.dispatcher.renewer, step)

    def interrupted(*arguments: object, **more: object) -> object:
        real(*arguments, **more)
        raise Interrupt

    lock = desk.lock(ttl="30s")
    with monkeypatch.context() as patch:
        patch.setattr(desk.rig.dispatcher.renewer, step, interrupted)
        if step == "keep":
            with pytest.raises(Interrupt):
                lock.acquire()
        else:
            lock.acquire()
            with pytest.raises(Interrupt):
                lock.release()
    assert desk.events() == ["requested", "granted", "expired", "released"]
    assert (lock.held, lock.in_use) == (False, False)
    desk.rig.clock.advance(10 * SECOND)
    desk.take("another", ttl="6s")
    desk.rig.clock.wait_for_sleepers(1)
    desk.rig.clock.advance(2 * SECOND)
    desk.called("renew", 1)
    assert desk.rig.lock_event("renewed").resource == "another"
    assert desk.calls("renew") == 1
    assert isinstance(lock.acquire(), HeldLease)  # it released its own forgotten lease


def test_an_answer_that_an_interrupted_caller_did_not_hear_is_in_nobodys_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = desk.rig.store.acquire

    def interrupted(ask: LeaseAsk) -> Granted | Refused:
        acquire(ask)
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(desk.rig.store, "acquire", interrupted)
        with pytest.raises(Interrupt):
            desk.lock().acquire()
    assert isinstance(desk.lock(blocking=False).acquire(), HeldLease)
