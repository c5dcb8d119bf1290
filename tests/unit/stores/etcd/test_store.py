"""What is particular to an etcd cluster: failing, leases of whole seconds, and being told."""

from __future__ import annotations

import base64
import threading
import uuid
from typing import TYPE_CHECKING, Final

import pytest
from kit.servers import EtcdServer, find_free_port

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import (
    ClaimAsk,
    Claimed,
    Gone,
    Granted,
    JobRecord,
    LeaseAsk,
    Refused,
    Released,
    Renewed,
    Settled,
    Settlement,
)
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.stores.etcd.settings import Endpoint
from tickglass.sched.stores.etcd.store import EtcdStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S: Final = 15.0
TTL: Final = 30 * SECOND

# --- helpers


def ask(resource: str = "ledger", *, ttl_ns: int = TTL, owner: str = "n1") -> LeaseAsk:
    return LeaseAsk(resource, owner, "billing", str(uuid.uuid4()), ttl_ns)


def lease_of(wish: LeaseAsk, answer: object) -> Lease:
    assert isinstance(answer, Granted | Claimed), answer
    return Lease(wish.resource, wish.owner, wish.token, answer.fence, wish.ttl_ns, trusted_until_ns=0)


def hold(store: EtcdStore, resource: str = "ledger", *, ttl_ns: int = TTL) -> Lease:
    wish = ask(resource, ttl_ns=ttl_ns)
    return lease_of(wish, store.acquire(wish))


def run_once(store: EtcdStore, job: str, due_ns: int) -> None:
    wish = LeaseAsk(job, "n1", "billing", str(uuid.uuid4()), TTL, job, uuid.uuid4().hex)
    lease = lease_of(wish, store.claim(ClaimAsk(wish, due_ns, due_ns + 1)))
    assert store.settle(Settlement(lease, "billing", job, due_ns, wish.run_id, "success")).recorded


def pause(pass_ns: int) -> None:
    SystemClock().wait(SystemClock().monotonic_ns() + pass_ns, Wake())


def once_it_answers(work: Callable[[], object]) -> object:
    """Do it as soon as the connection is back, which is looked after once a second."""
    for _ in range(int(PATIENCE_S * 10)):
        try:
            return work()
        except StoreUnavailable:
            pause(100 * MS)
    return work()


class Opened:
    """Stores of one prefix of one server."""

    def __init__(self, server: EtcdServer) -> None:
        self.server = server
        self.prefix = f"/unit/{uuid.uuid4()}"
        self._stores: list[EtcdStore] = []

    def __call__(self, *endpoints: Endpoint, timeout_ns: int = 2 * SECOND, **options: object) -> EtcdStore:
        clock = options.pop("clock", SystemClock())
        here = Endpoint("127.0.0.1", self.server.port)
        store = EtcdStore(endpoints or [here], clock, prefix=self.prefix, timeout_ns=timeout_ns, **options)  # type: ignore[arg-type]
        self._stores.append(store)
        return store

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture
def opened(etcd: EtcdServer) -> Iterator[Opened]:
    opened = Opened(etcd)
    yield opened
    opened.close()


@pytest.fixture
def own(own_etcd: EtcdServer) -> Iterator[Opened]:
    opened = Opened(own_etcd)
    yield opened
    opened.close()


# --- failing


def within_ns(limit_ns: int, work: Callable[[], object], kind: str = "unavailable") -> StoreUnavailable:
    """Do what must fail in time."""
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    with pytest.raises(StoreUnavailable) as raised:
        work()
    assert clock.monotonic_ns() - began_ns < limit_ns
    assert (raised.value.store, raised.value.kind) == ("etcd", kind)
    return raised.value


def test_an_unreachable_server_is_told_at_once(opened: Opened) -> None:
    store = opened(Endpoint("127.0.0.1", find_free_port()), timeout_ns=SECOND)
    for work in (
        lambda: store.acquire(ask()),
        store.leases,
        store.time_ns,
        lambda: store.orphans([JobId("billing", "a")]),
    ):
        within_ns(2 * SECOND, work)


def test_a_frozen_server_is_given_up_after_the_timeout(own: Opened) -> None:
    store = own(timeout_ns=300 * MS)
    lease = hold(store)
    own.server.freeze()
    error = within_ns(2 * SECOND, lambda: store.renew(lease))
    assert error.detail.endswith("gave no answer within 300ms")
    own.server.thaw()
    assert own().renew(lease) == Renewed()


def test_the_next_endpoint_is_asked_when_one_is_gone(opened: Opened) -> None:
    here = Endpoint("127.0.0.1", opened.server.port)
    store = opened(Endpoint("127.0.0.1", find_free_port()), here)
    lease = hold(store)
    assert (store.renew(lease), store.release(lease)) == (Renewed(), Released())
    assert store._client.connection().endpoint == here


def test_leases_jobs_and_fences_outlive_a_restart_of_the_server(own: Opened) -> None:
    store = own()
    before = hold(store)
    store.register([JobRecord("nightly", "every 1s", "nightly", "n1", "billing", TTL, 0, None, 1)])
    run_once(store, "nightly", 7)
    own.server.stop()
    within_ns(3 * SECOND, lambda: store.renew(before))
    own.server.start()
    assert once_it_answers(lambda: store.renew(before)) == Renewed()
    assert [job.last_due_ns for job in store.jobs()] == [7]
    assert store.release(before) == Released()
    assert hold(store).fence > before.fence


def test_what_is_not_ours_under_the_prefix_is_an_error(opened: Opened) -> None:
    key = f"{opened.prefix}/holder/ledger".encode()
    opened.server.say("kv/put", key=base64.b64encode(key).decode(), value=base64.b64encode(b"theirs").decode())
    store = opened()
    within_ns(PATIENCE_NS, lambda: store.acquire(ask()), "error")
    within_ns(PATIENCE_NS, store.leases, "error")
    within_ns(PATIENCE_NS, lambda: store.acquire(ask("\udcff is no text")), "error")


def test_a_closed_store_is_told_so(opened: Opened) -> None:
    store = opened()
    hold(store)
    store.close()
    store.close()
    assert "closed" in within_ns(SECOND, lambda: store.acquire(ask()), "error").detail
    store.watch("ledger", lambda: None)()


def test_a_store_is_refused_after_a_fork(opened: Opened) -> None:
    store = opened()
    store._client._pid -= 1
    assert "forked" in within_ns(SECOND, lambda: store.acquire(ask()), "error").detail


def test_a_name_and_a_password_open_the_cluster_and_are_given_again_when_forgotten(own: Opened) -> None:
    server = own.server
    server.say("auth/user/add", name="root", password="hunter2")
    server.say("auth/role/add", name="root")
    server.say("auth/user/grant", user="root", role="root")
    server.say("auth/enable")
    store = own(user="root", password="hunter2")
    lease = hold(store)
    told = threading.Event()
    store.watch("ledger", told.set)
    server.stop()
    server.start()  # it has forgotten all tokens
    assert once_it_answers(lambda: store.renew(lease)) == Renewed()
    assert own(user="root", password="hunter2").release(lease) == Released()
    assert told.wait(PATIENCE_S)
    within_ns(PATIENCE_NS, lambda: own(user="root", password="wrong").acquire(ask()), "error")
    within_ns(PATIENCE_NS, lambda: own().acquire(ask()), "error")


# --- leases of whole seconds


def test_a_ttl_is_rounded_up_and_its_rest_is_true_to_half_a_second(opened: Opened) -> None:
    store = opened()
    hold(store, ttl_ns=4_200 * MS)
    (record,) = store.leases()
    assert record.ttl_ns == 4_200 * MS
    assert abs(record.remaining_ns - 5 * SECOND) <= 600 * MS
    pause(SECOND)
    (later,) = opened().leases()
    assert abs(later.remaining_ns - 4 * SECOND) <= 700 * MS
    assert SECOND <= later.held_ns < 2 * SECOND


def test_an_etcd_lease_serves_again_after_a_release_and_only_then(opened: Opened) -> None:
    store = opened()
    first, second = hold(store, "a"), hold(store, "b")
    spare = store._locks.lease_pool
    ids = {spare._held[lease.token].pooled.lease_id for lease in (first, second)}
    assert len(ids) == 2
    store.release(first)
    third, fourth = hold(store, "c"), hold(store, "d")
    assert spare._held[third.token].pooled.lease_id in ids
    assert spare._held[fourth.token].pooled.lease_id not in ids
    assert (store.renew(third), store.renew(second)) == (Renewed(), Renewed())


def test_a_spare_etcd_lease_that_has_ended_is_replaced(opened: Opened) -> None:
    store = opened()
    lease = hold(store)
    lease_id = store._locks.lease_pool._held[lease.token].pooled.lease_id
    store.release(lease)
    opened.server.say("lease/revoke", ID=lease_id)
    assert hold(store).fence > lease.fence


def test_more_spare_etcd_leases_that_have_ended_than_a_lock_tries_are_replaced(opened: Opened) -> None:
    store = opened()
    leases = [hold(store, f"r{number}") for number in range(20)]
    pool = store._locks.lease_pool
    ids = [pool._held[lease.token].pooled.lease_id for lease in leases]
    for lease in leases:
        store.release(lease)
    for lease_id in ids:
        opened.server.say("lease/revoke", ID=lease_id)
    assert hold(store).fence > max(lease.fence for lease in leases)


@pytest.mark.parametrize("renewed", [True, False])
def test_an_etcd_lease_is_spare_as_long_as_it_surely_lives(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, *, renewed: bool
) -> None:
    store, clock = opened(), FakeClock()
    pool = store._locks.lease_pool
    monkeypatch.setattr(pool, "_real", clock)
    lease = hold(store)
    lease_id = pool._held[lease.token].pooled.lease_id
    clock.advance(TTL // 3)
    if renewed:
        assert store.renew(lease) == Renewed()
    clock.advance(TTL // 3)  # more than half of it has gone, unless it was renewed
    store.release(lease)
    again = hold(store)
    assert (pool._held[again.token].pooled.lease_id == lease_id) is renewed


def test_closing_ends_spare_etcd_leases_and_no_others(opened: Opened) -> None:
    store, other = opened(), opened()
    kept = hold(store, "kept")
    given_back = [hold(store, f"given back {number}") for number in range(40)]
    ids = {store._locks.lease_pool._held[lease.token].pooled.lease_id for lease in given_back}
    for lease in given_back:
        store.release(lease)
    store.close()
    alive = {int(it["ID"]) for it in opened.server.say("lease/leases").get("leases", [])}
    assert not alive & ids
    assert other.renew(kept) == Renewed()


def test_each_of_many_threads_has_its_locks_to_itself(opened: Opened) -> None:
    store, errors = opened(), list[BaseException]()
    held: set[str] = set()

    def work(number: int) -> None:
        try:
            for round_ in range(15):
                resource = f"r{(number + round_) % 4}"
                wish = ask(resource)
                answer = store.acquire(wish)
                if isinstance(answer, Refused):
                    continue
                assert resource not in held
                held.add(resource)
                assert store.renew(lease_of(wish, answer)) == Renewed()
                held.remove(resource)
                assert store.release(lease_of(wish, answer)) == Released()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.leases() == []


def test_a_claim_is_settled_by_another_process_too(opened: Opened) -> None:
    wish = LeaseAsk("nightly", "n1", "billing", "token", TTL, "nightly", "run")
    lease = lease_of(wish, opened().claim(ClaimAsk(wish, 5)))
    settlement = Settlement(lease, "billing", "nightly", 5, "run", "success", "done")
    other = opened()
    assert other.renew(lease) == Renewed()
    assert other.settle(settlement) == Settled(recorded=True, released=True)
    assert other.settle(settlement) == Settled(recorded=False, released=False, earlier=True)
    assert other.renew(lease) == Gone()
    (run,) = other.runs()
    assert (run.outcome, run.fence, run.service) == ("success", lease.fence, "billing")


# --- being told


def test_a_waiter_is_told_of_a_release_elsewhere_and_of_an_expiry(opened: Opened) -> None:
    store, other = opened(), opened()
    for end in (other.release, lambda _: None):
        lease = hold(other, ttl_ns=SECOND)
        assert isinstance(store.acquire(ask()), Refused)
        told = threading.Event()
        unwatch = store.watch("ledger", told.set)
        assert not told.is_set()
        end(lease)
        assert told.wait(PATIENCE_S)
        store.release(hold(store))
        unwatch()


def test_what_was_freed_between_the_refusal_and_the_watch_is_told(opened: Opened) -> None:
    store, other = opened(), opened()
    lease = hold(other)
    assert isinstance(store.acquire(ask()), Refused)
    other.release(lease)
    told = threading.Event()
    store.watch("ledger", told.set)
    assert told.wait(PATIENCE_S)


def test_a_watch_outlives_a_restart_of_the_server_and_compaction(own: Opened) -> None:
    store, other = own(), own()
    lease = hold(other)
    assert isinstance(store.acquire(ask()), Refused)
    hold(other, "something else")
    own.server.say("kv/compaction", revision=lease.fence + 1)
    told = threading.Event()
    store.watch("ledger", told.set)
    own.server.stop()
    own.server.start()
    assert once_it_answers(lambda: other.renew(lease)) == Renewed()
    assert other.release(lease) == Released()
    assert told.wait(PATIENCE_S)


def test_the_watch_outlives_what_it_calls(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("a hint too many")

    store, other = opened(), opened()
    store.watch("broken", broken)
    told = threading.Event()
    store.watch("ledger", told.set)
    for _ in range(50):  # until the stream has begun
        other.release(hold(other, "broken"))
        if "a hint too many" in caplog.text:
            break
        pause(100 * MS)
    assert "a hint too many" in caplog.text
    other.release(hold(other))
    assert told.wait(PATIENCE_S)


def test_nothing_is_heard_of_other_resources_or_after_the_watch(opened: Opened) -> None:
    store, other = opened(), opened()
    ours, theirs = threading.Event(), list[str]()
    store.watch("theirs", lambda: theirs.append("told"))()
    store.watch("ours", ours.set)
    other.release(hold(other, "theirs"))
    other.release(hold(other, "ours"))
    assert ours.wait(PATIENCE_S)
    assert theirs == []


# --- the ledger


def test_old_attempts_are_forgotten_but_not_the_latest_hundred(opened: Opened) -> None:
    clock = FakeClock()
    store = opened(clock=clock, keep_ns=60 * SECOND)
    first_ns = clock.wall_ns()
    for number in range(104):
        clock.advance(MS)
        run_once(store, "often", first_ns + number)
    for number in range(3):
        run_once(store, "seldom", first_ns + number)
    assert store.orphans([JobId("billing", "often")]) == []
    assert len(store.runs(limit=500)) == 107
    clock.advance(61 * SECOND)
    store.orphans([JobId("billing", "often")])
    kept = store.runs(JobId("billing", "often"), limit=500)
    assert [run.due_ns - first_ns for run in kept] == list(range(103, 3, -1))
    assert len(store.runs(JobId("billing", "seldom"))) == 3
    (often,) = store.register([JobRecord("often", "every 1ms", "often", "n1", "billing", TTL, 0, None, 1)])
    assert often.job.last_due_ns == first_ns + 103


def test_the_latest_runs_are_found_among_more_jobs_than_were_asked_for(opened: Opened) -> None:
    store = opened()
    for number in range(8):
        for due_ns in (number, 100 - number):
            run_once(store, f"job-{number}", due_ns)
    everything = [(run.due_ns, run.job) for run in store.runs(limit=100)]
    assert len(everything) == 16
    assert everything == sorted(everything, reverse=True)
    for limit in (1, 3, 9):
        assert [(run.due_ns, run.job) for run in store.runs(limit=limit)] == everything[:limit]


def test_more_jobs_than_one_transaction_takes_are_registered_in_order(opened: Opened) -> None:
    store = opened()
    names = [f"job-{number:04d}" for number in range(150)]
    run_once(store, names[140], 9)
    records = [JobRecord(name, "every 1s", name, "n1", "billing", TTL, 0, None, 1) for name in names]
    stored = [registered.job for registered in store.register(records)]
    assert [job.name for job in stored] == [job.name for job in store.jobs()] == names
    assert [job.name for job in stored if job.last_due_ns == 9] == [names[140]]


# --- the time


def test_the_clusters_time_is_ours_unless_it_says_otherwise(opened: Opened) -> None:
    now_ns = SystemClock().wall_ns()
    assert abs(opened().time_ns() - now_ns) < 2 * SECOND
    wrong = FakeClock()
    assert abs(wrong.wall_ns() - now_ns) > 60 * SECOND
    assert abs(opened(clock=wrong).time_ns() - SystemClock().wall_ns()) < 3 * SECOND


PATIENCE_NS: Final = int(PATIENCE_S) * SECOND


def test_a_lease_whose_holder_was_deleted_by_hand_is_named(opened: Opened) -> None:
    store = opened()
    hold(store)
    assert store.missing() == []
    key = base64.b64encode(store._keys.holder("ledger")).decode()
    assert opened.server.say("kv/deleterange", key=key)["deleted"] == "1"
    assert store.leases() == []
    assert store.missing() == [MissingRecord(MissingKind.LEASE, "ledger")]
