"""What the version before wrote is migrated by the first write, once, and whole; readers change nothing."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis
from kit.old_layouts import LIVE_NS, etcd_of_layout_1, redis_of_layout_1, sqlite_of_layout_1, text64

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import (
    AlreadyClaimed,
    ClaimAsk,
    Claimed,
    Gone,
    Granted,
    JobRecord,
    LeaseAsk,
    Refused,
    Renewed,
    Settled,
    Settlement,
)
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis.scripts import MIGRATE
from tickglass.sched.stores.sqlite.schema import SCHEMA_VERSION
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import EtcdServer, RedisServer

    from tickglass.sched.ports import Store

FIRST_NS: Final = 1_780_000_000 * SECOND  # the epoch of the fixtures' due instants
BILLING, MAIL = JobId("billing", "sync"), JobId("mail", "sync")


@dataclass
class OldStore:
    """A store of layout 1.

    Args:
        open: returns one more client.
        dump: returns all that is stored, to see whether anything was changed.
        mark: writes another layout.
        servers: of Redis, that hold it.
    """

    open: Callable[[], Store]
    dump: Callable[[], object]
    mark: Callable[[str], object]
    servers: list[RedisServer] = field(default_factory=list)


def _sqlite(request: pytest.FixtureRequest) -> OldStore:
    path = request.getfixturevalue("tmp_path") / "jobs.db"
    clock = FakeClock()
    clock.advance(2 * SECOND)
    sqlite_of_layout_1(path)

    def say(statement: str) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.execute(statement)

    def dump() -> object:
        with closing(sqlite3.connect(path)) as file:
            return list(file.iterdump()), file.execute("PRAGMA user_version").fetchone()

    return OldStore(
        lambda: open_store(f"sqlite:///{path}", clock), dump, lambda layout: say(f"PRAGMA user_version = {layout}")
    )


def _redis_dump(servers: list[RedisServer]) -> object:
    found = []
    for server in servers:
        with redis.Redis(port=server.port, protocol=2) as client:
            found.append({key: client.dump(key) for key in client.keys("*")})
    return found


def _redis(request: pytest.FixtureRequest) -> OldStore:
    servers = request.getfixturevalue("redis_servers")(1)
    redis_of_layout_1(servers[0])
    return OldStore(
        lambda: open_store(servers[0].url, SystemClock()),
        lambda: _redis_dump(servers),
        lambda layout: servers[0].say("SET", "{tickglass}:layout", layout),
        servers,
    )


def _redlock(request: pytest.FixtureRequest) -> OldStore:
    servers = request.getfixturevalue("redis_servers")(3)
    for server in servers:
        redis_of_layout_1(server)
    url = f"redlock://{','.join(f'127.0.0.1:{server.port}' for server in servers)}/0?timeout=500ms"
    return OldStore(
        lambda: open_store(url, SystemClock()),
        lambda: _redis_dump(servers),
        lambda layout: [server.say("SET", "{tickglass}:layout", layout) for server in servers],
        servers,
    )


def _etcd(request: pytest.FixtureRequest) -> OldStore:
    server: EtcdServer = request.getfixturevalue("etcd")
    prefix = f"/layouts/{uuid.uuid4()}"
    etcd_of_layout_1(server, prefix)

    def dump() -> object:
        return server.say("kv/range", key=text64(f"{prefix}/"), range_end=text64(f"{prefix}0"))["kvs"]

    return OldStore(
        lambda: open_store(server.url(prefix=prefix), SystemClock()),
        dump,
        lambda layout: server.say("kv/put", key=text64(f"{prefix}/layout"), value=text64(layout)),
    )


STORES: Final[dict[str, Callable[[pytest.FixtureRequest], OldStore]]] = {
    "sqlite": _sqlite,
    "redis": _redis,
    "redlock": _redlock,
    "etcd": _etcd,
}


@pytest.fixture(params=STORES)
def old(request: pytest.FixtureRequest) -> Iterator[OldStore]:
    old = STORES[request.param](request)
    opened, open_one = [], old.open

    def open_and_note() -> Store:
        opened.append(open_one())
        return opened[-1]

    old.open = open_and_note
    yield old
    for store in opened:
        store.close()


def record(service: str, name: str = "sync", resource: str = "") -> JobRecord:
    return JobRecord(name, "every 1s", resource or f"{service}/{name}", "n", service, SECOND, SECOND, None, None)


def claim(job: JobId, due: int, *, resource: str = "", run_id: str = "") -> ClaimAsk:
    run_id = run_id or uuid.uuid4().hex
    lease = LeaseAsk(resource or str(job), "new", job.service, f"token of {run_id}", 30 * SECOND, job.name, run_id)
    return ClaimAsk(lease, FIRST_NS + due * SECOND)


def runs_of(store: Store, job: JobId | None) -> list[tuple[Any, ...]]:
    return [((it.due_ns - FIRST_NS) // SECOND, it.attempt, it.owner, it.outcome) for it in store.runs(job)]


def fences(store: Store) -> list[int]:
    return [run.fence for run in store.runs()] + [lease.fence for lease in store.leases()]


def test_each_service_gets_its_own_runs(old: OldStore) -> None:
    store = old.open()
    store.register([record("mail")])
    assert runs_of(store, BILLING) == [
        (4, 1, "b1", None),
        (3, 2, "b2", "success"),
        (3, 1, "b1", "orphaned"),
        (1, 1, "b1", "success"),
    ]
    assert runs_of(store, MAIL) == [(2, 1, "m1", "failure")]
    assert runs_of(store, JobId("billing", "a/b")) == [(1, 1, "b1", "success")]
    assert runs_of(store, JobId("mail", "report")) == [(1, 1, "m1", "success")]
    assert runs_of(store, JobId("mail", "mop")) == [(1, 1, "m1", None)]
    (failed,) = store.runs(MAIL)
    assert (failed.service, failed.job, failed.resource, failed.detail) == ("mail", "sync", "mail/sync", "déjà vu")
    assert (failed.kind, failed.not_before_ns, failed.ran_ns, failed.lateness_ns) == (
        "scheduled",
        None,
        None,
        5_000_000,
    )
    (report,) = store.runs(JobId("mail", "report"))
    assert report.resource == "reports", "named by hand"
    assert len(store.runs()) == 8


def test_the_records_of_jobs_keep_what_was_announced(old: OldStore) -> None:
    store = old.open()
    (mail, billing) = store.register([record("mail"), record("billing")])
    assert mail.before is None, "billing was the last to register a job of that name"
    assert mail.job.last_due_ns == FIRST_NS + 2 * SECOND
    assert billing.before is not None
    assert (billing.before.resource, billing.before.owner, billing.before.ttl_ns) == ("billing/sync", "b1", 30 * SECOND)
    assert (billing.before.next_due_ns, billing.job.last_due_ns) == (FIRST_NS + 5 * SECOND, FIRST_NS + 4 * SECOND)
    assert {str(job.job_id): job.resource for job in store.jobs()} == {
        "billing/a%2Fb": "billing/a%2Fb",
        "billing/sync": "billing/sync",
        "mail/report": "reports",
        "mail/sync": "mail/sync",
    }


def test_a_run_in_progress_keeps_its_lease_under_the_new_name(old: OldStore) -> None:
    store = old.open()
    before = store.claim(claim(BILLING, 4))
    assert before == AlreadyClaimed("b1", None), "it lives"
    refused = store.claim(claim(BILLING, 5))
    assert isinstance(refused, Refused)
    assert (refused.holder.owner, refused.holder.job_id) == ("b1", BILLING)
    assert store.orphans([BILLING]) == []
    leases = {it.resource: it.owner for it in store.leases() if it.remaining_ns > 0}
    assert leases == {"billing/sync": "b1", "printer": "b1"}
    token, run_id = "token-8", f"{8:032x}"
    lease = Lease("sync", "b1", token, 1, LIVE_NS, 0)
    assert isinstance(store.renew(lease), Gone), "an instance that knows the old name is told that it lost it"
    ours = Lease("billing/sync", "b1", token, refused.holder.fence, LIVE_NS, 0)
    assert isinstance(store.renew(ours), Renewed)
    end = Settlement(ours, "billing", "sync", FIRST_NS + 4 * SECOND, run_id, "success", ran_ns=7)
    assert store.settle(end) == Settled(recorded=True, released=True)
    assert (store.runs(BILLING)[0].outcome, store.runs(BILLING)[0].ran_ns) == ("success", 7)
    assert isinstance(store.claim(claim(BILLING, 5)), Claimed)


def test_a_lock_by_hand_stays_where_it_is(old: OldStore) -> None:
    store = old.open()
    assert isinstance(store.acquire(LeaseAsk("printer", "n", "s", "t", SECOND)), Refused)
    assert isinstance(store.renew(Lease("printer", "b1", "token-printer", 1, LIVE_NS, 0)), Renewed)


def test_an_abandoned_claim_is_run_again(old: OldStore) -> None:
    store = old.open()
    store.register([record("mail")])
    (orphan,) = store.orphans([JobId("mail", "mop"), BILLING, MAIL])
    assert (orphan.job_id, orphan.owner, orphan.attempt) == (JobId("mail", "mop"), "m1", 1)
    answer = store.claim(claim(JobId("mail", "mop"), 1))
    assert isinstance(answer, Claimed)
    assert (answer.attempt, answer.previous_run_id) == (2, orphan.run_id)
    assert runs_of(store, JobId("mail", "mop"))[1] == (1, 1, "m1", "orphaned")


def test_instants_of_another_service_are_free_and_ones_own_are_not(old: OldStore) -> None:
    store = old.open()
    assert store.claim(claim(BILLING, 1)) == AlreadyClaimed("b1", "success")
    assert isinstance(store.claim(claim(MAIL, 1)), Claimed)


def test_fences_go_on_growing(old: OldStore) -> None:
    store = old.open()
    store.register([record("mail")])
    greatest = max(fences(store))
    for resource in ("sync", "mail/sync", "printer 2"):
        granted = store.acquire(LeaseAsk(resource, "n", "s", f"token of {resource}", SECOND))
        assert isinstance(granted, Granted)
        assert granted.fence > greatest


@pytest.mark.parametrize("old", ["redis", "redlock"], indirect=True)
def test_a_fence_from_a_clock_that_was_ahead_is_kept_for_the_new_name(old: OldStore) -> None:
    ahead = 4_000_000_000_000_000
    bucket = "6b3"  # of the resource "sync"
    for server in old.servers:
        server.say("HSET", "{tickglass}:fences", bucket, ahead)
    answer = old.open().claim(claim(MAIL, 3))
    assert isinstance(answer, Claimed)
    assert answer.fence > ahead


def test_it_is_migrated_once_and_every_client_finds_the_same(old: OldStore) -> None:
    first = old.open()
    first.register([record("mail")])
    again = old.open()
    again.register([record("mail")])
    assert runs_of(first, None) == runs_of(again, None)
    assert first.jobs() == again.jobs()


def test_reading_says_what_to_do_and_changes_nothing(old: OldStore) -> None:
    before, store = old.dump(), old.open()
    for read in (store.jobs, store.runs, store.leases, store.abandoned):
        with pytest.raises(StoreUnavailable, match=r"older Tickglass.*layout 1|older Tickglass.*version 1") as caught:
            read()
        assert caught.value.kind == "error"
        assert "migrates" in str(caught.value)
    assert old.dump() == before


def test_keys_of_a_newer_version_are_refused_and_left_alone(old: OldStore) -> None:
    store = old.open()
    store.register([record("mail")])
    old.mark(str(SCHEMA_VERSION + 1))  # the layouts of all stores have the same number
    before = old.dump()
    writes: list[Callable[[], object]] = [
        lambda: store.acquire(LeaseAsk("r", "n", "s", "t", SECOND)),
        lambda: store.claim(claim(MAIL, 9)),
        lambda: store.register([record("mail")]),
        lambda: store.renew(Lease("printer", "b1", "token-printer", 1, SECOND, 0)),
        lambda: store.settle(Settlement(Lease("r", "n", "t", 1, SECOND, 0), "s", "j", 1, "r", "success")),
        store.jobs,
        store.runs,
        lambda: store.orphans([MAIL]),
    ]
    for call in writes:
        with pytest.raises(StoreUnavailable, match=r"newer Tickglass.*(layout|version) 3.*upgrade this inst") as caught:
            call()
        assert caught.value.kind == "error"
    assert old.dump() == before


@pytest.mark.parametrize("old", ["sqlite"], indirect=True)
def test_a_process_of_the_version_before_gets_an_error_from_its_next_claim(old: OldStore, tmp_path: Path) -> None:
    old.open().register([record("mail")])
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as before, pytest.raises(sqlite3.OperationalError):
        before.execute("SELECT outcome FROM runs WHERE runs.job = 'sync' AND runs.due_ns = 1")


@pytest.mark.parametrize("old", ["sqlite"], indirect=True)
def test_the_first_files_of_the_old_layout_had_no_table_of_waiting_parties(old: OldStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as file:
        file.execute("DROP TABLE waiting")
    store = old.open()
    assert isinstance(store.acquire(LeaseAsk("printer", "n", "s", "t", SECOND)), Refused)


@pytest.mark.parametrize("old", ["redis", "redlock"], indirect=True)
def test_a_process_of_the_version_before_cannot_take_a_lease_any_more(old: OldStore) -> None:
    old.open().register([record("mail")])
    for server in old.servers:
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            server.say("HGET", "{tickglass}:fences", "6b3")


@pytest.mark.parametrize("old", ["redis", "redlock", "etcd"], indirect=True)
def test_a_migration_that_was_left_off_is_gone_on_with(old: OldStore) -> None:
    store = old.open()
    for server in old.servers:
        assert server.say("EVAL", MIGRATE.text, 1, "{tickglass}", 3) == 1, "some of it"
    if not old.servers:
        old.mark("1>2")
    with pytest.raises(StoreUnavailable, match="being migrated to layout 2; ask again") as caught:
        store.jobs()
    assert caught.value.kind == "unavailable"
    store.register([record("mail")])
    assert len(store.runs()) == 8
    assert len(store.jobs()) == 4
