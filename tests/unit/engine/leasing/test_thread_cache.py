"""A slow store call delays no other call, and leaves no thread behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from kit.rig import wait_until

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.thread_cache import STAYING, ThreadCache
from tickglass.sched.events import LockMoved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.manual_locks import Desk

    from tickglass.sched.lease import Lease


class Watched(ThreadCache):
    """ThreadCache that know their threads."""

    def __init__(self) -> None:
        super().__init__()
        self._earlier = set(threading.enumerate())

    def threads(self) -> int:
        new = set(threading.enumerate()) - self._earlier
        return sum(thread.name == "tickglass-renewer" for thread in new)


@pytest.fixture
def thread_cache() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.stop()
    wait_until(lambda: made.threads() == 0)


def test_renewals_that_hang_delay_no_other_lease(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    renew, answering, asked = desk.rig.store.renew, threading.Event(), threading.Semaphore(0)

    def slow(lease: Lease) -> object:
        if lease.resource != "quick":
            asked.release()
            answering.wait()
        return renew(lease)

    monkeypatch.setattr(desk.rig.store, "renew", slow)
    try:
        for number in range(STAYING + 1):
            desk.take(f"slow {number}", ttl="30s")
        desk.rig.clock.wait_for_sleepers(1)
        desk.rig.clock.advance(10 * SECOND)
        for _ in range(STAYING + 1):
            assert asked.acquire(timeout=10), "one waits for another"
        desk.take("quick", ttl="3s")
        desk.rig.clock.wait_for_sleepers(1)
        desk.rig.clock.advance(SECOND)
        desk.rig.sink.wait_for(lambda e: isinstance(e, LockMoved) and (e.resource, e.event) == ("quick", "renewed"))
    finally:
        answering.set()
    desk.rig.lock_event("renewed", STAYING + 2)


def test_a_few_threads_stay_for_the_next_calls(thread_cache: Watched) -> None:
    answering, made = threading.Event(), threading.Semaphore(0)

    def call() -> None:
        made.release()
        answering.wait()

    for _ in range(STAYING * 3):
        thread_cache.submit(call)
    for _ in range(STAYING * 3):
        assert made.acquire(timeout=10)
    assert thread_cache.threads() == STAYING * 3
    answering.set()
    wait_until(lambda: thread_cache.threads() == STAYING)
    thread_cache.submit(call)
    assert made.acquire(timeout=10)
    assert thread_cache.threads() == STAYING


def test_a_call_that_raises_is_reported_and_the_next_one_is_made(
    thread_cache: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    made = threading.Event()

    def broken() -> None:
        raise RuntimeError("our own mistake")

    thread_cache.submit(broken)
    thread_cache.submit(made.set)
    assert made.wait(10)
    wait_until(lambda: "our own mistake" in caplog.text)


def test_after_the_stop_no_call_is_made(thread_cache: Watched) -> None:
    thread_cache.stop()
    thread_cache.submit(lambda: pytest.fail("made"))
    assert thread_cache.threads() == 0


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("submit", ["submit", "submit_now"])
def test_a_call_that_gets_no_thread_is_refused_and_not_made_later(
    thread_cache: Watched, monkeypatch: pytest.MonkeyPatch, submit: str
) -> None:
    made: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            getattr(thread_cache, submit)(lambda: made.append("refused"))
    done = threading.Event()
    thread_cache.submit(lambda: made.append("next"))
    thread_cache.submit(done.set)
    assert done.wait(10)
    wait_until(lambda: made == ["next"])


def test_a_call_that_may_wait_is_made_by_a_thread_that_is_busy(
    thread_cache: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, go_on, made = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        busy.set()
        go_on.wait(10)

    thread_cache.submit(stay)
    assert busy.wait(10)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        thread_cache.submit_now(lambda: pytest.fail("made"))
    thread_cache.submit(made.set)
    go_on.set()
    assert made.wait(10)
