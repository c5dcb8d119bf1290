"""Say the triggers of APScheduler 3 with ours.

Pure. Theirs differ in three ways: weekdays count from Monday = 0, a day must match the day of the month *and* the
weekday, and fields behind the last that is given are at their lowest value.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.importing.literals import CannotSay
from tickglass.sched.clock import ns_of
from tickglass.sched.durations import DURATION_MAX_NS, SECOND, US, duration_text
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers import at, cron, every
from tickglass.sched.triggers.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tickglass.sched.triggers import Trigger

__all__ = ["POSITIONS", "Said", "duration_of", "from_crontab", "said"]

_COMMON: Final = ("start_date", "end_date", "timezone", "jitter")
_FIELDS: Final = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")  # by significance
POSITIONS: Final[Mapping[str, Sequence[str]]] = {
    "cron": (*_FIELDS, *_COMMON),
    "interval": ("weeks", "days", "hours", "minutes", "seconds", *_COMMON),
    "date": ("run_date", "timezone"),
}
_LOWEST: Final = {"month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NTH: Final = re.compile(r"(?:([1-5])(?:st|nd|rd|th)|last) +([a-z]+)")
_WEEKDAY: Final = re.compile(r"(?:(\*)|(\d|[a-z]+)(?:-(\d|[a-z]+))?)(?:/(\d+))?")


class Said(NamedTuple):
    """A trigger in our words.

    Args:
        text: as it is written in Python.
        needs_zone: whether it goes by a zone that the source does not name; UTC was taken.
        remarks: what differs, a sentence each.
    """

    text: str
    needs_zone: bool
    remarks: tuple[str, ...]


def said(kind: str, given: Mapping[str, Any], tz: str | None) -> Said:
    """Return the trigger of such arguments.

    Args:
        kind: "cron", "interval" or "date".
        tz: the zone, if the arguments name none; None: it is not known.

    Raises:
        CannotSay: we have no such trigger.
    """
    unknown = [name for name in given if name not in POSITIONS[kind]]
    if unknown:
        raise CannotSay(f"{unknown[0]}= is no argument of a trigger of kind {kind}")
    named = given.get("timezone") or tz or _zone_of_dates(given)
    zone = zone_named("UTC") if named is None else _zone(named)
    remarks = [
        f"{name}= cannot be said: a trigger has no {word}"
        for name, word in (("start_date", "beginning"), ("end_date", "end"))
        if given.get(name) is not None
    ]
    try:
        trigger = _MAKERS[kind](given, zone)
    except ConfigError as error:
        raise CannotSay(error.problem) from error
    return Said(str(trigger), named is None and kind != "interval", tuple(remarks))


def from_crontab(expression: str) -> dict[str, str]:
    """Return the fields of `CronTrigger.from_crontab`; a number of a weekday counts from Monday = 0 there, too.

    Raises:
        CannotSay: it has not five fields.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise CannotSay(f"from_crontab takes five fields: {expression}")
    return dict(zip(("minute", "hour", "day", "month", "day_of_week"), fields, strict=True))


def duration_of(seconds: Any, what: str) -> str:  # noqa: ANN401 - a literal
    """Return a number of seconds as we write it.

    Raises:
        CannotSay: it is no such number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds * SECOND < DURATION_MAX_NS:
        raise CannotSay(f"{what} is no duration in seconds: {seconds!r}")
    return duration_text(round(seconds * 1_000_000) * US)


def _cron(given: Mapping[str, Any], zone: tzinfo) -> Trigger:
    fields = _all_fields(given)
    if fields["year"] != "*":
        raise CannotSay(f"year={fields['year']!r} cannot be said: there is no field for the year")
    if fields["week"] != "*":
        raise CannotSay(f"week={fields['week']!r} cannot be said: there is no field for the week")
    day, weekday = _days(fields["day"]), _weekdays(fields["day_of_week"])
    if weekday != "*" and (day.month_day != "*" or day.weekday):
        raise CannotSay(
            f"day={fields['day']!r} with day_of_week={fields['day_of_week']!r} cannot be said: there a day must match"
            " both fields, here one of the two"
        )
    seconds = [] if fields["second"] == "0" else [fields["second"]]
    clock = [*seconds, fields["minute"], fields["hour"]]
    expression = " ".join([*clock, day.month_day, fields["month"], day.weekday or weekday])
    return cron(expression, tz=str(zone), jitter=_jitter(given))


def _all_fields(given: Mapping[str, Any]) -> dict[str, str]:
    """Return every field: above the last one given it is "*" if not given, below it is the lowest value."""
    written = {name: str(given[name]).strip().lower() for name in _FIELDS if given.get(name) is not None}
    last = max((_FIELDS.index(name) for name in written), default=len(_FIELDS))
    return {
        name: written.get(name, _LOWEST.get(name, "*") if place > last else "*") for place, name in enumerate(_FIELDS)
    }


class _Days(NamedTuple):
    month_day: str
    weekday: str = ""  # if the field for the day names weekdays


def _days(text: str) -> _Days:
    """Return the field for the day, which may also name a weekday: "2nd fri", "last mon"."""
    items = [item.strip() for item in text.split(",")]
    nth = [_NTH.fullmatch(item) for item in items]
    if not any(nth):
        return _Days(",".join("L" if item == "last" else item for item in items))
    if not all(nth):
        raise CannotSay(f"day={text!r} cannot be said: it names days and weekdays")
    return _Days(
        "*", ",".join(f"{_weekday(each[2])}#{each[1]}" if each[1] else f"{_weekday(each[2])}L" for each in nth if each)
    )


def _weekdays(text: str) -> str:
    """Return the weekdays by name, because numbers differ; a day of theirs counts from Monday = 0."""
    if text == "*":
        return text
    found: list[str] = []
    for item in text.split(","):
        match = _WEEKDAY.fullmatch(item.strip())
        if match is None:
            raise CannotSay(f"day_of_week={text!r} is none")
        star, first, last, step = match.groups()
        low = 0 if star else _WEEKDAYS.index(_weekday(first).lower())
        high = _WEEKDAYS.index(_weekday(last).lower()) if last else 6 if star or step else low
        if high < low:
            raise CannotSay(f"day_of_week={text!r} is refused by APScheduler: a range ends after it begins")
        chosen = [_WEEKDAYS[number].upper() for number in range(low, high + 1, int(step or 1))]
        found += [f"{chosen[0]}-{chosen[-1]}"] if not step and len(chosen) > 1 else chosen
    return "*" if found == ["MON-SUN"] else ",".join(dict.fromkeys(found))


def _weekday(name: str) -> str:
    by_number = _WEEKDAYS[int(name)] if name.isdecimal() and int(name) < 7 else name
    if by_number not in _WEEKDAYS:
        raise CannotSay(f"{name} is no weekday")
    return by_number.upper()


def _interval(given: Mapping[str, Any], zone: tzinfo) -> Trigger:
    parts = {name: given.get(name) or 0 for name in POSITIONS["interval"][:5]}
    try:
        period = timedelta(**parts) or timedelta(seconds=1)
    except (TypeError, OverflowError) as error:
        raise CannotSay(f"this is no interval: {parts}") from error
    if period < timedelta():
        raise CannotSay(f"an interval is not negative: {parts}")
    began = given.get("start_date")
    return every(
        duration_text(period // timedelta(microseconds=1) * US),
        offset=None if began is None else _offset(_instant(began, zone, "start_date"), period),
        jitter=_jitter(given),
    )


def _offset(began: datetime, period: timedelta) -> str | None:
    offset_ns = ns_of(began) % (period // timedelta(microseconds=1) * US)
    return duration_text(offset_ns) if offset_ns else None


def _date(given: Mapping[str, Any], zone: tzinfo) -> Trigger:
    if given.get("run_date") is None:
        raise CannotSay("without run_date= it is due when the program adds it, and that is no instant")
    return at(_instant(given["run_date"], zone, "run_date"))


_MAKERS: Final = {"cron": _cron, "interval": _interval, "date": _date}


def _instant(given: Any, zone: tzinfo, what: str) -> datetime:  # noqa: ANN401 - a literal
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given.strip())
        except ValueError as error:
            raise CannotSay(f"{what} is no instant: {given!r}") from error
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day, tzinfo=zone)
    if not isinstance(given, datetime):
        raise CannotSay(f"{what} is no instant: {given!r}")
    return (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)


def _jitter(given: Mapping[str, Any]) -> str | None:
    return duration_of(given["jitter"], "jitter") if given.get("jitter") else None


def _zone_of_dates(given: Mapping[str, Any]) -> tzinfo | None:
    dates = (given.get(name) for name in ("start_date", "end_date", "run_date"))
    return next((each.tzinfo for each in dates if isinstance(each, datetime) and each.tzinfo), None)


def _zone(named: Any) -> tzinfo:  # noqa: ANN401 - a literal
    try:
        return zone_named("UTC" if named is UTC else named)
    except ConfigError as error:
        raise CannotSay(error.problem) from error
