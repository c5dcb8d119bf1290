"""Hold what operators have asked for in memory. Not safe for threads: the store has one lock around it."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from tickglass.sched.ports import AUDIT_KEPT, AuditRow, ControlRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ControlLog"]


class ControlLog:
    """What stands, and the latest acts."""

    def __init__(self) -> None:
        self._record = ControlRecord()
        self._rows: deque[AuditRow] = deque(maxlen=AUDIT_KEPT)

    def read(self, known_version: int) -> ControlRecord | None:
        """See `ControlStore.control`."""
        return None if self._record.version == known_version else self._record

    def write(self, record: ControlRecord, entry: str, wall_ns: int) -> bool:
        """See `ControlStore.write_control`."""
        if self._record.version == record.version:
            return self._rows[-1].text == entry
        if self._record.version != record.version - 1:
            return False
        self._record = record
        self._rows.append(AuditRow(record.version, wall_ns, entry))
        return True

    def latest(self, limit: int, before: int | None) -> Sequence[AuditRow]:
        """See `ControlStore.audit`."""
        rows = (row for row in reversed(self._rows) if before is None or row.version < before)
        return list(islice(rows, max(0, limit)))
