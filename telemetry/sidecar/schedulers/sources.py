"""Keep what each scheduler has reported: its metrics, its recent past, and whether it is connected.

No I/O. A source is a scheduler by service and owner, independent of its process: its counters continue over
its restarts, and its live state ends with the connection.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from tickglass.sched.durations import SECOND, span_text
from tickglass.sched.events import InterpreterPaused
from tickglass.telemetry.internals import GcPauses
from tickglass.telemetry.label_values import DropReason, RefusedBecause, Signal
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.metrics import MetricSink
from tickglass.telemetry.sidecar.schedulers.history import History
from tickglass.telemetry.sidecar.transport.frames import FrameRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.telemetry.series import SeriesFamily
    from tickglass.telemetry.sidecar.transport.frames import Introduction

__all__ = ["SOURCES_MAX", "Source", "Sources"]

SOURCES_MAX: Final = 256
NAMES_MAX: Final = 1_000  # stores or sinks that one scheduler announces
_CLOCKS_APART_NS: Final = 5 * SECOND  # a larger difference means that the scheduler runs on another machine

_log: Final = logging.getLogger(__name__)


class Source:
    """One scheduler that is connected, or was."""

    def __init__(self, owner: str, service: str, clock: Clock) -> None:
        self.owner = owner
        self.service = service
        self.metrics = self._new_metrics(clock, Detail.FULL)
        self.history = History(clock)
        self.version = ""
        self.connected = False
        self.connected_since_wall_ns: int | None = None
        self.last_heard_ns: int | None = None
        self.last_heard_wall_ns: int | None = None
        self.events = self.gaps = self.missed = self.dropped = 0
        self.last_gap_ns: int | None = None
        self._pauses = GcPauses(clock, owner=owner, service=service)
        self._clock = clock
        self._mutex = threading.Lock()  # one event at a time
        self._whole = threading.Lock()  # keeps scrapes out of an introduction, without making events wait for a scrape
        self._link: object = None  # its latest connection
        self._process: tuple[int, int] | None = None
        self._next = 0

    def on_introduction(self, introduction: Introduction, live_events: Sequence[Event], link: object) -> None:
        """Take an introduction: the first of a connection, or a later one after a loss of events.

        Raises:
            FrameRefused: it names another scheduler, or its event numbers go back.
        """
        if (introduction.owner, introduction.service) != (self.owner, self.service):
            raise FrameRefused(RefusedBecause.MALFORMED, "it gave another name before")
        if max(len(introduction.stores), len(introduction.sinks)) > NAMES_MAX:
            raise FrameRefused(RefusedBecause.MALFORMED, "too many names")
        for event in live_events:
            self._check_own(event)
        process = introduction.pid, introduction.began_ns
        with self._mutex, self._whole:
            now = self._clock.reading()
            if self.connected and self._link is not link and process != self._process:
                _log.warning(
                    "two schedulers have the name %s of service %s; only the later one counts", self.owner, self.service
                )
            if abs(now.monotonic_ns - introduction.boottime_ns) > _CLOCKS_APART_NS:
                _log.warning("the monotonic clock of %s is not that of this machine: its ages are wrong", self.owner)
            if not self.connected or self._link is not link:
                self.connected, self.connected_since_wall_ns = True, now.wall_ns
            restarted = process != self._process
            if not restarted:
                self._reach(introduction.next_number)
            lost = introduction.dropped - (0 if restarted else self.dropped)
            self._link, self._process, self._next = link, process, introduction.next_number
            self.version, self.dropped = introduction.version, introduction.dropped
            self.last_heard_ns, self.last_heard_wall_ns = now
            if introduction.detail != self.metrics.detail:  # other series: as after a restart of both
                self.metrics = self._new_metrics(self._clock, introduction.detail)
            who = {"version": self.version, "owner": self.owner, "service": self.service}
            self.metrics.restore(live_events, **who)
            self.metrics.preregister(stores=introduction.stores, sinks=introduction.sinks)
            if lost > 0:
                self.metrics.dropped(Signal.EVENTS, DropReason.QUEUE_FULL, lost)
            self.history.restored(live_events)

    def on_event(self, number: int, event: Event, link: object) -> None:
        """Take one event; an event of a connection that was replaced is ignored.

        Raises:
            FrameRefused: its number was received before, or it names another scheduler.
        """
        with self._mutex:
            if link is not self._link:
                return
            self._check_own(event)
            self._reach(number)
            self._next = number + 1
            self.events += 1
            self.last_heard_ns, self.last_heard_wall_ns = self._clock.reading()
            if isinstance(event, InterpreterPaused):
                self._pauses.paused(event.generation, event.duration_ns)
                return
            self.metrics.record(event)
            self.history.record(event)

    def on_disconnect(self, link: object) -> None:
        """Note the end of the connection: the live state is unknown from now on."""
        with self._mutex, self._whole:
            if link is self._link:
                self.connected, self._link = False, None
                self.metrics.forget()
                self.history.gone()

    def families(self) -> list[SeriesFamily]:
        """Return what the scheduler's own endpoint would show at this instant, with owner and service."""
        with self._whole:
            return [*self.metrics.collect(), *self._pauses.collect()]

    def _new_metrics(self, clock: Clock, detail: Detail) -> MetricSink:
        return MetricSink(clock, CollectorRegistry(), owner=self.owner, service=self.service, detail=detail)

    def _check_own(self, event: Event) -> None:
        """Refuse an event of another scheduler, because their series would be mixed."""
        own = (
            getattr(event, "owner", self.owner) == self.owner
            and getattr(event, "service", self.service) == self.service
        )
        if not own:
            raise FrameRefused(RefusedBecause.MALFORMED, "an event of another scheduler")

    def _reach(self, number: int) -> None:
        """Count the events that are missing before that number.

        Raises:
            FrameRefused: it was received before.
        """
        if number < self._next:
            raise FrameRefused(RefusedBecause.MALFORMED, f"number {number} after {self._next - 1}")
        if number > self._next:
            self.gaps += 1
            self.missed += number - self._next
            self.last_gap_ns = self._clock.monotonic_ns()
            _log.warning(
                "%d events of %s are missing, since %s",
                number - self._next,
                self.owner,
                span_text(self._clock.monotonic_ns() - (self.last_heard_ns or 0)),
            )


class Sources:
    """All schedulers that ever connected, the latest `SOURCES_MAX`."""

    def __init__(self, clock: Clock, *, capacity: int = SOURCES_MAX) -> None:
        self._clock = clock
        self._capacity = capacity
        self._mutex = threading.Lock()
        self._sources: dict[tuple[str, str], Source] = {}
        self._refused = dict.fromkeys(RefusedBecause, 0)

    def all(self) -> list[Source]:
        """Return them in the order of their first connection."""
        with self._mutex:
            return list(self._sources.values())

    def named(self, service: str, owner: str) -> Source:
        """Return the scheduler of that name, a new one at its first connection.

        Raises:
            FrameRefused: a name is empty, or there is no room for another scheduler.
        """
        for name in (owner, service):
            if not name:
                raise FrameRefused(RefusedBecause.MALFORMED, "no name")
        with self._mutex:
            source = self._sources.get((service, owner))
            if source is None:
                self._make_room()
                source = self._sources[service, owner] = Source(owner, service, self._clock)
            return source

    def refused(self, reason: RefusedBecause) -> None:
        """Count a refused connection."""
        with self._mutex:
            self._refused[reason] += 1

    def refusals(self) -> dict[RefusedBecause, int]:
        """Return the refused connections, by reason."""
        with self._mutex:
            return dict(self._refused)

    def _make_room(self) -> None:
        """Forget the scheduler that has been gone for longest, if the limit is reached."""
        if len(self._sources) < self._capacity:
            return
        gone = [source for source in self._sources.values() if not source.connected]
        if not gone:
            raise FrameRefused(RefusedBecause.FULL, f"{self._capacity} schedulers are connected")
        longest = min(gone, key=lambda source: source.last_heard_ns or 0)
        del self._sources[longest.service, longest.owner]
