from __future__ import annotations

from kit.sidecar_events import Life

from tickglass.telemetry.sidecar.transport.live_state import LiveState
from tickglass.testing import ListSink


def test_what_is_over_leaves_nothing_behind() -> None:
    life, told = Life(1), ListSink()
    life.begin(told)
    sizes = []
    live_events = LiveState()
    for _ in range(5):
        life.go_on(2_000)
        for event in told.events:
            live_events.record(event)
        told.events.clear()
        sizes.append(len(live_events.events()))
    assert max(sizes) < 200, sizes
