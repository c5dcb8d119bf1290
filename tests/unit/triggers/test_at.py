from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import LATEST_NS, InstantCount, at, cron, every

INSTANT = datetime(2027, 1, 31, 1, 30, tzinfo=UTC)
NS = 1_801_359_000 * 10**9


@pytest.mark.parametrize(
    "trigger",
    [
        at(INSTANT),
        at("2027-01-31T02:30:00+01:00"),
        at("2027-01-31T01:30Z"),
        at("20270131T013000Z"),
        at(datetime(2027, 1, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))),
    ],
)
def test_at_is_due_once(trigger: object) -> None:
    assert trigger == at(INSTANT)
    assert at(INSTANT).next_after_ns(NS - 1) == NS
    assert at(INSTANT).next_after_ns(NS) is None
    assert at(INSTANT).count_between(NS - 1, NS, 5) == InstantCount(1, NS, exact=True)
    assert at(INSTANT).count_between(NS, NS + 1, 5) == InstantCount(0, None, exact=True)


@pytest.mark.parametrize(
    ("text", "after_the_second_ns", "spelled"),
    [
        ("2027-01-31T01:30:00.123456789Z", 123_456_789, "2027-01-31T01:30:00.123456789+00:00"),
        ("2027-01-31T01:30:00.1234567Z", 123_456_700, "2027-01-31T01:30:00.123456700+00:00"),
        ("2027-01-31T01:30:00,000000001Z", 1, "2027-01-31T01:30:00.000000001+00:00"),
        ("2027-01-31T02:30:00.1234560000000+01:00", 123_456_000, "2027-01-31T01:30:00.123456+00:00"),
        ("2027-01-31 01:30:00.5z", 500_000_000, "2027-01-31T01:30:00.500000+00:00"),
    ],
)
def test_an_instant_is_kept_to_the_nanosecond(text: str, after_the_second_ns: int, spelled: str) -> None:
    assert at(text).next_after_ns(0) == NS + after_the_second_ns
    assert str(at(text)) == f'at("{spelled}")'
    assert eval(str(at(text)), {"at": at}) == at(text)


def test_the_last_instant_that_a_store_can_hold_is_one_and_the_next_is_refused() -> None:
    assert at("2262-04-11T23:47:16.854775807Z").next_after_ns(0) == LATEST_NS
    with pytest.raises(ConfigError, match="later than any store can hold"):
        at("2262-04-11T23:47:16.854775808Z")


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    ("zone", "local", "first_after_the_gap"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 2, tzinfo=UTC), "2026-03-29T01:00:00"),
        ("Europe/Berlin", datetime(2026, 3, 29, 2, 30, tzinfo=UTC), "2026-03-29T01:00:00"),
        ("Europe/Berlin", datetime(2026, 3, 29, 2, 59, 59, 999_999, tzinfo=UTC), "2026-03-29T01:00:00"),
        ("Europe/Berlin", datetime(2026, 3, 29, 3, tzinfo=UTC), "2026-03-29T01:00:00"),
        ("Australia/Lord_Howe", datetime(2026, 10, 4, 2, 15, tzinfo=UTC), "2026-10-03T15:30:00"),  # half an hour
        ("Pacific/Apia", datetime(2011, 12, 30, 12, tzinfo=UTC), "2011-12-30T10:00:00"),  # a day
        ("Africa/Monrovia", datetime(1972, 1, 7, 0, 30, tzinfo=UTC), "1972-01-07T00:44:30"),
    ],
)
def test_a_time_that_does_not_exist_is_the_first_after_the_gap_as_in_cron(
    zone: str, local: datetime, first_after_the_gap: str, fold: int
) -> None:
    meant = local.replace(tzinfo=ZoneInfo(zone), fold=fold)
    assert str(at(meant)) == f'at("{first_after_the_gap}+00:00")'
    same = cron(f"{local.second} {local.minute} {local.hour} {local.day} {local.month} ?", tz=zone)
    assert same.next_after(datetime(local.year, local.month, local.day, tzinfo=UTC) - timedelta(days=2)) == datetime(
        *datetime.fromisoformat(first_after_the_gap).timetuple()[:6], tzinfo=UTC
    )
    assert every("1d", anchor=meant) == every("1d", anchor=datetime.fromisoformat(f"{first_after_the_gap}+00:00"))


def test_each_gap_of_a_zone_ends_where_cron_says() -> None:
    rng, gaps = random.Random(11), 0
    for zone in rng.sample(sorted(available_timezones() - {"localtime", "posixrules", "Factory"}), 60):
        for day in range(366 * 3):
            local = datetime(2026, 1, 1, 0, 5, tzinfo=UTC) + timedelta(days=day, hours=rng.choice([0, 2]))
            meant = local.replace(tzinfo=ZoneInfo(zone))
            if meant.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) == local:
                continue
            trigger = cron(f"{local.minute} {local.hour} {local.day} {local.month} ?", tz=zone)
            assert trigger.next_after(meant - timedelta(days=2)) == datetime.fromisoformat(str(at(meant))[4:-2])
            gaps += 1
    assert gaps > 5


def test_both_passes_of_an_hour_shown_twice_can_be_meant() -> None:
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert str(at(twice)) == 'at("2026-10-25T00:30:00+00:00")'
    assert str(at(twice.replace(fold=1))) == 'at("2026-10-25T01:30:00+00:00")'
