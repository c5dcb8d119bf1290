"""Read and write durations: "100ms", "25s", "1h30m", or a timedelta.

Pure. Everything inside is whole nanoseconds; nothing is rounded silently.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Final

from tickglass.sched.errors import ConfigError

__all__ = [
    "DURATION_MAX_NS",
    "MS",
    "SECOND",
    "US",
    "Duration",
    "duration_ns",
    "duration_text",
    "plainly_meant_ns",
    "span_text",
]

US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

_MINUTE: Final = 60 * SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
DURATION_MAX_NS: Final = 36_500 * _DAY  # a century: from now on it ends within 64 bits of nanoseconds
_UNITS: Final[dict[str, int]] = {
    "d": _DAY,
    "h": _HOUR,
    "m": _MINUTE,
    "s": SECOND,
    "ms": MS,
    "us": US,
    "ns": 1,
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|s|us|ns)", re.ASCII)
_CHARS_MAX: Final = 100  # characters; the longest that says anything new has some 40
_EXAMPLES: Final = ('"100ms"', '"25s"', '"1h30m"')
# How people write the units elsewhere. A capital M is a month to some, so single letters count only as they are.
_WORD: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)(?:\s*,|\s+and\b)?", re.ASCII)
_WORDS: Final[dict[str, str]] = {
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), "h"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "m"),
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "s"),
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "msecs"), "ms"),
    **dict.fromkeys(("microsecond", "microseconds", "usec", "usecs"), "us"),
    **dict.fromkeys(("nanosecond", "nanoseconds", "nsec", "nsecs"), "ns"),
}


Duration = str | timedelta


def duration_ns(given: Duration, *, what: str, min_ns: int = 1) -> int:
    """Return a duration as whole nanoseconds.

    Args:
        given: "1h30m", "100ms", "1.5s" (units d h m s ms us ns) or a timedelta.
        what: the setting's name, for the error.
        min_ns: the smallest value allowed.

    Raises:
        ConfigError: not a duration, without a unit, smaller than allowed, or over 36,500 days.
    """
    if isinstance(given, timedelta):
        total = (given.days * 86_400 + given.seconds) * SECOND + given.microseconds * US
        shown = str(given)
    elif isinstance(given, str):
        total, shown = _parsed(given, what, min_ns), given
    else:
        raise ConfigError(
            f"{what} must be a duration with its unit, not {type(given).__name__}",
            given=repr(given),
            examples=_EXAMPLES,
        )
    if total < min_ns:
        raise ConfigError(f"{what} must be at least {duration_text(min_ns)}", given=shown, examples=_EXAMPLES)
    if total > DURATION_MAX_NS:
        raise ConfigError(f"{what} is at most {duration_text(DURATION_MAX_NS)}, a century", given=shown)
    return total


@lru_cache(maxsize=1_024)  # jobs and locks are made with the same few texts
def _parsed(text: str, what: str, min_ns: int) -> int:
    if not text:
        raise ConfigError(f"{what} is empty", given='""', examples=_EXAMPLES)
    if len(text) > _CHARS_MAX:
        raise ConfigError(
            f"{what} is at most {_CHARS_MAX} characters long", given=f"{text[:40]}...", examples=_EXAMPLES
        )
    total, position, smallest = Fraction(0), 0, max(_UNITS.values()) + 1
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            problem = f"{what} is not a duration with units d, h, m, s, ms, us or ns"
            raise _wrong(problem, text, (position, len(text)), min_ns)
        unit = _UNITS[part[2]]
        if unit >= smallest:
            raise _wrong(f"{what} must name each unit once, largest first", text, part.span(), min_ns)
        smallest = unit
        total += Fraction(part[1]) * unit
        position = part.end()
    if total.denominator != 1:
        raise ConfigError(f"{what} is finer than a nanosecond", given=text, examples=_EXAMPLES)
    return int(total)


def _wrong(problem: str, text: str, span: tuple[int, int], min_ns: int) -> ConfigError:
    meant_ns = plainly_meant_ns(text)
    if meant_ns is None or not min_ns <= meant_ns <= DURATION_MAX_NS:
        return ConfigError(problem, given=text, span=span, examples=_EXAMPLES)
    return ConfigError(problem, given=text, span=span, instead=(f'"{duration_text(meant_ns)}"',))


def plainly_meant_ns(text: str) -> int | None:
    """Return the nanoseconds that a text plainly means in other words, e.g. "5 minutes"; None if it is unclear.

    Units in any order, but each once: twice the same one is rather a slip than a sum.
    """
    text = text.strip(" ")
    total, position, units = Fraction(0), 0, set[str]()
    while position < len(text) <= _CHARS_MAX:
        part = _WORD.match(text, position)
        unit = None if part is None else part[2] if part[2] in _UNITS else _WORDS.get(part[2].lower())
        if part is None or unit is None or unit in units:
            return None
        units.add(unit)
        total += Fraction(part[1]) * _UNITS[unit]
        position = part.end()
    return int(total) if units and total.denominator == 1 else None


def duration_text(total_ns: int) -> str:
    """Return the shortest exact spelling, e.g. 5400 s as "1h30m"."""
    if total_ns == 0:
        return "0s"
    parts, rest = [], total_ns
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def span_text(span_ns: int) -> str:
    """Return a length of time at a glance: three or so digits, e.g. "0.35 ms", "4m05s"."""
    if span_ns < 0:
        return f"-{span_text(-span_ns)}"
    if span_ns < _MINUTE:
        return _short_span_text(span_ns)
    if span_ns < _HOUR:
        return f"{span_ns // _MINUTE}m{span_ns % _MINUTE // SECOND:02}s"
    if span_ns < _DAY:
        return f"{span_ns // _HOUR}h{span_ns % _HOUR // _MINUTE:02}m"
    return f"{span_ns // _DAY}d{span_ns % _DAY // _HOUR:02}h"


def _short_span_text(span_ns: int) -> str:
    if span_ns < 10 * MS:
        return f"{span_ns / MS:.2f} ms"
    if span_ns < SECOND:
        return f"{span_ns // MS} ms"
    return f"{span_ns // (10 * MS) / 100:.2f} s"
