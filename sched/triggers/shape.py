"""Decide which word of a cron expression is which field, and refuse where one is plainly another.

Pure. A word too many is a year, a second at the wrong end or a crontab's command:
what the rest means is offered only where it can mean nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from tickglass.sched.triggers.source_span import SourceSpan

__all__ = ["Ambiguous", "check_shape", "is_command", "unwrapped"]

_ORDER: Final = "minute hour day-of-month month day-of-week"
_NO_YEAR: Final = "there is no year field"
_WITH_MS: Final = re.compile(r"[\d*,/ms-]*[\d*]ms", re.ASCII | re.IGNORECASE)
_WITH_UNIT: Final = re.compile(r"\d+(us|ns|s|m|h|d)", re.ASCII)
_JUNK: Final = re.compile(  # a command, a user, a comment: the rest of a crontab's line
    r"^#|/[a-z~.]|[^\w*?,#/()-]|^(?!sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{4,}"
)
_PATH: Final = re.compile(r"~?\.{0,2}/[a-z_.]", re.ASCII | re.IGNORECASE)
_YEARS: Final = re.compile(r"(?:19|2\d)\d\d(?:[-,/]\d+)*", re.ASCII)
_WEEKDAY: Final = re.compile(r"mon|tue|wed|thu|fri|sat|sun")
_WRAPPED: Final = re.compile(r"cron\((.*)\)", re.IGNORECASE)


class Ambiguous(ConfigError):  # noqa: N818 - says what is wrong
    """An error that offers readings of the same words: the one that can be read is right, and of several none is."""


def check_shape(words: list[SourceSpan]) -> None:
    """Refuse what has not the fields of a cron expression, each in its place.

    Raises:
        ConfigError: a field is missing, or stands where another belongs.
    """
    _check_foreign(words)
    first, count = words[0], len(words)
    whole = first.until(words[-1])
    if _WITH_MS.fullmatch(first.text):
        if count != 7:
            raise whole.wrong(
                f"behind the millisecond field come six: second {_ORDER}; here are {count - 1}",
                *([_spelled(words, pad=7)] if count == 1 else []),
            )
    elif count < 5:
        raise whole.wrong(
            f"a cron expression has five fields ({_ORDER}), or six with the second in front; here are {count}",
            *([_spelled(words, pad=5)] if {word.text for word in words} == {"*"} else []),
        )
    elif count == 6:
        _check_six(words)
    elif count == 7:
        raise _seven_without_ms(words)
    elif count > 7:
        raise words[7].until(words[-1]).wrong(f"a cron expression has at most seven fields; here are {count}")


def unwrapped(whole: SourceSpan) -> ConfigError | None:
    """Return the error for an expression that stands in the brackets of `cron(...)`; None if it does not."""
    match = _WRAPPED.fullmatch(whole.text)
    if match is None:
        return None
    inner = whole.part(match.start(1), match.end(1))
    if len(inner.text) > 1 and inner.text[0] == inner.text[-1] and inner.text[0] in "\"'":
        inner = whole.part(match.start(1) + 1, match.end(1) - 1)
    words = inner.words()
    if len(words) != 6 or words[-1].text != "*":
        offers = [] if words and _YEARS.fullmatch(words[-1].text) else [_spelled(words)]
    else:
        offers = _without_year(words) if _has_year(words) else []
    return whole.wrong("only what stands in the brackets is a cron expression", *offers)


def is_command(words: list[SourceSpan]) -> bool:
    """Say whether these words, behind an expression, are plainly a comment or a command, with its user or without."""
    first = words[0].lower
    named = len(words) > 1 and re.fullmatch(r"[a-z_][\w.-]*", first, re.ASCII) and _PATH.match(words[1].text)
    return bool(named or _PATH.match(first) or re.match(r"#(?!\d)", first, re.ASCII))


def _check_foreign(words: list[SourceSpan]) -> None:
    """Refuse words that are no fields, and units where they do not belong."""
    for index, word in enumerate(words):
        if index and _WITH_MS.fullmatch(word.text):
            others = words[:index] + words[index + 1 :]
            raise word.wrong(
                "the millisecond field stands in front of all others",
                *([_spelled(others, word.text)] if len(others) == 6 else []),
            )
        if index >= 5 and _JUNK.search(word.lower):
            raise word.until(words[-1]).wrong(
                f"{word.text} is no field; a cron expression ends with the day-of-week",
                *([_spelled(words[:index])] if is_command(words[index:]) else []),
            )
        if unit := _WITH_UNIT.fullmatch(word.lower):
            raise word.wrong(f"a field carries no unit {unit[1]}; only milliseconds do")


def _check_six(words: list[SourceSpan]) -> None:
    """Refuse six fields of which the first is plainly not the second."""
    first, weekday, last = words[0], words[4], words[-1]
    if _has_year(words):
        raise last.wrong(
            f"{_NO_YEAR}: of six fields the last is the day-of-week, and the second comes first{_counted(words)}",
            *_without_year(words),
        )
    if _WEEKDAY.search(weekday.lower):
        moved = _without_year(words) or ([_spelled(words[:5], last.text)] if last.text[0].isdecimal() else [])
        raise Ambiguous(
            f"{weekday.text} is a day-of-week and stands in the month field: with six fields the second comes first",
            given=weekday.given,
            span=(weekday.start, weekday.end),
            instead=(*moved, _spelled([*words[:4], last, weekday])),
        )
    numbers = [int(number) for number in re.findall(r"\d+", re.sub(r"#\d+", "", last.text), re.ASCII)]
    if any(number > 7 for number in numbers):
        # Behind days and months the number may as well be a day that slipped.
        free = all(word.text in {"*", "?"} for word in words[2:5])
        raise last.wrong(
            f"{last.text} does not fit the day-of-week, the last field: with six fields the second comes first",
            *([_spelled(words[:5], last.text)] if free else []),
        )
    if re.fullmatch(r"\d+", first.text, re.ASCII) and int(first.text) > 59:
        raise first.wrong(f"with six fields the first is the second, and {first.text} is out of range: 0 to 59")


def _has_year(words: list[SourceSpan]) -> bool:
    """Say whether the last of six words is the year of Amazon EventBridge, behind five fields, one of them a ?."""
    last = words[-1].text
    return _YEARS.fullmatch(last) is not None or (last == "*" and "?" in {words[2].text, words[4].text})


def _without_year(words: list[SourceSpan]) -> list[str]:
    """Return these fields without the last, a year, where it is each year and no weekday is a number."""
    return [] if words[-1].text != "*" or _counted(words) else [_spelled(words[:-1])]


def _counted(words: list[SourceSpan]) -> str:
    """Return what is to be said of a weekday by number, in front of a year; "" if there is none."""
    number = re.search(r"\d", re.sub(r"#\d+", "", words[-2].text), re.ASCII)
    return "" if number is None else "; where years have a field weekdays may count from 1 = Sunday, so write names"


def _seven_without_ms(words: list[SourceSpan]) -> ConfigError:
    first, last = words[0], words[-1]
    if _YEARS.fullmatch(last.text):
        return last.wrong(f"{_NO_YEAR}; at() names one instant")
    with_ms = first.replaced(f"{first.text}ms")
    if last.text != "*":
        return first.wrong("with seven fields the first is the millisecond, and carries its unit", with_ms)
    return Ambiguous(
        f"with seven fields the first is the millisecond, and carries its unit; {_NO_YEAR}{_counted(words)}",
        given=first.given,
        span=(last.start, last.end),
        instead=(*_without_year(words), with_ms),
    )


def _spelled(words: list[SourceSpan], *before: str, pad: int = 0) -> str:
    """Return these fields as an expression, in the zone that the whole one names."""
    zone = re.match(r" *((?:CRON_)?TZ=[^ ]*) ", words[0].given, re.ASCII | re.IGNORECASE) if words else None
    texts = [*([zone[1]] if zone else []), *before, *(word.text for word in words)]
    return " ".join(texts + ["*"] * (pad - len(words)))
