"""Each step and range of each field, by exhaustion: what is accepted names several values, exactly those it says."""

from __future__ import annotations

import pytest

from tickglass.sched.errors import ConfigError
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
from tickglass.sched.triggers.source_span import SourceSpan

KINDS = [MS_FIELD, SECOND_FIELD, MINUTE, HOUR, DAY, MONTH, WEEKDAY]
FIELDS = {
    "millisecond": (0, 999),
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day-of-month": (1, 31),
    "month": (1, 12),
    "day-of-week": (0, 6),
}


def read(text: str, kind: Kind) -> frozenset[object] | None:
    """Return what a field means, None if it is refused."""
    text = f"{text}ms" if kind is MS_FIELD else text
    try:
        return frozenset(values_of(SourceSpan(text, 0, len(text)), kind))
    except ConfigError:
        return None


def steps(kind: Kind) -> list[int]:
    low, high = FIELDS[kind.name]
    size = high - low + 1
    return list(range(1, size + 3)) if size < 100 else [1, 2, 3, 7, 10, 100, 333, 499, 500, 501, 998, 999, 1000, 1001]


def starts(kind: Kind) -> range | list[int]:
    low, high = FIELDS[kind.name]
    return range(low, high + 1) if high < 100 else [0, 1, 2, 9, 10, 498, 499, 500, 501, 900, 997, 998, 999]


def assert_means(text: str, kind: Kind, expected: set[int]) -> None:
    assert read(text, kind) == (expected if len(expected) > 1 else None), (kind.name, text)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_step_from_a_value_on_names_several_or_is_refused(kind: Kind) -> None:
    low, high = FIELDS[kind.name]
    for step in steps(kind):
        assert_means(f"*/{step}", kind, set(range(low, high + 1, step)))
        for start in starts(kind):
            assert_means(f"{start}/{step}", kind, set(range(start, high + 1, step)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_step_in_a_range_names_several_or_is_refused(kind: Kind) -> None:
    for start in starts(kind):
        for end in (each for each in starts(kind) if each > start):
            span = end - start
            for step in {1, 2, 3, max(1, span // 2), max(1, span - 1), span, span + 1, 1000}:
                assert_means(f"{start}-{end}/{step}", kind, set(range(start, end + 1, step)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_range_means_all_values_from_its_start_to_its_end(kind: Kind) -> None:
    low, high = FIELDS[kind.name]
    for start in starts(kind):
        for end in starts(kind):
            if start < end:
                assert_means(f"{start}-{end}", kind, set(range(start, end + 1)))
            elif start == end or kind in (MS_FIELD, DAY):
                assert read(f"{start}-{end}", kind) is None
            else:
                assert_means(f"{start}-{end}", kind, set(range(start, high + 1)) | set(range(low, end + 1)))


def test_sunday_may_be_written_7_in_each_of_them() -> None:
    for step in range(1, 10):
        assert_means(f"7/{step}", WEEKDAY, set(range(0, 7, step)))  # the same as 0/step
        for start in range(1, 7):
            expected = {value % 7 for value in range(start, 8, step)}
            assert_means(f"{start}-7/{step}", WEEKDAY, expected)
            assert_means(f"{start}-0/{step}", WEEKDAY, expected)
            assert_means(f"{start}-SUN/{step}", WEEKDAY, expected)
        assert_means(f"0-7/{step}", WEEKDAY, {value % 7 for value in range(0, 8, step)})


@pytest.mark.parametrize("text", ["5/2", "FRI/2", "1/6", "MON/6", "3/4", "2/5", "4/3", "6/1", "SAT/1", "sat/2"])
def test_a_step_of_weekdays_that_finds_one_is_refused(text: str) -> None:
    assert read(text, WEEKDAY) is None
    assert read(f"SUN,{text}", WEEKDAY) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("digit", ["\u0663", "\uff13", "\u00b3", "\u0969", "1_1", "\u0967/2", "1-\uff13", "*/\u0663"])
def test_other_digits_than_those_of_ascii_are_refused(digit: str, kind: Kind) -> None:
    assert read(digit, kind) is None


@pytest.mark.parametrize("text", ["\u0663W", "L-\u0663", "W\u0663"])
def test_they_are_refused_in_days_by_rule(text: str) -> None:
    assert read(text, DAY) is None


@pytest.mark.parametrize("text", ["FRI#\u0663", "\u0663#1", "L\u0663", "\u0663L"])
def test_they_are_refused_in_weekdays_by_rule(text: str) -> None:
    assert read(text, WEEKDAY) is None
