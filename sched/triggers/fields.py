"""Decide which values a field of a cron expression means, and refuse what would be misread.

Pure. croniter decides what the classic items mean; this module adds what it lacks
(`L-3`, `LW`, `5L`, lists of `W`, milliseconds), and refuses what it silently reads
as something else (see docs/triggers.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from croniter import croniter

from tickglass.sched.triggers.days import DaysBeforeLast, LastWeekday, NthWeekday, Special, WorkdayNear

if TYPE_CHECKING:
    from tickglass.sched.errors import ConfigError
    from tickglass.sched.triggers.source_span import SourceSpan

__all__ = ["DAY", "HOUR", "MINUTE", "MONTH", "MS_FIELD", "SECOND_FIELD", "WEEKDAY", "Kind", "values_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the fields.

    Attributes:
        name: as errors call it.
        low: the smallest value.
        high: the largest value as it may be written.
        unit: the unit of a duration of `every` that its steps resemble, if there is one. None for
            days: the time of day depends on the zone, which a rate ignores.
        croniter_place: where croniter finds a field with these values in an expression of five.
        names: what may be written for a value, in lower case.
    """

    name: str
    low: int
    high: int
    unit: str | None
    croniter_place: int
    names: dict[str, int] = field(default_factory=dict)

    @property
    def values(self) -> range:
        """All values, each once: Sunday may be written 7 but is 0."""
        return range(self.low, 7 if self.names is _WEEKDAYS else self.high + 1)

    def wrapped(self, value: int) -> int:
        """Return a value that was counted on past the end of the field."""
        return (value - self.low) % len(self.values) + self.low


_MONTH_NAMES: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WEEKDAY_NAMES: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = {name[:3]: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_WEEKDAYS: Final = {name[:3]: number for number, name in enumerate(_WEEKDAY_NAMES)}
_FULL_NAMES: Final = {name[:3]: name for name in (*_MONTH_NAMES, *_WEEKDAY_NAMES)}

MS_FIELD: Final = Kind("millisecond", 0, 999, "ms", -1)  # croniter has none such
SECOND_FIELD: Final = Kind("second", 0, 59, "s", 0)
MINUTE: Final = Kind("minute", 0, 59, "m", 0)
HOUR: Final = Kind("hour", 0, 23, "h", 1)
DAY: Final = Kind("day-of-month", 1, 31, None, 2)
MONTH: Final = Kind("month", 1, 12, None, 3, _MONTHS)
WEEKDAY: Final = Kind("day-of-week", 0, 7, None, 4, _WEEKDAYS)

_PLAIN: Final = re.compile(r"(?:(\*)|(\d+|[a-z]+)(?:-(\d+|[a-z]+))?)(?:/(\d+))?", re.ASCII)
_RANDOM: Final = re.compile(r"[hr](\(.*\))?(/\d+)?", re.ASCII)
_NEAR: Final = re.compile(r"(\d+|l)w", re.ASCII)
_BEFORE_LAST: Final = re.compile(r"l(?:-(\d+))?", re.ASCII)
_NTH: Final = re.compile(r"(\d|[a-z]+)#(\d+)", re.ASCII)
_LAST_WEEKDAY: Final = re.compile(r"l(\d|[a-z]{3})|(\d|[a-z]{3})l", re.ASCII)


def values_of(written: SourceSpan, kind: Kind) -> frozenset[int | Special]:
    """Return what a field matches: values, ascending from 0 or 1, and rules for days.

    Raises:
        ConfigError: an item is not one, or would not do what it says.
    """
    found: set[int | Special] = set()
    items = written.parts(",")
    for item in items:
        if item.text in {"?", "*"} and len(items) > 1:
            raise _not_alone(item, written, kind)
        special = _special(item, kind)
        found.update(_plain(item, kind) if special is None else {special})
    return frozenset(found)


def _not_alone(item: SourceSpan, written: SourceSpan, kind: Kind) -> ConfigError:
    others = [each.text for each in written.parts(",") if each.text != "?"]
    if item.text == "?":
        offers = [written.replaced(",".join(others))] if others else []
    else:  # beside a day field that has a say a * would mean none, and no longer each day
        offers = [] if kind in (DAY, WEEKDAY) else [written.replaced("*")]
    return item.wrong(f"a {item.text} stands alone in its field", *offers)


def _expanded(item: str, kind: Kind) -> frozenset[int]:
    """Return the values of an item, for the trigger and for the checks."""
    if kind is MS_FIELD:
        return frozenset(_range(item, kind))
    values = _by_croniter(item, kind.croniter_place)
    return frozenset(kind.values) if values is None else values


@lru_cache(maxsize=1024)  # croniter needs 70 us, and ten thousand jobs share few fields
def _by_croniter(items: str, croniter_place: int) -> frozenset[int] | None:
    """Return what items mean in that place of five; None if it is every value."""
    fields = ["*"] * 5
    fields[croniter_place] = items
    values = croniter.expand(" ".join(fields))[0][croniter_place]
    return None if "*" in values else frozenset(int(value) for value in values)


def _special(item: SourceSpan, kind: Kind) -> Special | None:
    text = item.lower
    if kind is DAY:
        if match := _NEAR.fullmatch(text):
            return WorkdayNear(None if match[1] == "l" else _value(item, match[1], kind))
        if match := _BEFORE_LAST.fullmatch(text):
            back = int(match[1] or 0)
            if back > 30:
                raise item.wrong("no month is so long: the last day has at most 30 before it")
            return DaysBeforeLast(back)
    if kind is WEEKDAY:
        if match := _NTH.fullmatch(text):
            if not 1 <= int(match[2]) <= 5:
                raise item.wrong("a month has a weekday at most five times")
            return NthWeekday(_value(item, match[1], kind) % 7, int(match[2]))
        if match := _LAST_WEEKDAY.fullmatch(text):
            return LastWeekday(_value(item, match[1] or match[2], kind) % 7)
    return None


def _plain(item: SourceSpan, kind: Kind) -> frozenset[int]:
    """Return the values of an item, which must do what its step or its range says."""
    text = item.lower.replace("ms", "") if kind is MS_FIELD else item.lower
    if kind is DAY and re.fullmatch(r"\d+-l", text, re.ASCII):
        text = text[:-1] + "31"  # up to the last day is up to the 31st, in months that have it
    match = _PLAIN.fullmatch(text)
    if match is None or _RANDOM.fullmatch(text):
        raise _not_an_item(item, kind)
    star, low, high, step = match.groups()
    if step is not None and int(step) == 0:
        raise item.wrong("a step of zero never moves")
    first = kind.low if star else _value(item, low, kind)
    if high is not None:
        _check_range(item, kind, (first, _value(item, high, kind)), step)
    values = _expanded(text, kind)
    if step is not None and len(values) < 2:
        raise item.wrong(
            f"a step of {step} is larger than its field has room for: {kind.name} {first} would be the only one",
            *_instead_of_step(item, kind, first, int(step)),
        )
    return values


def _check_range(item: SourceSpan, kind: Kind, ends: tuple[int, int], step: str | None) -> None:
    low, high = ends
    unit = "ms" if kind is MS_FIELD else ""
    if kind.wrapped(low) == kind.wrapped(high) and not (kind is WEEKDAY and ends == (0, 7)):
        raise item.wrong(
            f"a range from a value to itself, which could mean that one {kind.name} or all of them",
            item.replaced(item.text.split("-")[0] + unit),
            *([] if step or kind in (DAY, WEEKDAY) else [item.replaced("*")]),
        )
    if low <= high or (kind is WEEKDAY and high == 0):
        return
    if kind is MS_FIELD or kind is DAY:
        around = ",".join((_spelled(low, kind.high) + unit, _spelled(kind.low, high) + unit))
        raise item.wrong(
            f"the range runs backwards: {low} comes after {high}", *([] if step else [item.replaced(around)])
        )
    if step is not None and kind.wrapped(low) > high:
        # croniter counts on past the end, but for some steps (hours 10-3/5) one too far.
        values = range(low, high + len(kind.values) + 1, int(step))
        raise item.wrong(
            f"a range that wraps around, from {low} past the end to {high}, cannot have a step",
            item.replaced(",".join(str(kind.wrapped(value)) for value in values)),
        )


def _spelled(low: int, high: int) -> str:
    return f"{low}-{high}" if low < high else f"{low}"


def _instead_of_step(item: SourceSpan, kind: Kind, first: int, step: int) -> list[str]:
    """Return what a step that finds one value means, where that can be said."""
    start = item.text.split("/")[0].removesuffix("ms")
    unit = "ms" if kind is MS_FIELD else ""
    if "-" in start or (step == len(kind.values) and kind is not DAY):  # what it says; or once in each round
        return [item.replaced((str(first) if start == "*" else start.split("-")[0]) + unit)]
    if step < len(kind.values):
        if kind is WEEKDAY and first + step == kind.high:  # up to the Sunday that is written 7
            return [item.replaced(f"{start}-{7 if start.isdecimal() else 'SUN'}/{step}")]
        return [item.replaced(start + unit)]
    return _rates(item, kind, first, step)


def _rates(item: SourceSpan, kind: Kind, first: int, step: int) -> list[str]:
    """Return the rates that a step past the end of its field means, if no other field has a say."""
    offers = []
    if kind is SECOND_FIELD and first == 0 and step >= 100 and 1000 % step == 0 and item.fills_its_field:
        offers.append(item.replaced(f"0/{step}ms *"))  # "0/100 * * * * ?" is how some write "every 100 ms"
    before, after = item.others()
    if kind.unit is not None and step < 100_000 and set(before) <= {"0", "0ms"} and set(after) <= {"*", "?"}:
        offset = f', offset="{first}{kind.unit}"' if first else ""
        if kind is SECOND_FIELD and step >= 100 and not first:
            offers.append(f'every("{step}ms")')
        offers.append(f'every("{step}{kind.unit}"{offset})')
    return offers


def _range(text: str, kind: Kind) -> range:
    match = _PLAIN.fullmatch(text)
    if match is None:  # _checked has seen it
        raise AssertionError(text)
    star, low, high, step = match.groups()
    first = kind.low if star else int(low)
    last = int(high) if high else kind.high if star or step else first
    return range(first, last + 1, int(step or 1))


def _value(item: SourceSpan, text: str, kind: Kind) -> int:
    if text in kind.names:
        return kind.names[text]
    if not text.isdigit():
        raise _no_such_name(item, text, kind)
    if not kind.low <= int(text) <= kind.high:
        raise item.wrong(f"{text} is out of range: {kind.name} runs from {kind.low} to {kind.high}")
    return int(text)


def _no_such_name(item: SourceSpan, text: str, kind: Kind) -> ConfigError:
    shown = text.upper()
    for other in (MONTH, WEEKDAY):
        if other is not kind and text in other.names:
            return item.wrong(f"{shown} is a {other.name} and stands in the {kind.name} field")
    if text == "l" and kind is WEEKDAY:
        return item.wrong("L alone says nothing in the day-of-week field", item.replaced("SAT"))
    if text == "l" and kind is DAY:
        return item.wrong("L, the last day, has no range and no step")
    if not kind.names:
        return item.wrong(f"{shown} is not a number, and the {kind.name} field knows no names")
    near = [name for name in kind.names if _means(text, name)]
    return item.wrong(
        f"{shown} is not a name of the {kind.name} field",
        *([item.replaced(item.lower.replace(text, near[0]).upper())] if len(near) == 1 else []),
    )


def _means(text: str, name: str) -> bool:
    """Say whether a text is a name spelled out, in part or whole, or with its letters mixed up."""
    return (len(text) > 1 and _FULL_NAMES[name].startswith(text)) or sorted(text) == sorted(name)


def _not_an_item(item: SourceSpan, kind: Kind) -> ConfigError:
    text = item.lower
    owners = {"w": DAY, "#": WEEKDAY, "l": DAY}
    foreign = next((letter for letter in owners if letter in text and owners[letter] is not kind), "")
    reasons: tuple[tuple[object, str, tuple[str, ...]], ...] = (
        (not text, f"an empty item in the {kind.name} field: a comma stands between two values", ()),
        ("?" in text, "nothing stands beside a ? in its field", ()),
        (
            _RANDOM.fullmatch(text),
            f"{item.text} asks for a random value, and each instance would choose another one; jitter= is for that",
            (),
        ),
        (text.startswith("-") or "/-" in text, f"the {kind.name} is never negative", ()),
        (
            kind is DAY and re.fullmatch(r"w\d+", text, re.ASCII),
            "the W stands behind its day",
            (item.replaced(f"{text[1:]}W"),),
        ),
        (kind is WEEKDAY and "#" in text, "a # stands between one weekday and a number from 1 to 5", ()),
        (
            foreign and re.fullmatch(r"[\dl#w-]+", text, re.ASCII),
            f"{foreign.upper()} has no meaning in the {kind.name} field",
            (),
        ),
    )
    for applies, problem, instead in reasons:
        if applies:
            return item.wrong(problem, *instead)
    return item.wrong(f"{item.text} is no {kind.name}: an item is a value, a range or a step")
