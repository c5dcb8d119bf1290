from __future__ import annotations

import msgspec
from kit.sidecar_events import Life

from tickglass.sched.events import InstantsSkipped, JobContested, JobRegistered
from tickglass.telemetry.sidecar.transport.live_state import LiveState
from tickglass.testing import ListSink


def test_the_live_state_does_not_grow_with_what_has_ended() -> None:
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


def test_a_job_in_two_programs_is_told_to_a_sidecar_that_comes_later_as_long_as_it_is() -> None:
    live = LiveState()
    told = JobContested(job="nightly", owner="a", service="s", claimant="b", since_wall_ns=1, wall_ns=2)
    live.record(told)
    assert live.events() == [told]
    live.record(msgspec.structs.replace(told, since_wall_ns=None))
    assert live.events() == []


def test_what_was_skipped_moves_the_next_instant_and_the_streak_that_a_later_sidecar_is_told() -> None:
    live = LiveState()
    live.record(
        JobRegistered(
            job="nightly",
            trigger="",
            resource="r",
            owner="a",
            service="s",
            ttl_ns=1,
            grace_ns=1,
            interval_ns=10,
            timeout_ns=None,
            next_due_ns=100,
            wall_ns=0,
        )
    )
    live.record(
        InstantsSkipped(
            job="nightly",
            reason="overlap",
            count=3,
            exact=True,
            first_due_ns=100,
            latest_due_ns=120,
            next_due_ns=130,
            wall_ns=125,
        )
    )
    (told,) = live.events()
    assert isinstance(told, JobRegistered)
    assert (told.next_due_ns, told.streak.since_ns, told.streak.latest_ns) == (130, 100, 120)
