"""Moves reach the sinks without an event, unless a sink asks for one; and they are counted the same either way."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

import pytest
from kit.metrics_stage import LATENESS, Stage
from kit.sidecar_events import Life
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from tickglass.sched.engine.broadcast import Broadcast
from tickglass.sched.events import EventLoopTurned
from tickglass.sched.lease import LockEvent, LockMachine
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine, Outcome
from tickglass.sched.ports import TracedRun
from tickglass.telemetry import LogSink, MetricSink, SpanSink
from tickglass.telemetry.metric import Detail
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.events import Event, LockMoved, OccurrenceMoved
    from tickglass.sched.ports import EventSink

RUN_ID = f"{1:032x}"
MOVES = 9  # of a regular run and its lock


class Built:
    """The events that machines were asked for, each once."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def asked(self, event: Event) -> None:
        if not any(event is known for known in self.events):
            self.events.append(event)


class Occurrence(OccurrenceMachine):
    built: Built

    def report(self) -> OccurrenceMoved:
        event = super().report()
        self.built.asked(event)
        return event


class Lock(LockMachine):
    built: Built

    def report(self) -> LockMoved:
        event = super().report()
        self.built.asked(event)
        return event


def events_of_a_run(clock: FakeClock, sinks: dict[str, EventSink], spans: SpanSink | None = None) -> list[Event]:
    """Let one regular run and its lock report to these sinks; return the events that were built."""
    sink, built = Broadcast(sinks, clock), Built()
    run = Occurrence("j", 0, owner="o", service="s", run_id=RUN_ID, clock=clock, sink=sink)
    lock = Lock("r", owner="o", service="s", job="j", run_id=RUN_ID, ttl_ns=30, blocking=True, clock=clock, sink=sink)
    run.built = lock.built = built
    run.fire(OccurrenceEvent.FELL_DUE, next_due_ns=5)
    run.fire(OccurrenceEvent.ADMITTED)
    run.fire(OccurrenceEvent.TAKEN)
    lock.fire(LockEvent.REQUESTED)
    lock.fire(LockEvent.GRANTED, fence=1)
    if spans is not None:
        run.sampled = lock.sampled = spans.begin(TracedRun(RUN_ID, "j", "t", "r", 0, 1, 1, "o", "s", 0, ""))
    run.fire(OccurrenceEvent.CLAIMED)
    run.fire(OccurrenceEvent.STARTED)
    run.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS, lateness=LATENESS, ran_ns=1)
    lock.fire(LockEvent.RELEASED)
    return built.events


class Told:
    """A sink that hears of moves by events only, as a sidecar does."""

    def __init__(self, metrics: MetricSink) -> None:
        self.record = metrics.record


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger at the level that one has by default."""
    logger = logging.getLogger("tickglass.apart")
    logger.setLevel(logging.WARNING)
    yield logger
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


def test_no_event_is_built_for_metrics_logs_and_spans_that_nobody_exports(
    clock: FakeClock, logger: logging.Logger
) -> None:
    metrics = MetricSink(clock, CollectorRegistry())
    sinks: dict[str, EventSink] = {"spans": SpanSink(None, clock), "metrics": metrics, "logs": LogSink(logger)}
    assert events_of_a_run(clock, sinks) == []
    samples = {(sample.name, *sample.labels.values()): sample.value for f in metrics.collect() for sample in f.samples}
    assert samples["tickglass_job_outcomes_total", "j", "success"] == 1
    assert sum(value for key, value in samples.items() if key[0] == "distributed_lock_transitions_total") == 3


def test_a_sink_of_a_user_gets_every_event_and_all_get_the_same_one(clock: FakeClock) -> None:
    one, other = ListSink(), ListSink()
    built = events_of_a_run(clock, {"metrics": MetricSink(clock, CollectorRegistry()), "one": one, "other": other})
    assert len(built) == MOVES
    assert [id(event) for event in one.events] == [id(event) for event in other.events] == [id(e) for e in built]


@pytest.mark.parametrize(
    "make", [TracerProvider, lambda: TracerProvider(sampler=ALWAYS_OFF)], ids=["sampled", "not sampled"]
)
def test_spans_build_the_one_event_that_comes_before_the_span(
    clock: FakeClock, make: Callable[[], TracerProvider]
) -> None:
    spans = SpanSink(make(), clock)
    built = events_of_a_run(clock, {"spans": spans}, spans)
    assert [getattr(event, "event", "") for event in built] == [LockEvent.REQUESTED, LockEvent.GRANTED]
    assert spans.open_runs == 0


def test_a_log_line_needs_no_event_and_a_level_that_changes_counts_from_the_next_move_on(
    clock: FakeClock, logger: logging.Logger
) -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger.addHandler(Lines())
    logs = LogSink(logger)
    assert events_of_a_run(clock, {"logs": logs}) == []
    assert lines == []
    logger.setLevel(logging.INFO)
    assert events_of_a_run(clock, {"logs": logs}) == []
    assert [line.rpartition(" ")[2] for line in lines] == ["started", "success"]
    logger.setLevel(logging.DEBUG)
    assert events_of_a_run(clock, {"logs": logs}) == []
    assert len(lines) == 2 + MOVES


class Hears:
    """A sink of a user that happens to have methods of these names."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        self.events.append(event)

    def occurrence_moved(self, _: object) -> None:
        raise AssertionError("it was not asked for")

    lock_moved = occurrence_moved


def test_only_a_sink_that_says_so_gets_moves_without_an_event(clock: FakeClock) -> None:
    hears = Hears()
    assert len(events_of_a_run(clock, {"hears": hears})) == len(hears.events) == MOVES
    stage = Stage()
    stage.sink = hears  # without a broadcast between
    stage.run(stage.occurrence("j"))
    assert len(hears.events) == MOVES + 6


class Filtered(MetricSink):
    """A user's subclass of a sink of ours, which wants to see everything that is recorded."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, CollectorRegistry())
        self.seen: list[Event] = []

    def record(self, event: Event) -> None:
        self.seen.append(event)
        super().record(event)


def test_a_subclass_that_only_records_hears_of_everything(clock: FakeClock) -> None:
    class Lines(LogSink):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Event] = []

        def record(self, event: Event) -> None:
            self.seen.append(event)

    metrics, lines = Filtered(clock), Lines()
    assert len(events_of_a_run(clock, {"metrics": metrics, "lines": lines})) == MOVES
    Broadcast({"lines": lines}, clock).record(EventLoopTurned(lag_ns=1))
    assert (len(metrics.seen), len(lines.seen)) == (MOVES, MOVES + 1)
    text = generate_latest(metrics.registry).decode()  # type: ignore[no-untyped-call] # the client's
    assert 'tickglass_job_outcomes_total{job_name="j",outcome="success"} 1.0' in text


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("seed", range(8))
def test_the_exposition_is_the_same_whether_moves_come_as_events_or_not(seed: int, detail: Detail) -> None:
    life, rng = Life(seed, detail), random.Random(seed)
    told = MetricSink(life.stage.clock, CollectorRegistry(), detail=detail)
    life.begin(life.stage.metrics, Told(told))
    for _ in range(12):
        life.go_on(rng.randrange(60))
        here, there = (generate_latest(it.registry) for it in (life.stage.metrics, told))  # type: ignore[no-untyped-call] # the client's
        assert here == there
    assert b"trace_id" in here


class Broken(MetricSink):
    """A sink of moves that raises."""

    def record(self, event: Event) -> None:
        super().record(event)
        raise RuntimeError("no room")

    def occurrence_moved(self, move: object) -> None:
        raise RuntimeError("no room")

    lock_moved = occurrence_moved


@pytest.mark.parametrize("broken_first", [True, False])
def test_a_sink_of_moves_that_raises_is_counted_and_is_called_again(clock: FakeClock, *, broken_first: bool) -> None:
    metrics, broken = MetricSink(clock, CollectorRegistry()), Broken(clock, CollectorRegistry())
    both: list[tuple[str, EventSink]] = [("broken", broken), ("metrics", metrics)]
    assert events_of_a_run(clock, dict(both if broken_first else reversed(both))) == []
    failures = [
        sample.value
        for family in metrics.collect()
        for sample in family.samples
        if sample.name == "tickglass_telemetry_sink_failures_total" and sample.labels["sink"] == "broken"
    ]
    assert failures == [MOVES]
