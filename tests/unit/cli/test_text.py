from __future__ import annotations

import unicodedata
from dataclasses import fields
from datetime import datetime

import pytest

from tickglass.cli.text import distance_text, instant_text, lines_shown, one_line, record_json, shown, span_text
from tickglass.sched.clock import ns_of
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import JobRecord, LeaseRecord, RunRecord

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (0, "0.00 ms"),
        (352_000, "0.35 ms"),
        (25 * MS, "25 ms"),
        (3_209 * MS, "3.20 s"),
        (59_999 * MS, "59.99 s"),
        (245 * SECOND, "4m05s"),
        (3_600 * SECOND, "1h00m"),
        (86_399 * SECOND, "23h59m"),
        (51 * 3_600 * SECOND, "2d03h"),
        (-25 * MS, "-25 ms"),
    ],
)
def test_a_span_is_read_at_a_glance(span_ns: int, text: str) -> None:
    assert span_text(span_ns) == text


def test_a_distance_says_which_way() -> None:
    assert distance_text(5 * SECOND, 2 * SECOND) == "in 3.00 s"
    assert distance_text(2 * SECOND, 5 * SECOND) == "3.00 s ago"


def test_an_instant_is_shown_in_this_machines_zone_to_the_millisecond() -> None:
    here = datetime(2026, 1, 1, 12, 0, 0, 100_000).astimezone()
    assert instant_text(ns_of(here)) == "2026-01-01 12:00:00.100"


def test_a_long_detail_is_cut_to_one_line() -> None:
    assert one_line("ValueError: no\nTraceback ...") == "ValueError: no"
    assert one_line("x" * 500) == "x" * 119 + "…"


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇"),
        ("two\r\nlines\tand\x00more\x7f", "two␍␊lines␉and␀more␡"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202etxt.exe\u2066\u2028.", "\\u202etxt.exe\\u2066\\u2028."),
        ("plain, naïve, 日本, [red]", "plain, naïve, 日本, [red]"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_signs(text: str, signs: str) -> None:
    assert shown(text) == signs
    assert one_line(text.replace("\n", "")) == signs.replace("␊", "")
    assert lines_shown(f"{text}\n{text}").replace("\n", "␊") == f"{signs}␊{signs}"


def test_no_control_character_of_any_alphabet_is_left() -> None:
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    left = [
        char for char in shown(every) if unicodedata.category(char) == "Cc" or unicodedata.bidirectional(char) in BIDI
    ]
    assert left == []


@pytest.mark.parametrize("kind", [JobRecord, LeaseRecord, RunRecord])
def test_every_field_of_a_record_is_shown_under_its_own_name(kind: type[JobRecord | LeaseRecord | RunRecord]) -> None:
    names = [field.name for field in fields(kind)]
    shown = record_json(kind(*range(len(names))))
    assert [name for name in shown if not name.endswith("_at")] == names


def test_instants_are_shown_in_utc_too_and_lengths_of_time_are_not() -> None:
    record = JobRecord("a", "t", "r", "o", "s", 30, 1, None, 1_767_225_600_100 * MS)
    shown = record_json(record)
    assert shown["next_due_at"] == "2026-01-01T00:00:00.100000+00:00"
    assert shown["last_due_at"] is None
    assert [name for name in shown if name.endswith("_at")] == ["next_due_at", "last_due_at", "seen_at"]
