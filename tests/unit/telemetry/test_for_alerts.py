"""What is exported for the rules alone: ages that renewals reset, and since when a success is owed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason

if TYPE_CHECKING:
    from kit.metrics_stage import Stage

SECOND = 1_000_000_000
UNRENEWED = "distributed_lock_unrenewed_seconds"
OWED = "tickglass_job_unsuccessful_since_timestamp_seconds"
INTERVAL = "tickglass_job_interval_seconds"
OWED_LATEST = "tickglass_job_unsuccessful_latest_timestamp_seconds"


def test_the_age_of_a_lease_grows_until_it_is_renewed_and_ignores_the_wall_clock(stage: Stage) -> None:
    lock = stage.lock("ledger")
    stage.hold(lock)
    stage.clock.advance(9 * SECOND)
    stage.clock.step(-3_600 * SECOND)
    assert stage.value(UNRENEWED, resource="ledger") == 9
    lock.fire(LockEvent.RENEWED, margin_ns=21 * SECOND)
    stage.clock.advance(2 * SECOND)
    assert stage.value(UNRENEWED, resource="ledger") == 2
    lock.fire(LockEvent.RELEASED)
    assert stage.value(UNRENEWED, resource="ledger") is None


def test_a_lease_that_is_not_to_be_renewed_shows_no_such_age(stage: Stage) -> None:
    lock = stage.lock("ledger")
    lock.renewing = False
    stage.hold(lock)
    stage.clock.advance(29 * SECOND)
    assert stage.value(UNRENEWED, resource="ledger") is None
    assert stage.total("distributed_lock_held_seconds", resource="ledger") == 29


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.TIMEOUT, Outcome.LOST])
def test_a_success_is_owed_since_the_first_that_did_not_succeed_until_one_does(stage: Stage, outcome: Outcome) -> None:
    stage.register("nightly")
    assert stage.value(OWED, job_name="nightly") is None
    assert stage.value(OWED_LATEST, job_name="nightly") is None
    occurrences = [stage.occurrence("nightly") for _ in range(2)]
    for occurrence in occurrences:
        stage.run(occurrence, outcome)
    assert stage.value(OWED, job_name="nightly") == occurrences[0].due_ns / SECOND
    assert stage.value(OWED_LATEST, job_name="nightly") == occurrences[1].due_ns / SECOND
    stage.run(stage.occurrence("nightly"))
    assert stage.value(OWED, job_name="nightly") is None
    assert stage.value(OWED_LATEST, job_name="nightly") is None


def test_a_pause_over_night_does_not_lengthen_the_interval(stage: Stage) -> None:
    registered = stage.register("daytime")
    began_ns = registered.next_due_ns or 0
    for number, (due, following) in enumerate(pairwise([0, 5, 10, 900, 905])):  # minutes: a night in between
        stage.clock.advance(began_ns + due * 60 * SECOND - stage.clock.wall_ns())
        stage.occurrence("daytime").fire(OccurrenceEvent.FELL_DUE, next_due_ns=began_ns + following * 60 * SECOND)
        assert stage.value(INTERVAL, job_name="daytime") == 300, number


def test_an_occurrence_that_is_adopted_from_the_dead_does_not_change_the_interval(stage: Stage) -> None:
    registered = stage.register("nightly")
    assert stage.value(INTERVAL, job_name="nightly") == 86_400
    stage.occurrence("nightly").fire(OccurrenceEvent.FELL_DUE, next_due_ns=registered.next_due_ns)
    assert stage.value(INTERVAL, job_name="nightly") == 86_400


def test_what_was_skipped_or_missed_is_owed_too(stage: Stage) -> None:
    for outcome, reason in ((Outcome.SKIPPED, SkipReason.LOCK_HELD.value), (Outcome.MISSED, "")):
        occurrence = stage.occurrence(outcome.value)
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        occurrence.fire(OccurrenceEvent.ENDED, outcome=outcome, reason=reason)
        assert stage.value(OWED, job_name=outcome.value) == occurrence.due_ns / SECOND


def test_what_the_operator_stopped_or_another_instance_has_is_not_owed_here(stage: Stage) -> None:
    stage.run(stage.occurrence("nightly"), Outcome.CANCELLED)
    occurrence = stage.occurrence("nightly")
    for event in (OccurrenceEvent.FELL_DUE, OccurrenceEvent.ADMITTED, OccurrenceEvent.TAKEN):
        occurrence.fire(event)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
    assert stage.value(OWED, job_name="nightly") is None
