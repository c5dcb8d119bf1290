"""Decide a scheduler's status, from its connection and its history; the counterpart for stores is `StoreSnapshot`.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tickglass.sched.durations import SECOND
from tickglass.sched.lifecycle import SchedulerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.clock import Reading
    from tickglass.telemetry.sidecar.schedulers.history import History, SchedulerSnapshot

__all__ = ["STALLED_NS", "SchedulerSource", "SchedulerStatus", "resting_services", "statuses_of"]

STALLED_NS: Final = 5 * SECOND  # the timeline ticks at least once a second
_AT_WORK: Final = frozenset({SchedulerState.STARTING.value, SchedulerState.RUNNING.value})


class SchedulerSource(Protocol):
    """One scheduler that is connected, or was."""

    @property
    def owner(self) -> str:
        """Its name."""
        ...

    @property
    def service(self) -> str:
        """Its service."""
        ...

    @property
    def history(self) -> History:
        """Its state and its past."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it is connected now."""
        ...

    @property
    def connected_since_wall_ns(self) -> int | None:
        """When it last connected."""
        ...

    @property
    def last_heard_ns(self) -> int | None:
        """When it last sent something, monotonic."""
        ...

    @property
    def version(self) -> str:
        """Its version of this package."""
        ...

    @property
    def gaps(self) -> int:
        """How often event numbers were missing."""
        ...

    @property
    def missed(self) -> int:
        """How many numbers were missing."""
        ...

    @property
    def last_gap_ns(self) -> int | None:
        """When a gap was last noticed, monotonic."""
        ...


@dataclass(frozen=True, slots=True)
class SchedulerStatus:
    """One scheduler at one instant.

    Args:
        stalled: it is connected and running, but its timeline does not tick.
        at_work: it is connected, and takes up due instants.
        unready: why it reports that it is not ready, while it is connected and runs: a sentence each.
    """

    source: SchedulerSource
    snapshot: SchedulerSnapshot
    connected: bool
    stalled: bool
    at_work: bool
    silent_ns: int | None
    unready: tuple[str, ...] = ()


def statuses_of(sources: Iterable[SchedulerSource], now: Reading) -> list[SchedulerStatus]:
    """Return the status of each scheduler."""
    return [_status_of(source, now) for source in sources]


def resting_services(sources: Iterable[SchedulerSource]) -> frozenset[str]:
    """Return the services that were stopped on request, so that no scheduler of theirs is missed any more.

    None of their schedulers is connected, and the one that was heard last reported such a stop.
    """
    by_service: dict[str, list[SchedulerSource]] = {}
    for source in sources:
        by_service.setdefault(source.service, []).append(source)
    return frozenset(
        service
        for service, own in by_service.items()
        if not any(one.connected for one in own) and max(own, key=lambda one: one.last_heard_ns or 0).history.drained
    )


def _status_of(source: SchedulerSource, now: Reading) -> SchedulerStatus:
    snapshot, connected = source.history.snapshot(), source.connected
    silent_ns = None if source.last_heard_ns is None else max(0, now.monotonic_ns - source.last_heard_ns)
    quiet_ns = silent_ns if snapshot.ticked_ns is None else max(0, now.monotonic_ns - snapshot.ticked_ns)
    running = connected and snapshot.state == SchedulerState.RUNNING
    stalled = running and quiet_ns is not None and quiet_ns > STALLED_NS
    at_work = connected and snapshot.state in _AT_WORK and not stalled
    return SchedulerStatus(
        source, snapshot, connected, stalled, at_work, silent_ns, snapshot.unready if running else ()
    )
