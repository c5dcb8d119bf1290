from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import Trigger, cron

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def instants(trigger: Trigger, count: int, after: datetime = START) -> list[str]:
    found = []
    for _ in range(count):
        following = trigger.next_after(after)
        assert following is not None
        found.append(following.strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000").removesuffix(":00"))
        after = following
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["2026-01-01 02:30", "2026-01-02 02:30"]),
        ("0 30 2 * * ?", ["2026-01-01 02:30", "2026-01-02 02:30"]),
        ("15 30 2 ? * *", ["2026-01-01 02:30:15"]),
        ("0/20 * * * * *", ["2026-01-01 00:00:20", "2026-01-01 00:00:40", "2026-01-01 00:01"]),
        (
            "0 0 * JAN,mar MON",
            ["2026-01-05 00:00", "2026-01-12 00:00", "2026-01-19 00:00", "2026-01-26 00:00", "2026-03-02 00:00"],
        ),
        (
            "0 0 * * FRI-MON",
            ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-05 00:00", "2026-01-09 00:00"],
        ),
        ("0 22-1 * * *", ["2026-01-01 01:00", "2026-01-01 22:00", "2026-01-01 23:00", "2026-01-02 00:00"]),
        ("0 0 * * 0", ["2026-01-04 00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00"]),
        ("0 0 * * 5-7", ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 L * *", ["2026-01-31 00:00", "2026-02-28 00:00"]),
        ("0 0 L-3 * *", ["2026-01-28 00:00", "2026-02-25 00:00"]),
        ("0 0 LW * ?", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("0 0 15W * *", ["2026-01-15 00:00", "2026-02-16 00:00", "2026-03-16 00:00"]),
        ("0 0 1w,15w * *", ["2026-01-15 00:00", "2026-02-02 00:00", "2026-02-16 00:00"]),
        ("0 0 20-L 2 *", ["2026-02-20 00:00", "2026-02-21 00:00"]),
        ("0 0 * * 5#3", ["2026-01-16 00:00", "2026-02-20 00:00"]),
        ("0 0 * * FRI#2,MON#1", ["2026-01-05 00:00", "2026-01-09 00:00"]),
        ("0 0 * * L5", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 ? * FRIL", ["2026-01-30 00:00"]),
        ("0 0 * 2 MON#5", ["2044-02-29 00:00", "2072-02-29 00:00"]),
        ("0 0 13 * FRI", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00", "2026-01-16 00:00"]),
        ("@hourly", ["2026-01-01 01:00", "2026-01-01 02:00"]),
        ("@Daily", ["2026-01-02 00:00"]),
        ("@midnight", ["2026-01-02 00:00"]),
        ("@weekly", ["2026-01-04 00:00"]),
        ("@monthly", ["2026-02-01 00:00"]),
        ("@yearly", ["2027-01-01 00:00"]),
        ("@annually", ["2027-01-01 00:00"]),
        ("0/100ms * * * * * ?", [f"2026-01-01 00:00:00.{n}00000" for n in range(1, 10)] + ["2026-01-01 00:00:01"]),
        ("250ms 0 * * * * ?", ["2026-01-01 00:00:00.250000", "2026-01-01 00:01:00.250000"]),
        ("0,500ms */30 * * * * *", ["2026-01-01 00:00:00.500000"]),
        ("*/500MS 7 * * * * *", ["2026-01-01 00:00:07", "2026-01-01 00:00:07.500000", "2026-01-01 00:01:07"]),
        (
            "0-40/20ms 7 0 0 * * ?",
            ["2026-01-01 00:00:07", "2026-01-01 00:00:07.020000", "2026-01-01 00:00:07.040000", "2026-01-02 00:00:07"],
        ),
        ("5ms,10ms 0 0 0 * * ?", ["2026-01-01 00:00:00.005000", "2026-01-01 00:00:00.010000"]),
        ("  0\t0 * *   * ", ["2026-01-02 00:00"]),
    ],
)
def test_an_expression_is_due(expression: str, expected: list[str]) -> None:
    assert instants(cron(expression), len(expected)) == expected


@pytest.mark.parametrize(
    "trigger",
    [
        cron("0 9 * * *", tz="Europe/Berlin"),
        cron("TZ=Europe/Berlin 0 9 * * *"),
        cron("CRON_TZ=Europe/Berlin 0 9 * * *"),
        cron("CRON_TZ=Europe/Berlin 0 0 9 * * ?", tz="Europe/Berlin"),
    ],
    ids=str,
)
def test_the_zone_is_named_beside_or_within(trigger: Trigger) -> None:
    assert str(trigger.next_after(START)) == "2026-01-01 09:00:00+01:00"
    assert trigger == cron("0 9 * * *", tz="Europe/Berlin")


def test_an_alias_may_follow_a_zone() -> None:
    assert str(cron("TZ=Asia/Tokyo @daily").next_after(START)) == "2026-01-02 00:00:00+09:00"


@pytest.mark.parametrize(
    "spelled",
    [
        'cron("0 30 2 * * ?", tz="Asia/Shanghai")',
        'cron("@daily")',
        'cron("30 2 * * *", tz="Europe/Berlin", dst="both")',
        'cron("0/100ms * * * * * ?", jitter="5ms")',
    ],
)
def test_cron_is_spelled_as_one_would_write_it(spelled: str) -> None:
    trigger = eval(spelled, {"cron": cron})
    assert str(trigger) == repr(trigger) == spelled


def test_a_zone_inside_the_expression_is_written_as_an_argument() -> None:
    assert str(cron("TZ=Europe/Berlin  0 9  * * *")) == 'cron("0 9 * * *", tz="Europe/Berlin")'


def test_cron_is_equal_by_meaning() -> None:
    assert cron("0 0 * * *") == cron("@daily") == cron("0 0 0 ? * *") == cron("0 0 */1 * ?") == cron("0 0 * * 0-7")
    assert hash(cron("0 0 * * MON")) == hash(cron("0 0 * * 1"))
    assert cron("@daily") != cron("@daily", tz="Asia/Tokyo")
    assert cron("@daily") != cron("@daily", dst="skip")
    assert cron("@daily") != cron("@hourly")


@pytest.mark.parametrize("days", ["29", "30", "31"])
@pytest.mark.parametrize("months", ["2", "4", "2,4", "4,6,9,11", "1", "1,2", "*"])
def test_a_workday_near_a_day_is_refused_in_the_months_in_which_the_day_is(days: str, months: str) -> None:
    def read(day: str) -> bool:
        try:
            cron(f"0 0 {day} {months} *")
        except ConfigError:
            return False
        return True

    assert read(f"{days}W") == read(days)
    assert read("LW")


def test_instants_end_with_the_calendar() -> None:
    trigger = cron("@yearly")
    assert trigger.next_after(datetime(9996, 6, 1, tzinfo=UTC)) == datetime(9997, 1, 1, tzinfo=UTC)
    assert trigger.next_after(datetime(9997, 6, 1, tzinfo=UTC)) is None
    assert trigger.next_after(datetime(9999, 6, 1, tzinfo=UTC)) is None
    assert trigger.next_after(datetime(1, 1, 1, tzinfo=UTC)) == datetime(2, 1, 1, tzinfo=UTC)
    assert trigger.next_after_ns(-(10**24)) == trigger.next_after_ns(-62_120_000_000 * 10**9)


def test_threads_that_share_a_trigger_get_the_answers_of_one() -> None:
    trigger, start = cron("*/7 0-3,5 * * *", tz="Europe/Berlin"), 1_774_700_000 * 10**9
    fresh = cron("*/7 0-3,5 * * *", tz="Europe/Berlin")
    expected = {after: fresh.next_after_ns(after) for after in range(start, start + 30 * 86_400 * 10**9, 1777 * 10**9)}
    orders = [
        list(expected),
        list(reversed(expected)),
        sorted(expected, key=lambda n: n % 1009),
        sorted(expected, key=str),
    ]
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda order: [(after, trigger.next_after_ns(after)) for after in order], orders):
            assert dict(answers) == expected
