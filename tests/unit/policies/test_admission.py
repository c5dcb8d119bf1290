"""Whether a due instant is admitted: one table of situations."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest
from msgspec.structs import replace

from tickglass.sched.durations import SECOND
from tickglass.sched.occurrence import SkipReason
from tickglass.sched.policies.admission import Situation, admit
from tickglass.sched.policies.verdict import Admit, Decline, Defer, TooLate, Verdict

ON_TIME: Final = Situation(late_ns=0, grace_ns=SECOND, busy=False, skewed=False)
OVERLAP, SKEW, PAUSED = (Decline(reason) for reason in (SkipReason.OVERLAP, SkipReason.SKEW, SkipReason.PAUSED))


@pytest.mark.parametrize(
    ("situation", "verdict"),
    [
        (ON_TIME, Admit()),
        (replace(ON_TIME, late_ns=-1), Admit()),
        (replace(ON_TIME, late_ns=SECOND), Admit()),
        (replace(ON_TIME, late_ns=SECOND + 1), TooLate()),
        (replace(ON_TIME, superseded=True), TooLate()),
        (replace(ON_TIME, busy=True), OVERLAP),
        (replace(ON_TIME, busy=True, late_ns=-1), Defer()),
        (replace(ON_TIME, busy=True, skewed=True), OVERLAP),
        (replace(ON_TIME, busy=True, skewed=True, late_ns=-1), Defer()),
        (replace(ON_TIME, busy=True, late_ns=SECOND + 1), TooLate()),
        (replace(ON_TIME, skewed=True), SKEW),
        (replace(ON_TIME, skewed=True, late_ns=-1), SKEW),
        (replace(ON_TIME, skewed=True, late_ns=SECOND + 1), TooLate()),
        (replace(ON_TIME, paused=True), PAUSED),
        (replace(ON_TIME, paused=True, late_ns=-1), PAUSED),
        (replace(ON_TIME, paused=True, busy=True, skewed=True), PAUSED),
        (replace(ON_TIME, paused=True, late_ns=SECOND + 1), TooLate()),
        (replace(ON_TIME, rerun=True, paused=True), Defer()),
        (replace(ON_TIME, rerun=True), Admit()),
        (replace(ON_TIME, rerun=True, late_ns=-1), Defer()),
        (replace(ON_TIME, rerun=True, late_ns=3_600 * SECOND), Admit()),
        (replace(ON_TIME, rerun=True, busy=True), Defer()),
        (replace(ON_TIME, rerun=True, skewed=True), Defer()),
    ],
)
def test_each_situation_has_its_verdict(situation: Situation, verdict: Verdict) -> None:
    assert admit(situation) == verdict


EITHER: Final = (False, True)
ALL: Final = [
    Situation(late_ns=late_ns, grace_ns=1, busy=busy, skewed=skewed, superseded=superseded, rerun=rerun, paused=paused)
    for late_ns, busy, skewed, superseded, rerun, paused in product(
        (-1, 0, 1, 2), EITHER, EITHER, EITHER, EITHER, EITHER
    )
]


def test_a_rerun_is_started_or_deferred_and_nothing_else() -> None:
    assert {type(admit(it)) for it in ALL if it.rerun} == {Admit, Defer}


def test_nothing_is_deferred_once_it_is_due_but_a_rerun() -> None:
    assert all(it.rerun or it.late_ns < 0 for it in ALL if admit(it) == Defer())


def test_nothing_starts_beside_a_run_of_its_job_nor_by_a_wrong_clock() -> None:
    assert not any(it.busy or it.skewed for it in ALL if admit(it) == Admit())
