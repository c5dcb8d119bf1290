from __future__ import annotations

import pytest

from tickglass.sched.triggers.text import trigger_of


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
