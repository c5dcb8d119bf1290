"""Compare cron with an oracle that knows nothing of it: it looks at each second or
minute of real time in a window and asks whether the wall clock matches."""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import Trigger, cron
from tickglass.sched.triggers.dst import Dst

SECOND = 10**9
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})
MODES = get_args(Dst)
PROVE = settings(derandomize=True, deadline=None, max_examples=150)
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]

Match = Callable[[int], bool]
DayMatch = Callable[[date], bool]


@dataclass
class Expression:
    """A random expression, with a matcher made by the generator and not by the parser."""

    text: str
    hours: set[int]
    minutes: set[int]
    seconds: set[int]
    day: DayMatch

    def __repr__(self) -> str:
        return self.text

    @property
    def follows_real_time(self) -> bool:
        return self.hours == set(range(24))

    def matches(self, local: datetime) -> bool:
        return (
            local.minute in self.minutes
            and local.hour in self.hours
            and local.second in self.seconds
            and self.day(local.date())
        )


def numbers(
    low: int, high: int, *, names: list[str] | None = None, wraps: bool = False
) -> st.SearchStrategy[tuple[str, set[int]]]:
    """Draw the text of one plain field and the values it means."""

    @st.composite
    def item(draw: st.DrawFn) -> tuple[str, set[int]]:  # noqa: PLR0911 - one return for each shape
        first, second = draw(st.integers(low, high)), draw(st.integers(low, high))
        shape = draw(st.sampled_from(["value", "value", "range", "step", "star step", "range step", "name", "wrap"]))
        start, end = min(first, second), max(first, second)
        if shape == "name" and names:
            name = names[first - low]
            return (name if second % 2 else name.lower()), {first}
        if shape == "range" and start < end:
            return f"{start}-{end}", set(range(start, end + 1))
        if shape == "wrap" and wraps and start < end:
            return f"{end}-{start}", set(range(end, high + 1)) | set(range(low, start + 1))
        if shape == "step" and first < high:
            step = draw(st.integers(1, high - first))
            return f"{first}/{step}", set(range(first, high + 1, step))
        if shape == "star step":
            step = draw(st.integers(1, high - low))
            return f"*/{step}", set(range(low, high + 1, step))
        if shape == "range step" and start < end:
            step = draw(st.integers(1, end - start))
            return f"{start}-{end}/{step}", set(range(start, end + 1, step))
        return f"{first}", {first}

    def joined(items: list[tuple[str, set[int]]]) -> tuple[str, set[int]]:
        return ",".join(text for text, _ in items), set().union(*(values for _, values in items))

    star = st.just(("*", set(range(low, high + 1))))
    return st.one_of(star, st.lists(item(), min_size=1, max_size=3).map(joined))


def length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def cron_weekday(day: date) -> int:
    return day.isoweekday() % 7


def workday_near(day: date, near: int) -> bool:
    near = min(near, length(day))
    workdays = [each for each in range(1, length(day) + 1) if date(day.year, day.month, each).isoweekday() < 6]
    best = min(workdays, key=lambda each: (abs(each - near), each))
    return day.day == best


SPECIAL_DAYS = st.one_of(
    st.integers(0, 30).map(lambda n: (f"L-{n}" if n else "L", lambda day: day.day == length(day) - n)),
    st.integers(1, 31).map(lambda n: (f"{n}W", lambda day: workday_near(day, n))),
    st.just(("LW", lambda day: workday_near(day, 31))),
    st.integers(1, 31).map(lambda n: (f"{n}", lambda day: day.day == n)),
)
SPECIAL_WEEKDAYS = st.one_of(
    st.tuples(st.integers(0, 6), st.integers(1, 5)).map(
        lambda t: (f"{t[0]}#{t[1]}", lambda day: cron_weekday(day) == t[0] and (day.day - 1) // 7 + 1 == t[1])
    ),
    st.integers(0, 6).map(lambda n: (f"L{n}", lambda day: cron_weekday(day) == n and day.day + 7 > length(day))),
    st.integers(0, 6).map(
        lambda n: (f"{WEEKDAYS[n]}L", lambda day: cron_weekday(day) == n and day.day + 7 > length(day))
    ),
    st.integers(0, 6).map(lambda n: (WEEKDAYS[n], lambda day: cron_weekday(day) == n)),
)


@st.composite
def expressions(draw: st.DrawFn, *, seconds: bool, special: bool = True) -> Expression:
    second_text, second_values = draw(numbers(0, 59)) if seconds else ("", {0})
    minute_text, minute_values = draw(numbers(0, 59))
    hour_text, hour_values = draw(numbers(0, 23, wraps=True))
    month_text, month_values = draw(
        st.one_of(st.just(("*", set(range(1, 13)))), numbers(1, 12, names=MONTHS, wraps=True))
    )
    day_text, day_match = draw(day_fields(SPECIAL_DAYS if special else None, 1, 31, lambda day: day.day))
    weekday_text, weekday_match = draw(day_fields(SPECIAL_WEEKDAYS if special else None, 0, 6, cron_weekday))
    if draw(st.booleans()):
        day_text, day_match = "*", None
    if day_match is None and weekday_match is None:
        either: DayMatch = lambda day: True  # noqa: E731
    else:
        either = lambda day: bool((day_match and day_match(day)) or (weekday_match and weekday_match(day)))  # noqa: E731
    if weekday_match is None and day_match is not None:
        weekday_text = draw(st.sampled_from(["*", "?"]))
    fields = [second_text, minute_text, hour_text, day_text, month_text, weekday_text]
    return Expression(
        " ".join(fields).strip(),
        hour_values,
        minute_values,
        second_values,
        lambda day: day.month in month_values and either(day),
    )


@st.composite
def day_fields(
    draw: st.DrawFn,
    special: st.SearchStrategy[tuple[str, DayMatch]] | None,
    low: int,
    high: int,
    value: Callable[[date], int],
) -> tuple[str, DayMatch | None]:
    kind = draw(st.sampled_from(["all", "all", "plain", "special"]))
    if kind == "special" and special is not None:
        items = draw(st.lists(special, min_size=1, max_size=2))
        return ",".join(text for text, _ in items), lambda day: any(match(day) for _, match in items)
    if kind == "plain":
        text, values = draw(numbers(low, high, names=WEEKDAYS if low == 0 else None))
        assume(text == "*" or values != set(range(low, high + 1)))
        return text, None if text == "*" else lambda day: value(day) in values
    return "*", None


def due(expression: Expression, zone: ZoneInfo, dst: str, clock: Iterable[int], step: int) -> list[int]:
    """Return the due seconds among those of `clock`, `step` apart, by the rules as docs/triggers.md tells them."""
    shown: set[datetime] = set()
    found, before = [], None
    for second in clock:
        local = datetime.fromtimestamp(second, zone).replace(tzinfo=None)
        hit = expression.matches(local)
        if not expression.follows_real_time:
            if hit and dst != "both":
                hit = local not in shown
            if before is not None and dst != "skip":
                skipped = before + timedelta(seconds=step)
                while skipped < local and not hit:
                    hit = skipped not in shown and expression.matches(skipped)
                    skipped += timedelta(seconds=step)
        shown.add(local)
        if hit:
            found.append(second)
        before = local
    return found


def walked(trigger: Trigger, start: int, end: int) -> list[int]:
    found, at = [], (start * SECOND) - 1
    while (following := trigger.next_after_ns(at)) is not None and following < end * SECOND:
        assert following > at
        assert following % SECOND == 0
        found.append(following // SECOND)
        at = following
    return found


@cache
def changes(zone: str, year: int) -> list[int]:
    """Return the seconds at which a zone's clock changed in a year, by looking at every third day."""
    tz = ZoneInfo(zone)

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, tz).utcoffset()

    start = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    found = []
    for low in range(start, start + 366 * 86_400, 3 * 86_400):
        before, after = low, low + 3 * 86_400
        if offset(before) == offset(after):
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset(middle) == offset(before) else (before, middle)
        found.append(after)
    return found


@st.composite
def places(draw: st.DrawFn) -> tuple[str, int]:
    """Draw a zone and a second, most often one at which its clock changes."""
    zone, year = draw(st.sampled_from(ZONES)), draw(st.integers(1971, 2100))
    at = changes(zone, year)
    elsewhere = draw(st.integers(0, 9)) == 0
    if at and not elsewhere:
        return zone, at[draw(st.integers(0, len(at) - 1))]
    return zone, int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) + draw(st.integers(0, 365 * 1440)) * 60


def whole_minutes(zone: str, *seconds: int) -> bool:
    offsets = (datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset() for second in seconds)
    return all(offset is not None and offset.seconds % 60 == 0 for offset in offsets) and all(
        s % 60 == 0 for s in seconds
    )


@PROVE
@given(expressions(seconds=False), places(), st.sampled_from(MODES), st.integers(0, 2**32))
def test_cron_is_due_exactly_when_the_wall_clock_says_so(
    expression: Expression, place: tuple[str, int], dst: Dst, seed: int
) -> None:
    zone, middle = place
    start, end = middle - 18 * 3600, middle + 20 * 3600
    assume(whole_minutes(zone, start - 26 * 3600, middle - 60, middle, end))
    expected = due(expression, ZoneInfo(zone), dst, range(start - 26 * 3600, end, 60), 60)
    expected = [second for second in expected if second >= start]
    trigger = cron(expression.text, zone, dst=dst)
    assert walked(trigger, start, end) == expected
    assert_pure(trigger, expected, start, random.Random(seed))


@settings(PROVE, max_examples=40)
@given(expressions(seconds=True), places(), st.sampled_from(MODES))
def test_cron_with_seconds_is_due_exactly_when_the_wall_clock_says_so(
    expression: Expression, place: tuple[str, int], dst: Dst
) -> None:
    zone, middle = place
    start, end = middle - 2500, middle + 5000
    expected = due(expression, ZoneInfo(zone), dst, range(start - 10_000, end), 1)
    assume(
        all(abs(at - start) > 20_000 or at == middle for at in changes(zone, datetime.fromtimestamp(middle, UTC).year))
    )
    assert walked(cron(expression.text, zone, dst=dst), start, end) == [s for s in expected if s >= start]


def assert_pure(trigger: Trigger, expected: list[int], start: int, rng: random.Random) -> None:
    """Ask for the next instant from anywhere, in any order: the answers are those of the walk."""
    for _ in range(5 if expected else 0):
        index = rng.randrange(len(expected))
        earliest = (expected[index - 1] if index else start - 1) * SECOND
        after = rng.randrange(earliest, expected[index] * SECOND)
        assert trigger.next_after_ns(max(after, start * SECOND - 1)) == expected[index] * SECOND


def expression_of(text: str, hours: Iterable[int], minutes: Iterable[int]) -> Expression:
    return Expression(text, set(hours), set(minutes), {0}, lambda day: True)


PLAIN = [
    expression_of("30 2 * * *", [2], [30]),
    expression_of("0 0 * * *", [0], [0]),
    expression_of("*/20 * * * *", range(24), [0, 20, 40]),
    expression_of("*/15 0-3 * * *", range(4), [0, 15, 30, 45]),
    expression_of("45 1,23 * * *", [1, 23], [45]),
]


def test_each_zone_of_the_database_keeps_to_the_rules_where_its_clock_changes() -> None:
    rng = random.Random(7)
    compared = 0
    for zone in ZONES:
        years = rng.sample(range(1971, 2040), 40)
        at = next((rng.choice(found) for year in years if (found := changes_cheaply(zone, year))), None)
        if at is None or not whole_minutes(zone, at - 60, at):
            continue
        start, end = at - 3600, at + 4 * 3600
        clock = range(at - 28 * 3600 if abs(jump(zone, at)) > 3 * 3600 else at - 4 * 3600, end, 60)
        for expression in rng.sample(PLAIN, 2):
            for dst in MODES:
                expected = [s for s in due(expression, ZoneInfo(zone), dst, clock, 60) if s >= start]
                assert walked(cron(expression.text, zone, dst=dst), start, end) == expected, (zone, at, expression, dst)
                compared += 1
    assert compared > 1500


def changes_cheaply(zone: str, year: int) -> list[int]:
    tz, months = ZoneInfo(zone), [datetime(year, month, 1, tzinfo=UTC) for month in (1, 4, 7, 10)]
    offsets = {month.astimezone(tz).utcoffset() for month in months}
    return changes(zone, year) if len(offsets) > 1 else []


def jump(zone: str, at: int) -> float:
    tz = ZoneInfo(zone)
    before, after = (datetime.fromtimestamp(second, tz).replace(tzinfo=None) for second in (at - 1, at))
    return (after - before).total_seconds() - 1


@PROVE
@given(expressions(seconds=True, special=False), st.integers(0, 4 * 10**9))
def test_cron_agrees_with_croniter_where_no_clock_changes(expression: Expression, start: int) -> None:
    theirs = croniter(expression.text, float(start), second_at_beginning=True)
    ours, at = cron(expression.text), start * SECOND
    for _ in range(8):
        following = ours.next_after_ns(at)
        assert following is not None
        assert following == int(theirs.get_next(float)) * SECOND
        at = following


@settings(PROVE, max_examples=60)
@given(st.sampled_from(ZONES), st.integers(1971, 2100), expressions(seconds=False), st.sampled_from(MODES))
def test_cron_never_goes_back_over_years(zone: str, year: int, expression: Expression, dst: Dst) -> None:
    trigger, at = cron(expression.text, zone, dst=dst), int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    for _ in range(60):
        following = trigger.next_after_ns(at)
        assert following is not None
        assert following > at
        at = following


@settings(PROVE, max_examples=300)
@given(st.sampled_from(ZONES), st.integers(1971, 2090), st.integers(1, 12), st.integers(1, 31), st.integers(0, 23))
def test_a_rare_day_is_found_years_ahead(zone: str, year: int, month: int, day: int, hour: int) -> None:
    tz, start = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC)
    assume(day <= monthrange(2000, month)[1])
    noons = [
        datetime(each, month, day, 12, hour, tzinfo=tz)
        for each in range(year - 1, year + 10)
        if day <= monthrange(each, month)[1]
    ]
    trigger = cron(f"{hour} 12 {day} {month} *", zone)
    asked = start
    for noon in [noon for noon in noons if noon > start][:2]:
        assume(noon.astimezone(UTC).astimezone(tz).replace(tzinfo=None) == noon.replace(tzinfo=None))  # not in a gap
        assert trigger.next_after(asked) == noon
        asked = noon


@settings(PROVE, max_examples=600)
@given(
    st.lists(
        st.one_of(
            st.text(alphabet="0123456789*/-,?LW#ms", min_size=1, max_size=6),
            st.sampled_from(
                ["*", "0", "?", "L", "MON", "1-5", "*/5", "15W", "5#2", "@daily", "TZ=UTC", "0/100ms", "L-3", "6L"]
            ),
        ),
        min_size=1,
        max_size=8,
    ).map(" ".join)
)
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        trigger = cron(text)
    except ConfigError:
        return
    first = trigger.next_after_ns(0)
    assert first is not None
    following = trigger.next_after_ns(first)
    assert following is not None
    assert first < following
    assert eval(str(trigger), {"cron": cron}) == trigger
