"""An outcome that could not be written at once is written later, in order, and never twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.context import NoSpool
from tickglass.sched.engine.running.outbox import Outbox
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import SpoolMoved
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settlement, SpooledOutcome
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.sched.triggers import every
from tickglass.telemetry.endpoint.exposition import encode

if TYPE_CHECKING:
    from pathlib import Path

    from kit.rig import Rig

    from tickglass.sched.ports import Spool
    from tickglass.sched.run import Run


def ask(due_ns: int, owner: str = "a", resource: str = "r") -> ClaimAsk:
    run_id = f"{ord(owner):02x}{due_ns:030x}"
    return ClaimAsk(LeaseAsk(resource, owner, "svc", f"token-{due_ns}-{owner}", 30 * SECOND, "job", run_id), due_ns)


def settlement(wish: ClaimAsk, fence: int) -> Settlement:
    lease = Lease(wish.lease.resource, "a", wish.lease.token, fence, 30 * SECOND, 0)
    return Settlement(lease, "svc", "job", wish.due_ns, wish.lease.run_id, "success")


def claimed(rig: Rig, due_ns: int, resource: str = "r") -> Settlement:
    wish = ask(due_ns, resource=resource)
    answer = rig.store.claim(wish)
    assert isinstance(answer, Claimed)
    return settlement(wish, answer.fence)


def outbox(rig: Rig, spool: Spool) -> Outbox:
    return Outbox(replace(rig.context, spool=spool, sink=rig.sink))


def moves(rig: Rig) -> list[tuple[str, int]]:
    return [(move.move, move.depth) for move in rig.sink.of(SpoolMoved)]


def test_an_outcome_is_written_when_the_store_answers_again(rig: Rig, tmp_path: Path) -> None:
    renewer = outbox(rig, SqliteSpool(tmp_path / "spool", "s"))
    renewer.put(SpooledOutcome(claimed(rig, 1)))
    assert rig.store.runs(JobId("svc", "job"))[0].outcome is None
    renewer.flush()
    renewer.flush()
    assert rig.store.runs(JobId("svc", "job"))[0].outcome == "success"
    assert moves(rig) == [("spooled", 1), ("written", 0)]


def test_the_rest_stays_in_order_when_the_store_stops_answering(rig: Rig, tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s")
    renewer = outbox(rig, spool)
    first, second = claimed(rig, 1), ask(2)
    renewer.put(SpooledOutcome(first))
    renewer.put(SpooledOutcome(settlement(second, 0), unclaimed=second))
    rig.store.broken["claim"] = StoreUnavailable("memory", "claim", "gone")
    with pytest.raises(StoreUnavailable):
        renewer.flush()
    assert [one.settlement.due_ns for _, one in spool.oldest(9) if one] == [2]
    del rig.store.broken["claim"]
    renewer.flush()
    assert [(run.due_ns, run.outcome) for run in rig.store.runs(JobId("svc", "job"))] == [
        (2, "success"),
        (1, "success"),
    ]


def test_a_claim_that_was_taken_over_meanwhile_is_not_written_over(rig: Rig, tmp_path: Path) -> None:
    renewer = outbox(rig, SqliteSpool(tmp_path / "spool", "s"))
    renewer.put(SpooledOutcome(claimed(rig, 1)))
    rig.clock.advance(31 * SECOND)
    other = ClaimAsk(LeaseAsk("r", "b", "svc", "token-b", 30 * SECOND, "job", "b" * 32), 1)
    assert isinstance(rig.store.claim(other), Claimed)
    renewer.flush()
    assert moves(rig)[-1] == ("overtaken", 0)
    assert rig.store.runs(JobId("svc", "job"))[0].outcome is None  # still b's to settle


def test_a_run_without_a_claim_that_somebody_else_ran_too_is_told_apart(rig: Rig, tmp_path: Path) -> None:
    renewer = outbox(rig, SqliteSpool(tmp_path / "spool", "s"))
    theirs = claimed(rig, 1)
    rig.store.settle(theirs)
    wish = ask(1, owner="z")
    renewer.put(SpooledOutcome(settlement(wish, 0), unclaimed=wish))
    renewer.flush()
    assert moves(rig)[-1] == ("overtaken", 0)
    assert len(rig.store.runs(JobId("svc", "job"))) == 1


@pytest.mark.parametrize("ahead", [True, False])
def test_an_outcome_that_waited_in_the_spool_says_how_long_the_run_took(
    rig: Rig, tmp_path: Path, *, ahead: bool
) -> None:
    """By then somebody has set the clock, and half a minute has passed."""
    rig.use_spool(SqliteSpool(tmp_path / "spool", "s"))
    rig.store.broken["claim" if ahead else "settle"] = StoreUnavailable("memory", "settle", "gone")
    rig.add(
        lambda: rig.clock.advance(250 * MS),
        every("60s"),
        name="job",
        on_outage="run" if ahead else "skip",
        misfire_grace="10s",
    )
    rig.advance(60 * SECOND)
    for count, pause in enumerate((100 * MS, 300 * MS, 800 * MS), start=1):
        rig.asleep("claim" if ahead else "settle", count)
        rig.clock.advance(pause)
    rig.free("job")
    rig.store.broken.clear()
    rig.clock.step(5 * SECOND)
    rig.clock.advance(30 * SECOND)
    rig.dispatcher.outbox.flush()
    (run,) = rig.store.runs(JobId("svc", "job"))
    assert run.started_wall_ns is not None
    assert run.ended_wall_ns == run.started_wall_ns + 250 * MS


@pytest.mark.parametrize("claimed_first", [True, False])
def test_an_outcome_that_was_written_unheard_is_not_overtaken_by_itself(
    rig: Rig, tmp_path: Path, *, claimed_first: bool
) -> None:
    renewer, wish = outbox(rig, SqliteSpool(tmp_path / "spool", "s")), ask(1)
    unclaimed = SpooledOutcome(settlement(wish, 0), unclaimed=wish)
    renewer.put(SpooledOutcome(claimed(rig, 1)) if claimed_first else unclaimed)
    rig.store.unheard["settle"] = StoreUnavailable("memory", "settle", "the answer was lost")
    with pytest.raises(StoreUnavailable):
        renewer.flush()
    rig.store.unheard.clear()
    rig.clock.advance(31 * SECOND)
    renewer.flush()
    assert moves(rig) == [("spooled", 1), ("written", 0)]
    assert [run.outcome for run in rig.store.runs(JobId("svc", "job"))] == ["success"]


def test_while_the_resource_is_held_a_run_without_a_claim_waits_in_the_spool(rig: Rig, tmp_path: Path) -> None:
    renewer = outbox(rig, SqliteSpool(tmp_path / "spool", "s"))
    rig.store.acquire(LeaseAsk("r", "b", "svc", "by-hand", 30 * SECOND))
    wish = ask(1)
    renewer.put(SpooledOutcome(settlement(wish, 0), unclaimed=wish))
    renewer.flush()
    assert moves(rig) == [("spooled", 1)]
    rig.clock.advance(31 * SECOND)
    renewer.flush()
    assert moves(rig)[-1] == ("written", 0)


def test_what_waits_for_a_resource_holds_up_nobody_else(rig: Rig, tmp_path: Path) -> None:
    renewer = outbox(rig, SqliteSpool(tmp_path / "spool", "s"))
    rig.store.acquire(LeaseAsk("r", "b", "svc", "by-hand", 30 * SECOND))
    for due_ns in range(1, 102):  # more than are read at a time
        renewer.put(SpooledOutcome(settlement(ask(due_ns), 0), unclaimed=ask(due_ns)))
    other = claimed(rig, 200, resource="other")
    renewer.put(SpooledOutcome(other))
    renewer.flush()
    assert [(run.resource, run.outcome) for run in rig.store.runs(JobId("svc", "job"))] == [("other", "success")]
    assert moves(rig)[-1] == ("written", 101)


def test_a_claim_whose_outcome_waits_too_is_ended_first_and_what_waited_for_its_resource_follows_in_order(
    rig: Rig, tmp_path: Path
) -> None:
    asked: list[int] = []
    renewer = outbox(rig, SqliteSpool(tmp_path / "spool", "s"))
    holding = claimed(rig, 3)
    claim = rig.store.claim

    def heard(wish: ClaimAsk) -> object:
        asked.append(wish.due_ns)
        return claim(wish)

    rig.store.claim = heard  # type: ignore[assignment,method-assign]
    for due_ns in (1, 2):
        renewer.put(SpooledOutcome(settlement(ask(due_ns), 0), unclaimed=ask(due_ns)))
    renewer.put(SpooledOutcome(holding))
    renewer.put(SpooledOutcome(settlement(ask(4), 0), unclaimed=ask(4)))
    renewer.flush()
    assert asked == [1, 1, 2, 4]
    assert [move.run_id for move in rig.sink.of(SpoolMoved) if move.move == "written"] == [
        ask(due_ns).lease.run_id for due_ns in (3, 1, 2, 4)
    ]
    assert moves(rig)[-1] == ("written", 0)


@pytest.mark.parametrize("kind", ["none", "full", "broken"])
def test_what_the_spool_cannot_hold_is_counted_as_dropped(rig: Rig, tmp_path: Path, kind: str) -> None:
    spools: dict[str, Spool] = {
        "none": NoSpool(),
        "full": SqliteSpool(tmp_path / "spool", "s", outcomes_max=0),
        "broken": SqliteSpool(tmp_path / "missing" / "spool", "s"),
    }
    outbox(rig, spools[kind]).put(SpooledOutcome(claimed(rig, 1)))
    assert moves(rig) == [("dropped", 0)]


# --- jobs that go ahead


def test_a_job_that_opted_in_runs_without_a_claim_and_the_ledger_hears_of_it_later(rig: Rig, tmp_path: Path) -> None:
    seen: list[tuple[int, bool, float]] = []
    rig.use_spool(SqliteSpool(tmp_path / "spool", "s"))
    rig.store.broken["claim"] = StoreUnavailable("memory", "claim", "gone")

    def look(run: Run) -> None:
        seen.append((run.fence, run.cancelled, run.remaining()))

    rig.add(look, every("10s"), name="job", on_outage="run")
    rig.advance(10 * SECOND)
    for count, pause in enumerate((100 * MS, 300 * MS, 800 * MS), start=1):
        rig.asleep("claim", count)
        rig.clock.advance(pause)
    (end,) = rig.ended("job")
    rig.free("job")
    assert (end.outcome, end.fence, end.attempt) == ("success", 0, 1)
    ((fence, cancelled, remaining),) = seen
    assert (fence, cancelled) == (0, False)
    assert remaining > 10**6
    assert not rig.store.runs(JobId("svc", "job"))
    del rig.store.broken["claim"]
    rig.dispatcher.outbox.flush()
    (run,) = rig.store.runs(JobId("svc", "job"))
    assert (run.outcome, run.due_ns) == ("success", end.due_ns)
    assert shown(rig, 'tickglass_job_unclaimed_runs_total{job_name="job"}') == 1
    assert shown(rig, 'tickglass_spool_outcomes_total{move="written"}') == 1
    assert shown(rig, "tickglass_spool_depth") == 0


def test_beyond_the_skew_nothing_is_started_and_it_is_said_why(rig: Rig) -> None:
    rig.add(lambda: None, every("1s"), name="job")
    rig.skew.note(1_500 * MS, 400 * MS)
    assert rig.skew.reason() == "our clock is at least 1.100 s from the store's, and 1s is allowed"
    rig.advance(SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("skipped", "skew")
    rig.skew.note(1_500 * MS, 600 * MS)  # it may be as little as 0.9 s
    assert rig.skew.reason() is None
    rig.advance(SECOND)
    assert rig.ended("job", 2)[1].outcome == "success"


def shown(rig: Rig, series: str) -> float:
    text = encode(rig.metrics.registry, "")[1].decode()
    (line,) = [line for line in text.splitlines() if line.startswith(series + " ")]
    return float(line.split()[-1])
