"""A job that is in the ledger and in no code any more is not due."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from kit.sidecar_events import introduction
from kit.sidecar_views import EVERY_NS, FakeScheduler, SidecarRig

from tickglass.sched.durations import SECOND
from tickglass.telemetry import catalogue
from tickglass.telemetry.sidecar.collector import SidecarCollector
from tickglass.telemetry.sidecar.schedulers.sources import Sources
from tickglass.telemetry.sidecar.stores.overdue import DROPPED_AFTER_NS
from tickglass.testing import ListSink

NEXT: Final = "tickglass_job_next_run_timestamp_seconds"


class Sight:
    """A ledger in which host-1 of billing registered `old`, and schedulers that tell a sidecar which jobs they have."""

    def __init__(self) -> None:
        self.rig = SidecarRig()
        self.rig.register("old")
        self._sources = Sources(self.rig.clock)
        self._collector = SidecarCollector(self._sources, clock=self.rig.clock, snapshots=lambda: self.rig.snapshots)

    def connect(self, owner: str, *jobs: str, service: str = "billing", state: str = "running") -> None:
        told, source = ListSink(), self._sources.named(service, owner)
        scheduler = FakeScheduler(owner, self.rig.clock, source.history, service=service, sink=told)
        scheduler.start(*jobs)
        scheduler.moved("starting", "started", state)
        spoken = msgspec.structs.replace(introduction(owner=owner), service=service)
        source.on_introduction(spoken, told.events, object())

    def leave(self, owner: str, *, asked: bool) -> None:
        """Connect a scheduler that had the job, and end it: after a stop, or without a word."""
        source, link = self._sources.named("billing", owner), object()
        told = ListSink()
        scheduler = FakeScheduler(owner, self.rig.clock, source.history, sink=told)
        scheduler.start("old")
        spoken = msgspec.structs.replace(introduction(owner=owner), service="billing")
        source.on_introduction(spoken, told.events, link)
        if asked:
            for move in (("running", "stop_asked", "draining"), ("draining", "drained", "stopped")):
                scheduler.moved(*move)
            for event in told.events[-2:]:
                source.history.record(event)
        source.on_disconnect(link)

    def connected(self) -> dict[str, float]:
        """Return what is said of each scheduler's connection."""
        return {
            sample.labels["owner"]: sample.value
            for family in self._collector.collect()
            for sample in family.samples
            if sample.name == catalogue.SIDECAR_CONNECTED.name
        }

    def is_due(self, overdue_ns: int) -> bool:
        """Whether the store's series of `old` is there so long after it was due."""
        self.rig.clock.advance(EVERY_NS + overdue_ns)
        self.rig.probe()
        return any(
            sample.labels["job_name"] == "old" and "source" in sample.labels
            for family in self._collector.collect()
            for sample in family.samples
            if sample.name == NEXT
        )


@pytest.fixture
def snapshot() -> Sight:
    return Sight()


def test_it_is_due_while_nobody_of_its_service_is_connected(snapshot: Sight) -> None:
    snapshot.connect("host-1", service="mail")
    assert snapshot.is_due(10 * DROPPED_AFTER_NS)


def test_it_is_not_if_the_scheduler_that_registered_it_last_runs_without_it(snapshot: Sight) -> None:
    snapshot.connect("host-1", "new")
    assert not snapshot.is_due(SECOND)


def test_it_is_not_if_nobody_who_runs_has_it_and_who_had_it_is_not_known_to_have_died(snapshot: Sight) -> None:
    snapshot.connect("host-2", "new")
    assert not snapshot.is_due(SECOND)
    snapshot.leave("host-1", asked=True)
    assert not snapshot.is_due(SECOND)


def test_it_is_not_while_the_service_is_stopped_on_request(snapshot: Sight) -> None:
    snapshot.leave("host-1", asked=True)
    assert not snapshot.is_due(10 * DROPPED_AFTER_NS)


def test_a_scheduler_that_had_died_before_is_not_missed_while_the_service_is_stopped_on_request(
    snapshot: Sight,
) -> None:
    snapshot.leave("host-1", asked=False)
    assert snapshot.connected() == {"host-1": 0}
    snapshot.rig.clock.advance(SECOND)
    snapshot.leave("host-2", asked=True)
    assert snapshot.connected() == {}


def test_others_of_the_service_that_run_without_it_are_believed_after_an_hour(snapshot: Sight) -> None:
    snapshot.leave("host-1", asked=False)
    snapshot.connect("host-2", "new")
    assert snapshot.is_due(DROPPED_AFTER_NS - EVERY_NS)
    assert not snapshot.is_due(SECOND)


def test_it_is_due_while_one_of_the_service_has_it(snapshot: Sight) -> None:
    snapshot.connect("host-1", "new")
    snapshot.connect("host-2", "new", "old")
    assert snapshot.is_due(10 * DROPPED_AFTER_NS)


def test_one_that_does_not_run_says_nothing(snapshot: Sight) -> None:
    snapshot.connect("host-1", state="starting")
    assert snapshot.is_due(10 * DROPPED_AFTER_NS)
