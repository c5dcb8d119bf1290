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


def test_the_lead_begins_with_eight_milliseconds() -> None:
    assert LeadTime().now_ns == 8 * MS


@pytest.mark.parametrize(
    ("took_us", "lead_us"), [(1, 500), (400, 500), (401, 1_000), (2_000, 4_000), (6_400, 8_000), (6_401, 16_000)]
)
def test_the_lead_is_a_quarter_more_than_nine_of_ten_preparations_took_rounded_up(took_us: int, lead_us: int) -> None:
    """Jobs that are planned with different leads would not be handed over together."""
    lead = LeadTime()
    for _ in range(30):
        lead.note(took_us * US)
    for _ in range(2):
        lead.note(SECOND)
    assert lead.now_ns == lead_us * US


def test_it_follows_what_preparations_took_lately() -> None:
    lead = LeadTime()
    for took_ms in (20, 2):
        for _ in range(32):
            lead.note(took_ms * MS)
    assert lead.now_ns == 4 * MS


def test_one_slow_preparation_does_not_make_all_early() -> None:
    lead = LeadTime()
    for _ in range(32):
        lead.note(2 * MS)
    lead.note(SECOND)
    assert lead.now_ns == 4 * MS


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
