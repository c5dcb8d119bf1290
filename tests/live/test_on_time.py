"""By the machine's clock, and with a store that is some way off: runs start when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from chaos.proxy import Proxy
from kit.processes import wait_until

from tickglass import Run, Scheduler, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.telemetry.thresholds import ON_TIME_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.servers import RedisServer

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py

EACH_WAY_S: Final = 0.010  # a round trip is longer than a start may be late
STRETCH: Final = 10  # runs in a row
SOME: Final = 3  # of them: on a busy machine most may be late; with the round trip in its way, every one would be


def test_runs_start_on_time_and_never_early_though_each_claim_takes_twenty_milliseconds(
    redis_servers: Callable[[int], list[RedisServer]], tmp_path: Path
) -> None:
    (server,) = redis_servers(1)
    clock, late_ns = SystemClock(), list[int]()

    def tick(run: Run) -> None:
        late_ns.append(clock.wall_ns() - run._due_ns)

    def some_are_on_time() -> bool:
        latest = late_ns[-STRETCH:]
        return len(latest) == STRETCH and sum(late < ON_TIME_S * SECOND for late in latest) >= SOME

    with Proxy() as network:
        link = network.link(server.port)
        link.delay(EACH_WAY_S)
        scheduler = Scheduler(f"redis://127.0.0.1:{link.port}", owner="n1", spool=tmp_path / "spool")
        scheduler.add(tick, every("200ms"))
        with scheduler:
            wait_until(some_are_on_time, "its runs start late")
    assert min(late_ns) > -MS, "a run starts before it is due"  # the wall clock may be slewed by less meanwhile
