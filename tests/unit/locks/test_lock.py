"""Locks by hand as users write them: over a real database, between threads and processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from kit.rig import wait_until

import tickglass
from tickglass import ConfigError, LeaseLost, Lock, LockInUse, LockNotAcquired, Scheduler, StoreUnavailable, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.events import LockMoved
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.stores import open_store
from tickglass.telemetry import MetricSink
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOLDER = """\
import sys
from tickglass import Lock
with Lock(sys.argv[1], "stock", ttl=sys.argv[2], owner="child") as lease:
    print(lease.fence, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/locks.db"


def holder(url: str, ttl: str = "30s") -> subprocess.Popen[str]:
    """Start a process that takes the lock and keeps it until it is told a line."""
    command = [sys.executable, "-c", HOLDER, url, ttl]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("tickglass")}


# --- without a scheduler


def test_nothing_is_opened_before_the_first_use(url: str, tmp_path: Path) -> None:
    lock = Lock(url, "stock")
    assert list(tmp_path.iterdir()) == []
    with lock as lease:
        assert (lease.fence > 0, lease.trusted, lock.resource) == (True, True, "stock")


def test_the_thread_for_the_timers_is_the_only_one_that_stays(url: str) -> None:
    before = our_threads()
    with Lock(url, "stock"):
        assert {thread.name for thread in our_threads() - before} <= {"tickglass-timers"}
        assert "tickglass-timers" in {thread.name for thread in our_threads()}
    assert {thread.name for thread in our_threads() - before} <= {"tickglass-timers"}


def test_one_of_many_threads_has_it_at_a_time(url: str) -> None:
    inside = threading.Semaphore(1)
    fences: list[int] = []

    def work() -> None:
        for _ in range(5):
            with Lock(url, "stock", owner="worker") as lease:
                assert inside.acquire(blocking=False)
                fences.append(lease.fence)
                inside.release()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for _ in range(4)]:
            done.result(60)
    assert fences == sorted(set(fences))
    assert len(fences) == 20


def test_another_process_is_shut_out_until_the_holder_lets_go(url: str) -> None:
    with holder(url) as child:
        fence = int(line_of(child))
        assert Lock(url, "stock", blocking=False).acquire() is None
        with pytest.raises(LockNotAcquired) as caught, Lock(url, "stock", wait="10ms"):
            pytest.fail("entered")
        assert (caught.value.holder, caught.value.reason) == ("child", "timeout")
        assert caught.value.waited_s >= 0.01
        child.communicate("\n")
        with Lock(url, "stock", wait="20s") as lease:
            assert lease.fence > fence


def test_what_a_killed_holder_had_is_free_when_its_lease_ends(url: str) -> None:
    sink = ListSink()
    with holder(url, "500ms") as child:
        fence = int(line_of(child))
        child.kill()
        with Lock(url, "stock", wait="20s", sinks={"list": sink}) as lease:
            assert lease.fence > fence
    granted = [move for move in sink.of(LockMoved) if move.event == "granted"]
    assert granted[0].other_owner == "child"


def test_it_reports_to_the_sinks_it_is_given(url: str) -> None:
    metrics = MetricSink(SystemClock())
    with Lock(url, "stock", service="shop", owner="me", sinks={"metrics": metrics}):
        held = metrics.registry.get_sample_value(
            "distributed_lock_held_seconds", {"resource": "stock", "owner": "me", "service": "shop"}
        )
        assert held is not None
        assert held >= 0
    attempts = {"resource": "stock", "status": "acquired"}
    assert metrics.registry.get_sample_value("distributed_lock_acquire_attempts_total", attempts) == 1


def test_it_works_in_coroutines(url: str) -> None:
    async def work() -> int:
        async with Lock(url, "stock") as lease:
            return lease.fence

    assert 0 < asyncio.run(work()) < asyncio.run(work())


def test_it_is_used_again_after_it_was_closed(url: str) -> None:
    lock = Lock(url, "stock")
    first = lock.acquire()
    lock.close()  # which releases
    second = lock.acquire()
    assert first is not None
    assert second is not None
    assert second.fence > first.fence
    lock.close()
    lock.close()


def test_closing_what_another_thread_waits_for_is_an_error(url: str) -> None:
    sink = ListSink()
    with Lock(url, "stock", owner="holder"), ThreadPoolExecutor(1) as thread:
        lock = Lock(url, "stock", sinks={"list": sink})
        waiting = thread.submit(lock.acquire)
        sink.wait_for(lambda event: isinstance(event, LockMoved) and event.event == "requested")
        with pytest.raises(LockInUse):
            lock.close()
        lock._lock.cancel()
        assert waiting.result(10) is None
    lock.close()


def test_a_store_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    lock = Lock(f"sqlite:///{tmp_path}/nowhere/locks.db", "stock")
    before = our_threads()
    for _ in range(2):
        with pytest.raises((ConfigError, StoreUnavailable)), lock:
            pytest.fail("entered")
    assert {thread.name for thread in our_threads() - before} <= {"tickglass-timers"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"store": "memory://"}, "excludes no other process"),
        ({"store": "mysql://x"}, "mysql"),
        ({"resource": ""}, "resource"),
        ({"service": ""}, "service"),
        ({"owner": "__x"}, "owner"),
        ({"ttl": "0s"}, "ttl"),
        ({"prefer": "a"}, "a preference names labels"),
        ({"prefer": "region=a", "blocking": False}, "does not hold back"),
        ({"renew": "no"}, "renew is True or False, not str"),
        ({"blocking": "no"}, "blocking is True or False, not str"),
        ({"sinks": [ListSink()]}, "sinks are names and their EventSinks, not list"),
        ({"sinks": {"mine": print}}, "the sink mine has no method"),
        ({"labels": {"region": ""}}, "a label is a plain name and a plain value"),
    ],
)
def test_what_is_wrong_is_refused_where_it_is_written(url: str, wrong: dict[str, Any], words: str) -> None:
    make: Callable[..., Lock] = Lock
    with pytest.raises(ConfigError, match=words):
        make(**{"store": url, "resource": "stock", **wrong})


def test_a_lock_with_labels_counts_as_there_while_it_is_held(url: str) -> None:
    def shown() -> set[str]:
        with closing(open_store(url, SystemClock())) as store:
            return {it.resource for it in store.leases()} - {"stock"}

    before = our_threads()
    with Lock(url, "stock", prefer="region=a", labels={"region": "a"}):
        wait_until(lambda: shown() == {presence_resource("region=a")})
    assert shown() == set()
    assert {thread.name for thread in our_threads() - before} <= {"tickglass-timers"}


def test_what_users_import_is_there() -> None:
    for name in (
        "preference",
        "HeldLease",
        "LeaseLost",
        "Lock",
        "LockInUse",
        "LockNotAcquired",
        "LockNotHeld",
        "StaleFence",
    ):
        assert name in tickglass.__all__
        assert hasattr(tickglass, name)


# --- with a scheduler


def test_a_scheduler_lends_locks_while_it_runs_and_only_then(url: str) -> None:
    scheduler = Scheduler(url, owner="one")
    lock = scheduler.lock("stock", blocking=False)  # made at any time
    with pytest.raises(ConfigError, match="has not been started"):
        lock.acquire()
    with scheduler:
        with lock as lease:
            lease.check()
            assert Lock(url, "stock", blocking=False).acquire() is None
        assert lock.acquire() is not None
        lock.release()
    with pytest.raises(ConfigError, match="has stopped"):
        lock.acquire()


def test_the_terms_of_a_schedulers_lock_are_checked_where_they_are_written() -> None:
    with pytest.raises(ConfigError, match="ttl"):
        Scheduler("memory://").lock("stock", ttl="1")


def test_a_lock_shuts_out_the_job_of_that_resource(url: str) -> None:
    sink = ListSink()
    scheduler = Scheduler(url, owner="one", sinks={"list": sink})
    ran = threading.Event()
    with scheduler:
        with scheduler.lock("stock"):
            scheduler.add(ran.set, every("20ms"), name="sell", resource="stock", misfire_grace="10s")
            sink.wait_for(lambda event: isinstance(event, LockMoved) and event.job == "sell")
            assert not ran.is_set()
        assert ran.wait(10)


def test_a_job_takes_a_second_lock_by_hand(url: str) -> None:
    sink = ListSink()
    scheduler = Scheduler(url, owner="one", sinks={"list": sink})
    order = scheduler.lock("order:1001")

    async def pay() -> None:
        async with order as lease:
            lease.check()

    scheduler.add(pay, every("20ms"), name="pay")
    with scheduler:
        released = sink.wait_for(
            lambda e: isinstance(e, LockMoved) and e.resource == "order:1001" and e.event == "released"
        )
    assert isinstance(released, LockMoved)
    assert (released.job, len(released.run_id)) == ("", 32)


def test_a_lease_that_outlives_its_scheduler_is_lost_and_not_given_away(url: str) -> None:
    scheduler = Scheduler(url, owner="one")
    scheduler.start()
    told = threading.Event()
    with scheduler.lock("stock") as lease:
        lease.on_lost(told.set)
        scheduler.stop()
        assert told.wait(10)
        with pytest.raises(LeaseLost):
            lease.check()
        assert Lock(url, "stock", blocking=False).acquire() is None
