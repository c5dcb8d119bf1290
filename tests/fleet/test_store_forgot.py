"""A Redis that is restarted empty under two real schedulers: they register their jobs again, and say what happened."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kit.processes import Fleet, Instance, running_fleet, wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import RedisServer

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path) as fleet:
        yield fleet


def forgot(instance: Instance) -> float:
    return instance.scrape().total("tickglass_store_forgot_total")


def latest_fence(instance: Instance) -> int:
    return max((move.fence for move in instance.occurrences("started")), default=0)


def test_jobs_are_known_again_and_fences_go_on_growing_after_redis_was_restarted_empty(
    fleet: Fleet, own_redis: Callable[..., RedisServer]
) -> None:
    server = own_redis()
    with closing(open_store(server.url, SystemClock())) as store:
        started = [fleet.start("beat", ttl="3s", more={"FLEET_URL": server.url}).running() for _ in range(2)]
        wait_until(lambda: {it.owner for it in store.instances()} == {it.owner for it in started}, "they do not join")
        wait_until(lambda: any(map(latest_fence, started)), "nothing is claimed")
        assert [forgot(it) for it in started] == [0, 0]
        before = max(map(latest_fence, started))
        incarnations = {it.incarnation for it in store.instances()}

        server.restart()

        wait_until(lambda: all(forgot(it) == 1 for it in started), "they do not notice", patience_s=20)
        assert {str(job.job_id) for job in store.jobs()} == {"fleet/beat", "fleet/chime"}
        assert {it.incarnation for it in store.instances()} == incarnations
        wait_until(lambda: max(map(latest_fence, started)) > before, "nothing is claimed any more")
        fences = [(move.job, move.fence) for it in started for move in it.occurrences("started")]
        assert len(fences) == len(set(fences))
        assert [it.stopped() for it in started] == [0, 0]
        assert all("had lost what it held; 2 jobs registered again" in it.errors() for it in started)
        assert {it.state for it in store.instances()} == {"left"}
