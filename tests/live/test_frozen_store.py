"""A Redis that stands still and goes on does, late, what it was asked meanwhile: nobody is held up by that."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tickglass import Lock, Scheduler, StoreUnavailable, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.events import LockMoved, OccurrenceMoved, StoreCalled
from tickglass.sched.identity import JobId
from tickglass.sched.stores import open_store
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import RedisServer

from tickglass.sched.events import Event

TTL = "1h"  # longer than any test: what is not taken back is in the way until its end


@contextmanager
def running(url: str, home: Path, on_outage: str) -> Iterator[ListSink]:
    """Run a job every 300 ms, and tell what becomes of it."""
    told = ListSink()
    scheduler = Scheduler(url, owner="n1", service="live", sinks={"told": told}, spool=home / "spool")
    scheduler.add(lambda: None, every("300ms"), name="tick", ttl=TTL, misfire_grace="5s", on_outage=on_outage)  # type: ignore[arg-type]
    with scheduler:
        yield told


def ended(told: ListSink, count: int, after_ns: int) -> None:
    """Wait until so many occurrences that fell due after an instant have ended well."""

    def fits(event: Event) -> bool:
        return isinstance(event, OccurrenceMoved) and event.due_ns > after_ns and event.outcome == "success"

    told.wait_for(fits, count=count, patience_s=30)


@pytest.mark.parametrize("on_outage", ["run", "skip"])
@pytest.mark.parametrize("unheard", ["claim", "settlement"])
def test_after_a_freeze_the_next_occurrences_run_and_each_has_one_outcome(
    own_redis: Callable[..., RedisServer], tmp_path: Path, on_outage: str, unheard: str
) -> None:
    server, clock = own_redis(), SystemClock()
    url = f"redis://127.0.0.1:{server.port}/0?timeout=100ms"
    with running(url, tmp_path, on_outage) as told:
        ended(told, 2, 0)
        if unheard == "claim":  # and no settlement is under way, and nothing else is asked before it
            told.wait_for(lambda e: isinstance(e, LockMoved) and e.event == "released", count=3, patience_s=30)
            looks = sum(looked(event) for event in told.events)
            told.wait_for(looked, count=looks + 1, patience_s=30)
        frozen_ns = clock.wall_ns()
        server.kill(signal.SIGSTOP)
        told.wait_for(lambda e: isinstance(e, OccurrenceMoved) and gives_up(e), patience_s=30)
        server.kill(signal.SIGCONT)
        thawed_ns = clock.wall_ns()
        ended(told, 5, thawed_ns)
    refused = [it for it in told.of(OccurrenceMoved) if it.before == "claiming" and it.reason == "overlap"]
    assert not refused, [(it.due_ns - thawed_ns) / SECOND for it in refused]
    store = open_store(url, clock)
    rows = {run.due_ns: run for run in store.runs(JobId("live", "tick"))}
    store.close()
    ends = {it.due_ns: it.outcome for it in told.of(OccurrenceMoved) if it.event == "ended"}
    assert {due_ns: run.outcome for due_ns, run in rows.items()} == {due_ns: ends[due_ns] for due_ns in rows}
    assert {run.attempt for run in rows.values()} == {1}
    if unheard == "claim":
        (gave_up, *_) = (it for it in told.of(OccurrenceMoved) if gives_up(it) and it.due_ns > frozen_ns)
        assert rows[gave_up.due_ns].outcome == ("success" if on_outage == "run" else "skipped")


def looked(event: Event) -> bool:
    return isinstance(event, StoreCalled) and event.operation == "control"


def gives_up(move: OccurrenceMoved) -> bool:
    return move.event == "started_unclaimed" or move.reason == "store_unavailable"


def test_after_a_freeze_a_lock_that_was_given_up_is_had_at_once(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis()
    lock = Lock(f"redis://127.0.0.1:{server.port}/0?timeout=100ms", "ledger", ttl=TTL, blocking=False)
    with lock as lease:
        first = lease.fence
    server.kill(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable):
        lock.acquire()
    server.kill(signal.SIGCONT)
    with lock as lease:
        assert lease.fence > first
