"""What is kept of schedulers: counters go on, what is live goes with the connection, and the account agrees again."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from kit.metrics_stage import SECOND, Stage
from kit.servers import find_server
from kit.sidecar_events import OWNER, SERVICE, introduction
from prometheus_client import generate_latest

from tickglass.sched.events import InterpreterPaused, ReadinessMoved, Streak, TimelineTicked
from tickglass.sched.lease import LockEvent
from tickglass.sched.lifecycle import SchedulerEvent, SchedulerMachine
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.telemetry import catalogue
from tickglass.telemetry.label_values import RefusedBecause
from tickglass.telemetry.metric import Declared, Detail
from tickglass.telemetry.metrics import SINK_METRICS
from tickglass.telemetry.sidecar.collector import SIDECAR_METRICS, SidecarCollector, sidecar_registry, unready
from tickglass.telemetry.sidecar.schedulers.sources import Source, Sources
from tickglass.telemetry.sidecar.transport.frames import FrameRefused
from tickglass.telemetry.sidecar.transport.live_state import LiveState
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from tickglass.sched.events import Event


class EventFrame:
    """A scheduler on a stage, one sidecar, and the connection in between."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.live_events = LiveState()
        self.told = ListSink()
        self.stage.sink = self.told
        self.sources = Sources(self.stage.clock)
        self.collector = SidecarCollector(self.sources, clock=self.stage.clock)
        self.link = object()
        self.number = 0

    @property
    def source(self) -> Source:
        return self.sources.named(SERVICE, OWNER)

    def connect(self, *, began_ns: int = 1, dropped: int = 0, detail: Detail = Detail.FULL) -> None:
        spoken = introduction(next_number=self.number + 1, began_ns=began_ns, dropped=dropped, detail=detail)
        self.source.on_introduction(spoken, self.live_events.events(), self.link)

    def tell(self, *, lost: bool = False) -> None:
        """Send what happened since the last time, or lose it."""
        for event in self.told.events:
            self.number += 1
            self.live_events.record(event)
            if not lost:
                self.source.on_event(self.number, event, self.link)
        self.told.events.clear()

    def value(self, name: str, **labels: str) -> float | None:
        found = [
            sample.value
            for family in self.collector.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    def outcomes(self, job: str) -> float:
        return sum(
            sample.value
            for family in self.collector.collect()
            for sample in family.samples
            if sample.name == "tickglass_job_outcomes_total" and sample.labels["job_name"] == job
        )

    def account(self, job: str) -> tuple[float, float, float]:
        """Return due, ended and pending; due is the sum of the others."""
        due, ended = self.value("tickglass_job_due_total", job_name=job), self.outcomes(job)
        pending = self.value("tickglass_job_pending", job_name=job)
        assert due is not None
        assert pending is not None
        assert due == ended + pending
        return due, ended, pending


@pytest.fixture
def told() -> EventFrame:
    return EventFrame()


def test_what_is_live_goes_at_once_and_what_was_counted_stays(told: EventFrame) -> None:
    told.connect()
    SchedulerMachine(OWNER, SERVICE, told.stage.clock, told.told).fire(SchedulerEvent.START_ASKED)
    told.stage.register("nightly")
    told.stage.run(told.stage.occurrence("nightly"))
    told.stage.hold(told.stage.lock("nightly"))
    told.stage.start(told.stage.occurrence("nightly"))
    told.tell()
    live = (
        ("distributed_lock_held_seconds", 0),
        ("distributed_lock_waiters", 0),
        ("tickglass_job_pending", 1),
        ("tickglass_job_running", 1),
        ("tickglass_job_next_run_timestamp_seconds", None),
        ("tickglass_scheduler_info", 1),
    )
    shown = {name: told.value(name) for name, _ in live}
    assert shown["tickglass_job_pending"] == shown["tickglass_job_running"] == 1
    assert told.value("tickglass_sidecar_scheduler_connected") == 1
    told.source.on_disconnect(told.link)
    assert {name: told.value(name) for name, _ in live} == {name: None for name, _ in live}
    assert told.value("tickglass_scheduler_state", state="starting") is None
    assert told.value("tickglass_sidecar_scheduler_connected") == 0
    assert told.value("tickglass_job_due_total") == 2
    assert told.value("tickglass_job_outcomes_total", outcome="success") == 1
    assert told.value("tickglass_job_run_duration_seconds_count") == 1
    assert told.value("tickglass_job_last_success_timestamp_seconds") is not None


def test_a_scheduler_that_stopped_as_it_was_asked_to_is_not_missed(told: EventFrame) -> None:
    told.connect()
    scheduler = SchedulerMachine(OWNER, SERVICE, told.stage.clock, told.told)
    for event in (
        SchedulerEvent.START_ASKED,
        SchedulerEvent.STARTED,
        SchedulerEvent.STOP_ASKED,
        SchedulerEvent.STOPPED,
    ):
        scheduler.fire(event)
    told.tell()
    assert told.value("tickglass_sidecar_scheduler_connected") == 1
    told.source.on_disconnect(told.link)
    assert told.value("tickglass_sidecar_scheduler_connected") is None


def test_a_scheduler_that_failed_to_start_is_missed(told: EventFrame) -> None:
    told.connect()
    scheduler = SchedulerMachine(OWNER, SERVICE, told.stage.clock, told.told)
    scheduler.fire(SchedulerEvent.START_ASKED)
    scheduler.fire(SchedulerEvent.START_FAILED)
    told.tell()
    told.source.on_disconnect(told.link)
    assert told.value("tickglass_sidecar_scheduler_connected") == 0


def test_ages_go_on_while_the_scheduler_says_nothing(told: EventFrame) -> None:
    told.connect()
    told.stage.hold(told.stage.lock("ledger"))
    told.tell()
    told.stage.clock.advance(90 * SECOND)
    assert told.value("distributed_lock_held_seconds", resource="ledger") == 90


def test_a_new_sidecar_knows_what_is_in_hand_and_its_account_agrees(told: EventFrame) -> None:
    told.stage.register("nightly")
    running, waiting = told.stage.occurrence("nightly"), told.stage.lock("nightly")
    told.stage.hold(told.stage.lock("nightly"))
    told.stage.start(running)
    waiting.fire(LockEvent.REQUESTED)
    told.tell(lost=True)
    told.connect()
    assert told.account("nightly") == (1, 0, 1)
    assert told.value("tickglass_job_running") == 1
    assert told.value("distributed_lock_waiters") == 1
    assert told.value("distributed_lock_acquire_attempts_total", status="acquired") == 0  # counted where it happened
    running.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS)
    told.tell()
    assert told.account("nightly") == (1, 1, 0)


def test_what_ended_unheard_has_an_outcome_that_nobody_knows(told: EventFrame) -> None:
    told.connect()
    told.stage.register("nightly")
    ended, stays = told.stage.occurrence("nightly"), told.stage.occurrence("nightly")
    told.stage.start(ended)
    told.stage.start(stays)
    told.tell()
    assert told.account("nightly") == (2, 0, 2)
    ended.fire(OccurrenceEvent.ENDED, outcome=Outcome.SUCCESS)
    fell = told.stage.occurrence("nightly")
    fell.fire(OccurrenceEvent.FELL_DUE)
    told.tell(lost=True)
    told.connect(dropped=2)  # it says anew what is live
    assert told.account("nightly") == (3, 1, 2)
    assert told.value("tickglass_job_outcomes_total", outcome="__other__") == 1
    assert (told.source.gaps, told.source.missed) == (1, 2)
    assert told.source.last_gap_ns == told.stage.clock.monotonic_ns()
    assert told.value("tickglass_telemetry_dropped_total", signal="events", reason="queue_full") == 2


def test_a_scheduler_that_comes_back_goes_on_where_it_was(told: EventFrame) -> None:
    told.connect()
    told.stage.register("nightly")
    occurrence = told.stage.occurrence("nightly")
    told.stage.start(occurrence)
    told.tell()
    told.source.on_disconnect(told.link)
    told.link = object()
    told.connect()
    assert told.account("nightly") == (1, 0, 1)
    assert (told.source.gaps, told.source.missed, told.source.last_gap_ns) == (0, 0, None)
    assert told.value("tickglass_sidecar_scheduler_connected") == 1


def test_another_process_of_that_name_begins_its_own_numbers(told: EventFrame) -> None:
    told.connect()
    told.stage.register("nightly")
    told.stage.run(told.stage.occurrence("nightly"), Outcome.FAILURE)
    told.stage.start(told.stage.occurrence("nightly"))
    told.tell()
    assert told.value("tickglass_job_consecutive_failures") == 1
    told.source.on_disconnect(told.link)
    told.link, told.number, told.live_events = object(), 0, LiveState()
    told.stage.register("hourly")
    told.tell(lost=True)
    told.connect(began_ns=2)
    assert (told.source.gaps, told.source.missed) == (0, 0)
    assert told.value("tickglass_job_pending", job_name="nightly") is None  # the new process has no such job
    assert told.value("tickglass_job_outcomes_total", job_name="nightly", outcome="__other__") == 1
    assert told.account("hourly") == (0, 0, 0)
    told.stage.register("nightly")
    told.tell()
    assert told.account("nightly") == (2, 2, 0)
    assert told.value("tickglass_job_consecutive_failures", job_name="nightly") == 0


def test_a_scheduler_that_comes_back_at_another_detail_begins_at_zero(told: EventFrame) -> None:
    """Its series are others, so those from before do not continue; for Prometheus that is a restart."""
    told.connect()
    told.stage.register("nightly")
    told.stage.run(told.stage.occurrence("nightly"))
    told.tell()
    assert told.account("nightly") == (1, 1, 0)
    told.source.on_disconnect(told.link)
    told.link, told.number, told.live_events = object(), 0, LiveState()
    told.connect(began_ns=2, detail=Detail.COMPACT)
    told.stage.register("nightly")
    told.tell()
    assert told.account("nightly") == (0, 0, 0)
    assert told.value("tickglass_job_running", job_name="nightly") is None


def test_what_failed_before_a_scheduler_and_unheard_of_a_sidecar_counts(told: EventFrame) -> None:
    told.stage.register("nightly", streak=Streak(failures=2, since_ns=7 * SECOND, latest_ns=8 * SECOND))
    told.stage.run(told.stage.occurrence("nightly"), Outcome.FAILURE)
    told.tell(lost=True)
    told.connect()
    assert told.value("tickglass_job_consecutive_failures") == 3
    assert told.value("tickglass_job_unsuccessful_since_timestamp_seconds") == 7
    assert [job.failures for job in told.source.history.snapshot().jobs] == [3]
    told.stage.run(told.stage.occurrence("nightly"), Outcome.FAILURE)
    told.tell()
    assert told.value("tickglass_job_consecutive_failures") == 4
    told.stage.run(told.stage.occurrence("nightly"))
    told.tell(lost=True)
    told.connect(dropped=6)  # the same process: it says anew how things stand
    assert told.value("tickglass_job_consecutive_failures") == 0
    assert told.value("tickglass_job_unsuccessful_since_timestamp_seconds") is None
    assert [job.failures for job in told.source.history.snapshot().jobs] == [0]
    assert told.value("tickglass_job_last_success_timestamp_seconds") is not None


def test_the_later_of_two_connections_speaks_for_a_scheduler(told: EventFrame) -> None:
    told.connect()
    early, told.link = told.link, object()
    told.connect(began_ns=2)
    told.source.on_event(1, TimelineTicked(lag_ns=1, duration_ns=1, handed=0), early)
    assert told.source.events == 0
    told.source.on_disconnect(early)
    assert told.source.connected


@pytest.mark.parametrize("number", [0, 1])
def test_a_number_that_was_heard_is_malformed(told: EventFrame, number: int) -> None:
    told.connect()
    turned = TimelineTicked(lag_ns=1, duration_ns=1, handed=0)
    told.source.on_event(1, turned, told.link)
    with pytest.raises(FrameRefused, match="malformed"):
        told.source.on_event(number, turned, told.link)


def test_nobody_tells_of_another_scheduler(told: EventFrame) -> None:
    told.stage.hold(told.stage.lock("ledger", owner="host-2"))
    events: list[Event] = [*told.told.events]
    with pytest.raises(FrameRefused, match="another scheduler"):
        told.source.on_introduction(introduction(), events, told.link)
    told.connect()
    with pytest.raises(FrameRefused, match="another scheduler"):
        told.source.on_event(1, events[-1], told.link)
    with pytest.raises(FrameRefused, match="another name"):
        told.source.on_introduction(introduction(owner="host-2"), [], told.link)


def test_schedulers_that_are_gone_make_room_and_those_that_are_there_do_not() -> None:
    stage = Stage()
    sources = Sources(stage.clock, capacity=2)
    for number in range(5):
        stage.clock.advance(SECOND)
        source = sources.named(SERVICE, f"host-{number}")
        source.on_introduction(introduction(owner=f"host-{number}"), [], source)
        if number < 4:
            source.on_disconnect(source)
    assert [source.owner for source in sources.all()] == ["host-3", "host-4"]
    for one in sources.all():
        one.on_introduction(introduction(owner=one.owner), [], one)
    with pytest.raises(FrameRefused) as refused:
        sources.named(SERVICE, "host-9")
    assert refused.value.reason is RefusedBecause.FULL
    with pytest.raises(FrameRefused, match="malformed"):
        sources.named(SERVICE, "")


def test_one_that_is_frozen_makes_the_sidecar_unready_and_one_that_is_gone_does_not(told: EventFrame) -> None:
    told.connect()
    machine = SchedulerMachine(OWNER, SERVICE, told.stage.clock, told.told)
    machine.fire(SchedulerEvent.START_ASKED)
    machine.fire(SchedulerEvent.STARTED)
    told.told.record(TimelineTicked(lag_ns=0, duration_ns=0, handed=0))
    told.tell()
    told.stage.clock.advance(5 * SECOND)
    assert unready(told.sources, [], told.stage.clock) == []
    told.stage.clock.advance(2 * SECOND)
    assert unready(told.sources, [], told.stage.clock) == ["scheduler billing/host-1 is silent for 7 s"]
    told.source.on_disconnect(told.link)
    assert unready(told.sources, [], told.stage.clock) == []


def test_one_that_is_not_ready_makes_the_sidecar_unready_for_as_long_as_it_runs(told: EventFrame) -> None:
    def said(error: str) -> list[str]:
        told.told.record(ReadinessMoved(owner=OWNER, service=SERVICE, error=error, wall_ns=0))
        told.tell()
        return unready(told.sources, [], told.stage.clock)

    told.connect()
    machine = SchedulerMachine(OWNER, SERVICE, told.stage.clock, told.told)
    machine.fire(SchedulerEvent.START_ASKED)
    machine.fire(SchedulerEvent.STARTED)
    who = "scheduler billing/host-1 is not ready:"
    assert said("it is full\nit is late") == [f"{who} it is full", f"{who} it is late"]
    assert said("") == []
    assert said("it is full") == [f"{who} it is full"]
    machine.fire(SchedulerEvent.STOP_ASKED)
    told.tell()
    assert unready(told.sources, [], told.stage.clock) == []


def test_pauses_of_the_garbage_collector_are_the_schedulers(told: EventFrame) -> None:
    told.connect()
    told.told.record(InterpreterPaused(generation="2", duration_ns=3_000_000))
    told.tell()
    assert told.value("tickglass_gc_pause_seconds_count", generation="2") == 1


def test_several_schedulers_are_told_apart_and_every_label_is_declared() -> None:
    stage = Stage()
    sources = Sources(stage.clock)
    for owner in ("host-1", "host-2"):
        told = ListSink()
        stage.sink = told
        stage.hold(stage.lock("ledger", owner=owner))
        source = sources.named(SERVICE, owner)
        source.on_introduction(introduction(told.events, owner=owner), told.events, source)
    sources.refused(RefusedBecause.PEER)
    declared = {metric.family: metric for metric in SIDECAR_METRICS}
    assert declared.keys() == {metric.family for metric in (*SINK_METRICS, catalogue.GC_PAUSE)} | {
        metric.family for metric in catalogue.sidecar_metrics()
    }
    collector = SidecarCollector(sources, clock=stage.clock)
    seen = set()
    for family in collector.collect():
        labels = {label.name for label in declared[family.name].labels}
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in seen
            seen.add(key)
            allowed = labels | {Declared.OWNER, Declared.SERVICE, "le"}
            assert labels <= sample.labels.keys() <= allowed, sample
    text = generate_latest(sidecar_registry(collector)).decode()
    command = [shutil.which("promtool") or find_server("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=text, text=True, capture_output=True, check=False, timeout=30)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
