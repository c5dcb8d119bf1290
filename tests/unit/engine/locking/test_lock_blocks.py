"""`with` and `async with` a manual lock, and what cancels them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tickglass.aside import LOCK_THREADS
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError, LockInUse, LockNotAcquired
from tickglass.sched.lock_terms import lock_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.manual_locks import Desk

    from tickglass.locks import SchedulerLock
    from tickglass.sched.ports import Granted, LeaseAsk, Refused

T = TypeVar("T")


def test_a_block_holds_the_lock_and_gives_it_back_whatever_happens_in_it(desk: Desk) -> None:
    def body() -> None:
        with desk.face() as lease:
            assert lease.trusted
            raise KeyError("mine")

    with pytest.raises(KeyError):
        body()
    assert desk.events() == ["requested", "granted", "released"]


def test_a_block_whose_lease_was_lost_raises_nothing_more(desk: Desk) -> None:
    with desk.face(renew=False) as lease:
        desk.rig.clock.advance(60 * SECOND)
    assert not lease.trusted
    assert desk.events()[-2:] == ["expired", "released"]


def test_a_block_that_cannot_have_the_lock_names_its_holder(desk: Desk) -> None:
    desk.taken_by_the_other()
    with pytest.raises(LockNotAcquired, match="other holds it") as caught, desk.face(blocking=False):
        pytest.fail("entered")
    error = caught.value
    assert (error.resource, error.holder, error.waited_s, error.reason) == ("printer", "other", 0, "held")


def test_a_block_may_release_the_lock_itself(desk: Desk) -> None:
    lock = desk.face()
    with lock:
        assert lock.release() is True
    assert desk.events() == ["requested", "granted", "released"]
    assert lock.acquire() is not None


def test_the_same_object_works_in_coroutines(desk: Desk) -> None:
    lock = desk.face()

    async def work() -> int:
        async with lock as lease:
            lease.check()
            return lease.fence

    first = asyncio.run(work())
    with lock as lease:
        assert lease.fence > first > 0


def test_a_cancelled_async_wait_ends_and_reports_it(desk: Desk) -> None:
    desk.taken_by_the_other()

    async def enter(lock: SchedulerLock) -> None:
        async with lock:
            pytest.fail("entered")

    async def work() -> None:
        waiting = asyncio.create_task(enter(desk.face()))
        await asyncio.to_thread(desk.rig.clock.wait_for_sleepers, 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert desk.events()[-1] == "failed"  # before the caller goes on

    asyncio.run(work())
    assert desk.rig.lock_event("failed").reason == "cancelled"


def test_a_lock_granted_in_the_moment_of_the_cancel_is_given_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    granting = desk.rig.store.acquire
    asked, answer = threading.Event(), threading.Event()

    def slow(ask: LeaseAsk) -> Granted | Refused:
        asked.set()
        answer.wait(10)
        return granting(ask)

    monkeypatch.setattr(desk.rig.store, "acquire", slow)

    async def work() -> None:
        lock = desk.face()
        entering = asyncio.create_task(lock.__aenter__())
        await asyncio.to_thread(asked.wait, 10)
        entering.cancel()
        await asyncio.sleep(0)
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(work())
    assert desk.events() == ["requested", "granted", "released"]
    assert desk.rig.store.leases() == []


def test_a_cancel_that_comes_after_the_grant_gives_the_lock_back(desk: Desk) -> None:
    async def work() -> None:
        lock = desk.face()
        entering = asyncio.create_task(lock.__aenter__())
        await asyncio.sleep(0)
        desk.rig.lock_event("granted")  # this holds the loop up, so that the task cannot hear of it
        while not lock._lock.held:
            pass
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(work())
    assert desk.events() == ["requested", "granted", "released"]


class HeldUp:
    """The threads for coroutines, which begin no call until a test lets them."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def begin(self, call: Callable[[], T], /) -> asyncio.Future[T]:
        def later() -> T:
            assert self.go_on.wait(10)
            return call()

        return LOCK_THREADS.begin(later)


def test_a_cancel_that_comes_before_the_thread_has_begun_ends_the_wait(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.taken_by_the_other()
    held_up = HeldUp()
    monkeypatch.setattr("tickglass.aside.LOCK_THREADS", held_up)

    async def work() -> None:
        lock = desk.face()
        entering = asyncio.create_task(lock.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        await asyncio.sleep(0)
        held_up.go_on.set()
        done, _ = await asyncio.wait([entering], timeout=10)
        assert done
        assert not lock._lock.in_use

    asyncio.run(work())
    assert desk.events()[-1] == "failed"
    assert desk.rig.lock_event("failed").reason == "cancelled"


def test_a_cancelled_coroutine_ends_no_wait_of_another_one(desk: Desk) -> None:
    lease = desk.taken_by_the_other()

    async def work() -> None:
        lock = desk.face()
        waiting = asyncio.create_task(lock.__aenter__())
        await asyncio.to_thread(desk.rig.clock.wait_for_sleepers, 2)
        second = asyncio.create_task(lock.__aenter__())
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises((LockInUse, asyncio.CancelledError)):
            await second
        desk.rig.store.release(lease)
        assert (await waiting).trusted
        await lock.__aexit__(None, None, None)

    asyncio.run(work())


def test_a_coroutine_that_gets_no_thread_leaves_the_lock_as_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThreads:
        def begin(self, call: object) -> None:
            raise RuntimeError("can't start new thread")

    lock = desk.face()
    with monkeypatch.context() as patch:
        patch.setattr("tickglass.aside.LOCK_THREADS", NoThreads())
        with pytest.raises(RuntimeError, match="can't start"):
            asyncio.run(lock.__aenter__())
    with lock as lease:
        assert lease.trusted


def test_many_coroutines_wait_and_the_holder_still_finds_a_thread_to_release_on(desk: Desk) -> None:
    served: list[int] = []

    async def party() -> None:
        async with desk.face() as lease:
            served.append(lease.fence)
            await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.gather(*(party() for _ in range(100)))

    asyncio.run(work())
    assert len(set(served)) == 100


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"resource": ""}, "resource is needed"),
        ({"resource": 7}, "resource is text"),
        ({"ttl": "1ms"}, "ttl must be at least"),
        ({"ttl": 30}, "ttl must be a duration"),
        ({"wait": "soon"}, "wait is not a duration"),
        ({"wait": "1s", "blocking": False}, "does not wait"),
    ],
)
def test_terms_that_are_wrong_are_refused_where_they_are_written(terms: dict[str, Any], words: str) -> None:
    asked: Callable[..., object] = lock_terms
    with pytest.raises(ConfigError, match=words):
        asked(**{"resource": "printer", **terms})
