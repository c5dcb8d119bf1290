"""Clocks that are wrong: no instant is taken from the others, none runs twice, and no rate falls silent for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from kit.rig import BreakableStore, Rig

from tickglass.sched.clock import Reading
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.engine.context import EngineContext, NoTracer
from tickglass.sched.engine.engine import Engine
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.engine.recovery.sweeper import Sweeper
from tickglass.sched.engine.running.outbox import Outbox
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.engine.timing.timeline import Timeline
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClockStepped, InstantsMissed, JobRegistered, SkewMeasured
from tickglass.sched.identity import JobId
from tickglass.sched.job import declare
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settlement, SpooledOutcome
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.sched.triggers import cron, every
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.clock import Wake
    from tickglass.sched.triggers import Trigger

HOUR: Final = 3_600 * SECOND
OFF: Final = [20 * SECOND, HOUR, -20 * SECOND, -HOUR]


class RightClock:
    """What the clock of a test shows without its steps: the clock of another host, which was never set."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.offset_ns = clock.reading().offset_ns

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def wall_ns(self) -> int:
        return self._clock.monotonic_ns() + self.offset_ns

    def reading(self) -> Reading:
        now_ns = self._clock.monotonic_ns()
        return Reading(now_ns, now_ns + self.offset_ns)

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        return self._clock.wait(until_ns, wake)

    def discipline(self) -> None: ...

    def thread_delay(self) -> None: ...

    def process_began_ns(self) -> None: ...


class FarStore(BreakableStore):
    """The reference store, on a host of its own."""

    own_clock = True

    def __init__(self, clock: FakeClock) -> None:
        self.host = RightClock(clock)
        super().__init__(self.host)


def nothing() -> None: ...


class Story:
    """An instance whose clock goes wrong and is put right, second by second."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.began_ns = rig.store.time_ns()

    def compare(self) -> None:
        """Measure the skew, as at the start and at each sweep."""
        sweeper = Sweeper(self.rig.context, self.rig.planner, self.rig.dispatcher, self.rig.skew, JobTable())
        sweeper.measure_skew()
        self.rig.timeline.follow()

    def add(self, trigger: Trigger) -> None:
        self.compare()
        self.rig.add(nothing, trigger)

    def second(self) -> None:
        """Let one pass, and what fell due in it end."""
        self.rig.advance(SECOND)
        self.rig.free("nothing")

    def step_after(self, seconds: int, by_ns: int) -> None:
        for _ in range(seconds):
            self.second()
        self.rig.clock.step(by_ns)

    @property
    def seconds_run(self) -> list[float]:
        """The due instants that ran, in seconds since the beginning, in the order in which they did."""
        runs = sorted(self.rig.store.runs(JobId("svc", "nothing"), 1_000), key=lambda run: run.fence)
        assert {run.outcome for run in runs} <= {"success"}
        return [(run.due_ns - self.began_ns) / SECOND for run in runs]

    @property
    def longest_silence_s(self) -> float:
        began = sorted(move.at_ns for move in self.rig.moves("nothing", "started"))
        return max((after - before) / SECOND for before, after in pairwise(began))

    @property
    def skips(self) -> set[str]:
        ends = self.rig.moves("nothing", "ended")
        return {move.reason for move in ends if move.outcome != "success"}


@pytest.fixture(params=["own clock", "our clock"])
def any_story(request: pytest.FixtureRequest) -> Iterator[Story]:
    rig = Rig(store=FarStore if request.param == "own clock" else BreakableStore, refuse_skew=False)
    yield Story(rig)
    rig.close()


@pytest.fixture
def story() -> Iterator[Story]:
    rig = Rig(store=FarStore, refuse_skew=False)
    yield Story(rig)
    rig.close()


@pytest.fixture
def strict() -> Iterator[Story]:
    rig = Rig(store=FarStore, refuse_skew=True)
    yield Story(rig)
    rig.close()


# --- rates


@pytest.mark.parametrize("off_ns", OFF)
def test_a_clock_that_was_wrong_for_two_seconds_disturbs_no_rate(any_story: Story, off_ns: int) -> None:
    any_story.add(every("1s"))
    any_story.step_after(3, off_ns)
    any_story.step_after(2, -off_ns)
    for _ in range(25):
        any_story.second()
    assert any_story.seconds_run == list(range(1, 31))
    assert any_story.longest_silence_s == 1
    assert not any_story.skips
    assert not any_story.rig.sink.of(InstantsMissed)


@pytest.mark.parametrize("off_ns", OFF)
def test_a_clock_that_was_wrong_from_the_start_and_is_put_right_disturbs_no_rate(story: Story, off_ns: int) -> None:
    story.rig.clock.step(off_ns)
    story.rig.timeline.follow()
    story.add(every("1s"))
    story.step_after(5, -off_ns)
    for _ in range(25):
        story.second()
        story.compare()
    assert story.seconds_run == list(range(1, 31))
    assert story.longest_silence_s == 1


@pytest.mark.parametrize("off_ns", OFF)
def test_a_rate_goes_by_the_stores_clock_for_as_long_as_ours_is_wrong(story: Story, off_ns: int) -> None:
    story.add(every("1s"))
    story.step_after(3, off_ns)
    for _ in range(27):
        story.second()
        story.compare()
    assert story.seconds_run == list(range(1, 31))
    assert story.rig.skew.reason() is not None


@pytest.mark.parametrize("off_ns", OFF)
def test_who_refuses_skew_claims_nothing_meanwhile_and_goes_on_at_once_afterwards(strict: Story, off_ns: int) -> None:
    strict.add(every("1s"))
    strict.step_after(3, off_ns)
    strict.step_after(2, -off_ns)
    for _ in range(5):
        strict.second()
    assert strict.seconds_run == [1, 2, 3, 6, 7, 8, 9, 10]
    ends = strict.rig.moves("nothing", "ended")
    assert [end.reason for end in ends if end.outcome == "skipped"] == ["skew", "skew"]


def test_after_a_host_stood_still_a_rate_goes_on_with_the_present_within_one_interval(story: Story) -> None:
    story.add(every("1s"))
    story.step_after(3, HOUR)  # neither of its clocks ran; the wall clock was then put right
    assert isinstance(story.rig.store, FarStore)
    story.rig.store.host.offset_ns += HOUR
    story.rig.timeline.tick()
    story.compare()  # which the step brought about
    story.second()
    assert story.seconds_run[-1] == 3_600 + 4
    assert story.rig.missed("nothing").count == 3_600


@pytest.mark.parametrize("by_ns", [200 * MS, -200 * MS])
def test_a_clock_that_creeps_away_moves_no_rate(story: Story, by_ns: int) -> None:
    story.add(every("1s"))
    for _ in range(30):
        story.second()
        story.rig.clock.step(by_ns)
        story.compare()
    assert story.seconds_run == list(range(1, 31))


def test_a_clock_about_as_far_off_as_is_allowed_moves_a_rate_once_at_most(story: Story) -> None:
    story.rig.clock.step(SECOND - MS)
    story.rig.start("a")
    story.add(every("100ms"))
    offsets = []
    for by_ns in (2 * MS, -2 * MS) * 5:
        story.rig.clock.step(by_ns)
        story.compare()
        offsets.append(story.rig.timeline.offset_ns(steady=True))
    assert len(set(offsets)) == 1


def test_a_rate_goes_on_with_our_clock_when_that_was_a_little_slow_and_is_put_right(story: Story) -> None:
    story.rig.clock.step(-SECOND // 2)
    story.rig.start("a")
    story.compare()
    right_ns = story.began_ns - story.rig.clock.monotonic_ns()
    assert story.rig.timeline.offset_ns(steady=True) == right_ns - SECOND // 2
    story.rig.clock.step(SECOND)  # and half a second too far
    story.compare()
    assert story.rig.timeline.offset_ns(steady=True) == right_ns


def test_a_rate_comes_back_to_the_stores_clock_when_that_is_first_heard(story: Story) -> None:
    story.rig.clock.step(HOUR)
    story.rig.timeline.follow()
    story.rig.advance(10 * SECOND)  # the step has lasted, and nobody could judge it
    assert story.rig.timeline.offset_ns(steady=True) == story.rig.clock.reading().offset_ns
    story.compare()
    assert isinstance(story.rig.store, FarStore)
    for steady in (True, False):
        assert story.rig.timeline.offset_ns(steady=steady) == story.rig.store.host.offset_ns


# --- times of day


def test_a_time_of_day_waits_for_the_stores_clock_while_ours_is_ahead(story: Story) -> None:
    story.add(cron("*/5 * * * * *"))
    story.step_after(3, HOUR)
    story.step_after(4, -HOUR)
    for _ in range(13):
        story.second()
    assert story.seconds_run == [5, 10, 15, 20]
    assert not story.skips
    assert not story.rig.sink.of(InstantsMissed)


def test_a_time_of_day_means_what_our_clock_says_while_that_is_behind(story: Story) -> None:
    story.add(cron("*/5 * * * * *"))
    story.step_after(6, -HOUR)
    for _ in range(10):
        story.second()
    assert story.seconds_run == [5]


# --- what is too early


def test_a_claim_by_a_clock_that_was_never_compared_is_skipped_and_taken_from_nobody(story: Story) -> None:
    story.rig.clock.step(HOUR)
    story.rig.timeline.tick()
    story.rig.advance(10 * SECOND)
    story.rig.add(nothing, every("1s"))
    story.second()
    (end,) = story.rig.ended("nothing")
    assert (end.outcome, end.reason) == ("skipped", "skew")
    assert story.rig.lock_event("failed").reason == "cancelled"
    assert story.rig.store.runs() == []
    assert story.rig.store.leases() == []


def claim_by_hand(rig: Rig, due_ns: int) -> ClaimAsk:
    """Claim an instant, as an older version did however far ahead it was."""
    lease = LeaseAsk("svc/nothing", "wrong", "svc", f"t{due_ns}", SECOND, "nothing", f"{due_ns:032x}")
    ask = ClaimAsk(lease, due_ns, due_ns + SECOND)
    assert isinstance(rig.store.claim(ask), Claimed)
    return ask


def test_a_claim_an_hour_ahead_does_not_silence_the_instances_that_start_after_it(any_story: Story) -> None:
    rig = any_story.rig
    ask = claim_by_hand(rig, any_story.began_ns + HOUR)
    lease = Lease("svc/nothing", "wrong", ask.lease.token, 1, SECOND, 0)
    rig.store.settle(Settlement(lease, "svc", "nothing", ask.due_ns, ask.lease.run_id, "success"))
    any_story.add(every("1s"))
    for _ in range(5):
        any_story.second()
    assert [end.outcome for end in rig.ended("nothing", 5)] == ["success"] * 5
    assert not rig.sink.of(InstantsMissed)


def test_a_ledger_that_cannot_say_which_claim_was_the_latest_silences_nobody_either(any_story: Story) -> None:
    claim_by_hand(any_story.rig, any_story.began_ns + HOUR)
    any_story.rig.store.broken["runs"] = StoreUnavailable("memory", "runs", "gone fishing")
    any_story.add(every("1s"))
    any_story.rig.clock.advance(2 * SECOND)  # its lease has ended
    any_story.second()
    assert any_story.rig.ended("nothing")[0].outcome == "success"


def test_an_orphan_that_is_still_to_come_is_left_until_it_is_due(any_story: Story) -> None:
    rig, hour = any_story.rig, every("1h")
    due_ns = hour.next_after_ns(any_story.began_ns)
    assert due_ns is not None
    claim_by_hand(rig, due_ns)
    rig.clock.advance(2 * SECOND)
    any_story.add(hour)
    for _ in range(3):
        rig.planner.rerun_orphan(declare(nothing, hour, service="svc"), due_ns)
        rig.timeline.tick()
    rig.clock.advance(due_ns - rig.clock.wall_ns())
    rig.timeline.tick()
    rig.free("nothing")
    assert [move.due_ns for move in rig.moves("nothing", "fell_due")] == [due_ns]


def test_what_ran_without_a_claim_by_a_clock_that_was_ahead_is_written_when_its_instant_has_come(
    story: Story, tmp_path: Path
) -> None:
    spool = SqliteSpool(tmp_path / "spool", "s")
    outbox = Outbox(replace(story.rig.context, spool=spool))
    due_ns = story.began_ns + 10 * SECOND
    lease = LeaseAsk("r", "a", "svc", "t", 30 * SECOND, "job", "1" * 32)
    settlement = Settlement(Lease("r", "a", "t", 0, 30 * SECOND, 0), "svc", "job", due_ns, "1" * 32, "success")
    outbox.put(SpooledOutcome(settlement, unclaimed=ClaimAsk(lease, due_ns, max_ahead_ns=SECOND)))
    outbox.flush()
    assert (spool.depth(), story.rig.store.runs()) == (1, [])
    story.rig.clock.advance(10 * SECOND)
    outbox.flush()
    assert (spool.depth(), [run.outcome for run in story.rig.store.runs()]) == (0, ["success"])
    spool.close()


# --- what is announced


@pytest.mark.parametrize("off_ns", OFF)
@pytest.mark.parametrize("trigger", [every("1s"), cron("* * * * * *")])
def test_what_a_job_announces_is_by_the_stores_clock(story: Story, off_ns: int, trigger: Trigger) -> None:
    story.rig.clock.step(off_ns)
    story.rig.timeline.follow()
    story.add(trigger)
    (job,) = story.rig.store.jobs()
    assert job.next_due_ns == story.began_ns + SECOND
    assert story.rig.sink.of(JobRegistered)


# --- the guard, and the timeline that asks it


def test_a_step_of_our_clock_is_judged_when_it_is_read() -> None:
    guard, clock = SkewGuard(refuse=True), FakeClock()
    guard.note(0, MS, offset_ns=clock.reading().offset_ns)
    assert guard.offset_ns(clock.reading()) == clock.reading().offset_ns
    right_ns = clock.reading().offset_ns
    clock.step(20 * SECOND)
    assert guard.offset_ns(clock.reading()) == right_ns
    assert guard.refuses
    assert guard.reason() == "our clock is at least 19.999 s from the store's, and 1s is allowed"
    clock.step(-20 * SECOND)
    assert guard.offset_ns(clock.reading()) == right_ns
    assert not guard.refuses


def test_a_step_is_told_to_who_compares_clocks() -> None:
    clock, sink, steps = FakeClock(), ListSink(), list[int]()
    timeline = Timeline(clock=clock, sink=sink, stepped=lambda: steps.append(clock.wall_ns()))
    timeline.tick()
    assert not steps
    clock.step(HOUR)
    timeline.tick()
    assert steps == [clock.wall_ns()]
    assert len(sink.of(ClockStepped)) == 1


def test_an_engine_compares_the_clocks_when_ours_steps_and_before_it_announces_anything() -> None:
    clock, sink = FakeClock(), ListSink()
    store = FarStore(clock)
    clock.step(-HOUR)
    engine = Engine(EngineContext(clock, store, Broadcast({"list": sink}, clock), NoTracer(), "a", "svc"), workers=1)
    engine.add(declare(nothing, every("24h"), service="svc"))
    engine.start()
    try:
        (job,) = store.jobs()
        assert job.next_due_ns == every("24h").next_after_ns(store.time_ns())
        assert engine.unready() == ["our clock is at least 3600.000 s from the store's, and 1s is allowed"]
        sink.wait_for(lambda event: isinstance(event, SkewMeasured), count=2)  # at the start, and by the first sweep
        clock.wait_for_sleepers(2)  # the timeline, and the sweeper
        clock.step(HOUR)
        clock.advance(SECOND)  # the sweeper would sleep for ten
        sink.wait_for(lambda event: isinstance(event, SkewMeasured) and event.skew_ns == 0)
        assert engine.unready() == []
    finally:
        engine.stop(0)
