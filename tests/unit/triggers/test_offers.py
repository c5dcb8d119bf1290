"""What is offered instead of a refused expression means what was meant, or nothing is offered.

What was meant is told in longhand, by days and times of day that nothing of ours has
parsed, and the instants are compared.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice, product
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import pytest
from unit.triggers.test_refusals import CALLS, EXPRESSIONS

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import Trigger, at, cron, every

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECOND = 10**9
DAYS = 3_000  # so far instants are compared, or 30 of them
STARTS = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 12, 27, 0, 0, 7, tzinfo=UTC)]


@dataclass(frozen=True)
class Times:
    """On these days, at each combination of hour, minute, second and millisecond."""

    hours: tuple[int, ...] = (0,)
    minutes: tuple[int, ...] = (0,)
    seconds: tuple[int, ...] = (0,)
    ms: tuple[int, ...] = (0,)
    day: Callable[[date], bool] = lambda _: True
    zone: str = "UTC"

    def after(self, start: datetime) -> Iterator[int]:
        zone = ZoneInfo(self.zone)
        for ahead in range(DAYS):
            day = start.date() + timedelta(days=ahead)
            if not self.day(day):
                continue
            for hour, minute, second, ms in product(self.hours, self.minutes, self.seconds, self.ms):
                instant = datetime(day.year, day.month, day.day, hour, minute, second, ms * 1000, tzinfo=zone)
                if instant > start:
                    yield (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) * 10**6


@dataclass(frozen=True)
class Rate:
    """Every so many seconds since 1970."""

    period_s: float
    offset_s: float = 0

    def after(self, start: datetime) -> Iterator[int]:
        period, offset = int(self.period_s * SECOND), int(self.offset_s * SECOND)
        first = (int(start.timestamp()) * SECOND - offset) // period + 1
        return (number * period + offset for number in range(first, first + 1000))


def walked(trigger: Trigger, start: datetime) -> Iterator[int]:
    instant = int(start.timestamp()) * SECOND
    end = instant + (DAYS - 1) * 86_400 * SECOND
    while (following := trigger.next_after_ns(instant)) is not None and following < end:
        yield following
        instant = following


def on(*isoweekdays: int) -> Callable[[date], bool]:
    return lambda day: day.isoweekday() in isoweekdays


def nth(number: int, *isoweekdays: int) -> Callable[[date], bool]:
    return lambda day: day.isoweekday() in isoweekdays and (day.day - 1) // 7 + 1 == number


def last_day(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def last_workday(day: date) -> bool:
    following = day + timedelta(days=1)
    while following.isoweekday() > 5:
        following += timedelta(days=1)
    return day.isoweekday() < 6 and following.month != day.month


def nearest_workday_to_15(day: date) -> bool:
    workdays = [number for number in range(13, 18) if day.replace(day=number).isoweekday() < 6]
    return day.day == min(workdays, key=lambda number: abs(number - 15))


def in_month(day_in: Callable[[date], bool], *months: int) -> Callable[[date], bool]:
    return lambda day: day.month in months and day_in(day)


ALL, SIXTY = tuple(range(24)), tuple(range(60))
DAILY, HOURLY, MINUTELY = Times(), Times(ALL), Times(ALL, SIXTY)
SECONDLY = Times(ALL, SIXTY, SIXTY)
TENTHS = Times(ALL, SIXTY, SIXTY, tuple(range(0, 1000, 100)))
MONTHLY, YEARLY = Times(day=lambda day: day.day == 1), Times(day=lambda day: (day.day, day.month) == (1, 1))
WEEKDAYS, MONDAYS, SUNDAYS = Times(day=on(1, 2, 3, 4, 5)), Times(day=on(1)), Times(day=on(7))

# What each refused expression means, where that is certain; where two things can be meant, both of them.
# Whatever is refused and not in this list must offer nothing.
MEANT: dict[str, list[Times | Rate]] = {
    # Steps that find one value.
    "0/100 * * * * ?": [TENTHS, Rate(0.1), Rate(100)],
    "0/150 * * * * ?": [Rate(0.15), Rate(150)],
    "0/100 * 9 * * ?": [Times((9,), SIXTY, SIXTY, tuple(range(0, 1000, 100)))],
    "5/100 * * * * ?": [Rate(100, 5)],
    "*/90 * * * * *": [Rate(90)],
    "*/90 * * * *": [Rate(5400)],
    "TZ=Asia/Tokyo */90 * * * *": [Rate(5400)],
    "15/90 * * * *": [Rate(5400, 900)],
    "0 */36 * * *": [Rate(36 * 3600)],
    "0 8/36 * * *": [Rate(36 * 3600, 8 * 3600)],
    "*/60 * * * *": [Rate(3600)],
    "5/60 * * * *": [Rate(3600, 300)],
    "0 */24 * * *": [DAILY],
    "*/60 9-17 * * MON-FRI": [Times(tuple(range(9, 18)), day=on(1, 2, 3, 4, 5))],
    "0 0 1 */12 *": [YEARLY],
    "0 0 * * */7": [SUNDAYS],
    "0/1000ms * * * * * ?": [Rate(1)],
    "59/15 * * * *": [Times(ALL, (59,))],
    "10/59 * * * *": [Times(ALL, (10,))],
    "10,20-25/9 * * * *": [Times(ALL, (10, 20))],
    "0 0 * JAN-FEB/2 *": [Times(day=lambda day: day.month == 1)],
    "0 0 28/5 * *": [Times(day=lambda day: day.day == 28)],
    "0 0 * * 5/2": [Times(day=on(5, 7))],
    "0 0 * * FRI/2": [Times(day=on(5, 7))],
    "0 0 * * 1/6": [Times(day=on(1, 7))],
    "0 0 * * 3/4": [Times(day=on(3, 7))],
    "0 0 * * SAT/1": [Times(day=on(6, 7))],
    "0 0 * * 5/3": [Times(day=on(5))],
    # Ranges.
    "5-5 * * * *": [Times(ALL, (5,)), MINUTELY],
    "5-5/2 * * * *": [Times(ALL, (5,))],
    "5-5ms * * * * * ?": [Times(ALL, SIXTY, SIXTY, (5,))],
    "0 0 * * 0-0": [SUNDAYS],
    "0 0 * * 7-0": [SUNDAYS],
    "0 0 * JAN-JAN *": [Times(day=lambda day: day.month == 1), DAILY],
    "0 10-3/5 * * *": [Times((1, 10, 15, 20))],
    "0 0 * * FRI-TUE/2": [Times(day=on(5, 7, 2))],
    "0 0 20-10 * *": [Times(day=lambda day: day.day >= 20 or day.day <= 10)],
    "0 0 31-5 * *": [Times(day=lambda day: day.day == 31 or day.day <= 5)],
    "500-100ms * * * * * ?": [Times(ALL, SIXTY, SIXTY, tuple(range(101)) + tuple(range(500, 1000)))],
    # Names and signs.
    "0 0 * * SUNDAY": [SUNDAYS],
    "0 0 * * tues": [Times(day=on(2))],
    "0 0 * * SNU": [SUNDAYS],
    "0 0 * JNA *": [Times(day=lambda day: day.month == 1)],
    "0 0 * sept *": [Times(day=lambda day: day.month == 9)],
    "0 0 * * L": [Times(day=on(6))],  # of Quartz, whose week ends on Saturday
    "0 0 W15 * *": [Times(day=nearest_workday_to_15)],
    "0 0 ? * ?": [DAILY],
    "0 ? * * *": [HOURLY],
    "0 0 ?,1 * *": [MONTHLY],
    "1,* * * * *": [MINUTELY],
    # Days.
    "0 0 30 2 *": [Times(day=in_month(last_day, 2))],
    "0 0 31 4,6 *": [Times(day=in_month(last_day, 4, 6))],
    "0 0 31 4 MON": [Times(day=lambda day: day.month == 4 and (last_day(day) or day.isoweekday() == 1))],
    "0 0 30W 2 *": [Times(day=in_month(last_workday, 2))],
    "0 0 31W 4,6 *": [Times(day=in_month(last_workday, 4, 6))],
    "0 0 1-31 * MON": [MONDAYS],
    "0 0 13 * 0-6": [Times(day=lambda day: day.day == 13)],
    "0 0 1-7 * MON": [Times(day=nth(1, 1)), Times(day=lambda day: day.day <= 7 or day.isoweekday() == 1)],
    "0 30 9 8-14 6 TUE,THU": [
        Times((9,), (30,), day=in_month(nth(2, 2, 4), 6)),
        Times((9,), (30,), day=in_month(lambda day: 8 <= day.day <= 14 or day.isoweekday() in {2, 4}, 6)),
    ],
    "TZ=Asia/Tokyo 0 0 22-28 * 0": [
        Times(day=nth(4, 7), zone="Asia/Tokyo"),
        Times(day=lambda day: 22 <= day.day <= 28 or day.isoweekday() == 7, zone="Asia/Tokyo"),
    ],
    # Years: of Amazon EventBridge and of Quartz.
    "0 18 ? * MON-FRI *": [Times((18,), day=on(1, 2, 3, 4, 5))],
    "15 10 * * ? *": [Times((10,), (15,))],
    "0/15 * * * ? *": [Times(ALL, (0, 15, 30, 45))],
    "0 8 1 * ? *": [Times((8,), day=lambda day: day.day == 1)],
    "0 10 ? * FRI#2 *": [Times((10,), day=nth(2, 5))],
    "TZ=Asia/Tokyo 0 18 ? * MON *": [Times((18,), day=on(1), zone="Asia/Tokyo")],
    "cron(0 18 ? * MON-FRI *)": [Times((18,), day=on(1, 2, 3, 4, 5))],
    "0 0 12 ? * MON *": [Times((12,), day=on(1))],
    "0 0 12 * * ? *": [Times((12,))],
    "0/5 * * * * ? *": [Rate(5)],
    "0 0 0 ? * * *": [DAILY],
    # Fields in another order.
    "*/5 * * * * 0/15": [Times(ALL, tuple(range(0, 60, 5)), (0, 15, 30, 45))],
    "TZ=Asia/Tokyo 5 * * * * 30": [Times(ALL, (5,), (30,), zone="Asia/Tokyo")],
    "0 12 * * MON 30": [Times((12,), (0,), (30,), day=on(1))],
    "0 0 0 * MON JAN": [Times(day=in_month(on(1), 1))],
    "0 0/100ms * * * * ?": [Times(ALL, SIXTY, (0,), tuple(range(0, 1000, 100)))],
    "0/100 * * * * * ?": [TENTHS],
    "0/100ms": [TENTHS],
    "5,10ms": [Times(ALL, SIXTY, SIXTY, (5, 10))],
    "* * * *": [MINUTELY],
    # The rest of a crontab's line.
    "0 0 * * * root /bin/backup": [DAILY],
    "0 0 * * * /bin/backup": [DAILY],
    "0 0 0 * * ? # nightly": [DAILY],
    "@daily root /bin/backup": [DAILY],
    "@daily # at night": [DAILY],
    # Durations and brackets.
    "100ms": [Rate(0.1)],
    "5m": [Rate(300)],
    "5 minutes": [Rate(300)],
    "every 5 minutes": [Rate(300)],
    "every 5m": [Rate(300)],
    "@every 5m": [Rate(300)],
    "@every5m": [Rate(300)],
    "@every 90m": [Rate(5400)],
    "@every 1h 30m": [Rate(5400)],
    "@every 1m1h": [Rate(3660)],
    "rate(5 minutes)": [Rate(300)],
    "0/20ms": [Times(ALL, SIXTY, SIXTY, tuple(range(0, 1000, 20)))],
    "cron(0 18 ? * SUN *)": [Times((18,), day=on(7))],
    "rate(1 day)": [Rate(86_400)],
    'cron("0 0 * * MON")': [MONDAYS],
    "cron(0 0 * * MON)": [MONDAYS],
    # Names for a whole expression.
    "@dayly": [DAILY],
    "@montly": [MONTHLY],
    "daily": [DAILY],
    "hourly": [HOURLY],
    "@minutely": [MINUTELY],
    "@everyminute": [MINUTELY],
    "@every_minute": [MINUTELY],
    "@secondly": [SECONDLY],
    "@every_second": [SECONDLY],
    "@everyday": [DAILY],
    "@noon": [Times((12,))],
    "@weekdays": [WEEKDAYS],
    "@weekend": [Times(day=on(6, 7))],
    "TZ=Asia/Tokyo @weekdays": [Times(day=on(1, 2, 3, 4, 5), zone="Asia/Tokyo")],
    "TZ=Asia/Tokyo @dayly": [Times(zone="Asia/Tokyo")],
    "TZ=Asia/Tokyo daily": [Times(zone="Asia/Tokyo")],
    "TZ=Asia/Tokyo @daily /bin/backup": [Times(zone="Asia/Tokyo")],
    "TZ=Asia/Tokyo cron(0 18 ? * MON *)": [Times((18,), day=on(1), zone="Asia/Tokyo")],
    "TZ=Asia/Tokyo 0 0 * * FRI/2": [Times(day=on(5, 7), zone="Asia/Tokyo")],
    "TZ=Asia/Tokyo 0 0 0 * MON JAN": [Times(day=in_month(on(1), 1), zone="Asia/Tokyo")],
    "@quarterly": [Times(day=lambda day: day.day == 1 and day.month in {1, 4, 7, 10})],
    "@semiannually": [Times(day=lambda day: day.day == 1 and day.month in {1, 7})],
}
UNCLEAR = [
    # Amazon and Quartz count weekdays from 1 = Sunday; others that have years do not.
    *("0 18 ? * 2-6 *", "0 18 ? * 6L *", "cron(0 18 ? * 2-6 *)", "0 0 12 ? * 2 *", "0 15 10 ? * 6#3 *"),
    # A year that is not each year.
    *("0 18 ? * MON-FRI 2027", "0 18 ? * MON */2", "0 0 12 1 1 ? 2027", "0 12 * * 1 2027-2030"),
    # Two readings.
    *("0 0 0 1 * * *", "*/10 * * * * * *", "* * * * * * *", "0 12 * * MON *", "0 0 12 * MON 5", "cron(0 0 9 * * *)"),
    *("0 0 12 * * 15", "0 12 * *", "0 0 1", "250ms 0 0 * *", "1h1h", "0 0 15,30W 2 *", "0 0 *,1 * MON", "0 0 13 * *,5"),
    *("0 0 ?,? * * *", "0 0 0 ?,? * *", "0 ? ? * MON", "30s * * * * *", "0 5m * * *"),
    # A rate, and yet only at some times.
    *("*/90 9-17 * * MON-FRI", "30 */36 * * *", "TZ=Foo/Bar */90 9 * * *", "1,0/100 * * * * ?", "0 0 */31 * *"),
    # Other words, languages and calendars.
    *("0 0 9 * * MON\u2013FRI", "0 0 12 * * MON.", "0 0 12 * * everyday", "0 0 12 * * backup"),
    *("0 0 * * LUN", "0 0 * * DOM", "0 0 * * JUE", "0 0 * * DON", "0 0 * * SON", "0 0 * MAI *", "0 0 * JU *"),
    *("0 0 * * T", "0 0 * * WED-LUN", "@nightly", "@biweekly", "@bimonthly", "@workdays", "@once", "@reboot", "@every"),
    *("@every day", "@daily MON", "@daily 5", "@daily at 5pm", "weekly", "every minute", "rate(2 months)", "5M"),
    *("Mon *-*-* 04:00", "*-*-* 04:00:00", "Mon..Fri 09:00", "at(2027-01-31T02:30:00)", "TZ=Foo/Bar */60 * * * *"),
    *("H H * * *", "H/15 * * * *", "H(0-5) 2 * * *", "* * * * * H"),
]
WRITTEN = sorted({row[0] for row in EXPRESSIONS} | set(MEANT) | set(UNCLEAR))


def offers(expression: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        cron(expression)
    return caught.value.instead


def made(offer: str) -> Trigger:
    if offer.startswith("every("):
        trigger = eval(offer, {"every": every})
        assert isinstance(trigger, Trigger)
        return trigger
    return cron(offer)


@pytest.mark.parametrize("expression", [each for each in WRITTEN if each not in MEANT and "TZ=Europe/B" not in each])
def test_nothing_is_offered_where_nobody_knows_what_was_meant(expression: str) -> None:
    assert offers(expression) == ()


@pytest.mark.parametrize("expression", MEANT)
def test_what_is_offered_means_what_was_meant(expression: str) -> None:
    for start in STARTS:
        end = int((start + timedelta(days=DAYS - 1)).timestamp()) * SECOND
        expected = {
            tuple(instant for instant in islice(meant.after(start), 30) if instant < end) for meant in MEANT[expression]
        }
        assert {tuple(islice(walked(made(offer), start), 30)) for offer in offers(expression)} == expected


def test_each_way_to_write_a_year_last_offers_the_rest_or_nothing() -> None:
    minutes = {"0": (0,), "0/15": (0, 15, 30, 45), "5,35": (5, 35)}
    hours = {"18": (18,), "8-10": (8, 9, 10), "*": ALL}
    days: dict[tuple[str, str], Callable[[date], bool] | None] = {
        ("?", "MON-FRI"): on(1, 2, 3, 4, 5),
        ("?", "SUN"): on(7),
        ("?", "THU#3"): nth(3, 4),
        ("1", "?"): lambda day: day.day == 1,
        ("L", "?"): last_day,
        ("?", "2"): None,
        ("?", "2-6"): None,
        ("?", "L"): None,
    }
    for (minute, in_minutes), (hour, in_hours), (day, due) in product(minutes.items(), hours.items(), days.items()):
        five = f"{minute} {hour} {day[0]} * {day[1]}"
        assert offers(f"{five} *") == (() if due is None else (five,))
        assert offers(f"{five} 2027") == ()
        # In front of the second of Quartz the weekday is still the same one.
        assert offers(f"0 {five} *") == (() if due is None else (f"0 {five}",))
        if due is not None:
            times = Times(in_hours, in_minutes, day=due)
            assert [*islice(walked(cron(five), STARTS[0]), 30)] == [*islice(times.after(STARTS[0]), 30)]


def slips(word: str) -> set[str]:
    """Return what becomes of a word by one slip: a letter lost, doubled, or swapped with the next."""
    places = range(len(word))
    lost = {word[:at] + word[at + 1 :] for at in places}
    doubled = {word[:at] + word[at] + word[at:] for at in places}
    swapped = {word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :] for at in places}
    return (lost | doubled | swapped) - {word}


def test_a_slip_in_an_alias_offers_that_alias() -> None:
    for alias in ("hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually"):
        for slip in slips(alias):
            assert offers(f"@{slip}") == (f"@{alias}",)


def offered_zones(name: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        cron("@daily", tz=name)
    return caught.value.instead


def test_a_slip_in_a_zone_offers_that_zone_or_nothing() -> None:
    known, rng, found = available_timezones(), random.Random(5), 0
    for zone in rng.sample(sorted(each for each in known if each.startswith(("Africa/", "America/A", "Europe/"))), 100):
        for slip in rng.sample(sorted(slips(zone) - known), 3):
            offered = offered_zones(slip)
            assert offered in {(), (zone,)}
            found += len(offered)
    assert found > 200


OTHER_PLACES = """
    Abuja Atlanta Austin Bali Beijing Boston Brasilia Busan Calgary Cali Cebu Cologne Dallas Delhi Durban Europe France
    Frankfurt Geneva Germany Haifa Hamburg Hanoi Houston Izmir Jeddah Krakow Lahore Lublin Lviv Lyon Miami Milan Mumbai
    Munich Naples Odessa Osaka Ottawa Petersburg Porto Pretoria Pune Quito Seattle Turin Victoria Washington Wellington
    America/Boston Asia/London Asia/Mumbai Australia/Eastern Europe/Lublin Europe/Milan Europe/Munich Mars/Olympus
    Asia Central East Eastern Pacific West
    ET PT WAT WIB CET-1CEST
    GMT+2 UTC+2 GMT-05:00 utc+0530 +05:30 +15:00
"""


@pytest.mark.parametrize("name", ["", *OTHER_PLACES.split()])
def test_a_zone_that_could_be_another_is_not_offered(name: str) -> None:
    assert offered_zones(name) == ()


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("+02:00", "Etc/GMT-2"),
        ("-0500", "Etc/GMT+5"),
        ("+00:00", "UTC"),
        ("UTC+0", "UTC"),
        ("utc", "UTC"),
        ("new york", "America/New_York"),
        ("US/New York", "America/New_York"),
        ("Berln", "Europe/Berlin"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_zone_that_is_plainly_meant_is_offered(name: str, zone: str) -> None:
    assert offered_zones(name) == (zone,)


def test_an_offset_of_iso_8601_offers_the_zone_with_that_offset() -> None:
    instant = datetime(2026, 7, 1, tzinfo=UTC)
    for hours in range(-12, 15):
        (zone,) = offered_zones(f"{hours:+03}:00")
        assert instant.astimezone(ZoneInfo(zone)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("5 minutes", '"5m"'),
        ("5min", '"5m"'),
        ("90 sec", '"1m30s"'),
        ("1 hour, 30 minutes", '"1h30m"'),
        ("1 hour and 30 minutes", '"1h30m"'),
        ("30m1h", '"1h30m"'),
        ("100 msec", '"100ms"'),
        ("1 day", '"1d"'),
        ("1.5 Hours", '"1h30m"'),
        *((text, None) for text in ("5", "5 M", "5M", "1 month", "2 weeks", "1m1m", "5 minutes ago")),
        *((text, None) for text in ("-5m", "1 usec", "5,5m", "1 century", "200 days 1 fortnight")),
    ],
)
def test_a_duration_in_words_offers_the_duration_or_nothing(text: str, offered: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        every(text)
    assert caught.value.instead == (() if offered is None else (offered,))
    assert bool(caught.value.examples) == (offered is None)
    assert ("for example: " in str(caught.value)) == (offered is None)


@pytest.mark.parametrize("make", [row[0] for row in CALLS], ids=[row[1] for row in CALLS])
def test_what_a_wrong_call_offers_or_shows_works(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    for offer in caught.value.instead + caught.value.examples:
        if "..." in offer:
            assert offer in caught.value.examples
        elif offer.startswith(("every(", "at(", "cron(")):
            assert isinstance(eval(offer, {"every": every, "at": at, "cron": cron}), Trigger)
        elif offer.startswith('"'):
            every(eval(offer))
        elif "=" in offer:
            named = eval(f"dict({offer})")
            assert isinstance(every("1m", **named) if "offset" in named else cron("@daily", **named), Trigger)
        else:
            cron("@daily", tz=offer)
