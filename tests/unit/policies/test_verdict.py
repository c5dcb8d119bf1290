"""The answers of a policy are values."""

from __future__ import annotations

from typing import get_args

from tickglass.sched.occurrence import SkipReason
from tickglass.sched.policies.verdict import Admit, Decline, Defer, TooLate, Verdict


def test_each_verdict_is_a_value_that_differs_from_all_others() -> None:
    verdicts = [Admit(), Defer(), TooLate(), *map(Decline, SkipReason)]
    assert len(set(verdicts)) == len(verdicts)
    assert {type(it) for it in verdicts} == set(get_args(Verdict))
