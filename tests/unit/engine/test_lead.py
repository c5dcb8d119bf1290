"""The lead follows what preparations took lately, within bounds."""

from __future__ import annotations

import threading

from tickglass.sched.durations import MS, SECOND, US
from tickglass.sched.engine.lead import Lead


def test_it_begins_with_five_milliseconds() -> None:
    assert Lead().now_ns == 5 * MS


def test_it_is_a_quarter_more_than_what_nine_of_ten_took() -> None:
    lead = Lead()
    for took_ms in range(1, 11):
        lead.note(took_ms * MS)
    assert lead.now_ns == 10 * MS * 5 // 4
    for _ in range(40):
        lead.note(2 * MS)
    assert lead.now_ns == 2_500 * US


def test_one_slow_preparation_does_not_make_all_early() -> None:
    lead = Lead()
    for _ in range(32):
        lead.note(2 * MS)
    lead.note(SECOND)
    assert lead.now_ns == 2_500 * US


def test_it_stays_within_its_bounds() -> None:
    lead = Lead()
    lead.note(1)
    assert lead.now_ns == 500 * US
    for _ in range(32):
        lead.note(10 * SECOND)
    assert lead.now_ns == 50 * MS


def test_workers_that_note_at_once_do_not_break_each_other_off() -> None:
    lead, broken = Lead(), []
    begin = threading.Barrier(4)

    def note() -> None:
        begin.wait(10)
        try:
            for took_ns in range(20_000):
                lead.note(took_ns)
        except (IndexError, RuntimeError) as error:
            broken.append(error)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
