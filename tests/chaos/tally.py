"""Count what the metrics of a scheduler shall say of the faults that it went through, without them."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from tickglass.sched.events import FencingRejected, LockMoved, SpoolMoved, StoreCalled

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from tickglass.sched.events import Event

__all__ = ["Tally"]

_RELEASES = "distributed_lock_releases_total"
_RENEWALS = "distributed_lock_renewals_total"
_REJECTIONS = "distributed_lock_fencing_rejections_total"
_ERRORS = "distributed_lock_store_errors_total"
_DEPTH = "tickglass_spool_depth"


class Tally:
    """A sink of a scheduler's events, beside the one that makes its metrics; many threads record."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._mutex = threading.Lock()  # adding one to an entry of a Counter is not atomic

    def record(self, event: Event) -> None:
        """Count it; see `EventSink`."""
        match event:
            case LockMoved(event="expired" | "lost"):
                self._add(f"{_RELEASES} {event.event}")
            case LockMoved(event="renewed"):
                self._add(f"{_RENEWALS} confirmed")
            case LockMoved(event="renewal_failed"):
                self._add(f"{_RENEWALS} error")
            case FencingRejected():
                self._add(_REJECTIONS)
            case StoreCalled() if event.error:
                self._add(_ERRORS)
            case SpoolMoved():
                self._counts[_DEPTH] = event.depth
            case _:
                pass

    def _add(self, name: str) -> None:
        with self._mutex:
            self._counts[name] += 1

    def differences(self, registry: CollectorRegistry) -> list[str]:
        """Return what the metrics say differently, a sentence each."""
        said = _said(registry)
        names = sorted(said.keys() | self._counts.keys())
        return [
            f"{name}: metrics say {said[name]}, {self._counts[name]} counted"
            for name in names
            if said[name] != self._counts[name]
        ]

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, by metric and what happened."""
        return dict(self._counts)


def _said(registry: CollectorRegistry) -> Counter[str]:
    said: Counter[str] = Counter()
    for family in registry.collect():
        for sample in family.samples:
            match sample.name, sample.labels:
                case name, {"reason": "expired" | "lost" as how} if name == _RELEASES:
                    said[f"{name} {how}"] += int(sample.value)
                case name, {"status": "ok" | "late"} if name == _RENEWALS:
                    said[f"{name} confirmed"] += int(sample.value)
                case name, {"status": "error"} if name == _RENEWALS:
                    said[f"{name} error"] += int(sample.value)
                case name, _ if name in (_REJECTIONS, _ERRORS, _DEPTH):
                    said[name] += int(sample.value)
    return said
