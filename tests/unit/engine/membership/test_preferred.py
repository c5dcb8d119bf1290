"""Standbys wait out the head start of preferred instances: for claims of occurrences, and for manual locks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from kit.manual_locks import Desk
from kit.rig import Rig, wait_until

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.locking.acquisition import NotAcquired
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreCalled
from tickglass.sched.lease import Lease
from tickglass.sched.policies.preference import preference, presence_resource
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, LeaseAsk, Settlement
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.events import OccurrenceMoved

A, B, C = "region=a", "region=b", "region=c"
PREFERRED: Final = "region=a, region=b"
NEAR_NS, FAR_NS = 200 * MS, 800 * MS
DOWN = StoreUnavailable("memory", "renew", "gone fishing")


@contextmanager
def standing_by(*labels: str, present: bool, workers: int = 3) -> Iterator[Rig]:
    """An instance with these labels, and one that is preferred, or none."""
    rig = Rig(labels=frozenset(labels), workers=workers)
    if present:
        granted = rig.store.acquire(LeaseAsk(presence_resource(A), "preferred", "svc", "presence", 3_600 * SECOND))
        assert isinstance(granted, Granted)
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture
def far() -> Iterator[Rig]:
    with standing_by(C, present=True) as rig:
        yield rig


@pytest.fixture
def far_desk(far: Rig) -> Iterator[Desk]:
    with ThreadPoolExecutor(8) as threads:
        made = Desk(far, threads)
        try:
            yield made
        finally:
            made.lock_host.manual_locks.stop()


def go(rig: Rig) -> None:
    """Have the preferred one say that it stops."""
    rig.store.release(Lease(presence_resource(A), "preferred", "presence", 0, 3_600 * SECOND, 0))


def knows(rig: Rig, head_start_ns: int) -> None:
    wait_until(lambda: rig.dispatcher.presence.head_start_ns(preference(PREFERRED)) == head_start_ns)


def parked(rig: Rig) -> None:
    """Wait until every occurrence in hand has given its worker back, to be asked for later."""
    wait_until(
        lambda: (
            bool(rig.dispatcher.assignments())
            and all(assignment._pending.parked for assignment in rig.dispatcher.assignments())
        )
    )
    rig.clock.wait_for_sleepers(2)


def add(rig: Rig, name: str = "job", **policies: Any) -> None:  # noqa: ANN401 - see `declare`
    rig.add(lambda: None, every("10s"), **{"name": name, "prefer": PREFERRED, **policies})


def lateness(end: OccurrenceMoved) -> tuple[int, int]:
    """Return all of it, and the lock's part."""
    assert end.lateness is not None
    return end.lateness.total_ns, end.lateness.lock_ns


def claims(rig: Rig) -> int:
    return sum(call.operation == "claim" for call in rig.sink.of(StoreCalled))


# --- occurrences


@pytest.mark.parametrize(("label", "held_back_ns"), [(B, NEAR_NS), (C, FAR_NS)])
def test_a_standby_claims_after_the_head_start_and_its_lateness_is_the_locks(label: str, held_back_ns: int) -> None:
    with standing_by(label, present=True) as rig:
        add(rig)
        rig.advance(10 * SECOND)
        parked(rig)
        assert claims(rig) == 0
        rig.clock.advance(held_back_ns)
        (end,) = rig.ended("job")
        assert (end.outcome, *lateness(end)) == ("success", held_back_ns, held_back_ns)
        assert rig.lock_event("granted").stayed_ns == held_back_ns, "it is waiting, and counted as that"


def test_the_thresholds_are_the_jobs_to_say(far: Rig) -> None:
    add(far, prefer=preference(A, near="50ms", far="2s"))
    far.advance(10 * SECOND)
    parked(far)
    far.clock.advance(2 * SECOND)
    assert lateness(far.ended("job")[0]) == (2 * SECOND, 2 * SECOND)


@pytest.mark.parametrize("label", [A, B, C])
def test_a_preferred_instance_and_one_without_a_better_one_start_on_time(label: str) -> None:
    with standing_by(label, present=False) as rig:
        add(rig)
        knows(rig, 0)
        rig.advance(10 * SECOND)
        (end,) = rig.ended("job")
        assert (end.outcome, *lateness(end)) == ("success", 0, 0)


def test_when_the_preferred_instance_has_gone_the_standby_takes_over_at_once(far: Rig) -> None:
    add(far)
    far.advance(10 * SECOND)
    parked(far)
    go(far)  # and the clock stands still
    (end,) = far.ended("job")
    assert (end.outcome, *lateness(end)) == ("success", 0, 0)


def test_a_standby_whose_store_does_not_answer_holds_back() -> None:
    with standing_by(C, present=False) as rig:
        rig.store.broken = {"renew": DOWN}
        add(rig)
        rig.advance(10 * SECOND)
        parked(rig)
        rig.clock.advance(FAR_NS)
        assert lateness(rig.ended("job")[0]) == (FAR_NS, FAR_NS)


def test_the_occurrence_that_the_preferred_one_claimed_is_elsewhere(far: Rig) -> None:
    add(far)
    far.advance(10 * SECOND)
    parked(far)
    (assignment,) = far.dispatcher.assignments()
    lease = LeaseAsk("svc/job", "preferred", "svc", "token", SECOND, job="job", run_id="theirs")
    due_ns = assignment._occurrence.due_ns
    claimed = far.store.claim(ClaimAsk(lease, due_ns))
    assert isinstance(claimed, Claimed)
    far.store.settle(
        Settlement(
            Lease("svc/job", "preferred", "token", claimed.fence, SECOND, 0), "svc", "job", due_ns, "theirs", "success"
        )
    )
    far.clock.advance(FAR_NS)
    (end,) = far.ended("job")
    assert (end.outcome, end.lateness) == ("elsewhere", None)
    assert claims(far) == 1


def test_the_misfire_grace_ends_the_holding_back(far: Rig) -> None:
    add(far, misfire_grace="300ms")
    far.advance(10 * SECOND)
    parked(far)
    far.clock.advance(300 * MS)
    assert lateness(far.ended("job")[0]) == (300 * MS, 300 * MS)


def test_no_standby_holds_back_into_the_next_occurrence(far: Rig) -> None:
    far.add(lambda: None, every("400ms"), name="job", prefer=PREFERRED)
    far.advance(400 * MS)
    for count in (1, 2):
        parked(far)
        far.clock.advance(200 * MS)  # half the way
        end = far.ended("job", count)[-1]
        assert (end.outcome, *lateness(end)) == ("success", 200 * MS, 200 * MS)
        far.free("job")
        far.advance(200 * MS)


def test_a_standby_that_holds_back_needs_no_worker_and_changes_no_lead() -> None:
    with standing_by(C, present=True, workers=1) as rig:
        add(rig)
        rig.add(lambda: None, every("10s"), name="plain")
        rig.advance(10 * SECOND)
        assert lateness(rig.ended("plain")[0]) == (0, 0)
        rig.free("plain")
        parked(rig)
        (assignment,) = rig.dispatcher.assignments()
        rig.clock.advance(FAR_NS)
        rig.ended("job")
        assert not assignment.claimed_undelayed


def test_a_stop_ends_the_holding_back(far: Rig) -> None:
    add(far)
    far.advance(10 * SECOND)
    parked(far)
    (assignment,) = far.dispatcher.assignments()
    assignment.stop_claiming()
    (end,) = far.ended("job")
    assert (end.outcome, end.reason, claims(far)) == ("skipped", "stopping", 0)


def test_when_the_resource_is_freed_the_preferred_go_first_again(far: Rig) -> None:
    held = LeaseAsk("printer", "preferred", "svc", "token", 60 * SECOND)
    granted = far.store.acquire(held)
    assert isinstance(granted, Granted)
    add(far, resource="printer")
    far.advance(10 * SECOND)
    parked(far)
    far.clock.advance(FAR_NS)
    far.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "claim")
    parked(far)
    far.store.release(Lease("printer", "preferred", "token", granted.fence, 60 * SECOND, 0))
    head_start = far.dispatcher.assignments()[0]._attempt._head_start
    assert head_start is not None
    wait_until(lambda: head_start.ends_ns() > far.clock.monotonic_ns())
    parked(far)
    asked = claims(far)
    far.clock.advance(FAR_NS)
    (end,) = far.ended("job")
    assert (end.outcome, *lateness(end)) == ("success", 2 * FAR_NS, 2 * FAR_NS)
    assert claims(far) == asked + 1


# --- locks by hand: the timers, who looks for the preferred, and who waits for the lock sleep


def test_a_manual_lock_is_taken_after_the_head_start(far_desk: Desk) -> None:
    waiting = far_desk.waiting(far_desk.lock(prefer=PREFERRED), asleep=3)
    assert far_desk.calls("acquire") == 1, "the one of our own presence"
    far_desk.rig.clock.advance(FAR_NS)
    assert isinstance(waiting.result(10), HeldLease)
    assert far_desk.rig.lock_event("granted").stayed_ns == FAR_NS


def test_a_manual_lock_is_taken_at_once_when_the_preferred_instance_has_gone(far_desk: Desk) -> None:
    waiting = far_desk.waiting(far_desk.lock(prefer=PREFERRED), asleep=3)
    go(far_desk.rig)
    assert isinstance(waiting.result(10), HeldLease)
    assert far_desk.rig.lock_event("granted").stayed_ns == 0


def test_a_lock_without_a_preference_is_everybodys(far_desk: Desk) -> None:
    far_desk.take()
    assert far_desk.rig.lock_event("granted").stayed_ns == 0


def test_a_wait_that_is_shorter_than_the_head_start_ends_with_a_last_question(far_desk: Desk) -> None:
    waiting = far_desk.waiting(far_desk.lock(prefer=PREFERRED, wait="100ms"), asleep=3)
    far_desk.rig.clock.advance(100 * MS)
    assert isinstance(waiting.result(10), HeldLease)
    waiting = far_desk.waiting(far_desk.lock(prefer=PREFERRED, wait="100ms"), asleep=3)
    far_desk.rig.clock.advance(100 * MS)
    assert waiting.result(10) == NotAcquired("timeout", "a", 100 * MS)


def test_a_lock_that_is_freed_goes_to_the_preferred_first(far_desk: Desk) -> None:
    lease = far_desk.taken_by_the_other()
    waiting = far_desk.waiting(far_desk.lock(prefer=PREFERRED), asleep=3)
    far_desk.rig.clock.advance(FAR_NS)
    far_desk.called("acquire", 2)  # refused
    far_desk.rig.clock.wait_for_sleepers(3)
    far_desk.rig.store.release(lease)
    far_desk.rig.clock.wait_for_sleepers(3)
    far_desk.rig.clock.advance(FAR_NS)
    assert isinstance(waiting.result(10), HeldLease)
    assert far_desk.calls("acquire") == 3
    assert far_desk.rig.lock_event("granted").stayed_ns == 2 * FAR_NS


def test_holding_back_can_be_cancelled(far_desk: Desk) -> None:
    lock = far_desk.lock(prefer=PREFERRED)
    waiting = far_desk.waiting(lock, asleep=3)
    assert lock.cancel() is True
    assert waiting.result(10) == NotAcquired("cancelled", "", 0)
