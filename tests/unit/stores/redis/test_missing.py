"""What a person deletes in Redis by hand is named by the next call that meets it, and put right by those that write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, JobRecord, LeaseAsk, Released
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redis.store import _CHECK_OPEN_EVERY_NS, RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

JOB: Final = JobId("s", "job")
RECORD: Final = JobRecord("job", "t", "s/job", "o", "s", SECOND, SECOND, None, None)
CLAIM: Final = ClaimAsk(LeaseAsk("s/job", "o", "s", "token", 30 * SECOND, "job", "run"), due_ns=0)
ATTEMPT: Final = MissingRecord(MissingKind.ATTEMPT, "s/job")


@pytest.fixture
def server(redis_servers: Callable[[int], list[RedisServer]]) -> RedisServer:
    return redis_servers(1)[0]


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    store = open_store(f"redis://127.0.0.1:{server.port}/0?timeout=1s", SystemClock())
    assert isinstance(store, RedisStore)
    store.register([RECORD])
    yield store
    store.close()


def die_after_a_claim(store: RedisStore) -> None:
    """Leave a claim without an end whose lease has ended."""
    claim = store.claim(CLAIM)
    assert isinstance(claim, Claimed)
    lease = Lease("s/job", "o", "token", claim.fence, 30 * SECOND, trusted_until_ns=0)
    assert isinstance(store.release(lease), Released)


def delete(server: RedisServer, key: str) -> None:
    assert server.say("DEL", f"{{tickglass}}:{key}") == 1


def test_where_nothing_was_deleted_nothing_is_missing(store: RedisStore) -> None:
    die_after_a_claim(store)
    store.leases(), store.jobs(), store.runs(), store.abandoned()
    store.orphans([JOB])
    store._open_checked_ns -= _CHECK_OPEN_EVERY_NS
    store.prune()
    assert store.missing() == []
    assert store.unregistered([JOB]) == []


def test_a_deleted_lease_is_named_by_a_reader_and_dropped_by_the_next_prune(
    server: RedisServer, store: RedisStore
) -> None:
    store.acquire(CLAIM.lease)
    delete(server, "lease:s/job")
    delete(server, "lock:s/job")
    missing = MissingRecord(MissingKind.LEASE, "s/job")
    assert store.leases() == []
    assert store.missing() == [missing]
    assert store.missing() == []
    store.prune()
    assert store.missing() == [missing]
    store.leases()
    store.prune()
    assert store.missing() == []


def test_a_deleted_record_of_a_job_is_named_and_the_job_is_found_to_be_unregistered(
    server: RedisServer, store: RedisStore
) -> None:
    delete(server, "record:s/job")
    assert store.jobs() == []
    assert store.missing() == [MissingRecord(MissingKind.JOB, "s/job")]
    assert store.unregistered([JobId("s", "job"), JobId("s", "never")]) == [JobId("s", "job"), JobId("s", "never")]
    store.register([RECORD])
    assert store.unregistered([JOB]) == []


def test_a_deleted_attempt_is_named_by_each_reader_and_dropped_by_the_sweep(
    server: RedisServer, store: RedisStore
) -> None:
    die_after_a_claim(store)
    delete(server, "runs:s/job")
    for found in ([ATTEMPT], []):
        assert store.runs() == []
        assert store.missing() == found
        assert store.runs(JOB) == []
        assert store.missing() == found
        assert store.abandoned() == []
        assert store.missing() == found
        assert store.orphans([JOB]) == []
        assert store.missing() == found


def test_a_deleted_list_of_open_claims_is_put_right_by_a_prune(server: RedisServer, store: RedisStore) -> None:
    die_after_a_claim(store)
    delete(server, "open")
    assert store.orphans([JOB]) == []
    store._open_checked_ns -= _CHECK_OPEN_EVERY_NS
    store.prune()
    assert store.missing() == [MissingRecord(MissingKind.OPEN, ATTEMPT.name)]
    assert [(orphan.job_id, orphan.due_ns) for orphan in store.orphans([JOB])] == [(JOB, 0)]
    store._open_checked_ns -= _CHECK_OPEN_EVERY_NS
    store.prune()
    assert store.missing() == []


def test_the_check_of_open_claims_drops_attempts_whose_rows_were_deleted(
    server: RedisServer, store: RedisStore
) -> None:
    die_after_a_claim(store)
    delete(server, "runs:s/job")
    delete(server, "open")
    store._open_checked_ns -= _CHECK_OPEN_EVERY_NS
    store.prune()
    assert store.missing() == [ATTEMPT]
    store.runs()
    assert store.missing() == []
