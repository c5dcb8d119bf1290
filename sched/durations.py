"""Read and write durations: "100ms", "25s", "1h30m", or a timedelta.

Pure. Everything inside is whole nanoseconds; nothing is rounded silently.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

from tickglass.sched.errors import ConfigError

__all__ = ["DURATION_MOST_NS", "MS", "SECOND", "US", "Duration", "duration_ns", "duration_text", "span_text"]

US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

_MINUTE: Final = 60 * SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
DURATION_MOST_NS: Final = 36_500 * _DAY  # a century: from now on it ends within 64 bits of nanoseconds
_UNITS: Final[dict[str, int]] = {
    "d": _DAY,
    "h": _HOUR,
    "m": _MINUTE,
    "s": SECOND,
    "ms": MS,
    "us": US,
    "ns": 1,
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|s|us|ns)")
_RIGHT: Final = ('"100ms"', '"25s"', '"1h30m"')


Duration = str | timedelta


def duration_ns(given: Duration, *, what: str, least_ns: int = 1) -> int:
    """Return a duration as whole nanoseconds.

    Args:
        given: "1h30m", "100ms", "1.5s" (units d h m s ms us ns) or a timedelta.
        what: the setting's name, for the error.
        least_ns: the smallest value allowed.

    Raises:
        ConfigError: not a duration, without a unit, smaller than allowed, or over 36,500 days.
    """
    if isinstance(given, timedelta):
        total = (given.days * 86_400 + given.seconds) * SECOND + given.microseconds * US
        shown = str(given)
    elif isinstance(given, str):
        total, shown = _parsed(given, what), given
    else:
        raise ConfigError(
            f"{what} must be a duration with its unit, not {type(given).__name__}", given=repr(given), instead=_RIGHT
        )
    if total < least_ns:
        raise ConfigError(f"{what} must be at least {duration_text(least_ns)}", given=shown, instead=_RIGHT)
    if total > DURATION_MOST_NS:
        most = duration_text(DURATION_MOST_NS)
        raise ConfigError(f"{what} is at most {most}, a century", given=shown, instead=(f'"{most}"',))
    return total


def _parsed(text: str, what: str) -> int:
    if not text:
        raise ConfigError(f"{what} is empty", given='""', instead=_RIGHT)
    total, position, smallest = Fraction(0), 0, max(_UNITS.values()) + 1
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ConfigError(
                f"{what} is not a duration with units d, h, m, s, ms, us or ns",
                given=text,
                span=(position, len(text)),
                instead=_RIGHT,
            )
        unit = _UNITS[part[2]]
        if unit >= smallest:
            raise ConfigError(
                f"{what} must name each unit once, largest first", given=text, span=part.span(), instead=_RIGHT
            )
        smallest = unit
        total += Fraction(part[1]) * unit
        position = part.end()
    if total.denominator != 1:
        raise ConfigError(f"{what} is finer than a nanosecond", given=text, instead=_RIGHT)
    return int(total)


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
