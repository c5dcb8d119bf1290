"""How often a job fails, and is left out, over a quarter of an hour and over a day."""

from __future__ import annotations

from tickglass.sched.durations import SECOND
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry.sidecar.schedulers.tally import WINDOWS_NS, Tally, summed
from tickglass.telemetry.sidecar.view import OutcomeShare

SHORT_NS, LONG_NS = WINDOWS_NS
NOW_NS = 1_000 * LONG_NS


def share(window_ns: int, runs: int, failed: int, due: int, left_out: int) -> OutcomeShare:
    return OutcomeShare(window_ns=window_ns, runs=runs, failed=failed, due=due, left_out=left_out)


def test_runs_that_failed_and_instants_that_were_left_out_are_counted_over_both_windows() -> None:
    tally = Tally()
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.SKIPPED, Outcome.CANCELLED):
        tally.add(NOW_NS, outcome)
    tally.add(NOW_NS, Outcome.ELSEWHERE)
    tally.add(NOW_NS, Outcome.MISSED, 4)
    assert tally.shares(NOW_NS) == (share(SHORT_NS, 3, 2, 9, 5), share(LONG_NS, 3, 2, 9, 5))


def test_what_an_operator_paused_does_not_count() -> None:
    tally = Tally()
    tally.add(0, "skipped", 5, reason="paused")
    tally.add(0, "skipped", 2, reason="overlap")
    assert [(share.due, share.left_out) for share in tally.shares(0)] == [(2, 2), (2, 2)]


def test_what_is_older_than_a_window_does_not_count() -> None:
    tally = Tally()
    tally.add(NOW_NS - LONG_NS - SHORT_NS, Outcome.FAILURE)
    tally.add(NOW_NS - SHORT_NS - 60 * SECOND, Outcome.FAILURE)
    tally.add(NOW_NS, Outcome.SUCCESS)
    assert tally.shares(NOW_NS) == (share(SHORT_NS, 1, 0, 1, 0), share(LONG_NS, 2, 1, 2, 0))


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    tally = Tally()
    tally.add(NOW_NS, Outcome.SUCCESS)
    tally.add(NOW_NS - 3600 * SECOND, Outcome.FAILURE)
    assert tally.shares(NOW_NS)[0] == share(SHORT_NS, 2, 1, 2, 0)


def test_the_schedulers_of_a_job_are_summed_by_window() -> None:
    one, other = Tally(), Tally()
    one.add(NOW_NS, Outcome.FAILURE)
    other.add(NOW_NS, Outcome.SUCCESS)
    assert summed([one.shares(NOW_NS), other.shares(NOW_NS)]) == [share(window, 2, 1, 2, 0) for window in WINDOWS_NS]
    assert summed([]) == []
