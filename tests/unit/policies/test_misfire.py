"""The grace of an occurrence, and when it is over."""

from __future__ import annotations

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.policies.misfire import GRACE_DEFAULT_MAX_NS, grace_for_ns, grace_max_ns, is_too_late


@pytest.mark.parametrize(
    ("declared_ns", "due_ns", "next_due_ns", "grace_ns"),
    [
        (5 * SECOND, 0, 3_600 * SECOND, 5 * SECOND),
        (5 * SECOND, None, None, 5 * SECOND),
        (None, 0, 100 * MS, 100 * MS),
        (None, 0, 3_600 * SECOND, GRACE_DEFAULT_MAX_NS),
        (None, 0, None, GRACE_DEFAULT_MAX_NS),
        (None, None, None, GRACE_DEFAULT_MAX_NS),
    ],
)
def test_the_grace_is_the_declared_one_or_the_interval_up_to_a_minute(
    declared_ns: int | None, due_ns: int | None, next_due_ns: int | None, grace_ns: int
) -> None:
    assert grace_for_ns(declared_ns, due_ns, next_due_ns) == grace_ns
    assert grace_ns <= grace_max_ns(declared_ns)


@pytest.mark.parametrize(
    ("late_ns", "rerun", "too_late"),
    [
        (-1, False, False),
        (SECOND, False, False),
        (SECOND + 1, False, True),
        (SECOND + 1, True, False),
    ],
)
def test_it_is_too_late_after_the_grace_unless_it_is_a_rerun(late_ns: int, *, rerun: bool, too_late: bool) -> None:
    assert is_too_late(late_ns, SECOND, rerun=rerun) is too_late
