"""Waiting for a manual lock: queued, woken, refused, cancelled, on a clock that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.locking.acquisition import NotAcquired
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import LockMoved
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.manual_locks import Desk

    from tickglass.sched.ports import Granted, LeaseAsk, Refused
    from tickglass.sched.run import Run

DOWN = StoreUnavailable("memory", "acquire", "gone fishing")


# --- not getting it


def test_a_try_does_not_wait(desk: Desk) -> None:
    desk.taken_by_the_other()
    answer = desk.lock(blocking=False).acquire()
    assert answer == NotAcquired("held", "other", 0)
    assert desk.events() == ["requested", "refused"]
    assert desk.metric("acquire_attempts_total", status="contended") == 1
    assert desk.metric("wait_seconds_count") == 0


def test_a_wait_ends_when_it_has_taken_long_enough(desk: Desk) -> None:
    desk.taken_by_the_other()
    waiting = desk.waiting(desk.lock(wait="2s"))
    desk.rig.clock.advance(2 * SECOND)
    assert waiting.result(10) == NotAcquired("timeout", "other", 2 * SECOND)
    failed = desk.rig.lock_event("failed")
    assert (failed.reason, failed.other_owner) == ("timeout", "other")
    assert desk.metric("acquire_failures_total", reason="timeout") == 1
    assert desk.metric("wait_seconds_sum") == 2


def test_a_lock_that_is_free_is_taken_without_a_queue_and_without_a_wake(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.engine.locking.acquisition.Wake", lambda: pytest.fail("made for nothing"))
    lock, _ = desk.take()
    assert desk.calls("acquire") == 1
    assert lock.release()


def test_a_caller_that_was_refused_asks_again_only_after_the_pause(desk: Desk) -> None:
    desk.taken_by_the_other()
    waiting = desk.waiting(desk.lock(wait="1h"))
    assert desk.calls("acquire") == 1
    desk.rig.clock.advance(5 * MS)
    desk.called("acquire", 2)
    desk.rig.clock.wait_for_sleepers(2)
    desk.rig.clock.advance(3_600 * SECOND)
    assert isinstance(waiting.result(10), HeldLease)


def test_a_caller_that_finds_a_queue_stands_in_it(desk: Desk) -> None:
    lock, _ = desk.take()
    first = desk.waiting(desk.lock())
    asked = desk.calls("acquire")
    second = desk.waiting(desk.lock(), asleep=3)
    assert desk.calls("acquire") == asked
    lock.release()
    assert isinstance(first.result(10), HeldLease)
    desk.lock_host.manual_locks.stop()
    assert isinstance(second.result(10), NotAcquired)


def test_a_wait_of_nothing_asks_once(desk: Desk) -> None:
    desk.taken_by_the_other()
    assert desk.lock(wait="0s").acquire() == NotAcquired("timeout", "other", 0)
    assert desk.calls("acquire") == 1


def test_a_store_that_does_not_answer_a_try_is_no_refusal(desk: Desk) -> None:
    desk.rig.store.broken["acquire"] = DOWN
    lock = desk.lock(blocking=False)
    with pytest.raises(StoreUnavailable):
        lock.acquire()
    assert desk.metric("acquire_failures_total", reason="store_unavailable") == 1
    del desk.rig.store.broken["acquire"]
    assert isinstance(lock.acquire(), HeldLease)


def test_a_store_that_does_not_answer_is_asked_again_three_times(desk: Desk) -> None:
    desk.rig.store.broken["acquire"] = StoreUnavailable("memory", "acquire", "nonsense", kind="error")
    waiting = desk.waiting(desk.lock())
    for count, pause in enumerate((100 * MS, 300 * MS, 800 * MS), start=1):
        desk.called("acquire", count)
        desk.rig.clock.wait_for_sleepers(2)
        desk.rig.clock.advance(pause)
    with pytest.raises(StoreUnavailable):
        waiting.result(10)
    assert desk.calls("acquire") == 4
    assert desk.rig.lock_event("failed").reason == "store_error"


def test_a_wait_that_ends_without_an_answer_is_no_refusal(desk: Desk) -> None:
    desk.taken_by_the_other()
    waiting = desk.waiting(desk.lock(wait="2s"))  # it was refused once
    desk.rig.store.broken["acquire"] = DOWN
    desk.rig.clock.advance(2 * SECOND)
    with pytest.raises(StoreUnavailable):
        waiting.result(10)
    assert desk.rig.lock_event("failed").reason == "store_unavailable"
    assert desk.metric("acquire_failures_total", reason="store_unavailable") == 1


def test_a_wait_of_nothing_without_an_answer_is_no_refusal(desk: Desk) -> None:
    desk.rig.store.broken["acquire"] = DOWN
    with pytest.raises(StoreUnavailable):
        desk.lock(wait="0s").acquire()
    assert desk.calls("acquire") == 1


def test_a_wait_that_was_over_before_the_store_failed_to_answer_asks_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(ask: LeaseAsk) -> object:
        desk.rig.clock.advance(3 * SECOND)
        raise DOWN

    monkeypatch.setattr(desk.rig.store, "acquire", hanging)
    with pytest.raises(StoreUnavailable):
        desk.lock(wait="2s").acquire()
    assert desk.calls("acquire") == 1


def test_a_refusal_that_comes_after_failures_is_one(desk: Desk) -> None:
    desk.taken_by_the_other()
    desk.rig.store.broken["acquire"] = DOWN
    waiting = desk.waiting(desk.lock(wait="2s"))
    del desk.rig.store.broken["acquire"]
    desk.rig.clock.advance(2 * SECOND)
    assert waiting.result(10) == NotAcquired("timeout", "other", 2 * SECOND)


def test_a_wait_that_is_cancelled_says_so(desk: Desk) -> None:
    desk.taken_by_the_other()
    lock = desk.lock()
    waiting = desk.waiting(lock)
    assert lock.cancel() is True
    assert waiting.result(10) == NotAcquired("cancelled", "other", 0)
    assert desk.rig.lock_event("failed").reason == "cancelled"


def test_what_is_held_is_not_cancelled(desk: Desk) -> None:
    lock, lease = desk.take()
    assert lock.cancel() is False
    assert lease.trusted


# --- waiting


def test_a_lock_wait_is_woken_at_once(desk: Desk) -> None:
    lease = desk.taken_by_the_other()
    waiting = desk.waiting(desk.lock())
    desk.rig.store.release(lease)  # and the clock stands still
    assert isinstance(waiting.result(10), HeldLease)
    assert desk.rig.lock_event("granted").stayed_ns == 0


def test_a_wait_ends_when_the_lease_in_the_way_does(desk: Desk) -> None:
    desk.taken_by_the_other(60 * MS)
    waiting = desk.waiting(desk.lock())
    desk.rig.clock.advance(59 * MS)
    desk.called("acquire", 2)
    desk.rig.clock.wait_for_sleepers(2)  # the next pause would be 5 ms or more: it is cut to what is left of the lease
    desk.rig.clock.advance(MS)
    assert isinstance(waiting.result(10), HeldLease)
    assert desk.rig.lock_event("granted").other_owner == "other"
    assert desk.metric("lease_expirations_total") == 1


def test_a_release_without_a_notification_is_noticed_within_a_quarter_of_a_second(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.rig.store, "watch", lambda resource, freed: lambda: None)
    lease = desk.taken_by_the_other()
    waiting = desk.waiting(desk.lock())
    for count in range(2, 10):  # the pauses grow to their most
        desk.rig.clock.advance(250 * MS)
        desk.called("acquire", count)
        desk.rig.clock.wait_for_sleepers(2)
    desk.rig.store.release(lease)
    desk.rig.clock.advance(124 * MS)
    desk.rig.clock.advance(126 * MS)
    assert isinstance(waiting.result(10), HeldLease)


def test_waiters_of_this_process_are_served_in_order_and_one_of_them_polls(desk: Desk) -> None:
    lease = desk.taken_by_the_other()
    locks = [desk.lock() for _ in range(4)]
    waits = [desk.waiting(lock, asleep=2 + number) for number, lock in enumerate(locks)]
    assert desk.calls("acquire") == 1
    desk.rig.store.release(lease)
    fences = []
    for lock, waiting in zip(locks, waits, strict=True):
        held = waiting.result(10)
        assert isinstance(held, HeldLease)
        fences.append(held.fence)
        lock.release()
    assert fences == sorted(fences)
    assert desk.metric("waiters") == 0


def test_a_waiter_that_gives_up_lets_the_next_one_poll(desk: Desk) -> None:
    lease = desk.taken_by_the_other()
    first = desk.lock()
    desk.waiting(first)
    second = desk.waiting(desk.lock(), asleep=3)
    first.cancel()
    desk.called("acquire", 2)
    desk.rig.store.release(lease)
    assert isinstance(second.result(10), HeldLease)


def test_a_queued_waiter_whose_time_is_up_asks_once_itself(desk: Desk) -> None:
    desk.taken_by_the_other()
    desk.waiting(desk.lock())
    second = desk.waiting(desk.lock(wait="1s"), asleep=3)
    desk.rig.clock.advance(SECOND)
    assert second.result(10) == NotAcquired("timeout", "other", SECOND)


# --- trust


def test_a_lease_that_ran_out_before_the_answer_came_is_not_taken_for_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    granting = desk.rig.store.acquire

    def slow(ask: LeaseAsk) -> Granted | Refused:
        answer = granting(ask)
        desk.rig.clock.advance(ask.ttl_ns)
        return answer

    monkeypatch.setattr(desk.rig.store, "acquire", slow)
    with pytest.raises(StoreUnavailable, match="run out"):
        desk.lock(blocking=False).acquire()
    assert desk.events() == ["requested", "failed"]


# --- inside a run


def test_a_lock_taken_inside_a_run_bears_its_name(desk: Desk) -> None:
    seen: list[str] = []

    def print_labels(run: Run) -> None:
        lock, _ = desk.take()
        seen.append(run.run_id)
        lock.release()

    desk.rig.add(print_labels, every("1s"))
    desk.rig.advance(SECOND)
    desk.rig.ended("print_labels")
    moves = [move for move in desk.rig.sink.of(LockMoved) if move.resource == "printer"]
    assert [(move.job, move.run_id) for move in moves] == [("", seen[0])] * 3


def test_a_run_that_is_asked_to_stop_waits_no_longer(desk: Desk) -> None:
    desk.taken_by_the_other()
    answers: list[HeldLease | NotAcquired] = []
    desk.rig.add(lambda: answers.append(desk.lock().acquire()), every("10s"), name="job", timeout="2s")
    desk.rig.advance(10 * SECOND)
    desk.rig.started("job")
    desk.rig.clock.wait_for_sleepers(2)
    desk.rig.clock.advance(2 * SECOND)
    (end,) = desk.rig.ended("job")
    assert end.outcome == "timeout"
    (answer,) = answers
    assert isinstance(answer, NotAcquired)
    assert answer.reason == "cancelled"
