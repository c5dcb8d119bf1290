"""Say what a store was found to lack though something in it names it: a person deleted it by hand.

Pure: no I/O, no clock reads, no logging. A store never loses such a record by itself, because what names a record and
the record are written together. Which of them a store can find to be missing is in docs/stores.md.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MissingKind", "MissingOnce", "MissingRecord", "sentence_of"]

_AGAIN_NS: Final = 3_600 * SECOND
_REMEMBERED_MAX: Final = 1_000


class MissingKind(StrEnum):
    """What was missing."""

    LEASE = "lease"  # of a resource that the list of leases names
    JOB = "job"  # the record of a job that is registered
    ATTEMPT = "attempt"  # the rows of claims that a list of attempts names
    OPEN = "open"  # the entries of claims without an end, in the list of such claims


_SENTENCES: Final = {
    MissingKind.LEASE: "the lease on {} was deleted by hand: the resource is free",
    MissingKind.JOB: "the record of job {} was deleted by hand: an instance that has the job registers it again",
    MissingKind.ATTEMPT: "claims of job {} were deleted by hand: they count as never made",
    MissingKind.OPEN: "claims of job {} were not in the list of claims without an end, and are in it again",
}


@dataclass(frozen=True, slots=True)
class MissingRecord:
    """One such record, and its name: a resource or a job, of whose attempts one is told for all."""

    kind: MissingKind
    name: str


def sentence_of(record: MissingRecord) -> str:
    """Return what was deleted by hand, and what that means, without the name of the store."""
    return _SENTENCES[record.kind].format(record.name)


class MissingOnce:
    """Lets each record pass once an hour: a reader that changes nothing finds the same gap each time it looks."""

    def __init__(self) -> None:
        self._told_ns: OrderedDict[MissingRecord, int] = OrderedDict()

    def fresh(self, found: Iterable[MissingRecord], now_ns: int) -> Iterator[MissingRecord]:
        """Yield the records that were not yielded in the last hour; the oldest of a thousand are forgotten.

        Args:
            now_ns: monotonic.
        """
        for record in found:
            told_ns = self._told_ns.get(record)
            if told_ns is not None and now_ns - told_ns < _AGAIN_NS:
                continue
            self._told_ns[record] = now_ns
            self._told_ns.move_to_end(record)
            if len(self._told_ns) > _REMEMBERED_MAX:
                self._told_ns.popitem(last=False)
            yield record
