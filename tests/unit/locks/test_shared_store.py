"""All free-standing locks of a process on one URL share its connections and threads, and no other process does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kit.rig import wait_until

from tickglass import ConfigError, Lock, StoreUnavailable
from tickglass.locks.shared_locks import LockIdentity, LocksInDoubt
from tickglass.locks.shared_store import SHARED_STORES, SharedStores
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.engine.leasing.in_doubt import LockInDoubt
from tickglass.sched.engine.membership.presence import Presence
from tickglass.sched.events import LockMoved
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.ports import LeaseAsk
from tickglass.sched.stores import open_store
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.servers import RedisServer


@pytest.fixture
def server(own_redis: Callable[..., RedisServer]) -> RedisServer:
    return own_redis()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the threads that are begun from now on."""
    names: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return names


def open_now(server: RedisServer) -> int:
    return int(server.say("INFO", "clients")["connected_clients"]) - 1


def is_held(url: str, resource: str) -> bool:
    with closing(open_store(url, SystemClock())) as store:
        return resource in {lease.resource for lease in store.leases() if lease.remaining_ns > 0}


def test_a_thousand_blocks_open_one_connection_and_begin_one_thread_at_most(
    server: RedisServer, begun: list[str]
) -> None:
    received = int(server.say("INFO", "stats")["total_connections_received"])
    lock = Lock(server.url, "stock")
    for number in range(1_000):
        with lock if number % 2 else Lock(server.url, f"order {number}"):
            pass
    opened = int(server.say("INFO", "stats")["total_connections_received"]) - received
    assert opened == 1 + 1, "one of them is the question"
    assert begun in ([], ["tickglass-timers"])


def test_a_thousand_calls_of_eight_threads_open_eight_connections_at_most(server: RedisServer) -> None:
    received = int(server.say("INFO", "stats")["total_connections_received"])

    def work(number: int) -> None:
        for _ in range(125):
            with Lock(server.url, f"order {number}"):
                pass

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert int(server.say("INFO", "stats")["total_connections_received"]) - received <= 8 + 1


def test_connections_are_closed_some_time_after_the_last_use_and_opened_by_the_next(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.locks.shared_store.KEPT_NS", 100 * MS)
    sink = ListSink()
    for _ in range(2):
        with Lock(server.url, "stock", ttl="1s", sinks={"list": sink}):
            before = len(sink.of(LockMoved))
            wait_until(lambda: any(it.event == "renewed" for it in sink.of(LockMoved)[before:]))  # noqa: B023 - at once
            assert open_now(server) > 0, "it was used for longer than that"
        wait_until(lambda: open_now(server) == 0)


def test_close_closes_the_store_unless_others_use_it(server: RedisServer) -> None:
    one, other = Lock(server.url, "one"), Lock(server.url, "other")
    assert one.acquire() is not None
    assert other.acquire() is not None
    one.close()
    assert open_now(server) > 0
    other.release()
    other.close()
    assert open_now(server) == 0
    other.close()
    with other:
        assert open_now(server) == 1


def test_a_lock_that_was_refused_or_failed_uses_nothing_any_more(server: RedisServer, free_port: int) -> None:
    with Lock(server.url, "stock"):
        assert Lock(server.url, "stock", blocking=False).acquire() is None
    with pytest.raises(StoreUnavailable):
        Lock(f"redis://127.0.0.1:{free_port}/0?timeout=100ms", "stock", blocking=False).acquire()
    with pytest.raises(KeyboardInterrupt), Lock(server.url, "stock"):
        raise KeyboardInterrupt
    assert not is_held(server.url, "stock")
    SHARED_STORES.close_unused()
    assert open_now(server) == 0


def test_waiters_of_several_objects_stand_in_one_queue(server: RedisServer) -> None:
    sink, order = ListSink(), list[int]()

    def work(number: int) -> None:
        with Lock(server.url, "stock", sinks={"list": sink}):
            order.append(number)

    with ThreadPoolExecutor(5) as threads, Lock(server.url, "stock"):
        opened = SHARED_STORES.of(server.url)._opened
        assert opened is not None
        waiting = opened.wait_queues._queues
        for number in range(5):
            threads.submit(work, number)
            wait_until(lambda: len(waiting.get("stock", ())) == number + 1)  # noqa: B023 - at once
    assert order == [0, 1, 2, 3, 4]


def test_each_identity_reports_to_its_own_sinks(server: RedisServer) -> None:
    ours, theirs = ListSink(), ListSink()
    with Lock(server.url, "one", sinks={"list": ours}), Lock(server.url, "two", sinks={"list": theirs}, owner="o"):
        pass
    assert {(it.resource, it.event) for it in ours.of(LockMoved)} == {
        ("one", event) for event in ("requested", "granted", "released")
    }
    assert {(it.resource, it.owner) for it in theirs.of(LockMoved)} == {("two", "o")}


def test_identities_that_nobody_uses_are_not_kept_without_bound(server: RedisServer) -> None:
    with Lock(server.url, "stock", owner="long") as lease:
        for number in range(100):
            with Lock(server.url, f"order {number}", owner=f"owner {number}"):
                pass
        opened = SHARED_STORES.of(server.url)._opened
        assert opened is not None
        assert len(opened._by_identity) <= 17
        assert lease.trusted
    assert not is_held(server.url, "stock")


def test_a_url_is_checked_once_and_a_wrong_one_each_time(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = SharedStores()
    stores.check(server.url)
    monkeypatch.setattr("tickglass.locks.shared_store.check_url", lambda _: pytest.fail("checked again"))
    stores.check(server.url)
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(ConfigError, match="excludes no other process"):
            stores.check("memory://")


def test_a_lock_in_doubt_blocks_nobody_here_after_the_store_was_closed(server: RedisServer) -> None:
    lock = Lock(server.url + "?timeout=200ms", "stock", ttl="10m", blocking=False)
    with Lock(server.url + "?timeout=200ms", "another"):
        pass  # what is rare is done: only the request is unheard
    server.kill(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            lock.acquire()
    finally:
        server.kill(signal.SIGCONT)
    wait_until(lambda: is_held(server.url, "stock"))  # it was granted late
    SHARED_STORES.close_unused()
    with lock as lease:
        assert lease.trusted
    assert not is_held(server.url, "stock")


def test_locks_in_doubt_of_closed_stores_are_not_kept_without_bound() -> None:
    kept = LocksInDoubt()
    identities = [LockIdentity("svc", f"owner {number}", {}, frozenset()) for number in range(100)]
    for identity in identities:
        kept.keep("place", identity, {"token": LockInDoubt(LeaseAsk("r", "o", "svc", "token", 1))})
    assert kept.take("place", identities[0]) == {}
    assert kept.take("elsewhere", identities[-1]) == {}
    assert list(kept.take("place", identities[-1])) == ["token"]
    assert kept.take("place", identities[-1]) == {}


def test_a_store_that_is_closed_is_forgotten(server: RedisServer, tmp_path: Path) -> None:
    stores, identity = SharedStores(), LockIdentity("svc", "o", {}, frozenset())
    for number in range(20):
        url = f"sqlite:///{tmp_path}/{number}.db"
        store, shared, _ = stores.begin(url, identity)
        assert list(stores._stores.values()) == [store]
        store.end(shared)
        stores.close_if_unused(url)
        assert stores._stores == {}
        stores.check(url)
    with pytest.raises(ConfigError):
        stores.begin(f"sqlite:///{tmp_path}/missing/locks.db", identity)
    assert stores._stores == {}
    old = stores.of(server.url)
    old.close_unused()
    assert old.begin(identity) is None, "it is closed for good"
    store, shared, _ = stores.begin(server.url, identity)
    assert store is stores.of(server.url) is not old
    store.end(shared)
    stores.close_unused()
    assert stores._stores == {}


def test_urls_that_were_checked_are_not_kept_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickglass.locks.shared_store._CHECKED_MAX", 5)
    stores = SharedStores()
    for number in range(100):
        stores.check(f"sqlite:///{number}.db")
    assert len(stores._checked) <= 5


# --- files


def test_a_file_stays_open_until_another_lock_has_released_the_leases_of_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, stop = f"sqlite:///{tmp_path}/locks.db", Presence.stop
    stopping, go_on = threading.Event(), threading.Event()

    def slow(presence: Presence) -> None:
        stopping.set()
        assert go_on.wait(10)
        stop(presence)

    monkeypatch.setattr(Presence, "stop", slow)
    other = Lock(url, "other", service="other")
    other.acquire()
    labelled = Lock(url, "stock", labels={"region": "a"})
    labelled.acquire()
    wait_until(lambda: is_held(url, presence_resource("region=a")))
    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(labelled.release)
        assert stopping.wait(10)
        other.release()  # the last use of the file, but for the labels
        go_on.set()
        assert ending.result(10) is True
    assert not is_held(url, presence_resource("region=a"))
    assert SHARED_STORES.of(url)._opened is None


def test_a_file_that_is_replaced_between_two_uses_is_opened_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/locks.db"
    for _ in range(2):
        with Lock(url, "stock"):
            assert is_held(url, "stock")
        for path in tmp_path.iterdir():
            path.unlink()


def test_a_relative_path_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with Lock("sqlite:///locks.db", "stock"):
        monkeypatch.chdir(tmp_path / "b")
        with Lock("sqlite:///locks.db", "stock", blocking=False):
            assert {path.parent.name for path in tmp_path.glob("*/locks.db")} == {"a", "b"}


# --- the ends of a process


def in_child(work: Callable[[], object]) -> int:
    """Fork, do the work there, and return the exit status: 0 if it raised nothing."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_a_forked_child_opens_its_own(server: RedisServer, tmp_path: Path, kind: str) -> None:
    url = server.url if kind == "redis" else f"sqlite:///{tmp_path}/locks.db"
    shared = Lock(url, "shared")
    with shared:
        pass

    def work() -> None:
        assert Lock(url, "stock", blocking=False).acquire() is None, "the parent holds it"
        sink = ListSink()
        with shared, Lock(url, "another", ttl="1s", sinks={"list": sink}):
            wait_until(lambda: "renewed" in [it.event for it in sink.of(LockMoved)])

    with Lock(url, "stock") as lease:
        assert in_child(work) == 0
        lease.check()
    assert not is_held(url, "stock")
    with shared, Lock(url, "stock"):
        pass


EXIT = """\
import sys
from tickglass import Lock
with Lock(sys.argv[1], "done"):
    pass
lock = Lock(sys.argv[1], "kept", ttl="20s")
if sys.argv[2] == "held":
    lock.acquire()
"""


@pytest.mark.parametrize("end", ["held", "unused"])
@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_an_interpreter_that_exits_closes_what_is_unused_and_releases_nothing_that_is_held(
    server: RedisServer, tmp_path: Path, kind: str, end: str
) -> None:
    url = server.url if kind == "redis" else f"sqlite:///{tmp_path}/locks.db"
    done = subprocess.run(
        [sys.executable, "-c", EXIT, url, end], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert is_held(url, "kept") is (end == "held")
    assert not is_held(url, "done")


def test_the_thread_for_the_timers_ends_when_all_is_closed(server: RedisServer) -> None:
    def running() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "tickglass-timers"]

    for _ in range(2):
        with Lock(server.url, "stock"):
            SHARED_STORES.close_unused()
            assert len(running()) == 1
        SHARED_STORES.close_unused()
        assert running() == []


def test_a_registry_of_its_own_shares_nothing(server: RedisServer) -> None:
    stores, identity = SharedStores(), LockIdentity("svc", "o", {}, frozenset())
    store, shared, _ = stores.begin(server.url, identity)
    assert stores.of(server.url) is store is not SHARED_STORES.of(server.url)
    stores.close_unused()
    assert store._opened is not None
    store.end(shared)
    stores.close_unused()
    assert store._opened is None
