"""Decide what a whole cron expression says: its zone, its fields, and which is which.

Pure. A wrong expression is refused with the place and a right spelling.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.at import at
from tickglass.sched.triggers.days import DayRule, Special
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
from tickglass.sched.triggers.wall import Values, Wall
from tickglass.sched.triggers.written import Written

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Parsed", "parse"]

_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ORDER: Final = "minute hour day-of-month month day-of-week"
_LONGEST: Final = 1000  # characters; real ones have less than 100
_PREFIX: Final = re.compile(r"(?:CRON_)?TZ=(.*)", re.IGNORECASE)
_WITH_MS: Final = re.compile(r"[\d*,/ms-]*[\d*]ms", re.ASCII | re.IGNORECASE)
_WITH_UNIT: Final = re.compile(r"\d+(us|ns|s|m|h|d)", re.ASCII)
_JUNK: Final = re.compile(  # a command, a user, a comment: the rest of a crontab's line
    r"^#|/[a-z~.]|[^\w*?,#/()-]|^(?!sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{4,}"
)
_CALL: Final = re.compile(r'(every|at|cron)\("(.*)"\)')
_YEARS: Final = re.compile(r"(?:19|2\d)\d\d(?:[-,/]\d+)*", re.ASCII)


class Parsed(NamedTuple):
    """What an expression says.

    Attributes:
        text: the fields or the alias as written, without the zone, evenly spaced.
        wall: the wall-clock times that match.
        zone: the part that names the zone, if the expression begins with one.
    """

    text: str
    wall: Wall
    zone: Written | None


def parse(expression: object) -> Parsed:
    """Read a cron expression.

    Raises:
        ConfigError: it is not one, or does not mean what it seems to.
    """
    try:
        return _parsed(expression)
    except ConfigError as error:
        # An offer that is itself refused, for another fault beside this one, would be worse than none.
        instead = tuple(offer for offer in error.instead if _works(offer))
        raise ConfigError(error.problem, given=error.given, span=error.span, instead=instead) from None


def _works(offer: str) -> bool:
    if "..." in offer:  # an outline
        return True
    call = _CALL.fullmatch(offer)
    try:
        if call is None:
            _parsed(offer)
        else:
            _CALLS[call[1]](call[2])
    except ConfigError:
        return False
    return True


_CALLS: Final[dict[str, Callable[[str], object]]] = {"every": every, "at": at, "cron": parse}


def _parsed(expression: object) -> Parsed:
    if not isinstance(expression, str):
        raise ConfigError(
            f"a cron expression is text, not {type(expression).__name__}",
            given=repr(expression),
            instead=('cron("0 30 2 * * ?")',),
        )
    given = re.sub(r"\s", " ", expression, flags=re.ASCII)
    if len(given) > _LONGEST:
        raise ConfigError(f"a cron expression is at most {_LONGEST} characters long", given=f"{given[:40]}...")
    words = [Written(given, m.start(), m.end()) for m in re.finditer("[^ ]+", given)]
    zone = None
    if words and (match := _PREFIX.fullmatch(words[0].text)):
        zone = Written(given, words[0].start + match.start(1), words[0].end)
        words = words[1:]
    if not words:
        raise ConfigError("the cron expression is empty", given=given or '""', instead=("0 30 2 * * ?", "@daily"))
    text = " ".join(word.text for word in words)
    if words[0].text.startswith("@"):
        return Parsed(text, _wall(_alias(words)), zone)
    return Parsed(text, _wall(words), zone)


def _alias(words: list[Written]) -> list[Written]:
    name, *rest = words
    if name.lower == "@reboot":
        raise name.wrong("@reboot names no instant: it means when the machine starts", 'at("2027-01-31T02:30:00Z")')
    if name.lower == "@every":
        offers = [f'every("{word.text}")' for word in rest]
        right = next((offer for offer in offers if _works(offer)), 'every("5m")')
        raise name.until(words[-1]).wrong("@every is not a cron expression but a fixed rate", right)
    if name.lower not in _ALIASES:
        near = get_close_matches(name.lower, _ALIASES, n=2) or ["@daily", "@hourly"]
        raise name.wrong(f"there is no alias {name.text}", *near)
    if rest:
        raise rest[0].until(rest[-1]).wrong(f"{name.text} stands for all fields; nothing may follow it", name.text)
    fields = _ALIASES[name.lower]
    return [Written(fields, m.start(), m.end()) for m in re.finditer("[^ ]+", fields)]


def _wall(words: list[Written]) -> Wall:
    words = list(words)
    _check_shape(words)
    ms = _numbers(words.pop(0), MS_FIELD) if len(words) == 7 else (0,)
    seconds = _numbers(words.pop(0), SECOND_FIELD) if len(words) == 6 else (0,)
    minutes, hours = _numbers(words[0], MINUTE), _numbers(words[1], HOUR)
    return Wall((hours, minutes, seconds, ms), _day_rule(words[2], words[3], words[4]))


def _numbers(word: Written, kind: Kind) -> Values:
    if word.text == "?":
        raise word.wrong(
            f"a ? means no say, and only a day field may have none; this is the {kind.name}", word.replaced("*")
        )
    return tuple(sorted(value for value in values_of(word, kind) if isinstance(value, int)))


def _day_rule(day: Written, month: Written, weekday: Written) -> DayRule:
    months = frozenset(_numbers(month, MONTH))
    if day.text == weekday.text == "?":
        raise weekday.wrong("both day fields say ?: one of them must have a say", weekday.replaced("*"))
    month_days, weekdays = _days(day, DAY), _days(weekday, WEEKDAY)
    if month_days is not None and not DayRule(months, month_days, None).ever():
        raise day.until(month).wrong(
            "that day never comes: none of these months is so long", day.replaced("L"), month.replaced("*")
        )
    every_day, every_weekday = _all(month_days, DAY), _all(weekdays, WEEKDAY)
    for word, each, other in ((day, every_day, weekdays), (weekday, every_weekday, month_days)):
        if each and other is not None:
            raise word.wrong(
                "this names every day, and a day needs to match one day field of the two: the other would have no say",
                word.replaced("*"),
            )
    return DayRule(months, None if every_day else month_days, None if every_weekday else weekdays)


def _days(word: Written, kind: Kind) -> frozenset[int | Special] | None:
    return None if word.text in {"?", "*"} else values_of(word, kind)


def _all(values: frozenset[int | Special] | None, kind: Kind) -> bool:
    return values is not None and values.issuperset(kind.values)


def _check_shape(words: list[Written]) -> None:
    """Refuse what has not the fields of a cron expression, each in its place."""
    _check_foreign(words)
    first, count = words[0], len(words)
    whole = first.until(words[-1])
    if _WITH_MS.fullmatch(first.text):
        if count != 7:
            raise whole.wrong(
                f"behind the millisecond field come six: second {_ORDER}; here are {count - 1}",
                *([f'every("{first.text.rpartition("/")[2]}")'] if count == 1 else []),
                _spelled(words[:7], pad=7),
            )
    elif count < 5:
        raise whole.wrong(
            f"a cron expression has five fields ({_ORDER}), or six with the second in front; here are {count}",
            _spelled(words, pad=5),
        )
    elif count == 6:
        _check_six(words)
    elif count == 7:
        raise _seven_without_ms(words)
    elif count > 7:
        raise words[7].until(words[-1]).wrong(f"a cron expression has at most seven fields; here are {count}")


def _check_foreign(words: list[Written]) -> None:
    """Refuse words that are no fields, and units where they do not belong."""
    for word in words[1:]:
        if _WITH_MS.fullmatch(word.text):
            raise word.wrong("the millisecond field stands in front of all others", f"{word.text} * * * * * ?")
    for index, word in enumerate(words):
        if index >= 5 and _JUNK.search(word.lower):
            raise word.until(words[-1]).wrong(
                f"{word.text} is no field; a cron expression ends with the day-of-week", _spelled(words[:index])
            )
        if unit := _WITH_UNIT.fullmatch(word.lower):
            raise word.wrong(
                f"a field carries no unit {unit[1]}; only milliseconds do",
                f'every("{word.text}")',
                "0/100ms * * * * * ?",
            )


def _check_six(words: list[Written]) -> None:
    """Refuse six fields of which the first is plainly not the seconds."""
    last = words[-1]
    if _YEARS.fullmatch(last.text):
        raise last.wrong(
            f"there is no year field: of six fields the last is the day-of-week, which {last.text} is not",
            _spelled(words[:5]),
            _spelled(words[:5], "0"),
        )
    weekday = words[4]
    numbers = [int(number) for number in re.findall(r"\d+", re.sub(r"#\d+", "", last.text), re.ASCII)]
    named = re.search(r"mon|tue|wed|thu|fri|sat|sun", weekday.lower)
    if named or any(number > 7 for number in numbers):
        wrong, why = (
            (weekday, f"{weekday.text} is a day-of-week and stands in the month field")
            if named
            else (last, f"{last.text} does not fit the day-of-week, the last field")
        )
        raise wrong.wrong(
            f"{why}: with six fields the second comes first",
            _spelled(words[:5], last.text),
        )
    if re.fullmatch(r"\d+", words[0].text, re.ASCII) and int(words[0].text) > 59:
        raise words[0].wrong(
            f"with six fields the first is the second, and {words[0].text} is out of range: 0 to 59",
            _spelled(words[1:], *([f"{words[0].text}ms", "*"] if int(words[0].text) < 1000 else ["0"])),
        )


def _seven_without_ms(words: list[Written]) -> ConfigError:
    first, last = words[0], words[-1]
    if _YEARS.fullmatch(last.text) or (last.text == "*" and "/" not in first.text):
        return last.wrong("there is no year field", _spelled(words[:6]), 'at("2027-01-31T02:30:00Z")')
    return first.wrong(
        "with seven fields the first is the millisecond, and carries its unit",
        first.replaced(f"{first.text}ms"),
        _spelled(words[1:]),
    )


def _spelled(words: list[Written], *before: str, pad: int = 0) -> str:
    """Return these fields as an expression, in the zone that the whole one names."""
    zone = re.match(r" *((?:CRON_)?TZ=[^ ]*) ", words[0].given, re.IGNORECASE)
    texts = [*([zone[1]] if zone else []), *before, *(word.text for word in words)]
    return " ".join(texts + ["*"] * (pad - len(words)))
