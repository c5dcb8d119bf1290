"""What is wrong is refused with its own words, a pointer to the place, and spellings that work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import at, cron, every

if TYPE_CHECKING:
    from collections.abc import Callable

# expression, a fragment of the message that no other row has, the part pointed at, a spelling that is offered
EXPRESSIONS = [
    # steps
    (
        "0/100 * * * * ?",
        "a step of 100 is larger than its field has room for: second 0",
        "0/100",
        "0/100ms * * * * * ?",
    ),
    ("0/100 * * * * ?", "second 0 would be the only one", "0/100", 'every("100ms")'),
    ("*/90 * * * * *", "a step of 90 is larger", "*/90", 'every("90s")'),
    ("0/150 * * * * ?", "a step of 150 is larger", "0/150", 'every("150ms")'),
    ("*/60 * * * *", "a step of 60 is larger than its field has room for: minute 0", "*/60", "0 * * * *"),
    ("59/15 * * * *", "minute 59 would be the only one", "59/15", "59 * * * *"),
    ("0 */36 * * *", "a step of 36 is larger", "*/36", 'every("36h")'),
    ("0 0 */31 * *", "a step of 31 is larger", "*/31", None),
    ("0 0 1 */12 *", "a step of 12 is larger", "*/12", "0 0 1 1 *"),
    ("0 0 * * FRI/2", "day-of-week 5 would be the only one", "FRI/2", "0 0 * * FRI-SUN/2"),
    ("0 0 * * */7", "a step of 7 is larger than its field has room for: day-of-week 0", "*/7", "0 0 * * 0"),
    ("0 0 * JAN-FEB/2 *", "month 1 would be the only one", "JAN-FEB/2", "0 0 * JAN *"),
    ("10,20-25/9 * * * *", "minute 20 would be the only one", "20-25/9", "10,20 * * * *"),
    ("0/1000ms * * * * * ?", "a step of 1000 is larger", "0/1000ms", "0ms * * * * * ?"),
    ("*/0 * * * *", "a step of zero never moves", "*/0", None),
    # ranges
    ("5-5 * * * *", "could mean that one minute or all", "5-5", "5 * * * *"),
    ("0 0 * * 0-0", "could mean that one day-of-week or all", "0-0", "0 0 * * 0"),
    ("0 0 * * 7-0", "a range from a value to itself, which could mean that one day-of-week", "7-0", "0 0 * * 7"),
    ("0 0 * JAN-JAN *", "could mean that one month or all", "JAN-JAN", "0 0 * JAN *"),
    ("0 10-3/5 * * *", "from 10 past the end to 3, cannot have a step", "10-3/5", "0 10,15,20,1 * * *"),
    ("0 0 * * FRI-TUE/2", "from 5 past the end to 2, cannot have a step", "FRI-TUE/2", "0 0 * * 5,0,2"),
    ("0 0 20-10 * *", "the range runs backwards: 20 comes after 10", "20-10", "0 0 20-31,1-10 * *"),
    ("500-100ms * * * * * ?", "the range runs backwards: 500 comes after 100", "500-100ms", None),
    # values
    ("60 * * * *", "60 is out of range: minute runs from 0 to 59", "60", None),
    ("0 24 * * *", "24 is out of range: hour runs from 0 to 23", "24", None),
    ("0 0 0 * *", "0 is out of range: day-of-month runs from 1 to 31", "0", None),
    ("0 0 32 * *", "32 is out of range: day-of-month", "32", None),
    ("0 0 * 13 *", "13 is out of range: month runs from 1 to 12", "13", None),
    ("0 0 * * 8", "8 is out of range: day-of-week runs from 0 to 7", "8", None),
    ("1000ms * * * * * ?", "1000 is out of range: millisecond runs from 0 to 999", "1000ms", None),
    ("0 0 32W * *", "32 is out of range: day-of-month runs from 1 to 31", "32W", None),
    ("-5 * * * *", "the minute is never negative", "-5", None),
    ("0 */-2 * * *", "the hour is never negative", "*/-2", None),
    ("1,,2 * * * *", "an empty item in the minute field", "", None),
    ("0 0 * * MON,", "an empty item in the day-of-week field", "", None),
    ("1.5 * * * *", "1.5 is no minute", "1.5", None),
    ("1-2-3 * * * *", "1-2-3 is no minute", "1-2-3", None),
    ("+5 * * * *", "+5 is no minute", "+5", None),
    ("\u0665 * * * *", "\u0665 is no minute", "\u0665", None),  # an Arabic five
    ("0\u00a00 * * * *", "0\u00a00 is no minute", "0\u00a00", None),
    ("0 1//2 * * *", "1//2 is no hour", "1//2", None),
    # names
    ("0 0 * FOO *", "FOO is not a name of the month field", "FOO", None),
    ("0 0 * * SUNDAY", "SUNDAY is not a name of the day-of-week field", "SUNDAY", "0 0 * * SUN"),
    ("0 0 * JNA *", "JNA is not a name", "JNA", "0 0 * JAN *"),
    ("5-5 60 * * *", "could mean that one minute", "5-5", None),
    ("0 0 * MON *", "MON is a day-of-week and stands in the month field", "MON", None),
    ("0 0 * * JAN", "JAN is a month and stands in the day-of-week field", "JAN", None),
    ("0 noon * * *", "NOON is not a number, and the hour field knows no names", "noon", None),
    # L, W, #, ?
    ("0 0 * * L", "L alone says nothing in the day-of-week field", "L", "0 0 * * SAT"),
    ("0 0 L/2 * *", "L, the last day, has no range and no step", "L/2", None),
    ("0 0 L-31 * *", "the last day has at most 30 before it", "L-31", None),
    ("0 0 W15 * *", "the W stands behind its day", "W15", "0 0 15W * *"),
    ("0 0 * 15W *", "W has no meaning in the month field", "15W", None),
    ("0 5#2 * * *", "# has no meaning in the hour field", "5#2", None),
    ("0 0 * * MON#6", "a month has a weekday at most five times", "MON#6", None),
    ("0 0 * * *#2", "a # stands between one weekday and a number", "*#2", None),
    ("0 0 * * MON-FRI#2", "one weekday and a number from 1 to 5", "MON-FRI#2", None),
    ("0 0 ? * ?", "both day fields say ?", "?", "0 0 ? * *"),
    ("0 ? * * *", "a ? means no say, and only a day field may have none; this is the hour", "?", "0 * * * *"),
    ("0 0 ?,1 * *", "a ? stands alone in its field", "?", "0 0 1 * *"),
    ("0 0 1 * MON,*", "a * stands alone in its field", "*", None),
    ("0 0 1? * *", "nothing stands beside a ? in its field", "1?", None),
    # chance
    ("H * * * *", "H asks for a random value", "H", None),
    ("0 h(0-5) * * *", "h(0-5) asks for a random value", "h(0-5)", None),
    ("R/15 * * * *", "R/15 asks for a random value", "R/15", None),
    # days
    ("0 0 30 2 *", "that day never comes", "30 2", "0 0 L 2 *"),
    ("0 0 31 4,6 *", "none of these months is so long", "31 4,6", "0 0 L 4,6 *"),
    ("0 0 L-29 FEB *", "that day never comes: none", "L-29 FEB", None),
    ("0 0 31 4 MON", "never comes: none of these months", "31 4", None),
    ("0 0 1-31 * MON", "this names every day", "1-31", "0 0 * * MON"),
    ("0 0 13 * 0-6", "the other would have no say", "0-6", "0 0 13 * *"),
    ("0 0 30W 2 *", "that day never comes", "30W 2", "0 0 LW 2 *"),
    (
        "0 0 1-7 * MON",
        "each day of the month from 1 to 7 and on each MON, not only where both meet",
        "1-7",
        "0 0 * * MON#1",
    ),
    # the number of fields
    ("", "the cron expression is empty", None, None),
    ("* * * *", "or six with the second in front; here are 4", "* * * *", "* * * * *"),
    ("0 0 1" + ",1" * 500 + " * *", "a cron expression is at most 1000 characters long", None, None),
    ("hello", "or six with the second in front; here are 1", "hello", None),
    ("0 12 * * 1 2027", "there is no year field: of six fields the last is the day-of-week", "2027", None),
    ("0 0 12 * * ? 2027", "there is no year field; at() names one instant", "2027", None),
    ("0 0 12 ? * MON *", "no year field", "*", "0 0 12 ? * MON"),
    ("0/100 * * * * * ?", "with seven fields the first is the millisecond", "0/100", "0/100ms * * * * * ?"),
    ("* * * * * * * *", "at most seven fields; here are 8", "*", None),
    ("0 0 * * * root /bin/backup", "root is no field", "root /bin/backup", "0 0 * * *"),
    ("0 0 * * * /bin/backup", "/bin/backup is no field", "/bin/backup", "0 0 * * *"),
    ("0 0 0 * * ? # nightly", "# is no field", "# nightly", "0 0 0 * * ?"),
    ("*/5 * * * * 0/15", "0/15 does not fit the day-of-week, the last field", "0/15", "0/15 */5 * * * *"),
    ("TZ=Asia/Tokyo 5 * * * * 30", "30 does not fit the day-of-week", "30", "TZ=Asia/Tokyo 30 5 * * * *"),
    ("CRON_TZ=UTC * * * 2", "in front; here are 4", "* * * 2", None),
    ("0 12 * * MON *", "MON is a day-of-week and stands in the month field: with six", "MON", None),
    ("100 * * * * ?", "with six fields the first is the second, and 100 is out of range", "100", None),
    ("0 18 ? * MON-FRI *", "there is no year field", "*", "0 18 ? * MON-FRI"),
    ("0 18 ? * 2-6 *", "weekdays may count from 1 = Sunday, so write names", "*", None),
    ("cron(0 18 ? * SUN *)", "only what stands in the brackets", "cron(0 18 ? * SUN *)", "0 18 ? * SUN"),
    ("9" * 19 + " * * * *", "a number of 19 digits is out of range of each field", "9" * 19, None),
    # units
    ("0/20ms", "behind the millisecond field come six: second minute hour", "0/20ms", "0/20ms * * * * * *"),
    ("0/100ms * * * * ?", "day-of-week; here are 5", "0/100ms * * * * ?", None),
    ("0 0/100ms * * * * ?", "the millisecond field stands in front of all others", "0/100ms", None),
    ("5m", "a duration is no cron expression; it makes a fixed rate", "5m", 'every("5m")'),
    ("rate(5 minutes)", "a fixed rate of Amazon EventBridge", "rate(5 minutes)", 'every("5m")'),
    ("5m * * * *", "a field carries no unit m", "5m", None),
    ("30s * * * * *", "a field carries no unit s", "30s", None),
    # aliases
    ("@reboot", "@reboot names no instant", "@reboot", None),
    ("@every 5m", "@every is not a cron expression but a fixed rate", "@every 5m", 'every("5m")'),
    ("@dayly", "there is no alias @dayly", "@dayly", "@daily"),
    ("@minutely", "there is no alias @minutely", "@minutely", "* * * * *"),
    ("daily", "an alias begins with @, and daily does not", "daily", "@daily"),
    ("@daily 5", "@daily stands for all fields", "5", None),
    # zones within
    ("TZ=Europe/Berln 0 0 * * *", "the tz database has no zone Europe/Berln", "Europe/Berln", "Europe/Berlin"),
    ("CRON_TZ= 0 0 * * *", "the zone's name is empty", "", None),
    ("TZ=UTC", "the cron expression is empty", None, None),
]


def refused(make: Callable[[], object]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value


@pytest.mark.parametrize(("expression", "fragment", "pointed_at", "offered"), EXPRESSIONS)
def test_an_expression_is_refused(expression: str, fragment: str, pointed_at: str | None, offered: str | None) -> None:
    error = refused(lambda: cron(expression))
    assert fragment in error.problem
    assert error.given is not None
    if pointed_at is not None:
        assert error.span is not None
        assert error.given[slice(*error.span)] == pointed_at
        line, carets = str(error).split("\n")[1:3]
        assert line[carets.index("^") :].startswith(pointed_at)
        assert carets.count("^") == max(1, len(pointed_at))
    if offered is not None:
        assert offered in error.instead


def test_the_pointer_stands_under_the_field_behind_a_zone_and_odd_spaces() -> None:
    error = refused(lambda: cron("TZ=Asia/Tokyo  0\t25 * * *"))
    assert str(error).split("\n")[1:3] == ["    TZ=Asia/Tokyo  0 25 * * *", "                     ^^"]


class Fixed(tzinfo):
    """A zone without a name in the tz database."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "fixed"


NAIVE = datetime(2027, 1, 31)  # noqa: DTZ001

CALLS: list[tuple[Callable[[], Any], str, str | None]] = [
    (lambda: cron(5), "a cron expression is text, not int", None),  # type: ignore[arg-type]
    (lambda: cron(None), "a cron expression is text, not NoneType", None),  # type: ignore[arg-type]
    (lambda: cron("@daily", dst="twice"), "dst says what happens when the clock changes", None),  # type: ignore[arg-type]
    (lambda: cron("@daily", dst="onec"), "dst says what", 'dst="once"'),  # type: ignore[arg-type]
    (lambda: cron("@daily", "CST"), "CST is an abbreviation, not a zone", "Asia/Shanghai"),
    (lambda: cron("@daily", "PST"), "PST is an abbreviation", "America/Los_Angeles"),
    (lambda: cron("@daily", "Berlin"), "the tz database has no zone Berlin", "Europe/Berlin"),
    (lambda: cron("@daily", "europe/berlin"), "no zone europe/berlin", "Europe/Berlin"),
    (lambda: cron("@daily", "US/New York"), "no zone US/New York", "America/New_York"),
    (lambda: cron("@daily", "Asia"), "no zone Asia", None),
    (lambda: cron("@daily", "../UTC"), "no zone ../UTC", None),
    (lambda: cron("@daily", "+02:00"), "+02:00 is an offset, not a zone", "Etc/GMT-2"),
    (lambda: cron("@daily", "GMT+2"), "its sign is read both ways: Etc/GMT-2 is ahead of UTC, Etc/GMT+2 behind", None),
    (lambda: cron("@daily", "localtime"), "the zone localtime is different on every machine", None),
    (lambda: cron("@daily", "right/Europe/Berlin"), "counts leap seconds", "Europe/Berlin"),
    (lambda: cron("@daily", UTC), "a zone is given by its name, not by a timezone", None),  # type: ignore[arg-type]
    (lambda: cron("@daily", Fixed()), "a zone is given by its name, not by a Fixed", None),  # type: ignore[arg-type]
    (lambda: cron("TZ=Asia/Tokyo @daily", "UTC"), "the expression is in Asia/Tokyo and tz= says UTC", None),
    (lambda: cron("@daily", jitter="5"), "jitter is not a duration", None),
    (lambda: cron("@daily", jitter="0s"), "jitter must be at least 1ms", None),
    (lambda: every("5 minutes"), "every(period) is not a duration", '"5m"'),
    (lambda: every("1" * 5_000 + "s"), "every(period) is at most 100 characters long", None),
    (lambda: every("0." + "1" * 5_000 + "s"), "is at most 100 characters long", None),
    (lambda: every("\u0663s"), "not a duration with units d", None),
    (lambda: every("\uff13s"), "with units d, h, m, s", None),
    (lambda: every("1_0s"), "units d, h, m, s, ms, us or ns", None),
    (lambda: every("1m", jitter="\u0663s"), "jitter is not a duration with", None),
    (lambda: every(100), "every(period) must be a duration with its unit, not int", None),  # type: ignore[arg-type]
    (lambda: every("999us"), "every(period) must be at least 1ms", None),
    (lambda: every(timedelta(0)), "every(period) must be at least", None),
    (lambda: every(""), "every(period) is empty", None),
    (lambda: every("1m", offset="1m"), "every(offset=) must be smaller than the period, 1m", 'offset="0s"'),
    (lambda: every("1m", offset=timedelta(seconds=-1)), "every(offset=) must be at least 0s", None),
    (lambda: every("1m", anchor=NAIVE), "every(anchor=) has no zone", None),
    (lambda: every("1m", anchor="now"), "every(anchor=) must be an aware datetime, not str", None),  # type: ignore[arg-type]
    (lambda: every("1m", jitter="-1s"), "jitter is not a duration with units", None),
    (lambda: at(NAIVE), "at(instant) has no zone", None),
    (lambda: at("2027-01-31T02:30"), "at(instant) has no offset", None),
    (lambda: at("2027-01-31"), "at(instant) has no offset, so it names no instant", None),
    (lambda: at("tomorrow"), "at(instant) is not an ISO-8601", None),
    (lambda: at("2027-02-30T00:00Z"), "at(instant) is not an ISO-8601 date and time", None),
    (lambda: at("2027-01-31T02:30:00.0000000001Z"), "at most to the nanosecond", None),
    (lambda: at("2027-01-31T02:30:00+01:00:00.5"), "date and time with an offset, at most", None),
    (lambda: at("\u0662\u0660\u0662\u0667-01-31T02:30Z"), "and time with an offset, at most", None),
    (lambda: at("2027-01-31T02:3\u0660Z"), "time with an offset, at most", None),
    (lambda: at("2027-01-31\u066302:30Z"), "with an offset, at most", None),
    (lambda: at("2" * 5_000), "at(instant) is at most 100 characters long", None),
    (lambda: at(""), "is not an ISO-8601 date and time with an offset", None),
    (lambda: at("2262-04-11T23:47:17Z"), "which is 2262-04-11 23:47:16+00:00", None),
    (lambda: at(datetime.max.replace(tzinfo=UTC)), "later than any store can hold", None),
    (lambda: every("1000000d"), "every(period) is at most 36500d, a century", None),
    (lambda: at(5), "at(instant) must be an aware datetime, not int", None),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "fragment", "offered"), CALLS, ids=[row[1] for row in CALLS])
def test_a_wrong_argument_is_refused_with_the_right_spelling(
    make: Callable[[], object], fragment: str, offered: str | None
) -> None:
    error = refused(make)
    assert fragment in error.problem
    assert error.given is not None
    assert error.span is None or 0 <= error.span[0] <= len(error.given)
    if offered is not None:
        assert offered in error.instead


def test_each_kind_of_refusal_has_its_own_words() -> None:
    fragments = [row[1] for row in EXPRESSIONS] + [row[1] for row in CALLS]
    assert len(set(fragments)) >= 100
