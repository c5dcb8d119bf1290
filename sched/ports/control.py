"""Say what the domain needs of a store to keep what operators have asked of the fleet, and who asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AUDIT_KEPT", "AuditRow", "ControlReader", "ControlRecord", "ControlStore"]

AUDIT_KEPT: Final = 10_000  # acts; the oldest ones beyond that are dropped by the next act


class ControlRecord(msgspec.Struct, frozen=True):
    """All that stands, as one text: see control/order_book.py.

    Args:
        version: 0 before the first act; each act makes the next one.
        text: "" before the first act.
    """

    version: int = 0
    text: str = ""


class AuditRow(msgspec.Struct, frozen=True):
    """One act, as the store has it.

    Args:
        version: that of the record which the act made.
        wall_ns: when, by the store's clock: nanoseconds since the Unix epoch.
        text: see control/audit.py.
    """

    version: int
    wall_ns: int
    text: str


class ControlReader(Protocol):
    """What any process may read of it."""

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """Return what stands, in one round trip if that is still `known_version`: then None."""
        ...

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """Return the latest acts, newest first; with `before`, of versions below that."""
        ...


class ControlStore(ControlReader, Protocol):
    """One record of what stands in the whole store, for all its services, and the log of the acts that made it.

    The record is small, and written by people: every write replaces it, if nobody else has written since it was read.
    """

    def write_control(self, record: ControlRecord, entry: str) -> bool:
        """Replace what stands, and log the act, atomically: if what stands is the version before `record.version`.

        False: another writer was faster, and nothing was written. A repeated call answers as the first did, as long
        as no other act has followed.

        Args:
            entry: text of the row; no two acts have the same.
        """
        ...

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """Take a lease from its holder, atomically: if it is live and has this fence. False: it has not.

        The open attempt that it was claimed with, if any, is settled as "orphaned" with this detail, so it is not
        run again. Waiters are told that the resource is free. The holder's next renewal is answered by `Gone`.
        """
        ...
