"""The metrics of jobs: what became of each due instant, and how each run went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.events import (
    InstantsMissed,
    InstantsSkipped,
    JobContested,
    OrdersStand,
    Streak,
)
from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome, SkipReason

if TYPE_CHECKING:
    from kit.metrics_stage import Stage


SECOND = 1_000_000_000


def test_every_counter_of_a_job_and_its_lock_is_at_zero_once_it_is_registered(stage: Stage) -> None:
    stage.register("nightly", resource="ledger")
    series = stage.series()
    mine = {
        key: value
        for key, value in series.items()
        if ("job_name", "nightly") in key[1] or ("resource", "ledger") in key[1]
    }
    counted = {key: value for key, value in mine.items() if key[0].endswith(("_total", "_count", "_sum", "_bucket"))}
    assert set(counted.values()) == {0}
    for outcome in Outcome:
        assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome=outcome.value) == 0
    for event in LockEvent:
        assert stage.value("distributed_lock_transitions_total", resource="ledger", event=event.value) == 0


def test_no_series_is_born_by_a_first_run(stage: Stage) -> None:
    stage.register("nightly")
    counters = ("_total", "_count", "_sum", "_bucket")
    before = {key for key in stage.series() if key[0].endswith(counters)}
    stage.run(stage.occurrence("nightly", sampled=True))
    stage.hold(stage.lock("nightly"))
    assert {key for key in stage.series() if key[0].endswith(counters)} == before


def test_a_run_leaves_its_outcome_duration_lateness_and_timestamps(stage: Stage) -> None:
    stage.register("nightly")
    stage.run(stage.occurrence("nightly"), ran_ns=3 * SECOND)
    now_s = stage.clock.wall_ns() / 1e9
    labels = {"job_name": "nightly"}
    assert stage.value("tickglass_job_outcomes_total", outcome="success", **labels) == 1
    assert stage.value("tickglass_job_run_duration_seconds_sum", **labels) == 3
    assert stage.value("tickglass_job_run_seconds_total", **labels) == 3
    assert stage.value("tickglass_job_start_lateness_seconds_sum", **labels) == 0.01
    part_total = "tickglass_job_start_lateness_part_seconds_total"
    parts = {part: stage.value(part_total, part=part, **labels) for part in PARTS}
    assert parts == PARTS
    assert stage.value("tickglass_job_last_start_timestamp_seconds", **labels) == now_s - 3
    assert stage.value("tickglass_job_last_success_timestamp_seconds", **labels) == now_s
    assert stage.value("tickglass_job_last_completion_timestamp_seconds", **labels) == now_s


PARTS = {"timer": 0.001, "pool": 0.002, "lock": 0.003, "start": 0.004}


def test_a_run_in_progress_shows_for_how_long_and_an_idle_job_shows_nothing(stage: Stage) -> None:
    stage.register("nightly")
    running_for = "tickglass_job_running_seconds"
    assert stage.value(running_for, job_name="nightly") is None
    occurrence = stage.occurrence("nightly")
    stage.start(occurrence)
    stage.clock.advance(60 * SECOND)
    assert stage.value(running_for, job_name="nightly") == 60
    assert stage.value("tickglass_job_running", job_name="nightly") == 1
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS, ran_ns=60 * SECOND)
    assert stage.value(running_for, job_name="nightly") is None
    assert stage.value("tickglass_job_running", job_name="nightly") == 0


def test_failures_in_a_row_end_with_a_success_and_are_not_touched_by_a_cancel(stage: Stage) -> None:
    stage.register("nightly")
    seen = []
    for outcome in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.LOST, Outcome.SUCCESS):
        stage.run(stage.occurrence("nightly"), outcome)
        seen.append(stage.value("tickglass_job_consecutive_failures", job_name="nightly"))
    assert seen == [1, 2, 2, 3, 0]


def test_skips_are_counted_by_reason_and_sum_to_the_skipped(stage: Stage) -> None:
    stage.register("nightly")
    for reason in SkipReason:
        skipped = stage.occurrence("nightly")
        skipped.fire(OccurrenceEvent.FELL_DUE)
        skipped.fire(OccurrenceEvent.ENDED, outcome=Outcome.SKIPPED, reason=reason)
        assert stage.value("tickglass_job_skips_total", job_name="nightly", reason=reason) == 1
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="skipped") == len(SkipReason)


def test_instants_missed_while_nobody_was_there_are_due_and_missed(stage: Stage) -> None:
    stage.register("nightly")
    stage.sink.record(InstantsMissed(job="nightly", count=10_000, exact=False, first_due_ns=1, before_ns=2, wall_ns=3))
    assert stage.value("tickglass_job_due_total", job_name="nightly") == 10_000
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="missed") == 10_000
    assert stage.value("tickglass_job_missed_undercounts_total", job_name="nightly") == 1


def test_what_a_full_pool_keeps_back_is_overdue_since_the_first_instant_that_is_not_accounted_for(stage: Stage) -> None:
    stage.register("nightly")
    due_ns = round(stage.value("tickglass_job_next_run_timestamp_seconds", job_name="nightly") or 0) * SECOND
    for before_ns, next_s in ((due_ns + 3 * SECOND, due_ns / SECOND + 3), (due_ns - SECOND, due_ns / SECOND + 3)):
        stage.sink.record(
            InstantsMissed(
                job="nightly", count=3, exact=True, first_due_ns=due_ns, before_ns=before_ns, wall_ns=3, reason="pool"
            )
        )
        assert stage.value("tickglass_job_next_run_timestamp_seconds", job_name="nightly") == next_s


def test_instants_that_passed_while_the_job_was_in_hand_are_due_and_skipped_and_prolong_what_a_skip_prolongs(
    stage: Stage,
) -> None:
    stage.register("nightly")
    for count, exact in ((4, True), (10_000, False)):
        stage.sink.record(
            InstantsSkipped(
                job="nightly",
                reason="overlap",
                count=count,
                exact=exact,
                first_due_ns=SECOND,
                latest_due_ns=4 * SECOND,
                next_due_ns=5 * SECOND,
                wall_ns=4 * SECOND,
            )
        )
    assert stage.value("tickglass_job_due_total", job_name="nightly") == 10_004
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="skipped") == 10_004
    assert stage.value("tickglass_job_skips_total", job_name="nightly", reason="overlap") == 10_004
    assert stage.value("tickglass_job_missed_undercounts_total", job_name="nightly") == 1
    assert stage.value("tickglass_job_next_run_timestamp_seconds", job_name="nightly") == 5
    assert stage.value("tickglass_job_unsuccessful_since_timestamp_seconds", job_name="nightly") == 1
    assert stage.value("tickglass_job_unsuccessful_latest_timestamp_seconds", job_name="nightly") == 4


def pause(stage: Stage, *paused: str) -> None:
    event = OrdersStand(version=1, paused=paused, jobs_paused=len(paused), draining=False, wall_ns=1)
    stage.sink.record(event)


@pytest.mark.parametrize("paused", ["nightly", "night*", "*"])
def test_a_paused_job_is_neither_overdue_nor_owes_a_success_until_it_goes_on(stage: Stage, paused: str) -> None:
    owed = Streak(since_ns=SECOND, latest_ns=2 * SECOND)
    for job in ("nightly", "late"):
        stage.register(job, streak=owed)
    stage.clock.advance(60 * SECOND)
    series = (
        "tickglass_job_overdue_seconds",
        "tickglass_job_unsuccessful_seconds",
        "tickglass_job_unsuccessful_since_timestamp_seconds",
        "tickglass_job_unsuccessful_latest_timestamp_seconds",
    )

    def shown(job: str) -> set[str]:
        return {name for name in series if stage.value(name, job_name=job) is not None}

    assert shown("nightly") == set(series)
    pause(stage, "another", paused)
    assert shown("nightly") == set()
    assert shown("late") == (set() if paused == "*" else set(series))
    stage.register("nightly-2", streak=owed)
    assert shown("nightly-2") == (set(series) if paused == "nightly" else set()), "it is registered under the pause"
    pause(stage)
    for job in ("nightly", "late", "nightly-2"):
        assert shown(job) == set(series)


def test_a_pause_is_not_about_the_jobs_that_share_their_series(small_stage: Stage) -> None:
    for job in ("one", "two", "three", "four"):
        small_stage.register(job)
    others = small_stage.occurrence("four")
    small_stage.run(others, Outcome.FAILURE)
    owed = "tickglass_job_unsuccessful_seconds"
    assert small_stage.value(owed, job_name="__other__") is not None
    pause(small_stage, "*")
    assert small_stage.value(owed, job_name="__other__") is not None


def test_the_next_due_instant_vanishes_when_there_is_none(stage: Stage) -> None:
    event = stage.register("once")
    assert event.next_due_ns is not None
    assert stage.value("tickglass_job_next_run_timestamp_seconds", job_name="once") == event.next_due_ns / 1e9
    stage.occurrence("once").fire(OccurrenceEvent.FELL_DUE, next_due_ns=None)
    assert stage.value("tickglass_job_next_run_timestamp_seconds", job_name="once") is None


def test_what_is_in_hand_under_one_name_is_bounded_and_the_account_agrees(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.telemetry.jobs._OPEN_MAX", 3)
    stage.register("nightly")
    for _ in range(5):
        occurrence = stage.occurrence("nightly")
        occurrence.fire(OccurrenceEvent.FELL_DUE)
        for event in (
            OccurrenceEvent.ADMITTED,
            OccurrenceEvent.TAKEN,
            OccurrenceEvent.CLAIMED,
            OccurrenceEvent.STARTED,
        ):
            occurrence.fire(event)
    assert stage.value("tickglass_job_due_total", job_name="nightly") == 5
    assert stage.value("tickglass_job_pending", job_name="nightly") == 3
    assert stage.value("tickglass_job_running", job_name="nightly") == 3
    assert stage.value("tickglass_job_outcomes_total", job_name="nightly", outcome="__other__") == 2


def test_a_job_in_two_programs_has_a_series_while_that_lasts(stage: Stage) -> None:
    def tell(since_ns: int | None) -> float | None:
        contested = JobContested(
            job="nightly", owner="host-1", service="billing", claimant="host-9", since_wall_ns=since_ns, wall_ns=0
        )
        stage.sink.record(contested)
        shown = stage.value("tickglass_job_contested_since_timestamp_seconds", job_name="nightly")
        assert stage.value("tickglass_jobs_contested") == int(shown is not None)
        return shown

    assert [tell(since_ns) for since_ns in (7 * SECOND, None, 9 * SECOND)] == [7, None, 9]
