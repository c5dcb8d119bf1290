from __future__ import annotations

from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.stores.missing_log import MissingLog

RECORDS = [MissingRecord(MissingKind.LEASE, str(number)) for number in range(1_500)]


def test_what_was_added_is_taken_once_and_each_record_once() -> None:
    log = MissingLog()
    log.add(RECORDS[:2])
    log.add(RECORDS[:1])
    assert log.take() == RECORDS[:2]
    assert log.take() == []


def test_the_latest_thousand_are_kept() -> None:
    log = MissingLog()
    log.add(RECORDS)
    assert log.take() == RECORDS[-1_000:]
