from __future__ import annotations

from typing import Final

from tickglass.sched.durations import SECOND
from tickglass.sched.ports.missing import MissingKind, MissingOnce, MissingRecord, sentence_of

LEASE: Final = MissingRecord(MissingKind.LEASE, "printer")
HOUR_NS: Final = 3_600 * SECOND


def test_a_record_passes_once_an_hour() -> None:
    once = MissingOnce()
    assert list(once.fresh([LEASE, LEASE], 0)) == [LEASE]
    assert list(once.fresh([LEASE], HOUR_NS - 1)) == []
    assert list(once.fresh([LEASE], HOUR_NS)) == [LEASE]


def test_the_same_name_of_another_kind_is_another_record() -> None:
    once, job = MissingOnce(), MissingRecord(MissingKind.JOB, "printer")
    assert list(once.fresh([LEASE, job], 0)) == [LEASE, job]


def test_of_more_than_a_thousand_the_oldest_is_forgotten() -> None:
    once = MissingOnce()
    many = [MissingRecord(MissingKind.LEASE, str(number)) for number in range(1_001)]
    assert len(list(once.fresh(many, 0))) == 1_001
    assert list(once.fresh([many[1], many[0]], 1)) == [many[0]]


def test_each_kind_has_a_sentence_with_the_name() -> None:
    for kind in MissingKind:
        assert "billing/sync" in sentence_of(MissingRecord(kind, "billing/sync"))
