"""Locks taken by hand are shown while they are in use, and which names get series of their own is bounded."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

import pytest
from kit.expressions import EXPRESSIONS
from kit.metrics_stage import SECOND, Stage

from tickglass.sched.events import FencingRejected
from tickglass.sched.lease import LockEvent
from tickglass.telemetry.locks import IDLE_NS, LockGroup
from tickglass.telemetry.metric import OVERFLOW, Detail

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.lease import LockMachine

ATTEMPTS: Final = "distributed_lock_acquire_attempts_total"
WINDOWS: Final = {  # in which rules about locks count
    int(number) * {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND}[unit]
    for expr in EXPRESSIONS.values()
    if "distributed_lock_" in expr
    for number, unit in re.findall(r"\[(\d+)([smh])]", expr)
}


def used(stage: Stage, resource: str, times: int = 1) -> None:
    """Take a lock and release it, so many times."""
    for _ in range(times):
        lock = stage.lock(resource)
        stage.hold(lock)
        lock.fire(LockEvent.RELEASED)


def shown(stage: Stage) -> set[str]:
    return {dict(labels)["resource"] for _, labels in stage.series() if "resource" in dict(labels)} - {OVERFLOW}


def acquired(stage: Stage, resource: str) -> float | None:
    return stage.value(ATTEMPTS, resource=resource, status="acquired")


def test_it_is_longer_than_any_window_in_which_a_rule_counts() -> None:
    assert IDLE_NS > max(WINDOWS) > 0


@pytest.mark.parametrize("detail", Detail)
def test_an_idle_lock_is_hidden_and_its_counters_continue(detail: Detail) -> None:
    stage = Stage(detail=detail)
    used(stage, "order:1", times=3)
    stage.clock.advance(IDLE_NS)
    assert acquired(stage, "order:1") == 3
    assert stage.value("tickglass_locks_idle") == 0
    stage.clock.advance(1)
    assert shown(stage) == set()
    assert stage.value("tickglass_locks_idle") == 1
    used(stage, "order:1")
    assert acquired(stage, "order:1") == 4  # not 1: that might look as if nothing had happened, or a restart
    assert stage.value("tickglass_locks_idle") == 0
    assert stage.value("tickglass_locks_forgotten_total") == 0


def test_a_lock_of_a_job_is_always_shown(stage: Stage) -> None:
    used(stage, "nightly")
    stage.register("nightly")
    stage.clock.advance(100 * IDLE_NS)
    assert shown(stage) == {"nightly"}
    stage.metrics.forget()  # as in a sidecar when its scheduler has gone
    assert shown(stage) == {"nightly"}


@pytest.mark.parametrize(
    "begin",
    [lambda stage, lock: stage.hold(lock), lambda _, lock: lock.fire(LockEvent.REQUESTED)],
    ids=["held", "waited for"],
)
def test_a_lock_in_use_is_shown_however_long(stage: Stage, begin: Callable[[Stage, LockMachine], None]) -> None:
    begin(stage, stage.lock("order:1"))
    stage.clock.advance(100 * IDLE_NS)
    assert shown(stage) == {"order:1"}


def test_a_write_that_is_refused_shows_it_again(stage: Stage) -> None:
    used(stage, "order:1")
    stage.clock.advance(2 * IDLE_NS)
    assert shown(stage) == set()
    rejected = FencingRejected(
        resource="order:1", owner="o", service="s", job="", run_id="", fence=1, newest=2, wall_ns=stage.clock.wall_ns()
    )
    stage.sink.record(rejected)
    assert stage.value("distributed_lock_fencing_rejections_total", resource="order:1") == 1


def test_names_without_end_get_series_while_they_are_in_use_and_are_counted_when_forgotten(small_stage: Stage) -> None:
    stage = small_stage
    for number in range(20):
        used(stage, f"order:{number}")
        assert acquired(stage, f"order:{number}") == 1
        assert len(shown(stage)) <= 3
        stage.clock.advance(IDLE_NS // 2)
    assert stage.value(ATTEMPTS, resource=OVERFLOW, status="acquired") is None
    assert stage.value("tickglass_locks_forgotten_total") == 17
    used(stage, "order:0")
    assert acquired(stage, "order:0") == 1  # it was forgotten


def test_the_lock_that_was_idle_for_longest_is_forgotten_first(small_stage: Stage) -> None:
    stage = small_stage
    for name in ("a", "b", "c"):
        used(stage, name)
        stage.clock.advance(SECOND)
    used(stage, "a")
    stage.clock.advance(2 * IDLE_NS)
    used(stage, "d")
    used(stage, "a")
    used(stage, "c")
    assert {name: acquired(stage, name) for name in ("a", "c", "d")} == {"a": 3, "c": 2, "d": 1}


def test_locks_in_use_are_not_forgotten_for_others(small_stage: Stage) -> None:
    stage = small_stage
    locks = [stage.lock(f"order:{number}") for number in range(4)]
    for lock in locks:
        stage.hold(lock)
    stage.clock.advance(2 * IDLE_NS)
    used(stage, "another")
    assert shown(stage) == {"order:0", "order:1", "order:2"}
    assert acquired(stage, OVERFLOW) == 2


def test_a_hold_that_began_among_the_others_ends_there(small_stage: Stage) -> None:
    """Otherwise it would be held there for ever."""
    stage = small_stage
    for name in ("a", "b", "c"):
        used(stage, name)
    lock = stage.lock("d")
    stage.hold(lock)
    stage.clock.advance(2 * IDLE_NS)  # now there is room
    lock.fire(LockEvent.RENEWED)
    lock.fire(LockEvent.RELEASED)
    assert stage.value("distributed_lock_held_seconds", resource=OVERFLOW, owner="host-1", service="billing") is None
    assert stage.value("distributed_lock_releases_total", resource=OVERFLOW, reason="released") == 1
    used(stage, "d")
    assert acquired(stage, "d") == 1


def test_a_thread_that_found_a_lock_just_before_it_was_forgotten_counts_all_the_same(small_stage: Stage) -> None:
    stage = small_stage
    for name in ("a", "b", "c"):
        used(stage, name)
        stage.clock.advance(SECOND)
    stage.clock.advance(2 * IDLE_NS)
    found: list[LockGroup] = []

    def count(group: LockGroup) -> bool:
        if not found:
            used(stage, "d")  # forgets "a"
        found.append(group)
        return group.fencing_rejected()

    stage.metrics._locks.change("a", count)
    assert len(found) == 2
    assert stage.value("distributed_lock_fencing_rejections_total", resource="a") == 1


def test_nothing_is_held_for_ever_while_others_are_forgotten(small_stage: Stage) -> None:
    """A thread may find a lock's series just before they are forgotten."""
    stage = small_stage
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            stage.clock.advance(IDLE_NS + 1)

    def use(thread: int) -> None:
        for number in range(30_000):
            used(stage, f"order:{thread}:{number % 7}")
            if number % 300 == 299 and stage.total("tickglass_locks_forgotten_total") > 0:
                return

    ageing = threading.Thread(target=go_on)
    users = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for each in (ageing, *users):
        each.start()
    for each in users:
        each.join()
    done.set()
    ageing.join()
    stage.clock.advance(2 * IDLE_NS)
    assert [key for key in stage.series() if key[0] == "distributed_lock_held_seconds"] == []
    assert stage.total("distributed_lock_waiters") == 0
    assert stage.total("tickglass_locks_forgotten_total") > 0
