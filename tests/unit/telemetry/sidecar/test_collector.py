"""A job that is in the ledger and in no code any more is not due."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from kit.sidecar_events import introduction
from kit.sidecar_views import EVERY_NS, Lookout, Teller

from tickglass.sched.durations import SECOND
from tickglass.telemetry.sidecar.collector import SidecarCollector
from tickglass.telemetry.sidecar.schedulers.sources import Sources
from tickglass.telemetry.sidecar.stores.overdue import DROPPED_AFTER_NS
from tickglass.testing import ListSink

NEXT: Final = "tickglass_job_next_run_timestamp_seconds"


class Sight:
    """A ledger in which host-1 of billing registered `old`, and schedulers that tell a sidecar which jobs they have."""

    def __init__(self) -> None:
        self.lookout = Lookout()
        self.lookout.register("old")
        self._sources = Sources(self.lookout.clock)
        self._collector = SidecarCollector(self._sources, clock=self.lookout.clock, sights=lambda: self.lookout.sights)

    def connect(self, owner: str, *jobs: str, service: str = "billing", state: str = "running") -> None:
        told, source = ListSink(), self._sources.named(service, owner)
        teller = Teller(owner, self.lookout.clock, source.history, service=service, sink=told)
        teller.start(*jobs)
        teller.moved("starting", "started", state)
        spoken = msgspec.structs.replace(introduction(owner=owner), service=service)
        source.introduced(spoken, told.events, object())

    def is_due(self, overdue_ns: int) -> bool:
        """Whether the store's series of `old` is there so long after it was due."""
        self.lookout.clock.advance(EVERY_NS + overdue_ns)
        self.lookout.look()
        return any(
            sample.labels["job_name"] == "old" and "source" in sample.labels
            for family in self._collector.collect()
            for sample in family.samples
            if sample.name == NEXT
        )


@pytest.fixture
def sight() -> Sight:
    return Sight()


def test_it_is_due_while_nobody_of_its_service_is_connected(sight: Sight) -> None:
    sight.connect("host-1", service="mail")
    assert sight.is_due(10 * DROPPED_AFTER_NS)


def test_it_is_not_if_the_scheduler_that_registered_it_last_runs_without_it(sight: Sight) -> None:
    sight.connect("host-1", "new")
    assert not sight.is_due(SECOND)


def test_others_of_the_service_that_run_without_it_are_believed_after_an_hour(sight: Sight) -> None:
    sight.connect("host-2", "new")
    assert sight.is_due(DROPPED_AFTER_NS - EVERY_NS)
    assert not sight.is_due(SECOND)


def test_it_is_due_while_one_of_the_service_has_it(sight: Sight) -> None:
    sight.connect("host-1", "new")
    sight.connect("host-2", "new", "old")
    assert sight.is_due(10 * DROPPED_AFTER_NS)


def test_one_that_does_not_run_says_nothing(sight: Sight) -> None:
    sight.connect("host-1", state="starting")
    assert sight.is_due(10 * DROPPED_AFTER_NS)
