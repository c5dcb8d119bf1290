"""A job that still runs when its next occurrence comes."""

from __future__ import annotations

import pytest

from tickglass.sched.occurrence import SkipReason
from tickglass.sched.policies.overlap import while_running
from tickglass.sched.policies.verdict import Decline, Defer


@pytest.mark.parametrize(
    ("late_ns", "verdict"),
    [(-1, Defer()), (0, Decline(SkipReason.OVERLAP)), (1, Decline(SkipReason.OVERLAP))],
)
def test_it_is_an_overlap_from_the_due_instant_on(late_ns: int, verdict: Defer | Decline) -> None:
    assert while_running(late_ns) == verdict
