from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unit.cli.conftest import Tickglass


def test_instants_are_printed_one_per_line_with_milliseconds_and_offset(tickglass: Tickglass) -> None:
    result = tickglass("next", "0/100ms * * * * * ?", "--after", "2026-01-01T00:00:00.05Z", "--count", "2")
    assert result.exit_code == 0
    assert result.output == "2026-01-01T00:00:00.100+00:00\n2026-01-01T00:00:00.200+00:00\n"


def test_a_zone_moves_the_instants_of_a_cron_expression(tickglass: Tickglass) -> None:
    result = tickglass(
        "next", "0 30 2 * * ?", "--tz", "Asia/Shanghai", "--after", "2026-01-01T00:00:00Z", "--count", "1"
    )
    assert result.output == "2026-01-02T02:30:00.000+08:00\n"


def test_every_needs_no_quotes(tickglass: Tickglass) -> None:
    arguments = ("--after", "2026-01-01T00:00:00Z", "--count", "2")
    expected = "2026-01-01T01:30:00.000+00:00\n2026-01-01T03:00:00.000+00:00\n"
    assert tickglass("next", "every", "1h30m", *arguments).output == expected
    assert tickglass("next", "every 1h30m", *arguments).output == expected


def test_every_is_shown_in_the_zone_asked_for(tickglass: Tickglass) -> None:
    result = tickglass("next", "every 1h", "--tz", "Asia/Tokyo", "--after", "2026-01-01T00:00:00Z", "--count", "1")
    assert result.output == "2026-01-01T10:00:00.000+09:00\n"


def test_what_is_finer_than_a_millisecond_is_not_cut_off(tickglass: Tickglass) -> None:
    result = tickglass("next", "every 1ms500us", "--after", "2026-01-01T00:00:00Z", "--count", "2")
    assert result.output == "2026-01-01T00:00:00.001500+00:00\n2026-01-01T00:00:00.003+00:00\n"


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("once", "2026-03-29T03:00:00.000+02:00"),
        ("skip", "2026-03-30T02:30:00.000+02:00"),
    ],
)
def test_the_rule_for_clock_changes_is_obeyed(rule: str, first: str, tickglass: Tickglass) -> None:
    result = tickglass(
        *("next", "30 2 * * *", "--tz", "Europe/Berlin", "--dst", rule, "--after", "2026-03-29T00:00", "--count", "1")
    )
    assert result.output == f"{first}\n"


def test_after_without_an_offset_is_in_the_zone(tickglass: Tickglass) -> None:
    result = tickglass("next", "0 * * * *", "--tz", "Asia/Kolkata", "--after", "2026-01-01T00:00", "--count", "1")
    assert result.output == "2026-01-01T01:00:00.000+05:30\n"


def test_after_a_time_that_does_not_exist_means_after_the_gap(tickglass: Tickglass) -> None:
    after = ("--tz", "Europe/Berlin", "--after", "2026-03-29T02:15", "--count", "1")  # 03:00 comes after 02:00
    assert tickglass("next", "*/5 * * * *", *after).output == "2026-03-29T03:05:00.000+02:00\n"


def test_the_option_after_is_read_to_the_nanosecond(tickglass: Tickglass) -> None:
    rate = ("next", "every 1000ms1ns", "--count", "1")  # the third of its instants is three nanoseconds past the second
    assert tickglass(*rate, "--after", "1970-01-01T00:00:03.000000002Z").output == "1970-01-01T00:00:03.000001+00:00\n"
    assert tickglass(*rate, "--after", "1970-01-01T00:00:03.000000003Z").output == "1970-01-01T00:00:04.000001+00:00\n"


def test_five_come_from_now_on_unless_told_otherwise(tickglass: Tickglass) -> None:
    instants = [datetime.fromisoformat(line) for line in tickglass("next", "* * * * *").output.split()]
    assert len(instants) == 5
    assert instants == sorted(instants)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["0/100 * * * * ?"], "0/100ms * * * * * ?"),
        (["0 2 * * *", "--tz", "Europe/Berln"], "Europe/Berlin"),
        (["0", "2", "1", "1", "*"], 'tickglass next "0 2 1 1 *"'),
        (["every", "5", "minutes"], '"5m"'),
    ],
)
def test_what_is_wrong_is_refused_with_a_right_spelling(words: list[str], says: str, tickglass: Tickglass) -> None:
    result = tickglass("next", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr.partition("write:")[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["0 2 * * *", "--after", "tomorrow"], "2026-03-29T02:30"),
        (["0 2 * * *", "--after", "2026-03-29T02:30:00.0000000001Z"], "2026-03-29T02:30"),
        (["0", "2", "README.md", "LICENSE", "*"], 'tickglass next "0 2 * * *"'),
        (["every"], "100ms"),
        (["every", "100"], "100ms"),
        (["every", "1" * 5_000 + "s"], "100ms"),
        (["every", "\u0665m"], "100ms"),
        ([""], "@daily"),
    ],
)
def test_where_nobody_knows_what_was_meant_it_is_refused_with_examples(
    words: list[str], says: str, tickglass: Tickglass
) -> None:
    result = tickglass("next", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "write:" not in result.stderr
    assert says in result.stderr.partition("for example:")[2]


@pytest.mark.parametrize(
    "words",
    [
        ["next"],
        ["next", "@daily", "--count", "0"],
        ["next", "@daily", "--count", "\u0663"],
        ["next", "@daily", "--dst", "never"],
    ],
)
def test_a_wrong_option_is_a_wrong_line(words: list[str], tickglass: Tickglass) -> None:
    assert tickglass(*words).exit_code == 2


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_at_the_end_of_time_there_is_no_answer(zone: str, tickglass: Tickglass) -> None:
    result = tickglass("next", "every 1h", "--tz", zone, "--after", "9999-12-31T23:30")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "never due after 9999-12-31T23:30:00" in result.stderr
