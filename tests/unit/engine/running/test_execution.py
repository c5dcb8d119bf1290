"""One occurrence in hand: every way in which it can end."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kit.rig import Rig

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import LockMoved, SinkFailed
from tickglass.sched.identity import JobId
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk
from tickglass.sched.run import Run, current_run
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tickglass.sched.events import Event

DOWN = StoreUnavailable("memory", "claim", "gone fishing")


def lock_events(rig: Rig) -> list[str]:
    return [move.event for move in rig.sink.of(LockMoved)]


def test_a_job_that_raises_is_a_failure_and_the_next_one_runs(rig: Rig) -> None:
    def boom() -> None:
        raise ValueError("no")

    rig.add(boom, every("1s"))
    rig.advance(SECOND)
    (end,) = rig.ended("boom")
    assert (end.outcome, end.error) == ("failure", "ValueError: no")
    rig.free("boom")
    rig.advance(SECOND)
    assert len(rig.ended("boom", 2)) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_whatever_a_job_raises_no_worker_dies_of_it(error: type[BaseException]) -> None:
    rig = Rig(workers=1)

    def boom() -> None:
        raise error

    rig.add(boom, every("1s"))
    for count in (1, 2):
        rig.advance(SECOND)
        assert rig.ended("boom", count)[-1].outcome == "failure"
        rig.free("boom")
    rig.close()


def test_a_run_may_wait_for_longer_than_its_lease_would_last(rig: Rig) -> None:
    waited: list[bool] = []
    rig.add(lambda run: waited.append(run.wait("25s")), every("60s"), name="job", ttl="9s")
    rig.advance(60 * SECOND)
    rig.started("job")
    for count in range(1, 9):
        rig.clock.wait_for_sleepers(2)
        rig.clock.advance(3 * SECOND)
        rig.lock_event("renewed", count)
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.ran_ns, waited) == ("success", 25 * SECOND, [False])


def test_a_run_over_its_timeout_is_told_and_ends_as_timeout(rig: Rig) -> None:
    seen: list[str] = []

    def slow(run: Run) -> None:
        run.wait("1h")
        seen.append(run.cancel_reason)

    rig.add(slow, every("10s"), timeout="2s")
    rig.advance(10 * SECOND)
    rig.started("slow")
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(2 * SECOND)
    (end,) = rig.ended("slow")
    assert (end.outcome, end.reason, seen) == ("timeout", "timeout", ["timeout"])
    assert end.ran_ns == 2 * SECOND


def test_a_coroutine_over_its_timeout_is_cancelled(rig: Rig) -> None:
    entered = threading.Event()

    async def slow() -> None:
        entered.set()
        await asyncio.Event().wait()

    rig.add(slow, every("10s"), timeout="2s")
    rig.advance(10 * SECOND)
    assert entered.wait(10)
    rig.clock.advance(2 * SECOND)
    (end,) = rig.ended("slow")
    assert (end.outcome, end.error.split(":")[0]) == ("timeout", "CancelledError")


def test_a_part_of_a_coroutine_job_that_wants_to_end_the_process_fails_that_run_alone(rig: Rig) -> None:
    entered = threading.Event()

    async def healthy() -> None:
        entered.set()
        await asyncio.sleep(0)

    async def part() -> None:
        sys.exit(1)

    async def gathers() -> None:
        await asyncio.gather(part(), asyncio.Event().wait())

    rig.add(healthy, every("2s"))
    rig.add(gathers, every("1s"))
    for count in (1, 2):
        rig.advance(SECOND)
        assert [(end.outcome, end.error) for end in rig.ended("gathers", count)] == [
            ("failure", "SystemExit: 1")
        ] * count
        rig.free("gathers")
    (end,) = rig.ended("healthy")
    assert end.outcome == "success"
    assert entered.is_set()


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as most decorators do, in a plain one."""

    @functools.wraps(function)
    def wrapper(*given: object) -> Any:  # noqa: ANN401 - what it returns
        return function(*given)

    return wrapper


def forgetful(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*given: object) -> Any:  # noqa: ANN401 - what it returns
        return function(*given)

    return wrapper


def called_in_a_lambda(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda run: function(run)  # noqa: PLW0108 - what is tried


class Callee:
    """An object whose call is a coroutine."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    async def __call__(self, run: Run) -> None:
        await self.function(run)


@pytest.mark.parametrize(
    "wrap",
    [
        decorated,
        forgetful,
        Callee,
        lambda function: functools.partial(Callee(function)),
        called_in_a_lambda,
        lambda function: functools.partial(decorated(function)),
    ],
)
def test_a_coroutine_function_runs_to_its_end_whatever_it_is_wrapped_in(
    rig: Rig, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    entered = threading.Event()

    async def work(run: Run) -> None:
        assert current_run() is run
        entered.set()
        await asyncio.Event().wait()

    rig.add(wrap(work), every("10s"), name="work", timeout="2s")
    rig.advance(10 * SECOND)
    assert entered.wait(10)
    rig.clock.advance(2 * SECOND)
    (end,) = rig.ended("work")
    assert (end.outcome, end.ran_ns) == ("timeout", 2 * SECOND)


def yields() -> Iterator[int]:
    yield 1


async def ayields() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [yields, ayields])
@pytest.mark.parametrize("wrap", [decorated, forgetful])
def test_a_generator_that_nobody_runs_is_no_success(
    rig: Rig, function: Callable[..., Any], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    rig.add(wrap(function), every("1s"), name="job")
    rig.advance(SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.error.splitlines()[0]) == (
        "failure",
        "ConfigError: job job returned a generator, of which nothing has run: a job is a plain or a coroutine function",
    )


def test_the_run_is_current_in_functions_and_coroutines(rig: Rig) -> None:
    seen: list[Run | None] = []

    async def tell(run: Run) -> None:
        await asyncio.sleep(0)
        seen.extend([run, current_run()])

    def say(run: Run) -> None:
        seen.extend([run, current_run()])

    rig.add(tell, every("1s"))
    rig.add(say, every("1s"))
    rig.advance(SECOND)
    rig.ended("tell")
    rig.ended("say")
    assert seen[0] is seen[1]
    assert seen[2] is seen[3]
    assert current_run() is None


def test_a_store_that_does_not_answer_means_no_run_and_says_so(rig: Rig) -> None:
    ran: list[int] = []
    rig.store.broken["claim"] = DOWN
    rig.add(lambda: ran.append(1), every("1s"), name="job", misfire_grace="50ms")
    rig.advance(SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason, ran) == ("skipped", "store_unavailable", [])
    assert rig.lock_event("failed").reason == "store_unavailable"


def test_a_claim_is_asked_again_while_there_is_grace(rig: Rig) -> None:
    rig.store.broken["claim"] = DOWN
    rig.add(lambda: None, every("10s"), name="job")
    rig.advance(10 * SECOND)
    rig.asleep("claim")
    del rig.store.broken["claim"]
    rig.clock.advance(100 * MS)
    (end,) = rig.ended("job")
    assert end.outcome == "success"
    assert end.lateness is not None
    assert end.lateness.lock_ns == 100 * MS


def test_a_held_resource_is_waited_for_within_the_grace(rig: Rig) -> None:
    ask = LeaseAsk("printer", "other", "svc", "token", 30 * SECOND, job="labels")
    rig.store.acquire(ask)
    rig.add(lambda: None, every("10s"), name="job", resource="printer", misfire_grace="1s")
    rig.advance(10 * SECOND)
    rig.asleep("claim")
    rig.clock.advance(2 * SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("skipped", "lock_held")
    assert rig.lock_event("failed").reason == "timeout"


def test_a_job_of_the_same_name_in_another_service_is_no_overlap(rig: Rig) -> None:
    """On a resource that both name by hand it is one more holder, and is waited for."""
    lease = LeaseAsk("printer", "a", "other service", "token", 30 * SECOND, job="job", run_id="1" * 32)
    rig.store.claim(ClaimAsk(lease, rig.clock.wall_ns() + 10 * SECOND))
    rig.add(lambda: None, every("10s"), name="job", resource="printer", misfire_grace="1s")
    rig.advance(10 * SECOND)
    rig.asleep("claim")
    rig.clock.advance(2 * SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("skipped", "lock_held")


def test_a_job_of_the_same_name_in_another_service_takes_no_instant(rig: Rig) -> None:
    due_ns = rig.clock.wall_ns() + 10 * SECOND
    lease = LeaseAsk("other/job", "a", "other", "token", 30 * SECOND, job="job", run_id="1" * 32)
    rig.store.claim(ClaimAsk(lease, due_ns))
    rig.add(lambda: None, every("10s"), name="job")
    rig.advance(10 * SECOND)
    assert rig.ended("job")[0].outcome == "success"
    assert [run.owner for run in rig.store.runs(JobId("svc", "job"))] == ["a"]
    assert rig.store.runs(JobId("other", "job"))[0].outcome is None


def test_what_another_instance_claimed_ends_elsewhere(rig: Rig) -> None:
    due_ns = rig.clock.wall_ns() + 10 * SECOND
    rig.add(lambda: None, every("10s"), name="job")
    lease = LeaseAsk("svc/job", "other", "svc", "token", 30 * SECOND, job="job", run_id="1" * 32)
    claimed = rig.store.claim(ClaimAsk(lease, due_ns))
    assert isinstance(claimed, Claimed)
    rig.advance(10 * SECOND)
    (end,) = rig.ended("job")
    assert end.outcome == "elsewhere"
    assert rig.lock_event("refused").other_owner == "other"


def test_the_lease_is_renewed_at_a_third_of_its_ttl(rig: Rig) -> None:
    def long(run: Run) -> None:
        run.wait("29s")

    rig.add(long, every("1h"), ttl="30s")
    rig.advance(3_600 * SECOND)
    rig.started("long")
    rig.clock.wait_for_sleepers(2)
    for count, _ in enumerate(range(2), start=1):
        rig.clock.advance(10 * SECOND)
        move = rig.lock_event("renewed", count)
        assert move.margin_ns == 20 * SECOND
        rig.clock.wait_for_sleepers(2)
    rig.clock.advance(9 * SECOND)
    assert rig.ended("long")[0].outcome == "success"


def test_renewal_backs_off_and_trust_ends_before_the_lease_does(rig: Rig) -> None:
    reasons: list[str] = []

    def long(run: Run) -> None:
        run.wait("1h")
        reasons.append(run.cancel_reason)

    rig.store.broken["renew"] = StoreUnavailable("memory", "renew", "partitioned")
    rig.add(long, every("1h"), ttl="30s")
    rig.advance(3_600 * SECOND)
    rig.started("long")
    rig.clock.wait_for_sleepers(2)
    for count, pause in enumerate((10 * SECOND, 100 * MS, 300 * MS, 800 * MS, 800 * MS), start=1):
        rig.clock.advance(pause)
        assert rig.lock_event("renewal_failed", count).reason == "store_unavailable"
        rig.clock.wait_for_sleepers(2)
    rig.clock.advance(29_698 * MS - 12_000 * MS)  # trust: 30 s less 1 % and 2 ms
    (end,) = rig.ended("long")
    assert (end.outcome, reasons) == ("lost", ["lost"])
    assert rig.lock_event("expired").at_ns < rig.lock_event("granted").at_ns + 30 * SECOND


def test_a_lease_that_somebody_else_got_is_lost_at_the_next_renewal(rig: Rig) -> None:
    def long(run: Run) -> None:
        run.wait("1h")

    rig.add(long, every("1h"), ttl="30s")
    rig.advance(3_600 * SECOND)
    rig.started("long")
    rig.clock.wait_for_sleepers(2)
    rig.store.gone = True
    rig.clock.advance(10 * SECOND)
    assert rig.ended("long")[0].outcome == "lost"
    assert rig.lock_event("lost").other_owner == "somebody"


def test_a_frozen_run_finds_on_waking_that_it_may_not_act(rig: Rig) -> None:
    woken = threading.Event()
    seen: list[bool] = []

    def frozen(run: Run) -> None:
        woken.wait(10)
        seen.append(run.cancelled)  # the job's own guard, before anybody could tell it

    rig.add(frozen, every("1h"), ttl="30s")
    rig.advance(3_600 * SECOND)
    rig.started("frozen")
    rig.dispatcher.timers.stop()  # all of the process stands still
    rig.clock.advance(60 * SECOND)
    woken.set()
    (end,) = rig.ended("frozen")
    assert (seen, end.outcome) == ([True], "lost")


def test_a_run_that_ends_just_as_its_loss_is_found_out_is_lost(rig: Rig) -> None:
    """The thread of the timers has reported the loss, and has not asked the run to stop yet."""
    go_on = threading.Event()

    def job() -> None:
        go_on.wait(10)

    rig.add(job, every("1h"), ttl="30s")
    rig.advance(3_600 * SECOND)
    rig.started("job")
    (assignment,) = rig.dispatcher.assignments()
    kept = assignment._execution._run_lease._kept  # type: ignore[union-attr]
    kept.on_lost = lambda: None
    rig.clock.wait_for_sleepers(1)
    rig.store.gone = True
    rig.clock.advance(10 * SECOND)
    rig.lock_event("lost")
    go_on.set()
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason) == ("lost", "lost")


def test_without_renewal_the_lease_is_never_renewed(rig: Rig) -> None:
    def long(run: Run) -> None:
        run.wait("1h")

    rig.add(long, every("1h"), ttl="30s", timeout="25s", renew=False)
    rig.advance(3_600 * SECOND)
    rig.started("long")
    rig.clock.wait_for_sleepers(2)
    rig.clock.advance(25 * SECOND)
    assert rig.ended("long")[0].outcome == "timeout"
    assert "renewed" not in lock_events(rig)


def test_an_outcome_that_cannot_be_written_at_once_is_written_later(rig: Rig) -> None:
    rig.store.broken["settle"] = StoreUnavailable("memory", "settle", "hiccup")
    rig.add(lambda: None, every("10s"), name="job")
    rig.advance(10 * SECOND)
    rig.asleep("settle")
    del rig.store.broken["settle"]
    rig.clock.advance(100 * MS)
    rig.lock_event("released")
    assert rig.store.runs(JobId("svc", "job"))[0].outcome == "success"


def test_an_outcome_that_cannot_be_written_at_all_is_reported_by_the_lock(rig: Rig) -> None:
    rig.store.broken["settle"] = StoreUnavailable("memory", "settle", "gone")
    rig.add(lambda: None, every("10s"), name="job")
    rig.advance(10 * SECOND)
    for count, pause in enumerate((100 * MS, 300 * MS, 800 * MS), start=1):
        rig.asleep("settle", count)
        rig.clock.advance(pause)
    rig.lock_event("released")
    assert lock_events(rig)[-2:] == ["expired", "released"]


class BrokenSink:
    def __init__(self) -> None:
        self.calls = 0

    def record(self, event: Event) -> None:
        self.calls += 1
        raise RuntimeError("sink")


def test_a_sink_that_raises_hurts_no_run_and_is_called_again_and_counted() -> None:
    broken = BrokenSink()
    rig = Rig(sinks={"broken": broken})
    rig.add(lambda: None, every("1s"), name="job")
    for count in (1, 2):
        rig.advance(SECOND)
        assert rig.ended("job", count)[-1].outcome == "success"
        rig.free("job")
    rig.close()
    failures = rig.sink.of(SinkFailed)
    assert {failure.sink for failure in failures} == {"broken"}
    assert len(failures) * 2 == broken.calls  # each event, and each report of its failure


def test_settlement_says_when_and_how_late(rig: Rig) -> None:
    rig.add(lambda: None, every("1s"), name="job")
    rig.advance(1_003 * MS)
    rig.ended("job")
    rig.lock_event("released")
    (run,) = rig.store.runs(JobId("svc", "job"))
    assert run.lateness_ns == 3 * MS
    assert run.started_wall_ns is not None
    assert run.started_wall_ns - run.due_ns == 3 * MS
