"""The ring keeps order, counts what it drops, and what is live plus what waits is always the whole story."""

from __future__ import annotations

import random
import threading
from itertools import pairwise

import pytest
from kit.sidecar_events import Life

from tickglass.sched.events import Event, JobRegistered, TelemetryDropped
from tickglass.telemetry.sidecar.transport.live_state import LiveState
from tickglass.telemetry.sidecar.transport.ring import Ring
from tickglass.testing import ListSink


def numbered(number: int) -> Event:
    return TelemetryDropped(signal="", reason="", count=number)


def life_of(seed: int) -> list[Event]:
    life, told = Life(seed), ListSink()
    life.begin(told)
    life.go_on(300)
    return told.events


def live_state_of(events: list[Event]) -> list[Event]:
    live_events = LiveState()
    for event in events:
        live_events.record(event)
    return live_events.events()


def test_what_was_not_sent_waits_in_its_place_under_its_number() -> None:
    ring = Ring(10)
    for number in range(1, 6):
        ring.put(numbered(number))
    assert ring.take(3) == (1, [numbered(number) for number in (1, 2, 3)])
    ring.settle(1)
    assert ring.take(10) == (2, [numbered(number) for number in (2, 3, 4, 5)])
    ring.settle(4)
    assert (len(ring), ring.dropped, ring.snapshot().next_number) == (0, 0, 6)


def test_the_oldest_are_dropped_counted_and_their_numbers_stay_theirs() -> None:
    ring = Ring(3)
    for number in range(1, 11):
        ring.put(numbered(number))
    assert (len(ring), ring.dropped) == (3, 7)
    assert ring.take(9) == (8, [numbered(number) for number in (8, 9, 10)])


def test_what_is_on_its_way_while_the_ring_overflows_is_not_sent_again_out_of_order() -> None:
    ring = Ring(3)
    for number in range(1, 4):
        ring.put(numbered(number))
    ring.take(2)
    for number in range(4, 9):
        ring.put(numbered(number))
    ring.settle(1)
    assert ring.dropped == 1 + 3  # 2 was on its way; 3 to 5 had no room
    assert ring.take(9).number == 6


@pytest.mark.parametrize("seed", range(20))
def test_what_is_live_and_what_waits_are_the_whole_story_whatever_was_lost(seed: int) -> None:
    rng, events = random.Random(seed), life_of(seed)
    ring = Ring(20)
    heard: list[tuple[int, Event]] = []
    for place, event in enumerate(events, 1):
        ring.put(event)
        if rng.random() < 0.1:
            batch = ring.take(rng.randrange(1, 12))
            sent = rng.randint(0, len(batch.events))
            heard += enumerate(batch.events[:sent], batch.number)
            ring.settle(sent)
        live = ring.snapshot()
        left = ring.take(1_000)
        ring.settle(0)
        assert (left.number, left.events) == (live.next_number, events[live.next_number - 1 : place])
        live_events = LiveState()
        # A registration has the next due instant by now; what is in hand fell due before.
        for before in sorted(live.live_events, key=lambda event: isinstance(event, JobRegistered)):
            live_events.record(before)
        for after in left.events:
            live_events.record(after)
        assert sorted(map(repr, live_events.events())) == sorted(map(repr, live_state_of(events[:place])))
    assert all(events[number - 1] == event for number, event in heard)
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(heard))
    assert len(heard) + ring.dropped + len(ring) == len(events)


def test_many_threads_put_and_nothing_is_lost_uncounted() -> None:
    ring, each = Ring(100), 3_000
    taken: list[Event] = []

    def put(first: int) -> None:
        for number in range(first, first + each):
            ring.put(numbered(number))

    threads = [threading.Thread(target=put, args=(start * each,)) for start in range(4)]
    for thread in threads:
        thread.start()
    numbers: list[int] = []
    while any(thread.is_alive() for thread in threads) or len(ring):
        batch = ring.take(64)
        numbers += range(batch.number, batch.number + len(batch.events))
        taken += batch.events
        ring.settle(len(batch.events))
    assert len(taken) + ring.dropped == 4 * each
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 4 * each
