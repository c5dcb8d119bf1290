"""What a sweep does, and what it does not stop at: broken spools, orphans whose outcome is known, a stop."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.clock import ClockDiscipline, ThreadDelay
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.engine.recovery.sweeper import Sweeper
from tickglass.sched.engine.running.outbox import Outbox
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClockDisciplineRead, OccurrenceMoved, SpoolMoved, ThreadDelayed
from tickglass.sched.identity import JobId
from tickglass.sched.job import declare
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, LeaseAsk, Settlement, SpooledOutcome
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from pathlib import Path

    from kit.rig import Rig

DOWN = StoreUnavailable("memory", "settle", "the answer was lost")


def _sweeper(rig: Rig, spool: SqliteSpool | None = None, *, rerun_orphaned: bool = True) -> Sweeper:
    job = declare(lambda: None, every("60s"), service="svc", name="job", ttl="10s", rerun_orphaned=rerun_orphaned)
    context = rig.context if spool is None else replace(rig.context, spool=spool, sink=rig.sink)
    rig.dispatcher.outbox = Outbox(context)
    return Sweeper(context, rig.planner, rig.dispatcher, rig.skew, JobTable([job]))


def _orphan(rig: Rig, resource: str = "job") -> ClaimAsk:
    ask = ClaimAsk(LeaseAsk(resource, "dead", "svc", "t", SECOND, "job", "0" * 32), 1)
    assert isinstance(rig.store.claim(ask), Claimed)
    rig.clock.advance(2 * SECOND)
    return ask


def _outcome(run_id: str) -> SpooledOutcome:
    return SpooledOutcome(Settlement(Lease("r", "a", "t", 1, SECOND, 0), "svc", "other", 1, run_id, "success"))


def test_a_spool_that_cannot_be_read_does_not_keep_orphans_from_being_found(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("this is no database, and long enough to be told from an empty one" * 20)
    _orphan(rig)
    _sweeper(rig, SqliteSpool(tmp_path / "spool", "s")).sweep()
    assert rig.ended_after_turning("job").outcome == "success"


def test_an_outcome_that_cannot_be_read_is_dropped_and_counted_and_the_next_is_written(
    rig: Rig, tmp_path: Path
) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s")
    spool.put(_outcome("first"))
    spool.put(_outcome("second"))
    with sqlite3.connect(tmp_path / "spool") as connection:
        connection.execute('UPDATE outcomes SET outcome = \'{"of": "another version"}\' WHERE number = 1')
    connection.close()
    _sweeper(rig, spool).sweep()
    assert [(move.move, move.run_id, move.depth) for move in rig.sink.of(SpoolMoved)] == [
        ("dropped", "", 1),
        ("overtaken", "second", 0),
    ]


@pytest.mark.parametrize("rerun", [True, False])
def test_a_claim_whose_outcome_waits_in_the_spool_is_not_abandoned(rig: Rig, tmp_path: Path, *, rerun: bool) -> None:
    sweeper = _sweeper(rig, SqliteSpool(tmp_path / "spool", "s"), rerun_orphaned=rerun)
    ask = _orphan(rig)
    settlement = Settlement(Lease("svc/job", "dead", "t", 1, SECOND, 0), "svc", "job", 1, ask.lease.run_id, "success")
    rig.dispatcher.outbox.put(SpooledOutcome(settlement))
    rig.store.broken["settle"] = DOWN
    sweeper.sweep()
    rig.timeline.tick()
    assert rig.sink.of(OccurrenceMoved) == []
    rig.store.broken.clear()
    sweeper.sweep()
    assert [(run.attempt, run.outcome) for run in rig.store.runs(JobId("svc", "job"))] == [(1, "success")]


def test_a_run_that_ends_while_orphans_are_sought_is_not_run_again(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its execution settles in vain, its lease has ended: the claim looks abandoned until the spool has the outcome."""
    sweeper = _sweeper(rig, SqliteSpool(tmp_path / "spool", "s"))
    ask = _orphan(rig)
    settlement = Settlement(Lease("svc/job", "dead", "t", 1, SECOND, 0), "svc", "job", 1, ask.lease.run_id, "success")
    run_ids = rig.dispatcher.outbox.run_ids

    def ended_then() -> set[str]:
        read = run_ids()
        monkeypatch.setattr(rig.dispatcher, "busy", lambda _: False)
        rig.dispatcher.outbox.put(SpooledOutcome(settlement))
        return read

    monkeypatch.setattr(rig.dispatcher, "busy", lambda _: True)
    monkeypatch.setattr(rig.dispatcher.outbox, "run_ids", ended_then)
    sweeper.sweep()
    rig.timeline.tick()
    assert rig.sink.of(OccurrenceMoved) == []


def test_a_stop_does_not_wait_until_all_of_a_long_spool_is_written(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s")
    for number in range(50):
        spool.put(_outcome(str(number)))
    sweeper, settle = _sweeper(rig, spool), rig.store.settle

    def stopping(settlement: Settlement) -> object:
        sweeper.stop()
        return settle(settlement)

    monkeypatch.setattr(rig.store, "settle", stopping)
    sweeper.sweep()
    assert spool.depth() == 49


def test_an_orphan_whose_resource_is_held_waits_without_an_outcome(rig: Rig) -> None:
    _orphan(rig, "shared")
    by_hand = LeaseAsk("svc/job", "somebody", "svc", "by hand", 30 * SECOND)
    granted = rig.store.acquire(by_hand)
    assert isinstance(granted, Granted)
    sweeper = _sweeper(rig)
    for _ in range(3):
        sweeper.sweep()
        rig.timeline.tick()
    assert rig.sink.of(OccurrenceMoved) == []
    rig.store.release(Lease("svc/job", "somebody", by_hand.token, granted.fence, 30 * SECOND, 0))
    sweeper.sweep()
    assert rig.ended_after_turning("job").attempt == 2


def test_a_sweep_reports_how_the_clock_is_kept_also_while_the_store_is_away(rig: Rig) -> None:
    sweeper = _sweeper(rig)
    sweeper.sweep()
    assert rig.sink.of(ClockDisciplineRead) == []  # this machine does not say
    rig.clock.disciplined = ClockDiscipline(
        synchronised=False, offset_ns=None, frequency_ratio=3e-6, max_error_ns=16 * SECOND, estimated_error_ns=1
    )
    rig.store.broken["time_ns"] = DOWN
    sweeper.sweep()
    assert rig.sink.of(ClockDisciplineRead) == [
        ClockDisciplineRead(
            synchronised=False,
            offset_ns=None,
            frequency_ratio=3e-6,
            max_error_ns=16 * SECOND,
            estimated_error_ns=1,
            wall_ns=rig.clock.wall_ns(),
        )
    ]


def test_sweeps_report_why_threads_are_late_at_most_once_a_second(rig: Rig) -> None:
    sweeper = _sweeper(rig)
    rig.clock.delayed = ThreadDelay(core_ns=7, interpreter_ns=9)
    sweeper.sweep()
    rig.clock.advance(SECOND - 1)
    sweeper.sweep()
    assert rig.sink.of(ThreadDelayed) == [ThreadDelayed(core_ns=7, interpreter_ns=9)]
    rig.clock.advance(1)
    sweeper.sweep()
    assert len(rig.sink.of(ThreadDelayed)) == 2
    rig.clock.delayed = None
    rig.clock.advance(SECOND)
    sweeper.sweep()
    assert len(rig.sink.of(ThreadDelayed)) == 2
