"""Values are read off code only where they are certain."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tickglass.importing.literals import CannotSay, Values

MODULE = """
ONCE = 5
ANNOTATED: int = 6
TWICE = 1
TWICE = 2
LOOP = LOOP
if True:
    BRANCH = 1
for COUNTED in range(3):
    pass
def f():
    INNER = 1
"""


def value(code: str) -> object:
    return Values(ast.parse(MODULE)).of(ast.parse(code, mode="eval").body, "it")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("'a'", "a"),
        ("-1.5", -1.5),
        ("None", None),
        ("ONCE * 60 + 1 - 2", 299),
        ("ANNOTATED", 6),
        ("(1, [2], {'a': ONCE})", [1, [2], {"a": 5}]),
        ("dict(a=1)", {"a": 1}),
        ("datetime(2027, 1, 2)", datetime(2027, 1, 2)),  # noqa: DTZ001 - as it is written
        ("datetime.datetime(2027, 1, 2, tzinfo=timezone.utc)", datetime(2027, 1, 2, tzinfo=UTC)),
        ("date(2027, 1, 2)", date(2027, 1, 2)),
        ("timedelta(hours=1)", timedelta(hours=1)),
        ("pytz.timezone('Asia/Tokyo')", ZoneInfo("Asia/Tokyo")),
        ("ZoneInfo('Asia/Tokyo')", ZoneInfo("Asia/Tokyo")),
        ("pytz.utc", UTC),
    ],
)
def test_what_is_certain_is_read(code: str, expected: object) -> None:
    assert value(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        *(
            "TWICE",
            "LOOP",
            "BRANCH",
            "COUNTED",
            "INNER",
            "UNKNOWN",
            "f()",
            "open('x')",
            "a.b",
            "f'{ONCE}'",
            "b'x'",
            "1 / 2",
        ),
        *(
            "'a' * 10**9",
            "2 ** 100",
            "10**15 + 1",
            "{**x}",
            "[*x]",
            "dict(1)",
            "datetime(2027, 13, 1)",
            "datetime.now()",
        ),
        *("timezone(timedelta(1))", "ZoneInfo('Mars/Base')", "x if y else z", "-'a'", "{[]: 1}", "True + [1]"),
    ],
)
def test_what_is_not_certain_is_not_guessed(code: str) -> None:
    with pytest.raises(CannotSay, match="it is not a literal"):
        value(code)
