from __future__ import annotations

import pytest

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.text import read_trigger, trigger_of


@pytest.mark.parametrize(
    "text", ["", "every(", "__import__('os')", "every()", "Tides()", "every('1s') + 1", 'every("1 s")']
)
def test_a_trigger_that_is_not_ours_is_not_made(text: str) -> None:
    assert trigger_of(text, "nightly") is None


@pytest.mark.parametrize(
    "text",
    [
        'every("1h", offset="5m")',
        'cron("0 30 2 * * ?", tz="Asia/Shanghai", dst="both")',
        'cron("*/5 * * * *", jitter="2s")',
        'at("2027-01-31T01:30:00+00:00")',
    ],
)
def test_a_trigger_is_made_again_from_its_text(text: str) -> None:
    trigger = trigger_of(text, "nightly")
    assert str(trigger) == text


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("every('60s')", 'every("1m")'),
        ('cron( "30 2 * * *", tz = "Europe/Warsaw" )', 'cron("30 2 * * *", tz="Europe/Warsaw")'),
        ('at("2027-01-31T02:30:00+01:00")', 'at("2027-01-31T01:30:00+00:00")'),
        ('every("1h", jitter="60s")', 'every("1h", jitter="1m")'),
    ],
)
def test_a_trigger_that_a_person_wrote_is_read(text: str, trigger: str) -> None:
    assert str(read_trigger(text)) == trigger


@pytest.mark.parametrize(
    ("text", "problem", "marked", "right"),
    [
        ('evry("1m")', "made by cron, every or at", "evry", "every(...)"),
        ('os.system("ls")', "made by cron, every or at", "os.system", 'every("100ms")'),
        ('every(open("x"))', "is a literal", 'open("x")', 'every("100ms")'),
        ('every("ä", anchor=now())', "is a literal", "now()", 'every("100ms")'),
        ("0 2 * * *", "is a call", None, 'cron("30 2 * * *"'),
        ("every", "is a call", None, 'every("100ms")'),
        ('every("1m", zone="UTC")', "cannot be called like this", 'every("1m", zone="UTC")', 'every("100ms")'),
    ],
)
def test_text_that_is_no_trigger_is_shown_with_the_place(
    text: str, problem: str, marked: str | None, right: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as wrong:
        read_trigger(text)
    assert wrong.value.given == text
    assert (None if wrong.value.span is None else text[slice(*wrong.value.span)]) == marked
    assert right in str(wrong.value)


def test_what_is_wrong_within_a_trigger_is_said_by_the_trigger() -> None:
    with pytest.raises(ConfigError) as wrong:
        read_trigger('cron("30 25 * * *")')
    assert wrong.value.given == "30 25 * * *"
