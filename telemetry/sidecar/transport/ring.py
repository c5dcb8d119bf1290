"""Hold the events that were not sent to the sidecar yet: bounded, in order, and counted if they do not fit.

No I/O. `put` never waits: it tries to take the mutex, and the thread that has it trims the ring. An event
leaves in order, sent or dropped, and takes the next number; events that have left are folded into `LiveState`, so
that an introduction and the events after it always fit together.
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
    """Events that are being sent; they have left the ring when the batch is settled."""

    number: int  # of the first
    events: list[Event]


class Snapshot(NamedTuple):
    """The live state, without the events that have not left the ring."""

    next_number: int
    dropped: int
    live_events: list[Event]


class Ring:
    """The events that wait. Any thread puts, one thread takes.

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
        self._flight_folded = 0  # how many of them were folded before it was known whether they were sent
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
        """Return the oldest events; the caller must call `settle` before it takes the next ones."""
        with self._mutex:
            self._trim()
            events = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            self._flight, self._flight_folded = events, 0
            number = self._next
            self._next += len(events)
            return Batch(number, events)

    def settle(self, sent: int) -> None:
        """Record how many of the taken events were sent; the rest go back to the head of the ring.

        If later events were dropped meanwhile, the rest is dropped as well, because order is kept.
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
        """Return the state for an introduction; no batch may be unsettled."""
        with self._mutex:
            return Snapshot(self._next, self.dropped, self._live_state.events())

    def _trim(self) -> None:
        """Drop the oldest events beyond the capacity; events of an unsettled batch come before them."""
        if len(self._waiting) <= self._capacity:
            return
        for event in self._flight[self._flight_folded :]:
            self._live_state.record(event)
        self._flight_folded = len(self._flight)
        while len(self._waiting) > self._capacity:
            self._live_state.record(self._waiting.popleft())
            self._next += 1
            self.dropped += 1
