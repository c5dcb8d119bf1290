"""Keys of layout 1 of which a person deleted some are migrated without them: the migration ends, and others stay."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kit.old_layouts import redis_of_layout_1

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import JobRecord
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
