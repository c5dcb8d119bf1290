"""A sink that raises affects no other sink, stays in use, and is reported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.broadcast import Broadcast, GuardedTracer
from tickglass.sched.engine.context import NoTracer
from tickglass.sched.events import SinkFailed, TimelineTicked
from tickglass.sched.ports import TracedRun
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tickglass.sched.events import Event
    from tickglass.sched.ports import EventSink


class Broken:
    def __init__(self) -> None:
        self.asked: list[Event] = []

    def record(self, event: Event) -> None:
        self.asked.append(event)
        raise RuntimeError("no room")


def turned(number: int) -> TimelineTicked:
    return TimelineTicked(lag_ns=number, duration_ns=0, handed=0)


def test_every_sink_gets_every_event_in_order() -> None:
    sinks = {"a": ListSink(), "b": ListSink()}
    broadcast = Broadcast(sinks, FakeClock())
    for number in range(5):
        broadcast.record(turned(number))
    for sink in sinks.values():
        assert sink.events == [turned(number) for number in range(5)]


@pytest.mark.parametrize("broken_first", [True, False])
def test_a_failure_is_an_event_for_all_and_the_sink_stays_in_use(*, broken_first: bool) -> None:
    broken, good = Broken(), ListSink()
    sinks: list[tuple[str, EventSink]] = [("broken", broken), ("good", good)]
    broadcast = Broadcast(dict(sinks if broken_first else reversed(sinks)), FakeClock())
    broadcast.record(turned(1))
    broadcast.record(turned(2))
    assert good.of(TimelineTicked) == [turned(1), turned(2)]
    failures = good.of(SinkFailed)
    assert [(failure.sink, failure.error) for failure in failures] == [("broken", "RuntimeError: no room")] * 2
    assert broken.asked == [turned(1), failures[0], turned(2), failures[1]], "it hears of itself, and once"


class Panic(BaseException):
    """What extension modules raise: no `Exception`."""


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def record(self, event: Event) -> None:
        raise self.error


@pytest.mark.parametrize("error", [Panic("no"), SystemExit(1), KeyboardInterrupt()])
def test_whatever_a_sink_raises_in_a_thread_of_ours_it_is_a_failure(error: BaseException) -> None:
    good = ListSink()
    broadcast = Broadcast({"raises": Raises(error), "good": good}, FakeClock())
    with ThreadPoolExecutor(1) as aside:
        aside.submit(broadcast.record, turned(1)).result()
    assert good.of(TimelineTicked) == [turned(1)]
    assert [failure.sink for failure in good.of(SinkFailed)] == ["raises"]


class MuteError(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise Panic

    __repr__ = __str__


def test_an_error_that_cannot_be_written_is_a_failure_too() -> None:
    good = ListSink()
    Broadcast({"raises": Raises(MuteError()), "good": good}, FakeClock()).record(turned(1))
    assert [failure.error for failure in good.of(SinkFailed)] == ["MuteError"]


@pytest.mark.parametrize("asked", [SystemExit, KeyboardInterrupt])
def test_what_is_meant_for_the_program_passes_in_the_main_thread(asked: type[BaseException]) -> None:
    broken = Broadcast({"a": Broken(), "raises": Raises(asked())}, FakeClock())
    with pytest.raises(asked):
        Broadcast({"raises": Raises(asked())}, FakeClock()).record(turned(1))
    with pytest.raises(asked):
        broken.record(turned(1))


def test_the_log_has_one_line_a_minute_for_each_failing_sink(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    broadcast = Broadcast({"one": Broken(), "two": Broken()}, clock)
    for _ in range(10):
        broadcast.record(turned(1))
    assert [record.args for record in caplog.records] == [("one",), ("two",)]
    clock.advance(60 * SECOND)
    broadcast.record(turned(1))
    assert len(caplog.records) == 4


class BrokenTracer:
    """A tracer of a user's own making."""

    def begin(self, run: TracedRun) -> bool:
        raise RuntimeError("begin")

    def activate(self, run_id: str) -> AbstractContextManager[None]:
        raise RuntimeError("activate")


def test_a_tracer_that_raises_costs_the_span_and_not_the_run() -> None:
    sink = ListSink()
    clock = FakeClock()
    tracer = GuardedTracer(BrokenTracer(), Broadcast({"list": sink}, clock))
    ran = []
    run = TracedRun("0" * 32, "j", "t", "r", 0, 1, 1, "o", "s", 0, "")
    assert tracer.begin(run) is False
    with tracer.activate("0" * 32):
        ran.append(True)
    assert ran == [True]
    assert [failure.error for failure in sink.of(SinkFailed)] == ["RuntimeError: begin", "RuntimeError: activate"]


def test_what_the_job_raises_passes_through_the_tracer() -> None:
    tracer = GuardedTracer(NoTracer(), Broadcast({}, FakeClock()))
    with pytest.raises(ValueError, match="the job's own"), tracer.activate("0" * 32):
        raise ValueError("the job's own")
