"""Runs that do not stop when they are asked to, and runs that cannot start: nothing runs beside itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Final

import pytest
from kit.rig import Rig, wait_until
from prometheus_client import generate_latest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import InstantsSkipped, LockMoved
from tickglass.sched.identity import JobId
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Refused
from tickglass.sched.triggers import at, every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.run import Run

PATIENCE_S: Final = 10.0


class Deaf:
    """A job that returns when the test lets it, whatever it is asked."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.runs: list[Run] = []
        self._entered = threading.Semaphore(0)

    def entered(self) -> None:
        """Wait until one more run is inside: a start is reported just before the code is called."""
        assert self._entered.acquire(timeout=PATIENCE_S)

    def __call__(self, run: Run) -> None:
        self.runs.append(run)
        self._entered.release()
        self.let_go.wait(PATIENCE_S)


@pytest.fixture
def deaf(rig: Rig) -> Iterator[Deaf]:
    job = Deaf()
    yield job
    job.let_go.set()


def lock_events(rig: Rig) -> list[str]:
    return [move.event for move in rig.sink.of(LockMoved)]


def overdue(rig: Rig) -> float:
    """Return what is scraped of `tickglass_job_overdue_runs`."""
    lines = generate_latest(rig.metrics.registry).decode().splitlines()
    return float(next(line for line in lines if line.startswith("tickglass_job_overdue_runs{")).split()[-1])


def renewed(rig: Rig, times: int, *, every_ns: int) -> None:
    """Let time pass until the lease has been renewed so often more."""
    before = lock_events(rig).count("renewed")
    for count in range(1, times + 1):
        rig.clock.wait_for_sleepers(1)
        rig.clock.advance(every_ns)
        rig.lock_event("renewed", before + count)


def asked_elsewhere(rig: Rig, due_ns: int) -> object:
    """Claim an occurrence as another instance would."""
    lease = LeaseAsk("svc/deaf", "other", "svc", "token", 2 * SECOND, job="deaf", run_id="2" * 32)
    return rig.store.claim(ClaimAsk(lease, due_ns))


def test_a_run_past_its_timeout_keeps_its_lease_until_its_code_returns(rig: Rig, deaf: Deaf) -> None:
    rig.add(deaf, every("20s"), name="deaf", timeout="1s", ttl="3s")
    rig.advance(20 * SECOND)
    rig.started("deaf")
    deaf.entered()
    renewed(rig, 12, every_ns=SECOND)
    assert overdue(rig) == 1
    assert deaf.runs[0].cancel_reason == "timeout"
    assert rig.store.orphans([JobId("svc", "deaf")]) == []
    assert isinstance(asked_elsewhere(rig, rig.clock.wall_ns()), Refused)  # nobody starts the next one beside it
    deaf.let_go.set()
    (end,) = rig.ended("deaf")
    assert (end.outcome, end.ran_ns) == ("timeout", 12 * SECOND)
    rig.free("deaf")
    (record,) = rig.store.runs(JobId("svc", "deaf"))
    assert (record.attempt, record.outcome, overdue(rig)) == (1, "timeout", 0)
    assert lock_events(rig)[-1] == "released"
    assert {"expired", "lost"}.isdisjoint(lock_events(rig))


def test_instants_that_fall_due_beside_an_overdue_run_are_overlaps(rig: Rig, deaf: Deaf) -> None:
    rig.add(deaf, every("5s"), name="deaf", timeout="1s", ttl="3s")
    rig.advance(5 * SECOND)
    rig.started("deaf")
    deaf.entered()
    renewed(rig, 5, every_ns=SECOND)
    rig.timeline.tick()
    (skipped,) = rig.sink.of(InstantsSkipped)
    assert (skipped.reason, skipped.count) == ("overlap", 1)


def test_a_coroutine_that_swallows_its_cancellation_keeps_its_lease_as_well(rig: Rig) -> None:
    entered, let_go = threading.Event(), threading.Event()

    async def deaf() -> None:
        entered.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    rig.add(deaf, every("20s"), timeout="1s", ttl="3s")
    rig.advance(20 * SECOND)
    rig.started("deaf")
    assert entered.wait(PATIENCE_S)
    renewed(rig, 6, every_ns=SECOND)
    assert overdue(rig) == 1
    let_go.set()
    (end,) = rig.ended("deaf")
    assert (end.outcome, end.ran_ns) == ("timeout", 6 * SECOND)
    assert {"expired", "lost"}.isdisjoint(lock_events(rig))


def test_a_lock_is_given_up_at_the_timeout_if_the_job_says_so(
    rig: Rig, deaf: Deaf, caplog: pytest.LogCaptureFixture
) -> None:
    rig.add(deaf, every("20s"), name="deaf", timeout="1s", ttl="3s", on_timeout="release")
    due_ns = rig.clock.wall_ns() + 20 * SECOND
    rig.advance(20 * SECOND)
    rig.started("deaf")
    deaf.entered()
    rig.clock.wait_for_sleepers(1)
    with caplog.at_level(logging.WARNING, "tickglass.jobs"):
        rig.clock.advance(SECOND)
        rig.lock_event("released")
        wait_until(lambda: bool(caplog.records))
    assert "its lock on svc/deaf was given up" in caplog.records[0].getMessage()
    (record,) = rig.store.runs(JobId("svc", "deaf"))
    assert record.outcome == "timeout"
    assert asked_elsewhere(rig, due_ns).__class__.__name__ == "AlreadyClaimed"  # not that instant again
    assert isinstance(asked_elsewhere(rig, due_ns + 20 * SECOND), Claimed)  # the next one may run beside it
    (run,) = deaf.runs
    assert (run.cancelled, run.cancel_reason, run.remaining()) == (True, "timeout", 0.0)
    assert (rig.dispatcher.busy("deaf"), overdue(rig)) == (True, 1)
    assert rig.moves("deaf", "ended") == []  # its code goes on, and so it is still in progress here
    deaf.let_go.set()
    rig.free("deaf")
    assert [end.outcome for end in rig.moves("deaf", "ended")] == ["timeout"]
    assert lock_events(rig).count("released") == 1


def test_a_lock_is_given_up_once_if_the_code_returns_in_the_same_moment(rig: Rig, deaf: Deaf) -> None:
    rig.add(deaf, every("20s"), name="deaf", timeout="1s", ttl="3s", on_timeout="release")
    for count in range(1, 6):
        rig.advance(20 * SECOND)
        rig.started("deaf", count)
        deaf.entered()
        rig.clock.wait_for_sleepers(1)
        deaf.let_go.set()
        rig.clock.advance(SECOND)
        rig.free("deaf")
        deaf.let_go.clear()
        assert lock_events(rig).count("released") == count
        assert len(rig.moves("deaf", "ended")) == count


def test_a_lease_that_is_not_renewed_is_given_up_before_it_ends(rig: Rig, deaf: Deaf) -> None:
    rig.add(deaf, every("60s"), name="deaf", timeout="1s", ttl="10s", renew=False)
    rig.advance(60 * SECOND)
    rig.started("deaf")
    deaf.entered()
    rig.clock.wait_for_sleepers(1)
    rig.clock.advance(SECOND)
    rig.clock.wait_for_sleepers(1)
    assert "released" not in lock_events(rig)
    rig.clock.advance(8 * SECOND)
    rig.lock_event("released")
    assert "expired" not in lock_events(rig)
    assert [record.outcome for record in rig.store.runs(JobId("svc", "deaf"))] == ["timeout"]
    assert rig.store.orphans([JobId("svc", "deaf")]) == []


def test_what_outlives_a_run_may_not_act_under_it(rig: Rig) -> None:
    runs: list[Run] = []
    rig.add(runs.append, every("1s"), name="job")
    rig.advance(SECOND)
    rig.free("job")
    (run,) = runs
    assert (run.cancelled, run.cancel_reason, run.remaining()) == (True, "ended", 0.0)
    assert run.wait("1h")


def test_what_outlives_a_run_without_a_claim_may_not_act_either(rig: Rig) -> None:
    runs: list[Run] = []
    rig.store.broken["claim"] = StoreUnavailable("memory", "claim", "gone")
    rig.add(runs.append, every("1s"), name="job", on_outage="run", misfire_grace="50ms")
    rig.advance(SECOND)
    rig.free("job")
    (run,) = runs
    assert (run.fence, run.cancelled, run.remaining()) == (0, True, 0.0)


def test_a_thread_that_waits_under_a_run_wakes_when_it_ends(rig: Rig) -> None:
    woken: list[bool] = []
    threads: list[threading.Thread] = []
    waiting = threading.Event()

    def work(run: Run) -> None:
        def outlive() -> None:
            waiting.set()
            woken.append(run.wait("1h"))

        threads.append(threading.Thread(target=outlive))
        threads[0].start()
        waiting.wait(PATIENCE_S)

    rig.add(work, every("1h"))
    rig.advance(3_600 * SECOND)
    rig.free("work")
    threads[0].join(PATIENCE_S)
    assert woken == [True]


@pytest.fixture
def full() -> Iterator[tuple[Rig, Deaf]]:
    """A pool of one worker, which is busy from the first second on."""
    rig, busy = Rig(workers=1), Deaf()
    rig.add(busy, at("2026-01-01T00:00:01Z"), name="busy")
    rig.advance(SECOND)
    rig.started("busy")
    yield rig, busy
    busy.let_go.set()
    rig.close()


def test_what_a_full_pool_kept_past_its_grace_is_missed(full: tuple[Rig, Deaf]) -> None:
    rig, busy = full
    ran: list[Run] = []
    rig.add(ran.append, every("1m"), name="job", misfire_grace="300ms")
    rig.advance(59 * SECOND)
    rig.clock.advance(3 * SECOND)
    busy.let_go.set()
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason, end.before, ran) == ("missed", "pool", "claiming", [])
    assert rig.store.runs(JobId("svc", "job")) == []


def test_what_a_full_pool_kept_within_its_grace_runs(full: tuple[Rig, Deaf]) -> None:
    rig, busy = full
    rig.add(lambda: None, every("1m"), name="job", misfire_grace="3s")
    rig.advance(59 * SECOND)
    rig.clock.advance(3 * SECOND)
    busy.let_go.set()
    (end,) = rig.ended("job")
    assert end.outcome == "success"


def test_what_another_instance_ran_while_the_pool_was_full_is_elsewhere(full: tuple[Rig, Deaf]) -> None:
    rig, busy = full
    rig.add(lambda: None, every("1m"), name="job", misfire_grace="300ms")
    due_ns = rig.clock.wall_ns() + 59 * SECOND
    rig.advance(59 * SECOND)
    lease = LeaseAsk("svc/job", "other", "svc", "token", 30 * SECOND, job="job", run_id="1" * 32)
    rig.store.claim(ClaimAsk(lease, due_ns))
    rig.clock.advance(3 * SECOND)
    busy.let_go.set()
    (end,) = rig.ended("job")
    assert end.outcome == "elsewhere"


def test_a_rerun_has_its_grace_from_when_it_was_found(full: tuple[Rig, Deaf]) -> None:
    rig, busy = full
    rig.add(lambda: None, every("1h"), name="job", misfire_grace="300ms")
    due_ns = rig.clock.wall_ns() - SECOND
    rig.clock.advance(10 * SECOND)
    rig.planner.rerun_orphan(rig.jobs["job"], due_ns)
    rig.timeline.tick()
    rig.clock.advance(3 * SECOND)
    busy.let_go.set()
    (end,) = rig.ended("job")
    assert end.outcome == "success"


def test_a_claim_that_is_granted_past_the_grace_starts_nothing_and_is_settled_as_missed(rig: Rig) -> None:
    ran: list[Run] = []
    rig.store.slow["claim"] = 3 * SECOND
    rig.add(ran.append, every("1m"), name="job", misfire_grace="300ms")
    rig.advance(60 * SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.before, ran) == ("missed", "claimed", [])
    rig.free("job")
    (record,) = rig.store.runs(JobId("svc", "job"))
    assert (record.outcome, record.started_wall_ns) == ("missed", None)
    assert lock_events(rig) == ["requested", "granted", "released"]


class BlockedLoop:
    """A coroutine job that blocks the event loop until the test lets it go."""

    def __init__(self, rig: Rig) -> None:
        self.let_go = threading.Event()
        rig.add(self._block, at("2026-01-01T00:00:01Z"), name="blocks")
        rig.advance(SECOND)
        rig.started("blocks")

    async def _block(self) -> None:
        self.let_go.wait(PATIENCE_S)


@pytest.fixture
def blocked(rig: Rig) -> Iterator[BlockedLoop]:
    loop = BlockedLoop(rig)
    yield loop
    loop.let_go.set()


@pytest.mark.parametrize(
    ("policies", "after"),
    [({"timeout": "1s"}, SECOND), ({"misfire_grace": "300ms"}, 300 * MS)],
)
def test_a_coroutine_that_a_blocked_loop_does_not_start_gives_its_lease_back(
    rig: Rig, blocked: BlockedLoop, policies: dict[str, str], after: int
) -> None:
    entered: list[int] = []

    async def job() -> None:
        entered.append(1)

    rig.add(job, every("1m"), **policies)
    due_ns = rig.clock.wall_ns() + 59 * SECOND
    rig.advance(59 * SECOND)
    rig.waits_for_the_loop("job")
    rig.clock.advance(after)
    (end,) = rig.ended("job")
    assert (end.outcome, end.before, end.reason) == ("missed", "claimed", "late")
    rig.free("job")
    (record,) = rig.store.runs(JobId("svc", "job"))
    assert (record.due_ns, record.outcome) == (due_ns, "missed")
    blocked.let_go.set()
    rig.free("blocks")

    async def behind_it() -> None:
        await asyncio.sleep(0)

    rig.add(behind_it, every("1s"))
    rig.advance(SECOND)
    assert rig.ended("behind_it")[0].outcome == "success"  # so the loop has come past what it had not started
    assert entered == []


def test_a_coroutine_that_a_blocked_loop_starts_in_time_runs(rig: Rig, blocked: BlockedLoop) -> None:
    async def job() -> None:
        await asyncio.sleep(0)

    rig.add(job, every("1m"), timeout="1s")
    rig.advance(59 * SECOND)
    rig.waits_for_the_loop("job")
    rig.clock.advance(900 * MS)
    blocked.let_go.set()
    (end,) = rig.ended("job")
    assert end.outcome == "success"
    assert end.lateness is not None
    assert end.lateness.start_ns == 900 * MS


def test_a_coroutine_that_was_not_started_ends_at_the_shutdown_without_the_loop(rig: Rig, blocked: BlockedLoop) -> None:
    async def job() -> None:
        raise AssertionError

    rig.add(job, every("1m"))
    rig.advance(59 * SECOND)
    rig.waits_for_the_loop("job")
    rig.dispatcher.ask_all_to_stop("shutdown")
    (end,) = rig.ended("job")
    assert (end.outcome, end.before) == ("cancelled", "claimed")
