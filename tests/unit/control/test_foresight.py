"""Due instants are counted before they come, of all jobs together, as far as they are known."""

from __future__ import annotations

import pytest

from tickglass.sched.control.foresight import COUNTED_MAX, due_between
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import JobRecord
from tickglass.sched.triggers import at

HOUR_NS = 3_600 * SECOND
MIDNIGHT_NS = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z


def job(trigger: str, name: str = "sync") -> JobRecord:
    return JobRecord(name, trigger, f"res:{name}", "host/billing/0", "billing", SECOND, SECOND, None, None)


def counted(*triggers: str, after_ns: int = MIDNIGHT_NS, hours: float = 1) -> tuple[int, bool] | None:
    found = due_between(
        [job(trigger, f"job-{place}") for place, trigger in enumerate(triggers)],
        after_ns,
        after_ns + int(hours * HOUR_NS),
    )
    return None if found is None else (found.count, found.exact)


@pytest.mark.parametrize(
    ("triggers", "hours", "count"),
    [
        (['cron("*/15 * * * *")'], 1, 3),  # the first instant is the moment before, the last one the end
        (['cron("*/15 * * * *")'], 1.01, 4),
        (['cron("30 2 * * *")'], 2, 0),
        ([str(at("2026-01-01T00:30:00Z"))], 1, 1),
        (['every("100ms")'], 1, 35_999),
        (['every("15m")', 'cron("*/15 * * * *")'], 1, 6),
        ([], 1, 0),
    ],
)
def test_instants_after_the_moment_and_before_the_end_are_counted(
    triggers: list[str], hours: float, count: int
) -> None:
    assert counted(*triggers, hours=hours) == (count, True)


def test_what_would_take_long_to_count_is_a_lower_bound() -> None:
    assert counted('cron("* * * * * *")') == (COUNTED_MAX, False)
    assert counted('every("100ms")', 'cron("* * * * * *")') == (35_999, False)


def test_with_a_trigger_of_a_users_own_nothing_is_known() -> None:
    assert counted('every("1m")', "Tides()") is None
