"""A job that is in the ledger and in no code any more is not due."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from kit.sidecar_events import introduction
from kit.sidecar_views import EVERY_NS, FakeScheduler, SidecarRig

from tickglass.sched.durations import SECOND
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


def test_others_of_the_service_that_run_without_it_are_believed_after_an_hour(snapshot: Sight) -> None:
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
