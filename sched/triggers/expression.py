"""Decide what a whole cron expression says: its zone, its fields, and which is which.

Pure. A wrong expression is refused with the place and a right spelling.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.aliases import alias_fields, borrowed
from tickglass.sched.triggers.days import DayRule, Special, WorkdayNear
from tickglass.sched.triggers.every import every
from tickglass.sched.triggers.fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    MS_FIELD,
    SECOND_FIELD,
    WEEKDAY,
    Kind,
    values_of,
)
from tickglass.sched.triggers.shape import Ambiguous, check_shape, unwrapped
from tickglass.sched.triggers.source_span import SourceSpan
from tickglass.sched.triggers.wall import Values, Wall
from tickglass.sched.triggers.zones import zone_named

__all__ = ["Parsed", "parse"]

_CHARS_MAX: Final = 1000  # characters; real ones have less than 100
_DIGITS_MAX: Final = 18  # digits
_PREFIX: Final = re.compile(r"(?:CRON_)?TZ=(.*)", re.ASCII | re.IGNORECASE)
_SEVEN_DAYS: Final = {"1-7": 1, "8-14": 2, "15-21": 3, "22-28": 4}
_CALL: Final = re.compile(r'every\("([^"]*)"(?:, offset="([^"]*)")?\)')

_Days = frozenset[int | Special] | None


class Parsed(NamedTuple):
    """What an expression says.

    Attributes:
        text: the fields or the alias as written, without the zone, evenly spaced.
        wall: the wall-clock times that match.
        zone: the part that names the zone, if the expression begins with one.
    """

    text: str
    wall: Wall
    zone: SourceSpan | None


def parse(expression: object) -> Parsed:
    """Read a cron expression.

    Raises:
        ConfigError: it is not one, or does not mean what it seems to.
    """
    try:
        return _parsed(expression)
    except ConfigError as error:
        # A suggestion that is itself refused, because of another fault, would be worse than none.
        instead = tuple(offer for offer in dict.fromkeys(error.instead) if _works(offer))
        if isinstance(error, Ambiguous) and len(instead) > 1:
            instead = ()
        raise ConfigError(
            error.problem, given=error.given, span=error.span, instead=instead, examples=error.examples
        ) from None


def _works(offer: str) -> bool:
    call = _CALL.fullmatch(offer)
    try:
        if call is not None:
            every(call[1], offset=call[2])
        elif (zone := _parsed(offer).zone) is not None:
            zone_named(zone.text)
    except ConfigError:
        return False
    return True


def _parsed(expression: object) -> Parsed:
    if not isinstance(expression, str):
        raise ConfigError(
            f"a cron expression is text, not {type(expression).__name__}",
            given=repr(expression),
            examples=('cron("0 30 2 * * ?")',),
        )
    given = re.sub(r"\s", " ", expression, flags=re.ASCII)
    if len(given) > _CHARS_MAX:
        raise ConfigError(f"a cron expression is at most {_CHARS_MAX} characters long", given=f"{given[:40]}...")
    words = SourceSpan(given, 0, len(given)).words()
    zone = None
    if words and (match := _PREFIX.fullmatch(words[0].text)):
        zone = words[0].part(match.start(1), match.end(1))
        words = words[1:]
    if not words:
        raise ConfigError("the cron expression is empty", given=given or '""', examples=("0 30 2 * * ?", "@daily"))
    whole = words[0].until(words[-1])
    if number := re.search(rf"\d{{{_DIGITS_MAX + 1},}}", whole.text, re.ASCII):
        raise whole.part(*number.span()).wrong(f"a number of {len(number[0])} digits is out of range of each field")
    if error := borrowed(whole) or unwrapped(whole):
        raise error
    text = " ".join(word.text for word in words)
    if words[0].text.startswith("@"):
        fields = alias_fields(words[0], words[1:])
        words = SourceSpan(fields, 0, len(fields)).words()
    return Parsed(text, _wall(words), zone)


def _wall(words: list[SourceSpan]) -> Wall:
    words = list(words)
    check_shape(words)
    ms = _numbers(words.pop(0), MS_FIELD) if len(words) == 7 else (0,)
    seconds = _numbers(words.pop(0), SECOND_FIELD) if len(words) == 6 else (0,)
    minutes, hours = _numbers(words[0], MINUTE), _numbers(words[1], HOUR)
    return Wall((hours, minutes, seconds, ms), _day_rule(words[2], words[3], words[4]))


def _numbers(word: SourceSpan, kind: Kind) -> Values:
    if word.text == "?":
        raise word.wrong(
            f"a ? means no say, and only a day field may have none; this is the {kind.name}",
            *([word.replaced("*")] if word.given.count("?") == 1 else []),
        )
    return tuple(sorted(value for value in values_of(word, kind) if isinstance(value, int)))


def _day_rule(day: SourceSpan, month: SourceSpan, weekday: SourceSpan) -> DayRule:
    months = frozenset(_numbers(month, MONTH))
    if day.text == weekday.text == "?":
        raise weekday.wrong("both day fields say ?: one of them must have a say", weekday.replaced("*"))
    month_days, weekdays = _days(day, DAY), _days(weekday, WEEKDAY)
    _check_days_come(day, month, months, month_days)
    every_day, every_weekday = _all(month_days, DAY), _all(weekdays, WEEKDAY)
    for word, each, other in ((day, every_day, weekdays), (weekday, every_weekday, month_days)):
        if each and other is not None:
            raise word.wrong(
                "this names every day, and a day needs to match one day field of the two: the other would have no say",
                word.replaced("*"),
            )
    if month_days is not None and weekdays is not None:
        _check_not_nth(day, weekday, weekdays)
    return DayRule(months, None if every_day else month_days, None if every_weekday else weekdays)


def _check_days_come(day: SourceSpan, month: SourceSpan, months: frozenset[int], days: _Days) -> None:
    """Refuse days that no month of these has, and workdays near such a day."""
    if days is None:
        return
    near = [rule.near for rule in days if isinstance(rule, WorkdayNear) and rule.near is not None]
    if all(DayRule(months, each, None).ever() for each in (days, *(frozenset({number}) for number in near))):
        return
    last = "L" if day.text.replace(",", "").isdecimal() else "LW" if len(near) == len(days) else None
    raise day.until(month).wrong(
        "that day never comes: none of these months is so long", *([day.replaced(last)] if last else [])
    )


def _check_not_nth(day: SourceSpan, weekday: SourceSpan, weekdays: frozenset[int | Special]) -> None:
    """Refuse seven days in a row beside weekdays: "1-7 * MON" is how some write the first Monday.

    It never means that, because in every cron a day needs to match only one of the two fields.
    """
    nth = _SEVEN_DAYS.get(day.text)
    if nth is None or not all(isinstance(each, int) for each in weekdays):
        return
    first, last = day.text.split("-")
    names = ",".join(f"{name.upper()}#{nth}" for name, value in WEEKDAY.names.items() if value in weekdays)
    where_both = "*".join((day.given[: day.start], day.given[day.end : weekday.start])) + names
    raise day.wrong(
        f"a day needs to match one day field of the two: this is due on each day of the month from {first} to {last}"
        f" and on each {weekday.text}, not only where both meet",
        " ".join(where_both.split()),
        day.replaced(",".join(str(each) for each in range(int(first), int(last) + 1))),
    )


def _days(word: SourceSpan, kind: Kind) -> _Days:
    return None if word.text in {"?", "*"} else values_of(word, kind)


def _all(values: _Days, kind: Kind) -> bool:
    return values is not None and values.issuperset(kind.values)
