"""What is due together is claimed together, started in turn, and settled together; what is slow delays nothing else."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from kit.rig import Rig, wait_until

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.running.settlement import GROUPED_NS
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import LockMoved, OccurrenceMoved, StoreCalled
from tickglass.sched.identity import JobId
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.ports import ClaimAsk, Settled, Settlement

JOBS = 10
EVERY = every("10s")
DOWN = StoreUnavailable("memory", "settle_many", "gone")


def nothing() -> None: ...


def names() -> list[str]:
    return [f"job {number}" for number in range(JOBS)]


def ran_once(rig: Rig) -> None:
    """Have all jobs run once, so that their runs are known to be short."""
    for name in names():
        rig.add(nothing, EVERY, name=name)
    rig.advance(10 * SECOND)
    all_free(rig)
    rig.sink.events.clear()


def all_free(rig: Rig) -> None:
    wait_until(lambda: not rig.dispatcher.assignments())


def calls(rig: Rig) -> Counter[str]:
    return Counter(call.operation for call in rig.sink.of(StoreCalled))


def outcomes(rig: Rig) -> Counter[str | None]:
    return Counter(move.outcome for move in rig.sink.of(OccurrenceMoved) if move.event == "ended")


def handed_over(rig: Rig) -> None:
    """Let the timeline hand the next occurrences over, a lead before they are due, and wait until they are claimed."""
    lead_ns = rig.dispatcher.lead_time.now_ns
    rig.advance(10 * SECOND - lead_ns)
    rig.lock_event("granted", JOBS)
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(lead_ns)


def test_what_is_due_together_takes_one_request_to_claim_and_few_to_settle(rig: Rig) -> None:
    ran_once(rig)
    handed_over(rig)
    all_free(rig)
    assert outcomes(rig) == {"success": JOBS}
    asked = calls(rig)
    assert (asked["claim_many"], asked["claim"]) == (1, 0)
    assert asked["settle_many"] + asked["settle"] <= JOBS // 2
    assert {run.outcome for name in names() for run in rig.store.runs(JobId("svc", name))} == {"success"}
    assert rig.store.leases() == []


def test_each_of_a_batch_is_answered_by_itself(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is claimed elsewhere, one fails alone and is asked for again, and the others run."""
    ran_once(rig)
    claim_many = rig.store.claim_many

    def answers(asks: Sequence[ClaimAsk]) -> Sequence[object]:
        monkeypatch.setattr(rig.store, "claim_many", claim_many)
        given = list(claim_many([asks[0], *asks[2:]]))
        return [given[0], StoreUnavailable("memory", "claim", "this one"), *given[1:]]

    monkeypatch.setattr(rig.store, "claim_many", answers)
    rig.advance(10 * SECOND)
    rig.sink.wait_for(lambda event: isinstance(event, OccurrenceMoved) and event.event == "ended", count=JOBS - 1)
    rig.clock.advance(SECOND)  # the one that failed asks again after a pause
    all_free(rig)
    assert outcomes(rig) == {"success": JOBS}


def test_a_batch_that_gets_no_answer_is_asked_again_and_each_lease_is_renewed_before_it_is_trusted(rig: Rig) -> None:
    ran_once(rig)
    rig.store.unheard["claim"] = StoreUnavailable("memory", "claim_many", "the answer was lost")
    rig.advance(10 * SECOND)
    rig.sink.wait_for(lambda e: isinstance(e, StoreCalled) and e.operation == "claim_many")
    rig.store.unheard.clear()
    rig.clock.wait_for_sleepers(1)
    rig.clock.advance(SECOND)
    all_free(rig)
    assert outcomes(rig) == {"success": JOBS}
    assert calls(rig)["renew"] == JOBS
    assert {run.attempt for name in names() for run in rig.store.runs(JobId("svc", name))} == {1}


def test_a_run_that_turns_out_to_be_long_keeps_none_of_its_batch(rig: Rig) -> None:
    """A worker that watches goes on with the others."""
    go_on, began = threading.Event(), threading.Event()
    slow = False

    def first() -> None:
        if slow:
            began.set()
            go_on.wait(10)

    rig.add(first, EVERY, name="first")
    ran_once(rig)
    slow = True
    rig.sink.events.clear()
    lead_ns = rig.dispatcher.lead_time.now_ns
    rig.advance(10 * SECOND - lead_ns)
    rig.lock_event("granted", JOBS + 1)
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(lead_ns)
    assert began.wait(10)

    def others_ended() -> bool:
        rig.clock.advance(MS)  # the watcher looks
        return outcomes(rig) == {"success": JOBS}

    wait_until(others_ended)
    go_on.set()
    all_free(rig)
    assert outcomes(rig) == {"success": JOBS + 1}


def test_an_outcome_does_not_wait_for_a_long_run_that_was_started_after_it() -> None:
    rig = Rig(workers=1)
    go_on, began = threading.Event(), threading.Event()
    slow = False

    def second() -> None:
        if slow:
            began.set()
            go_on.wait(10)

    rig.add(nothing, EVERY, name="first")
    rig.add(second, EVERY, name="second")
    rig.advance(10 * SECOND)
    all_free(rig)
    slow = True
    rig.advance(10 * SECOND)
    assert began.wait(10)
    rig.clock.advance(GROUPED_NS)  # its outcome may have waited for others until now
    rig.free("first")
    assert rig.dispatcher.busy("second")
    go_on.set()
    rig.close()


@pytest.mark.parametrize("heals", [True, False])
def test_outcomes_that_fail_are_asked_for_again_together_and_hold_up_no_other(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, heals: bool
) -> None:
    ran_once(rig)
    settle_many, broken, asked = rig.store.settle_many, set(names()[:4]), list[list[str]]()

    def answers(settlements: Sequence[Settlement]) -> Sequence[Settled | StoreUnavailable]:
        failing = [it.job for it in settlements if it.job in broken]
        asked.append(failing)
        if len(failing) == len(settlements):
            raise DOWN
        answered = iter(settle_many([it for it in settlements if it.job not in broken]))
        return [DOWN if it.job in broken else next(answered) for it in settlements]

    monkeypatch.setattr(rig.store, "settle_many", answers)
    monkeypatch.setattr(rig.store, "settle", lambda settlement: answers([settlement])[0])
    handed_over(rig)
    wait_until(lambda: len(rig.dispatcher.assignments()) == len(broken))  # while the clock stands still
    assert outcomes(rig) == {"success": JOBS}
    failing = set(broken)
    if heals:
        broken.clear()

    def turned() -> bool:
        rig.clock.advance(100 * MS)
        return not rig.dispatcher.assignments()

    wait_until(turned)
    tries = Counter(job for jobs in asked for job in jobs)
    assert tries == dict.fromkeys(failing, 1 if heals else 4)
    assert sum(1 for jobs in asked if jobs) < tries.total() or heals
    written = {name for name in names() if rig.store.runs(JobId("svc", name), 1)[0].outcome == "success"}
    assert written == (set(names()) if heals else set(names()) - failing)


def test_a_group_that_the_store_never_takes_ends_each_of_its_runs(rig: Rig) -> None:
    ran_once(rig)
    rig.store.broken["settle"] = DOWN
    handed_over(rig)
    rig.sink.wait_for(lambda event: isinstance(event, OccurrenceMoved) and event.event == "ended", count=JOBS)

    def given_up() -> bool:
        rig.clock.advance(100 * MS)
        return not rig.dispatcher.assignments()

    wait_until(given_up)
    assert outcomes(rig) == {"success": JOBS}
    assert [move.event for move in rig.sink.of(LockMoved)].count("expired") == JOBS


def test_a_bug_in_one_of_a_batch_ends_that_one_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    ran_once(rig)
    claim_many = rig.store.claim_many

    def answers(asks: Sequence[ClaimAsk]) -> Sequence[object]:
        return [RuntimeError("a bug"), *list(claim_many(asks))[1:]]

    monkeypatch.setattr(rig.store, "claim_many", answers)
    rig.advance(10 * SECOND)
    all_free(rig)
    assert outcomes(rig) == {"success": JOBS - 1, "skipped": 1}


def test_a_job_that_names_its_resource_gives_it_back_at_once() -> None:
    """Another job may wait for it."""
    rig = Rig(workers=1)
    order: list[str] = []
    for name in ("first", "second"):
        rig.add(partial(order.append, name), EVERY, name=name, resource="printer")
    for _ in range(2):
        rig.advance(10 * SECOND)
        all_free(rig)
    assert sorted(order) == ["first", "first", "second", "second"]
    rig.close()


@pytest.mark.parametrize("reason", ["shutdown", "lost"])
def test_a_claimed_run_that_is_asked_to_stop_before_it_is_due_ends_at_once(rig: Rig, reason: str) -> None:
    ran_once(rig)
    lead_ns = rig.dispatcher.lead_time.now_ns
    rig.advance(10 * SECOND - lead_ns)
    rig.lock_event("granted", JOBS)
    rig.dispatcher.ask_all_to_stop(reason)
    all_free(rig)
    assert outcomes(rig) == {"cancelled" if reason == "shutdown" else "lost": JOBS}


def test_a_run_leaves_nothing_to_the_collector_of_garbage(rig: Rig) -> None:
    ran_once(rig)
    gc.collect()
    gc.disable()
    try:
        handed_over(rig)
        all_free(rig)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(it).__name__ for it in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()
    assert not {"Assignment", "Execution", "PendingClaim", "OccurrenceMachine", "LockMachine", "Run"} & left.keys()
