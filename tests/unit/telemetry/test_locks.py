"""The metrics of locks: who holds them, how attempts and holds ended, and what was left at a renewal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.lease import LockEvent, LockReason

if TYPE_CHECKING:
    from kit.metrics_stage import Stage


SECOND = 1_000_000_000


HOLDER = {"resource": "ledger", "owner": "host-1", "service": "billing"}


def test_the_age_of_a_hold_grows_between_scrapes_without_any_event(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"))
    stage.clock.advance(5 * SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 5
    stage.clock.advance(100 * SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 105


def test_the_age_of_a_hold_does_not_follow_a_wall_clock_that_is_set(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"))
    stage.clock.advance(5 * SECOND)
    stage.clock.step(-3_600 * SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 5


@pytest.mark.parametrize("end", [LockEvent.RELEASED, LockEvent.EXPIRED, LockEvent.LOST])
def test_a_hold_that_ends_vanishes_and_is_counted_by_how(stage: Stage, end: LockEvent) -> None:
    lock = stage.lock("ledger")
    stage.hold(lock)
    stage.clock.advance(7 * SECOND)
    lock.fire(end)
    if end is not LockEvent.RELEASED:
        lock.fire(LockEvent.RELEASED)
    gone = (
        "held_seconds",
        "acquired_timestamp_seconds",
        "lease_expiry_timestamp_seconds",
        "last_renewal_timestamp_seconds",
    )
    assert [name for name in gone if f"\ndistributed_lock_{name}{{" in stage.text()] == []
    assert stage.total("distributed_lock_releases_total", resource="ledger") == 1
    assert stage.value("distributed_lock_releases_total", resource="ledger", reason=end.value) == 1
    assert stage.value("distributed_lock_hold_duration_seconds_sum", resource="ledger") == 7
    assert stage.value("distributed_lock_hold_duration_seconds_count", resource="ledger") == 1


def test_one_party_holds_while_another_waits_and_a_third_has_lost_it(stage: Stage) -> None:
    loser, holder, waiter = (stage.lock("ledger") for _ in range(3))
    stage.hold(loser)
    stage.clock.advance(31 * SECOND)
    loser.fire(LockEvent.EXPIRED)
    stage.hold(holder, other_owner="host-1")
    waiter.fire(LockEvent.REQUESTED)
    stage.clock.advance(SECOND)
    loser.fire(LockEvent.RELEASED)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 1
    assert stage.value("distributed_lock_waiters", resource="ledger") == 1
    assert stage.value("distributed_lock_lease_expirations_total", resource="ledger") == 1
    assert stage.value("distributed_lock_fencing_token", resource="ledger") == 2


def test_attempts_are_counted_by_how_they_end_and_failures_sum_to_the_failed(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"))
    for _ in range(2):
        refused = stage.lock("ledger")
        refused.fire(LockEvent.REQUESTED)
        refused.fire(LockEvent.REFUSED, other_owner="host-2")
    for reason in LockReason:
        failed = stage.lock("ledger")
        failed.fire(LockEvent.REQUESTED)
        failed.fire(LockEvent.FAILED, reason=reason)
    status = {
        status: stage.value("distributed_lock_acquire_attempts_total", resource="ledger", status=status)
        for status in ("acquired", "contended", "failed")
    }
    assert status == {"acquired": 1, "contended": 2, "failed": len(LockReason)}
    assert stage.total("distributed_lock_acquire_failures_total") == len(LockReason)
    assert stage.value("distributed_lock_waiters", resource="ledger") == 0


def test_blocking_waits_are_observed_however_they_end_and_others_are_not(stage: Stage) -> None:
    stage.hold(stage.lock("ledger"), waited_ns=2 * SECOND)
    failed = stage.lock("ledger")
    failed.fire(LockEvent.REQUESTED)
    stage.clock.advance(3 * SECOND)
    failed.fire(LockEvent.FAILED, reason=LockReason.TIMEOUT)
    tried = stage.lock("ledger", blocking=False)
    tried.fire(LockEvent.REQUESTED)
    tried.fire(LockEvent.REFUSED)
    assert stage.value("distributed_lock_wait_seconds_count", resource="ledger") == 2
    assert stage.value("distributed_lock_wait_seconds_sum", resource="ledger") == 5


def test_renewals_are_told_apart_by_what_was_left_of_the_lease(stage: Stage) -> None:
    lock = stage.lock("ledger")
    stage.hold(lock)
    granted_s = stage.clock.wall_ns() / 1e9
    assert stage.value("distributed_lock_last_renewal_timestamp_seconds", resource="ledger") == granted_s
    assert stage.value("distributed_lock_lease_expiry_timestamp_seconds", resource="ledger") == granted_s + 30
    stage.clock.advance(10 * SECOND)
    lock.fire(LockEvent.RENEWED, margin_ns=20 * SECOND)
    assert stage.value("distributed_lock_lease_expiry_timestamp_seconds", resource="ledger") == granted_s + 40
    lock.fire(LockEvent.RENEWAL_FAILED, reason=LockReason.STORE_UNAVAILABLE)
    lock.fire(LockEvent.RENEWED, margin_ns=9 * SECOND)
    lock.fire(LockEvent.LOST, other_owner="host-2")
    renewals = {
        status: stage.value("distributed_lock_renewals_total", resource="ledger", status=status)
        for status in ("ok", "late", "lost", "error")
    }
    assert renewals == {"ok": 1, "late": 1, "lost": 1, "error": 1}
    assert stage.value("distributed_lock_renewal_margin_seconds_total", resource="ledger") == 29


def test_the_longest_hold_is_known_only_where_every_job_of_the_resource_has_a_limit(stage: Stage) -> None:
    stage.register("a", resource="ledger", timeout_ns=25 * SECOND)
    stage.register("b", resource="ledger", timeout_ns=40 * SECOND)
    assert stage.value("distributed_lock_max_hold_seconds", resource="ledger") == 40
    stage.register("c", resource="ledger", timeout_ns=None)
    assert stage.value("distributed_lock_max_hold_seconds", resource="ledger") is None
    assert stage.value("tickglass_job_max_runtime_seconds", job_name="c") is None
    assert stage.value("distributed_lock_lease_ttl_seconds", resource="ledger") == 30


def test_holds_of_one_resource_are_bounded_and_the_latest_count(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickglass.telemetry.locks._HOLDS_MAX", 3)
    for _ in range(5):
        stage.hold(stage.lock("ledger"))
        stage.clock.advance(SECOND)
    assert stage.value("distributed_lock_held_seconds", **HOLDER) == 3


def test_the_jobs_that_limit_one_resource_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickglass.telemetry.locks._LIMITS_MAX", 2)
    for number in range(5):
        stage.register(f"job-{number}", resource="ledger", timeout_ns=(number + 1) * SECOND)
    assert stage.value("distributed_lock_max_hold_seconds", resource="ledger") == 2
