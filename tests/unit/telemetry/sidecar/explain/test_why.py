from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import Lateness
from tickglass.sched.occurrence import OccurrenceState, Outcome, SkipReason
from tickglass.telemetry.sidecar.explain.why import OUTCOMES, SKIPS, Facts, clock_text, why

DUE_NS = 1_767_234_600_000_000_000  # 2026-01-01T02:30:00Z
LATE = Lateness(total_ns=1_200 * MS, timer_ns=0, pool_ns=200 * MS, lock_ns=1_000 * MS, start_ns=0)

# Everything known, and nothing known but the outcome.
SAID: dict[Outcome, tuple[Facts, str, str]] = {
    Outcome.SUCCESS: (
        Facts(due_ns=DUE_NS, lateness=LATE, attempt=2, by="host-2"),
        (
            "attempt 2: host-2, which had claimed it before, did not record how it ended; "
            "started 1.20 s late, 1.00 s of it waiting for the claim and its lock"
        ),
        "",
    ),
    Outcome.FAILURE: (
        Facts(due_ns=DUE_NS, error="ValueError: no\nrows", ran_ns=3 * SECOND),
        "failed after 3.00 s: ValueError: no",
        "failed",
    ),
    Outcome.TIMEOUT: (
        Facts(due_ns=DUE_NS, timeout_ns=25 * SECOND, ran_ns=26 * SECOND),
        "timeout: it ran over its timeout of 25s and was asked to stop; it ended after 26.00 s",
        "timeout: it ran over its timeout and was asked to stop",
    ),
    Outcome.CANCELLED: (
        Facts(due_ns=DUE_NS, owner="host-1", ran_ns=3 * SECOND),
        "cancelled: its scheduler, host-1, stopped, and asked it to stop; it ran for 3.00 s",
        "cancelled: its scheduler stopped, and asked it to stop; it had not started",
    ),
    Outcome.LOST: (
        Facts(due_ns=DUE_NS, resource="ledger", by="host-2", ran_ns=3 * SECOND),
        "lost: its lease on ledger could no longer be trusted, because host-2 has it now; it ran for 3.00 s",
        "lost: its lease could no longer be trusted, because no renewal was confirmed in time; it had not started",
    ),
    Outcome.ORPHANED: (
        Facts(due_ns=DUE_NS, by="host-2"),
        "orphaned: host-2 died before it recorded an outcome, and there is no further attempt",
        (
            "orphaned: the instance that had claimed it died before it recorded an outcome, "
            "and there is no further attempt"
        ),
    ),
    Outcome.ELSEWHERE: (
        Facts(due_ns=DUE_NS, by="host-2", earlier_ns=400_000, there="success"),
        "elsewhere: claimed by host-2 0.40 ms earlier, where it ended as success",
        "elsewhere: another instance has it",
    ),
    Outcome.MISSED: (
        Facts(due_ns=DUE_NS, seen_wall_ns=DUE_NS + 245 * SECOND, grace_ns=60 * SECOND),
        "missed: no instance took it up in time; it was noticed 4m05s after it was due, past its grace of 1m",
        "missed: no instance took it up in time",
    ),
    Outcome.SKIPPED: (
        Facts(due_ns=DUE_NS, reason="some new reason"),
        "skipped: some new reason",
        "skipped: a policy refused it",
    ),
}

SKIPPED: dict[SkipReason, tuple[Facts, str, str]] = {
    SkipReason.OVERLAP: (
        Facts(due_ns=DUE_NS, owner="host-1", by="host-2", since_wall_ns=DUE_NS + 4 * MS),
        "skipped: its previous run on host-2, which started 02:30:00.004Z, was still running",
        "skipped: its previous occurrence had not ended",
    ),
    SkipReason.LOCK_HELD: (
        Facts(due_ns=DUE_NS, resource="printer", by="host-2", by_job="labels", since_wall_ns=DUE_NS, grace_ns=SECOND),
        "skipped: host-2 (job labels) held printer, since 02:30:00.000Z, for all of its grace of 1s",
        "skipped: another holder had its lock for all of its grace",
    ),
    SkipReason.STORE_UNAVAILABLE: (
        Facts(due_ns=DUE_NS, store="redis, claim: unavailable"),
        "skipped: the store did not answer (redis, claim: unavailable), and a run needs a claim",
        "skipped: the store did not answer, and a run needs a claim",
    ),
    SkipReason.STORE_ERROR: (
        Facts(due_ns=DUE_NS, store="redis, claim: error"),
        "skipped: the store answered with a failure (redis, claim: error), and a run needs a claim",
        "skipped: the store answered with a failure, and a run needs a claim",
    ),
    SkipReason.SKEW: (
        Facts(due_ns=DUE_NS, skew_ns=-2 * SECOND),
        "skipped: our clock is behind the store's by 2.00 s, which is too much to decide what is due",
        "skipped: our clock and the store's are too far apart, which is too much to decide what is due",
    ),
    SkipReason.STOPPING: (
        Facts(due_ns=DUE_NS, owner="host-1"),
        "skipped: its scheduler, host-1, was stopping",
        "skipped: its scheduler was stopping",
    ),
    SkipReason.PAUSED: (
        Facts(due_ns=DUE_NS, error="anna paused it: the disk is full (act 7)"),
        "skipped: anna paused it: the disk is full (act 7)",
        "skipped: an operator did not want it run",
    ),
}


def with_outcome(facts: Facts, outcome: Outcome, reason: str = "") -> Facts:
    return msgspec.structs.replace(facts, outcome=outcome, reason=reason or facts.reason)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (OccurrenceState.ADMITTED, "was still waiting for a free worker"),
        (OccurrenceState.CLAIMING, "was still waiting for its claim"),
        (OccurrenceState.CLAIMED, "had its claim and was about to start"),
        (OccurrenceState.UNCLAIMED, "was about to start without a claim"),
        (OccurrenceState.PENDING, "had not ended"),
    ],
)
def test_an_overlap_with_what_has_not_started_is_not_called_a_run(state: OccurrenceState, words: str) -> None:
    facts = Facts(due_ns=DUE_NS + SECOND, reason=SkipReason.OVERLAP, before_ns=DUE_NS, before_state=state)
    told = f"skipped: its previous occurrence, due 02:30:00.000Z, {words}"
    assert why(with_outcome(facts, Outcome.SKIPPED)) == told
    failed = msgspec.structs.replace(facts, store="redis, claim: unavailable")
    assert (
        why(with_outcome(failed, Outcome.SKIPPED)) == f"{told}; the store's latest failure: redis, claim: unavailable"
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_sentence(outcome: Outcome) -> None:
    facts, all_known, nothing_known = SAID[outcome]
    assert why(with_outcome(facts, outcome)) == all_known
    assert why(Facts(due_ns=DUE_NS, outcome=outcome)) == nothing_known
    assert outcome in OUTCOMES


@pytest.mark.parametrize("reason", SkipReason)
def test_every_reason_to_skip_has_its_sentence(reason: SkipReason) -> None:
    facts, all_known, nothing_known = SKIPPED[reason]
    assert why(with_outcome(facts, Outcome.SKIPPED, reason)) == all_known
    assert why(Facts(due_ns=DUE_NS, outcome=Outcome.SKIPPED, reason=reason)) == nothing_known
    assert reason in SKIPS


def test_a_plain_success_needs_no_words() -> None:
    assert why(Facts(due_ns=DUE_NS, outcome="success", lateness_ns=2 * MS)) == ""
    assert why(Facts(due_ns=DUE_NS, outcome="success", lateness_ns=20 * MS)) == "started 20 ms late"


def test_what_the_pool_delayed_may_have_waited_for_its_turn() -> None:
    late = Lateness(total_ns=20 * MS, timer_ns=0, pool_ns=19 * MS, lock_ns=MS, start_ns=0)
    assert why(Facts(due_ns=DUE_NS, outcome="success", lateness=late)) == (
        "started 20 ms late, 19 ms of it waiting for a worker, or for its turn behind others that were due"
    )


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"reason": "pool", "owner": "host-1"}, "missed: no worker of host-1 was free in time"),
        ({"reason": "late", "owner": "host-1"}, "missed: host-1 claimed it and could not start it in time"),
        ({"claimed_wall_ns": DUE_NS}, "missed: an instance claimed it and could not start it in time"),
    ],
)
def test_a_missed_instant_that_somebody_was_there_for_says_what_kept_them(facts: dict[str, Any], sentence: str) -> None:
    assert why(Facts(due_ns=DUE_NS, outcome="missed", **facts)) == sentence


def test_many_missed_instants_are_told_together() -> None:
    facts = Facts(
        due_ns=DUE_NS, outcome="missed", count=20, exact=False, until_ns=DUE_NS + SECOND, seen_wall_ns=DUE_NS + SECOND
    )
    assert why(facts) == (
        "missed: at least 20 due instants between 2026-01-01 02:30:00.000Z and 02:30:01.000Z "
        "passed while no instance was there to run them"
    )


def test_many_instants_that_a_full_pool_kept_back_are_not_blamed_on_absence() -> None:
    facts = Facts(due_ns=DUE_NS, outcome="missed", count=20, reason="pool", owner="host-1")
    assert why(facts) == "missed: 20 due instants passed while no worker of host-1 was free"


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (Facts(due_ns=DUE_NS, state=OccurrenceState.PENDING), ""),
        (Facts(due_ns=DUE_NS, state=OccurrenceState.RUNNING), ""),
        (Facts(due_ns=DUE_NS, state=OccurrenceState.CLAIMING), ""),
        (
            Facts(due_ns=DUE_NS, state=OccurrenceState.CLAIMING, resource="printer", by="host-1", by_job="labels"),
            "waits for printer, which host-1 (job labels) has held",
        ),
        (
            Facts(due_ns=DUE_NS, state=OccurrenceState.STOPPING, reason="timeout", timeout_ns=25 * SECOND),
            "was asked to stop, because it is over its timeout of 25s, and has not ended yet",
        ),
        (
            Facts(due_ns=DUE_NS, state="left", owner="host-1", seen_wall_ns=DUE_NS + SECOND),
            "its scheduler, host-1, went away at 02:30:01.000Z, and nothing says how it ended",
        ),
        (
            Facts(due_ns=DUE_NS, state="abandoned", owner="host-1", claimed_wall_ns=DUE_NS),
            "abandoned: host-1 claimed it at 02:30:00.000Z, and its lease ended before an outcome was recorded",
        ),
        (
            Facts(
                due_ns=DUE_NS,
                state="overdue",
                grace_ns=SECOND,
                absent="host-1, which had it, went away 4m00s ago",
                now_ns=DUE_NS + 245 * SECOND,
            ),
            (
                "no instance claimed it: it was due 4m05s ago, its grace of 1s has passed, "
                "and host-1, which had it, went away 4m00s ago"
            ),
        ),
    ],
)
def test_what_has_no_outcome_says_what_is_in_its_way(facts: Facts, text: str) -> None:
    assert why(facts) == text


def test_a_clock_time_has_its_date_unless_that_is_known() -> None:
    assert clock_text(DUE_NS, DUE_NS + SECOND) == "02:30:00.000Z"
    assert clock_text(DUE_NS) == clock_text(DUE_NS, DUE_NS + 86_400 * SECOND) == "2026-01-01 02:30:00.000Z"
