"""Hold the events that a sidecar has not been sent: so many, in order, and counted when they do not fit.

No I/O. Whoever puts an event in never waits: the door is tried, not waited for, and whoever has it trims. An event
leaves in its order, sent or dropped, and takes the next number with it; what has left is folded into `LiveState`, so
that an introduction and the events that follow it always fit together.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.telemetry.sidecar.transport.live_state import LiveState

if TYPE_CHECKING:
    from tickglass.sched.events import Event

__all__ = ["RING_MAX", "Batch", "Ring", "Snapshot"]

RING_MAX: Final = 16_384  # events: some 15 s of 100 runs a second, and 10 MB when full


class Batch(NamedTuple):
    """Events on their way out; they have left when the batch is settled."""

    number: int  # of the first
    events: list[Event]


class Snapshot(NamedTuple):
    """What is live, without the events that have not left."""

    next_number: int
    dropped: int
    live_events: list[Event]


class Ring:
    """The events that wait. Any thread puts, one takes.

    Args:
        capacity: how many; when one more comes, the oldest is dropped.
    """

    def __init__(self, capacity: int = RING_MAX) -> None:
        self._capacity = capacity
        self._waiting: deque[Event] = deque()
        self._mutex = threading.Lock()
        self._live_state = LiveState()
        self._next = 1  # the number of the oldest that waits
        self._flight: list[Event] = []
        self._flight_folded = 0  # how many of them were folded before it was known whether they got there
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: Event) -> None:
        """Add an event, and drop the oldest if there are too many."""
        self._waiting.append(event)
        if len(self._waiting) > self._capacity and self._mutex.acquire(blocking=False):
            try:
                self._trim()
            finally:
                self._mutex.release()

    def take(self, count: int) -> Batch:
        """Return the oldest events; `settle` says what became of them before the next are taken."""
        with self._mutex:
            self._trim()
            events = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            self._flight, self._flight_folded = events, 0
            number = self._next
            self._next += len(events)
            return Batch(number, events)

    def settle(self, sent: int) -> None:
        """Say how many of those that were taken were sent; the rest wait again, first in line.

        Where others had to be dropped meanwhile, the rest is dropped as well: order is kept.
        """
        with self._mutex:
            flight, self._flight = self._flight, []
            if self._flight_folded:
                self.dropped += len(flight) - sent
                return
            for event in flight[:sent]:
                self._live_state.record(event)
            self._waiting.extendleft(reversed(flight[sent:]))
            self._next -= len(flight) - sent

    def snapshot(self) -> Snapshot:
        """Return what to introduce oneself with; nothing may be on its way."""
        with self._mutex:
            return Snapshot(self._next, self.dropped, self._live_state.events())

    def _trim(self) -> None:
        """Drop what is too much, oldest first; what is on its way comes before it."""
        if len(self._waiting) <= self._capacity:
            return
        for event in self._flight[self._flight_folded :]:
            self._live_state.record(event)
        self._flight_folded = len(self._flight)
        while len(self._waiting) > self._capacity:
            self._live_state.record(self._waiting.popleft())
            self._next += 1
            self.dropped += 1
