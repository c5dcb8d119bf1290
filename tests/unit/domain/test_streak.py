"""How a job has done lately: from the ends of its occurrences, and from what the ledger has of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from kit.metrics_stage import SECOND, Stage

from tickglass.sched.events import Streak
from tickglass.sched.occurrence import Outcome
from tickglass.sched.ports import RunRecord
from tickglass.sched.streak import prolonged, streak_of

RAN = [outcome for outcome in Outcome if outcome.ran]


def run(due_ns: int, outcome: str | None, attempt: int = 1) -> RunRecord:
    ended_wall_ns = None if outcome is None else due_ns + 7
    return RunRecord(
        "job", due_ns, attempt, "n1", "svc", "run", "job", 1, due_ns, due_ns, ended_wall_ns, outcome, "", 0
    )


def test_it_counts_what_failed_since_the_last_success_and_dates_what_did_not_succeed() -> None:
    assert streak_of([]) == Streak()
    assert streak_of([run(9, "failure"), run(8, "timeout"), run(7, "success"), run(6, "failure")]) == Streak(
        failures=2, since_ns=8, latest_ns=9, succeeded_wall_ns=14
    )
    assert streak_of([run(9, "success"), run(8, "failure")]) == Streak(succeeded_wall_ns=16)


def test_what_runs_or_was_cancelled_says_nothing() -> None:
    runs = [run(9, None), run(8, "cancelled"), run(7, "failure"), run(6, "cancelled"), run(5, None)]
    assert streak_of(runs) == Streak(failures=1, since_ns=7, latest_ns=7)


def test_an_occurrence_that_died_once_and_then_succeeded_is_no_failure() -> None:
    assert streak_of([run(9, "success", attempt=2), run(9, "orphaned")]) == Streak(succeeded_wall_ns=16)


def test_what_was_skipped_is_owed_and_no_failure() -> None:
    assert prolonged(Streak(), "skipped", 5, 6) == Streak(since_ns=5, latest_ns=5)


@settings(max_examples=25, deadline=None)
@given(before=st.lists(st.sampled_from(RAN), max_size=6), after=st.lists(st.sampled_from(RAN), max_size=6))
def test_a_restart_is_not_seen_in_the_metrics(before: list[Outcome], after: list[Outcome]) -> None:
    """They go on from the ledger as they would have gone on in one process."""
    one, ledger = Stage(), list[RunRecord]()
    one.register("job")

    def shown(stage: Stage) -> list[float | None]:
        return [
            stage.value("tickglass_job_consecutive_failures", job_name="job"),
            stage.value("tickglass_job_unsuccessful_since_timestamp_seconds", job_name="job"),
        ]

    for outcome in before:
        due_ns = one.clock.wall_ns()
        one.run(one.occurrence("job"), outcome)
        ledger.insert(0, run(due_ns, outcome.value))
    two = Stage()
    two.clock.step(one.clock.wall_ns() - two.clock.wall_ns())
    two.register("job", streak=streak_of(ledger))
    assert shown(two) == shown(one)
    for outcome in after:
        one.run(one.occurrence("job"), outcome)
        two.run(two.occurrence("job"), outcome)
    assert shown(two) == shown(one)


def test_a_success_of_the_past_is_dated_until_a_registration_knows_a_later_one() -> None:
    stage = Stage()

    def shown() -> float | None:
        return stage.value("tickglass_job_last_success_timestamp_seconds", job_name="job")

    stage.register("job", streak=Streak(succeeded_wall_ns=5 * SECOND))
    assert shown() == 5
    stage.register("job", streak=Streak(failures=32))
    assert shown() == 5
    stage.register("job", streak=Streak(succeeded_wall_ns=6 * SECOND))
    assert shown() == 6
