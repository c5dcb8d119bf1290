"""One kit per adapter: a new adapter adds a maker here, and no test."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
from aetcd import rpc
from contract.batches import in_batches

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import SCHEDULED, ClaimAsk, Claimed, Granted, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.client import RANGE, TXN
from tickglass.sched.stores.etcd.store import EtcdStore
from tickglass.sched.stores.redis.store import RedisStore
from tickglass.sched.stores.redlock.store import RedlockStore
from tickglass.sched.stores.retention import PRUNE_EVERY_NS
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kit.servers import RedisServer

    from tickglass.sched.ports import Store

T = TypeVar("T")

SERVED_TTL_NS: Final = SECOND  # soon over, and yet a lease is not while a busy machine stops for a moment


@dataclass
class StoreKit:
    """A fresh store, and what a test may do to it.

    Args:
        open: returns one more client of the same store.
        let_pass: lets so many nanoseconds pass on the store's clock.
        forget: makes a client forget all that ended, as if that had been days ago.
        ttl_ns: a lease time that this adapter can well be waited out for.
        keeps: whether what it holds outlives all its clients.
        least_ttl_ns: the shortest lease that the technology has; shorter ones are made as long.
        grants_short: whether it grants leases that are over almost before the answer is here.
        late_ns: how long after its end a lease may hold on, because the technology looks now and then.
        holes: returns what a person can delete now, by its name; None: nothing. Redlock: on a majority.
        wipe: deletes all that there is.
        tells_claims: whether it tells which occurrences others have claimed.
        grain_ns: how far the rest of a lease, as observers see it, may be wrong.
    """

    name: str
    open: Callable[[], Store]
    let_pass: Callable[[int], None]
    forget: Callable[[Store], None]
    ttl_ns: int
    keeps: bool
    threads: int = 8
    least_ttl_ns: int = MS
    grants_short: bool = True
    late_ns: int = 0
    tells_claims: bool = True
    grain_ns: int = 0
    holes: Callable[[], dict[str, Callable[[], None]]] | None = None
    wipe: Callable[[], None] = lambda: None
    _count: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, resource: str = "ledger", owner: str = "n1", *, ttl_ns: int | None = None) -> LeaseAsk:
        """Return a wish for a lock by hand, under a token of its own."""
        return LeaseAsk(resource, owner, "billing", f"token-{next(self._count)}", ttl_ns or self.ttl_ns)

    def claim(
        self,
        job: str = "nightly",
        due_ns: int = 1,
        owner: str = "n1",
        *,
        service: str = "billing",
        resource: str | None = None,
        next_due_ns: int | None = None,
        rerun: bool = True,
        max_ahead_ns: int | None = None,
        kind: str = SCHEDULED,
    ) -> ClaimAsk:
        """Return a wish for an occurrence, under a token and a run of its own."""
        count = next(self._count)
        token, run_id = f"token-{count}", f"{count:032x}"
        lease = LeaseAsk(resource or f"{service}/{job}", owner, service, token, self.ttl_ns, job, run_id)
        return ClaimAsk(lease, due_ns, next_due_ns, rerun, max_ahead_ns, kind=kind)

    def job_record(self, name: str = "nightly", **changes: object) -> JobRecord:
        """Return what a scheduler registers."""
        resource = f"{changes.get('service', 'billing')}/{name}"
        record = JobRecord(name, "every 1s", resource, "n1", "billing", self.ttl_ns, 60 * SECOND, None, 1)
        return replace(record, **changes)  # type: ignore[arg-type]

    def at_once(self, work: Callable[[int], T]) -> list[T]:
        """Do the same in so many threads that start together; each gets its number."""
        start = threading.Barrier(self.threads)

        def one(number: int) -> T:
            start.wait()
            return work(number)

        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(one, range(self.threads)))

    def let_expire(self) -> None:
        """Wait out a lease of `ttl_ns`."""
        self.let_pass(self.ttl_ns + self.late_ns)

    def lease(self, ask: LeaseAsk | ClaimAsk, answer: object) -> Lease:
        """Return the lease that a grant or a claim gave."""
        assert isinstance(answer, Granted | Claimed), answer
        wish = ask.lease if isinstance(ask, ClaimAsk) else ask
        return Lease(wish.resource, wish.owner, wish.token, answer.fence, wish.ttl_ns, trusted_until_ns=0)

    def state(self, store: Store) -> tuple[object, ...]:
        """Return all that is stored, without the ages, which a real clock moves on."""
        leases = [replace(lease, held_ns=0, remaining_ns=0) for lease in store.leases()]
        return leases, store.jobs(), store.runs()

    def settlement(self, ask: ClaimAsk, answer: object, outcome: str = "success", detail: str = "") -> Settlement:
        """Return how the run of a claim ended."""
        return Settlement(
            self.lease(ask, answer),
            ask.lease.service,
            ask.lease.job,
            ask.due_ns,
            ask.lease.run_id,
            outcome,
            detail,
            started_wall_ns=ask.due_ns + 5,
            lateness_ns=5,
        )


def _memory(_: pytest.FixtureRequest) -> StoreKit:
    clock = FakeClock()
    store = open_store("memory://", clock)
    return StoreKit("memory", lambda: store, clock.advance, _two_days_pass(clock), 30 * SECOND, keeps=False)


def _sqlite(request: pytest.FixtureRequest) -> StoreKit:
    clock, home = FakeClock(), request.getfixturevalue("tmp_path")
    url = f"sqlite:///{home}/jobs.db"
    forget = _two_days_pass(clock)

    def holes() -> dict[str, Callable[[], None]]:
        def empty(table: str) -> None:
            with closing(sqlite3.connect(home / "jobs.db")) as connection:
                connection.execute(f"DELETE FROM {table}")
                connection.commit()

        with closing(sqlite3.connect(home / "jobs.db")) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {table: partial(empty, table) for (table,) in tables}

    open_one, wipe = partial(open_store, url, clock), partial(_delete_all, holes)
    return StoreKit("sqlite", open_one, clock.advance, forget, 30 * SECOND, keeps=True, holes=holes, wipe=wipe)


def _redis(request: pytest.FixtureRequest) -> StoreKit:
    (server,) = request.getfixturevalue("redis_servers")(1)

    def forget(store: Store) -> None:
        assert isinstance(store, RedisStore)
        _make_forgetful(store)
        store.orphans([])

    return StoreKit(
        "redis",
        lambda: open_store(server.url, SystemClock()),
        _really_wait,
        forget,
        SERVED_TTL_NS,
        keeps=True,
        holes=lambda: _keys_of([server]),
        wipe=lambda: server.say("FLUSHALL"),
    )


def _etcd(request: pytest.FixtureRequest) -> StoreKit:
    url = request.getfixturevalue("etcd").url(prefix=f"/contract/{uuid.uuid4()}")

    def forget(store: Store) -> None:
        assert isinstance(store, EtcdStore)
        store._pruner._keep_ns = 0
        for _ in range(2):  # it is noted that a lease has ended, then it is forgotten
            store._pruner.prune()

    reader = open_store(url, SystemClock())
    assert isinstance(reader, EtcdStore)
    request.addfinalizer(reader.close)
    holes = partial(_keys_under, reader)
    return StoreKit(
        "etcd",
        lambda: open_store(url, SystemClock()),
        _really_wait,
        forget,
        SERVED_TTL_NS,
        keeps=True,
        least_ttl_ns=SECOND,
        late_ns=750 * MS,
        holes=holes,
        wipe=partial(_delete_all, holes),
        grain_ns=500 * MS,
    )


def _redlock(count: int, request: pytest.FixtureRequest) -> StoreKit:
    servers = request.getfixturevalue("redis_servers")(count)
    # Patient, for the tests' sake: eight threads and five servers may have two cores between them.
    url = f"redlock://{','.join(f'127.0.0.1:{server.port}' for server in servers)}/0?timeout=500ms"

    def forget(store: Store) -> None:
        assert isinstance(store, RedlockStore)
        for node in store._nodes:
            _make_forgetful(node)
        store.orphans([])

    return StoreKit(
        "redlock",
        lambda: open_store(url, SystemClock()),
        _really_wait,
        forget,
        SERVED_TTL_NS,
        keeps=True,
        grants_short=False,
        tells_claims=False,  # what one server publishes may have no majority
        holes=lambda: _keys_of(servers[: count // 2 + 1]),
        wipe=lambda: _delete_all(lambda: _keys_of(servers)),
    )


def _keys_under(store: EtcdStore) -> dict[str, Callable[[], None]]:
    """Return what deletes each key of an etcd store, also that of its layout."""

    def delete(key: bytes) -> None:
        with store._client.call("test") as call:
            call._ask_members(((TXN, kv.transaction([], [kv.delete(key)])),), again=True)

    first = store._keys.layout.removesuffix(b"layout")
    with store._client.call("test") as call:
        found = call.ask(RANGE, rpc.RangeRequest(key=first, range_end=kv.after_prefix(first), keys_only=True)).kvs
    return {it.key.removeprefix(first).decode(): partial(delete, it.key) for it in found}


def _delete_all(holes: Callable[[], dict[str, Callable[[], None]]]) -> None:
    for delete in holes().values():
        delete()


def _keys_of(servers: Sequence[RedisServer]) -> dict[str, Callable[[], None]]:
    """Return what deletes each key on all of these servers."""

    def delete(key: str) -> None:
        for server in servers:
            server.say("DEL", key)

    return {key: partial(delete, key) for server in servers for key in server.say("KEYS", "*")}


def _two_days_pass(clock: FakeClock) -> Callable[[Store], None]:
    def forget(store: Store) -> None:
        clock.advance(2 * 86_400 * SECOND)
        store.orphans([])  # where a sweep without jobs has it pruned

    return forget


def _make_forgetful(store: RedisStore) -> None:
    store._keep_ns = 0
    store._pruned_ns -= PRUNE_EVERY_NS


def _really_wait(pass_ns: int) -> None:
    """Let time pass for a server: its clock ticks in milliseconds, and a lease ends with a tick."""
    clock = SystemClock()
    clock.wait(clock.monotonic_ns() + pass_ns + 3 * MS, Wake())


ADAPTERS: Final[dict[str, Callable[[pytest.FixtureRequest], StoreKit]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "redlock3": partial(_redlock, 3),
    "redlock5": partial(_redlock, 5),
    "etcd": _etcd,
}


@pytest.fixture(params=ADAPTERS)
def kit(request: pytest.FixtureRequest) -> Iterator[StoreKit]:
    kit = ADAPTERS[request.param](request)
    clients: list[Store] = []
    open_one = kit.open

    def open_and_note() -> Store:
        clients.append(open_one())
        return clients[-1]

    kit.open = open_and_note
    yield kit
    for client in clients:
        client.close()


@pytest.fixture(params=["alone", "in a batch"])
def alone_and_in_batches(request: pytest.FixtureRequest, kit: StoreKit) -> None:
    """Have a test run twice: claims and settlements go one by one, then each in the middle of a batch."""
    if request.param == "in a batch":
        open_one = kit.open
        kit.open = lambda: in_batches(open_one())


@pytest.fixture
def store(kit: StoreKit) -> Store:
    return kit.open()
