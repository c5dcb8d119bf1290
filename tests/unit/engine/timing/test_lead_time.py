"""The lead follows what preparations took lately, within bounds."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND, US
from tickglass.sched.engine.timing.lead_time import LeadTime

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_lead_begins_with_five_milliseconds() -> None:
    assert LeadTime().now_ns == 5 * MS


def test_the_lead_is_a_quarter_more_than_nine_of_ten_preparations_took() -> None:
    lead = LeadTime()
    for took_ms in range(1, 11):
        lead.note(took_ms * MS)
    assert lead.now_ns == 10 * MS * 5 // 4
    for _ in range(40):
        lead.note(2 * MS)
    assert lead.now_ns == 2_500 * US


def test_one_slow_preparation_does_not_make_all_early() -> None:
    lead = LeadTime()
    for _ in range(32):
        lead.note(2 * MS)
    lead.note(SECOND)
    assert lead.now_ns == 2_500 * US


def test_the_lead_stays_between_half_a_millisecond_and_fifty() -> None:
    lead = LeadTime()
    lead.note(1)
    assert lead.now_ns == 500 * US
    for _ in range(32):
        lead.note(10 * SECOND)
    assert lead.now_ns == 50 * MS


@pytest.fixture
def interleaved() -> Iterator[None]:
    """Threads take turns after every few steps, as they may anywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_workers_that_note_at_once_do_not_break_each_other_off(interleaved: None) -> None:
    leads = [LeadTime() for _ in range(5_000)]  # the first notes of each are those that went wrong

    def note() -> None:
        for lead in leads:
            lead.note(MS)

    with ThreadPoolExecutor(4) as threads:
        for noted in [threads.submit(note) for _ in range(4)]:
            noted.result()
