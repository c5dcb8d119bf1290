"""Keys of layout 1 of which a person deleted some are migrated without them: the migration ends, and others stay."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from kit.old_layouts import redis_of_layout_1

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import ClaimAsk, Claimed, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

    from tickglass.sched.ports import RunRecord


def migrated(server: RedisServer) -> tuple[set[str], list[RunRecord], str]:
    """Have the first write migrate the keys; return the names of jobs, the runs, and the layout."""
    with closing(open_store(f"redis://127.0.0.1:{server.port}/0?timeout=1s", SystemClock())) as store:
        store.register([JobRecord("new", "t", "s/new", "o", "s", SECOND, SECOND, None, None)])
        return {job.name for job in store.jobs()} - {"new"}, list(store.runs()), server.say("GET", "{tickglass}:layout")


def test_attempts_whose_rows_were_deleted_are_left_out(redis_servers: Callable[[int], list[RedisServer]]) -> None:
    server, whole = redis_servers(2)
    redis_of_layout_1(server)
    redis_of_layout_1(whole)
    assert server.say("DEL", "{tickglass}:run:sync") == 1
    jobs, runs, layout = migrated(server)
    all_jobs, all_runs, _ = migrated(whole)
    assert layout == "2"
    assert jobs == all_jobs
    assert [it.run_id for it in runs] == [it.run_id for it in all_runs if it.job != "sync"]
    assert runs
    left = server.say("KEYS", "{tickglass}:*")
    assert not [key for key in left if key.startswith(("{tickglass}:due:", "{tickglass}:run:", "{tickglass}:1:"))]


@pytest.mark.parametrize("key", ["job:sync", "lease:sync", "lock:sync", "due:sync", "jobs", "ledgers", "leases"])
def test_the_migration_ends_without_any_one_key(redis_servers: Callable[[int], list[RedisServer]], key: str) -> None:
    (server,) = redis_servers(1)
    redis_of_layout_1(server)
    assert server.say("DEL", f"{{tickglass}}:{key}") == 1
    *_, layout = migrated(server)
    assert layout == "2"


MARKS: Final = ("layout", "fences")  # both say which layout it is


@pytest.mark.parametrize(
    "gone", [MARKS[:1], MARKS, (*MARKS, "fence"), (*MARKS, "fence", "jobs"), (*MARKS, "fence", "ledgers")]
)
def test_keys_of_this_layout_are_not_migrated_without_their_marks(
    redis_servers: Callable[[int], list[RedisServer]], gone: tuple[str, ...]
) -> None:
    (server,) = redis_servers(1)
    with closing(open_store(f"redis://127.0.0.1:{server.port}/0?timeout=1s", SystemClock())) as store:
        due_ns = SystemClock().wall_ns()
        store.register([JobRecord("sync", "t", "s/sync", "o", "s", SECOND, SECOND, None, None)])
        for token, job in enumerate(("sync", "mop", "left")):
            lease = LeaseAsk(f"s/{job}", "o", "s", f"token {token}", 60 * SECOND, job, f"run {token}")
            claim = ClaimAsk(lease, due_ns)
            answer = store.claim(claim)
            assert isinstance(answer, Claimed)
            if job != "left":
                store.settle(Settlement(lease.untrusted(answer.fence), "s", job, due_ns, lease.run_id, "success"))
        open_claims = server.say("ZRANGE", "{tickglass}:open", "0", "-1")
        before = [(run.run_id, run.outcome) for run in store.runs()]
        assert server.say("DEL", *(f"{{tickglass}}:{name}" for name in gone)) == len(gone)
        store.register([JobRecord("sync", "t", "s/sync", "o", "s", SECOND, SECOND, None, None)])
        assert [(run.run_id, run.outcome) for run in store.runs()] == before
        assert server.say("ZRANGE", "{tickglass}:open", "0", "-1") == open_claims
        assert server.say("GET", "{tickglass}:layout") == "2"
    assert len(before) == len(open_claims) + 2 == 3


@pytest.mark.parametrize("key", ["fences", "jobs", "ledgers"])
def test_keys_of_layout_1_without_most_lists_are_still_migrated(
    redis_servers: Callable[[int], list[RedisServer]], key: str
) -> None:
    (server,) = redis_servers(1)
    redis_of_layout_1(server)
    lists = {"fences", "jobs", "ledgers"} - {key}
    assert server.say("DEL", *(f"{{tickglass}}:{name}" for name in lists)) == len(lists)
    migrated(server)
    assert server.say("KEYS", "{tickglass}:1:*") == []


def test_a_migration_goes_on_without_the_marks(redis_servers: Callable[[int], list[RedisServer]]) -> None:
    server, whole = redis_servers(2)
    redis_of_layout_1(server)
    redis_of_layout_1(whole)
    for old in ("jobs", "ledgers"):  # as far as a migration comes in its first step
        server.say("RENAME", f"{{tickglass}}:{old}", f"{{tickglass}}:1:{old}")
    server.say("RENAME", "{tickglass}:fences", "{tickglass}:fence")
    server.say("DEL", "{tickglass}:runs", "{tickglass}:open")
    jobs, runs, layout = migrated(server)
    all_jobs, all_runs, _ = migrated(whole)
    assert layout == "2"
    assert jobs == all_jobs
    assert [it.run_id for it in runs] == [it.run_id for it in all_runs]
