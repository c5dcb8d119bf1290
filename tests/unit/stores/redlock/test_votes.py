"""Judging what several servers answered, without a server."""

from __future__ import annotations

from tickglass.sched.durations import MS
from tickglass.sched.ports import AlreadyClaimed, Refused, RunRecord
from tickglass.sched.stores.redlock.votes import judge, merged_runs


def test_an_outcome_counts_until_a_majority_knows_of_a_later_attempt() -> None:
    settled = ["already", "n1", "success", "run", "s", "7", "0", "9000", 1]
    next_try, later_try = (["claimed", "8", "", attempt, "run"] for attempt in (2, 3))
    assert judge([settled, next_try, next_try], 2, 3).answer == AlreadyClaimed("n1", "success")
    assert judge([settled, next_try, later_try], 2, 3).answer == AlreadyClaimed("n1", "success")
    assert judge([settled, later_try, later_try], 2, 3).answer is None


def _refused(token: str, rest_us: int, ttl_ms: int = 30_000) -> list[str]:
    return ["refused", f"owner-{token}", "s", "", "", "7", str(rest_us), str(ttl_ms * MS), token]


def test_a_refusal_names_the_majority_and_when_enough_of_it_ends() -> None:
    replies = [_refused("a", 100), _refused("a", 300), _refused("b", 200)]
    verdict = judge(replies, 2, 3)
    assert isinstance(verdict.answer, Refused)
    assert (verdict.answer.holder.owner, verdict.answer.retry_after_ns, verdict.split) == ("owner-a", 200_000, False)


def test_a_young_tie_is_a_split_and_an_old_one_is_not() -> None:
    young = [_refused("a", 29_990_000), ["granted", "8", ""], _refused("b", 29_990_000)]
    assert judge(young, 2, 3).split
    old = [_refused("a", 100), ["granted", "8", ""], _refused("b", 200)]
    verdict = judge(old, 2, 3)
    assert isinstance(verdict.answer, Refused)
    assert (verdict.split, verdict.answer.retry_after_ns) == (False, 100_000)


def attempt_of(run_id: str, outcome: str | None, attempt: int = 1) -> RunRecord:
    return RunRecord(
        job="j",
        due_ns=1,
        attempt=attempt,
        owner=run_id,
        service="s",
        run_id=run_id,
        resource="j",
        fence=7,
        claimed_wall_ns=2,
        started_wall_ns=None,
        ended_wall_ns=None if outcome is None else 3,
        outcome=outcome,
        detail="",
        lateness_ns=None,
    )


def outcomes(*views: list[RunRecord]) -> list[tuple[str, str | None]]:
    return sorted((run.run_id, run.outcome) for run in merged_runs(views, 2, 3))


def test_a_claim_in_doubt_that_lost_the_vote_is_no_second_outcome_of_the_occurrence() -> None:
    skipped, won = attempt_of("a", "skipped"), attempt_of("b", "success")
    assert outcomes([skipped], [won], [won]) == [("b", "success")]
    assert outcomes([skipped], [attempt_of("b", None)], [attempt_of("b", None)]) == [("b", None)]


def test_a_skipped_claim_stays_where_no_other_run_won_that_attempt() -> None:
    skipped = attempt_of("a", "skipped")
    assert outcomes([skipped], [], []) == [("a", "skipped")]
    assert outcomes([skipped], [skipped], [skipped]) == [("a", "skipped")]
    later = attempt_of("b", "success", attempt=2)
    assert outcomes([skipped], [later], [later]) == [("a", "skipped"), ("b", "success")]


def test_a_run_that_ran_is_never_left_out() -> None:
    ran, won = attempt_of("a", "failure"), attempt_of("b", "success")
    assert outcomes([ran], [won], [won]) == [("a", "failure"), ("b", "success")]
