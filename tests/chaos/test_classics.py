"""Two ways in which schedulers and locks are known to fail, on every store: skewed clocks, and a paused holder."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from chaos.cluster import Process
from chaos.environments import GROUNDS
from chaos.observer import Witness
from chaos.steering import SteeredClock

from tickglass import Lock, Run, Scheduler, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.events import OccurrenceMoved
from tickglass.sched.identity import JobId
from tickglass.sched.stores import open_store
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.environments import Ground

ENOUGH: Final = 25
PATIENCE_S: Final = 30.0


@pytest.fixture(params=list(GROUNDS))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    with GROUNDS[request.param](tmp_path, 0) as ground:
        yield ground


def test_a_fast_job_and_two_skewed_clocks_run_once(ground: Ground, tmp_path: Path) -> None:
    ran: list[int] = []
    enough = threading.Event()
    sinks = [ListSink(), ListSink()]

    def fast(run: Run) -> None:
        ran.append(run._due_ns)
        if len(ran) >= ENOUGH:
            enough.set()

    with ExitStack() as running:
        for number, skew_ns in enumerate((0, 300 * MS)):
            scheduler = Scheduler(
                ground.direct_url,
                owner=f"n{number}",
                spool=tmp_path / f"spool-{number}",
                sinks={"l": sinks[number]},
                clock=SteeredClock(skew_ns),
            )
            scheduler.add(fast, every("100ms"), misfire_grace="2s")
            running.enter_context(scheduler)
        assert enough.wait(PATIENCE_S)
        elsewhere = lambda event: isinstance(event, OccurrenceMoved) and event.outcome == "elsewhere"  # noqa: E731
        sinks[0].wait_for(elsewhere, count=ENOUGH // 2)  # what the fast clock ran came up again, and was refused
    assert Counter(ran).most_common(1)[0][1] == 1
    store = open_store(ground.direct_url, SystemClock())
    runs = store.runs(JobId("default", "fast"), 1_000)
    store.close()
    assert sorted(run.due_ns for run in runs if run.outcome == "success") == sorted(ran)
    assert {(run.attempt, run.outcome) for run in runs} <= {(1, "success"), (1, "missed")}  # by a busy machine


def test_a_paused_holder_does_not_write(ground: Ground, tmp_path: Path) -> None:
    with ExitStack() as undo:
        socket = tmp_path / "witness.sock"
        referee = Process(undo, tmp_path / "1.errors", "chaos.observer", str(socket), str(tmp_path / "witness.log"))
        referee.ready()
        command = ("chaos.paused", ground.direct_url, str(tmp_path), f"{ground.ttl_ms}ms")
        paused = Process(undo, tmp_path / "2.errors", *command)
        stale = int(paused.hear())
        paused.signal(signal.SIGSTOP)
        with (
            Witness(socket, "heir") as witness,
            Lock(ground.direct_url, "ledger", ttl="30s", wait="20s", owner="heir") as lease,
        ):
            assert lease.fence > stale
            assert witness.write("ledger", lease.fence).accepted
            paused.signal(signal.SIGCONT)
            paused.tell("go on")
            said = [paused.hear() for _ in range(5)]
            assert said == ["False", "lease lost", "False", "1", "1"]
            assert lease.trusted
