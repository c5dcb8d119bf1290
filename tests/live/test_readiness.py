"""With real stores that answer and cannot be claimed from, an instance is not ready, says why, and then is again."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kit.own_process import nothing
from kit.processes import TICKGLASS, wait_until
from kit.servers import PATIENCE_S, EtcdServer, RedisServer, reading, wait_for_line

from tickglass import Scheduler, StoreUnavailable, every
from tickglass.sched.events import JobRegistered, OccurrenceMoved, StoreCalled
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Broken = Callable[[], AbstractContextManager[str]]  # yields what the last error says


pytestmark = pytest.mark.usefixtures("own_runtime")


@contextmanager
def running(url: str, **policies: Any) -> Iterator[tuple[Scheduler, ListSink]]:  # noqa: ANN401 - see `declare`
    """Run a scheduler whose sweeps are a second apart."""
    sink = ListSink()
    scheduler = Scheduler(url, owner="me", drain="0s", sinks={"told": sink})
    scheduler.add(nothing, policies.pop("trigger", every("24h")), ttl="3s", name="job", **policies)
    with scheduler:
        yield scheduler, sink


def proves(url: str, broken: Broken, store: str) -> None:
    """Hold an idle instance to it: nothing is due, so only it can find out by itself."""
    with running(url) as (scheduler, sink):
        sink.wait_for(lambda told: isinstance(told, StoreCalled) and told.operation == "join")
        assert scheduler.unready() == []
        with broken() as words:
            beginning = f"the {store} store has not taken our writes since 20"
            wait_until(lambda: "".join(scheduler.unready()).startswith(beginning), "it is not ready")
            assert words in scheduler.unready()[0]
        wait_until(lambda: scheduler.unready() == [], "it is ready again")


def test_a_full_redis(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis("--maxmemory-policy", "noeviction")

    @contextmanager
    def full() -> Iterator[str]:
        server.say("CONFIG", "SET", "maxmemory", "1")
        yield "last error, of beat: command not allowed when used memory > 'maxmemory'"
        server.say("CONFIG", "SET", "maxmemory", "0")

    proves(server.url, full, "redis")


def test_a_redis_that_became_a_replica(own_redis: Callable[..., RedisServer]) -> None:
    server, master = own_redis(), own_redis()

    @contextmanager
    def replica() -> Iterator[str]:
        server.say("REPLICAOF", "127.0.0.1", master.port)
        yield "can't write against a read only replica"
        server.say("REPLICAOF", "NO", "ONE")

    proves(server.url, replica, "redis")


def test_a_redis_that_misses_its_replicas(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis()

    @contextmanager
    def alone() -> Iterator[str]:
        server.say("CONFIG", "SET", "min-replicas-to-write", "1")
        yield "NOREPLICAS"
        server.say("CONFIG", "SET", "min-replicas-to-write", "0")

    proves(server.url, alone, "redis")


def test_a_majority_of_full_servers(own_redis: Callable[..., RedisServer]) -> None:
    servers = [own_redis() for _ in range(3)]

    @contextmanager
    def full() -> Iterator[str]:
        for server in servers[:2]:
            server.say("CONFIG", "SET", "maxmemory", "1")
        yield "1 of 3 servers answered"
        for server in servers[:2]:
            server.say("CONFIG", "SET", "maxmemory", "0")

    proves(f"redlock://{','.join(f'127.0.0.1:{server.port}' for server in servers)}/0?timeout=1s", full, "redlock")


def test_an_etcd_without_space(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path, "--quota-backend-bytes", str(16 << 20))
    server.start()

    @contextmanager
    def full() -> Iterator[str]:
        server.say("maintenance/alarm", action="ACTIVATE", memberID=0, alarm="NOSPACE")
        yield "database space exceeded"
        for alarm in server.say("maintenance/alarm", action="GET").get("alarms", []):
            server.say("maintenance/alarm", action="DEACTIVATE", memberID=alarm.get("memberID", 0), alarm="NOSPACE")

    try:
        proves(server.url("/tickglass"), full, "etcd")
    finally:
        server.stop()


def test_a_sqlite_file_that_another_process_keeps_locked(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    @contextmanager
    def locked() -> Iterator[str]:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield "the write lock was not free for 5s"
            other.execute("ROLLBACK")

    proves(f"sqlite:///{path}", locked, "sqlite")


def test_a_sqlite_file_that_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    @contextmanager
    def deleted() -> Iterator[str]:
        path.rename(tmp_path / "away.db")
        yield f"{path} was removed or replaced while it was open"
        (tmp_path / "away.db").rename(path)

    proves(f"sqlite:///{path}", deleted, "sqlite")


# --- a store that is away at the start


def outcomes(sink: ListSink) -> list[str]:
    return [f"{move.outcome} {move.reason}" for move in sink.of(OccurrenceMoved) if move.event == "ended"]


def goes_on(url: str, come: Callable[[], None]) -> None:
    """Hold a start without the store to it: what falls due is accounted for, and runs once the store has come."""
    with running(url, trigger=every("200ms"), misfire_grace="150ms") as (scheduler, sink):
        assert scheduler.unready()[-1].startswith("1 job is not registered with the ")
        wait_until(lambda: "skipped store_unavailable" in outcomes(sink), "an instant is skipped")
        assert set(outcomes(sink)) <= {"skipped store_unavailable", "skipped overlap"}
        come()
        wait_until(lambda: scheduler.unready() == [], "it is ready")
        wait_until(lambda: "success " in outcomes(sink), "a run succeeds")
        assert len(sink.of(JobRegistered)) == 2
        assert sum(move.event == "fell_due" for move in sink.of(OccurrenceMoved)) >= len(outcomes(sink))
    ended = [move.due_ns for move in sink.of(OccurrenceMoved) if move.event == "ended"]
    assert len(ended) == len(set(ended)), "each instant has one outcome"


def test_a_redis_that_comes_after_the_scheduler(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis()
    server.kill()
    goes_on(server.url, server.start)


def test_a_redis_that_is_loading_or_read_only_is_waited_for(own_redis: Callable[..., RedisServer]) -> None:
    server, master = own_redis(), own_redis()
    server.say("REPLICAOF", "127.0.0.1", master.port)
    goes_on(server.url, lambda: server.say("REPLICAOF", "NO", "ONE"))


def test_a_redis_that_is_full_is_waited_for(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    goes_on(server.url, lambda: server.say("CONFIG", "SET", "maxmemory", "0"))


def test_an_etcd_that_is_full_is_waited_for(own_etcd: EtcdServer) -> None:
    own_etcd.say("maintenance/alarm", action="ACTIVATE", memberID=0, alarm="NOSPACE")

    def make_room() -> None:
        for alarm in own_etcd.say("maintenance/alarm", action="GET").get("alarms", []):
            own_etcd.say("maintenance/alarm", action="DEACTIVATE", memberID=alarm.get("memberID", 0), alarm="NOSPACE")

    goes_on(own_etcd.url("/tickglass"), make_room)


def test_an_etcd_that_comes_after_the_scheduler(own_etcd: EtcdServer) -> None:
    own_etcd.stop()
    goes_on(own_etcd.url("/tickglass", timeout="500ms"), own_etcd.start)


def test_a_sqlite_file_that_is_locked_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        goes_on(f"sqlite:///{path}", other.rollback)


def test_a_wrong_password_is_told_at_the_start(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis("--requirepass", "right")
    scheduler = Scheduler(f"redis://:wrong@127.0.0.1:{server.port}/0", owner="me")
    scheduler.add(nothing, every("1s"), name="job")
    with pytest.raises(StoreUnavailable, match="password") as refused:
        scheduler.start()
    assert refused.value.kind == "error"
    assert scheduler.unready() == ["the scheduler is new"]


APP = """
from tickglass import Scheduler, every
scheduler = Scheduler({url!r}, owner="me")
scheduler.add(lambda: None, every("200ms"), name="job")
"""


def test_the_command_runs_without_the_store_and_goes_on_when_it_comes(
    own_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = own_redis()
    server.kill()
    (tmp_path / "app.py").write_text(APP.format(url=server.url))
    command = [TICKGLASS, "run", "app:scheduler", "--log-level", "debug"]  # tells of every run
    with (
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process,
        reading(process) as lines,
    ):
        wait_for_line(lines, "scheduler not ready: the redis store has not taken our writes since 20")
        wait_for_line(lines, "skipped: store_unavailable")
        server.start()
        wait_for_line(lines, "scheduler ready")
        wait_for_line(lines, "success")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
