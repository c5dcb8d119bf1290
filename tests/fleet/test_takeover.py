"""Real schedulers that are killed, frozen and stopped with a run in hand."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from kit.processes import Fleet, Instance, running_fleet, wait_until

from tickglass.sched.durations import MS
from tickglass.sched.identity import JobId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.events import OccurrenceMoved
    from tickglass.sched.ports import RunRecord


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path) as fleet:
        yield fleet


def attempts(fleet: Fleet, start: OccurrenceMoved) -> list[RunRecord]:
    """Return what the ledger knows of an occurrence, first attempt first."""
    runs = [run for run in fleet.store.runs(JobId("fleet", start.job), 1_000_000) if run.due_ns == start.due_ns]
    return sorted(runs, key=lambda run: run.attempt)


def taken_over(holder: Instance, heir: Instance) -> tuple[OccurrenceMoved, OccurrenceMoved]:
    """Wait for the second attempt; return both starts."""
    first = holder.occurrence("hold", "started")
    second = heir.occurrence("hold", "started", attempt=2)
    assert second.due_ns == first.due_ns
    assert second.fence > first.fence
    return first, second


def test_the_occurrence_of_a_killed_process_is_taken_over_under_a_higher_fence(fleet: Fleet) -> None:
    holder = fleet.start("hold", ttl="1500ms").running()
    start = holder.occurrence("hold", "started")
    heir = fleet.start("hold", ttl="1500ms").running()
    holder.signal(signal.SIGKILL)
    fleet.open_gate(2)
    taken_over(holder, heir)
    end = heir.occurrence("hold", "ended", attempt=2)
    assert (end.outcome, fleet.saw(2)) == ("success", "False ")
    assert heir.scrape().total("tickglass_job_orphans_total", job_name="hold") == 1
    assert heir.scrape().total("distributed_lock_lease_expirations_total", resource="fleet/hold") == 1
    assert heir.stopped() == 0
    first, second = attempts(fleet, start)
    assert (first.owner, first.outcome) == (holder.owner, "orphaned")
    assert (second.owner, second.outcome, second.fence) == (heir.owner, "success", end.fence)
    assert fleet.store.leases() == []


def test_a_frozen_process_finds_on_waking_that_it_may_not_act(fleet: Fleet) -> None:
    holder = fleet.start("hold", ttl="1500ms").running()
    start = holder.occurrence("hold", "started")
    heir = fleet.start("hold", ttl="1500ms").running()
    fleet.freeze(holder)
    taken_over(holder, heir)
    fleet.open_gate(1)  # the next step is the first thing that it can do
    holder.signal(signal.SIGCONT)
    end = holder.occurrence("hold", "ended")
    assert (end.outcome, end.due_ns, fleet.saw(1)) == ("lost", start.due_ns, "True lost")
    assert [lease.owner for lease in fleet.store.leases() if lease.resource == "fleet/hold"] == [heir.owner]
    fleet.open_gate(2)
    assert heir.occurrence("hold", "ended", attempt=2).outcome == "success"
    holder.scrape().assert_the_account_agrees()
    assert holder.scrape().total("distributed_lock_releases_total", resource="fleet/hold", reason="expired") == 1
    assert [holder.stopped(), heir.stopped()] == [0, 0]
    first, second = attempts(fleet, start)
    assert (first.outcome, second.outcome, second.owner) == ("orphaned", "success", heir.owner)


def test_a_run_that_is_deaf_to_its_timeout_is_not_started_again_beside_itself(fleet: Fleet) -> None:
    instances = [fleet.start("deaf", ttl="1500ms").running() for _ in range(3)]
    wait_until(lambda: any(one.occurrences("started") for one in instances), "nobody started")
    holder = next(one for one in instances if one.occurrences("started"))
    due_ns = holder.occurrences("started")[0].due_ns
    others = [one for one in instances if one is not holder]

    def overlapped(other: Instance) -> bool:
        """Whether it still skips, well past what the lease would last without a renewal."""
        return any(
            (end.outcome, end.reason) == ("skipped", "overlap") and end.due_ns > due_ns + 4_500 * MS
            for end in other.occurrences("ended")
        )

    wait_until(lambda: all(map(overlapped, others)), "the others do not see that it goes on")
    assert holder.scrape().total("tickglass_job_overdue_runs", job_name="deaf") == 1
    fleet.open_gate(1)
    end = holder.occurrence("deaf", "ended")
    assert (end.due_ns, end.outcome, fleet.saw(1)) == (due_ns, "timeout", "True timeout")
    assert [one.stopped() for one in instances] == [0, 0, 0]
    starts = [start for one in instances for start in one.occurrences("started") if start.due_ns == due_ns]
    assert len(starts) == 1
    (record,) = [run for run in fleet.store.runs(JobId("fleet", "deaf"), 1_000_000) if run.due_ns == due_ns]
    assert (record.attempt, record.outcome) == (1, "timeout")


def test_a_stop_waits_for_the_run_in_hand(fleet: Fleet) -> None:
    instance = fleet.start("hold").running()
    start = instance.occurrence("hold", "started")
    assert instance.get("/readyz").status == 200
    instance.signal(signal.SIGTERM)
    instance.moved("draining")
    ready = instance.get("/readyz")
    assert (ready.status, ready.text) == (503, "the scheduler is draining\n")
    fleet.open_gate(1)
    assert instance.exit_code() == 0
    assert fleet.saw(1) == "False "
    (run,) = attempts(fleet, start)
    assert run.outcome == "success"
    assert fleet.store.leases() == []


def test_a_run_that_never_ends_is_left_and_said_so(fleet: Fleet) -> None:
    instance = fleet.start("hold", drain="100ms").running()
    start = instance.occurrence("hold", "started")
    assert instance.stopped() == 4
    assert instance.occurrence("hold", "stop_asked").reason == "shutdown"
    assert "left running: hold" in instance.errors()
    (run,) = attempts(fleet, start)
    assert run.outcome is None
    (lease,) = fleet.store.leases()
    assert (lease.resource, lease.owner, lease.fence) == ("fleet/hold", instance.owner, start.fence)
    assert lease.remaining_ns > 0, "so that nobody else starts while it may still act"


def test_a_second_signal_cuts_the_drain_short(fleet: Fleet) -> None:
    instance = fleet.start("obey", drain="1h").running()
    start = instance.occurrence("obey", "started")
    instance.signal(signal.SIGTERM)
    instance.moved("draining")
    instance.signal(signal.SIGTERM)
    assert instance.exit_code() == 0
    assert instance.occurrence("obey", "ended").outcome == "cancelled"
    (run,) = attempts(fleet, start)
    assert run.outcome == "cancelled"
    assert fleet.store.leases() == []


def test_a_third_signal_leaves_what_does_not_stop(fleet: Fleet) -> None:
    instance = fleet.start("hold", drain="1h").running()
    instance.occurrence("hold", "started")
    instance.signal(signal.SIGTERM)
    instance.moved("draining")
    instance.signal(signal.SIGINT)
    instance.occurrence("hold", "stop_asked")
    instance.signal(signal.SIGINT)
    assert instance.exit_code() == 4
    assert [lease.resource for lease in fleet.store.leases()] == ["fleet/hold"]
