"""An instance keeps its record in the store, and finds out by it that the store has lost what it held."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing, threads
from kit.rig import wait_until
from kit.stand import Stand

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ReadinessMoved, StoreCalled, StoreForgot, StoreRecordMissing
from tickglass.sched.identity import JobId
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.stop(0)
    wait_until(lambda: threads() == set())


def states(stand: Stand) -> list[str]:
    return [it.state for it in stand.store.instances()]


def run(stand: Stand) -> None:
    """Start it, and wait until its record says so."""
    stand.engine.start()
    wait_until(lambda: states(stand) == ["running"])
    stand.sink.wait_for(lambda event: isinstance(event, ReadinessMoved))


def forget(stand: Stand) -> None:
    """Empty the store, as a restart of a server without persistence does."""
    fresh = MemoryStore(stand.clock)
    with stand.store._lock:
        stand.store._instances = fresh._instances
        stand.store._jobs, stand.store._leases = fresh._jobs, fresh._leases


def test_the_record_names_the_instance_its_version_and_its_jobs(stand: Stand) -> None:
    stand.add(nothing, every("24h"), name="job")
    run(stand)
    (it,) = stand.store.instances()
    assert (it.service, it.owner, it.version) == ("svc", "a", "")
    assert list(stand.store.job_set(it.fingerprint) or ()) == ["job"]


def test_a_job_that_is_added_later_is_in_the_record_after_the_next_sweep(stand: Stand) -> None:
    run(stand)
    (before,) = stand.store.instances()
    stand.add(nothing, every("24h"), name="job")
    stand.advance_until(lambda: stand.store.instances()[0].fingerprint != before.fingerprint)
    fingerprint = stand.store.instances()[0].fingerprint
    wait_until(lambda: list(stand.store.job_set(fingerprint) or ()) == ["job"])
    assert stand.sink.of(StoreForgot) == []


def test_a_stopped_instance_has_left_and_a_draining_one_says_so(stand: Stand) -> None:
    run(stand)
    stand.stop(0)
    assert [it.state for it in stand.store.beats][-2:] == ["draining", "left"]
    assert states(stand) == ["left"]


def test_each_start_is_another_instance(stand: Stand) -> None:
    run(stand)
    other = Stand()
    run(other)
    assert stand.store.instances()[0].incarnation != other.store.instances()[0].incarnation
    other.stop(0)


def test_jobs_of_a_store_that_forgot_are_known_again_within_a_sweep_and_it_is_told_once(stand: Stand) -> None:
    stand.add(nothing, every("24h"), name="job")
    run(stand)
    forget(stand)
    assert stand.store.jobs() == []
    stand.clock.wait_for_sleepers(3)
    stand.clock.advance(10 * SECOND)
    told = stand.sink.wait_for(lambda event: isinstance(event, StoreForgot))
    assert isinstance(told, StoreForgot)
    assert (told.store, told.jobs) == ("memory", 1)
    assert [job.job_id for job in stand.store.jobs()] == [JobId("svc", "job")]
    assert states(stand) == ["running"]
    for _ in range(2):
        stand.clock.wait_for_sleepers(3)
        beats = len(stand.store.beats)
        stand.clock.advance(10 * SECOND)
        wait_until(lambda beats=beats: len(stand.store.beats) > beats)  # type: ignore[misc]
    assert len(stand.sink.of(StoreForgot)) == 1


def test_a_job_that_is_added_to_a_store_that_forgot_does_not_hide_that(stand: Stand) -> None:
    stand.add(nothing, every("24h"), name="job")
    run(stand)
    forget(stand)
    stand.add(nothing, every("24h"), name="new")
    stand.advance_until(lambda: bool(stand.sink.of(StoreForgot)))
    assert [job.name for job in stand.store.jobs()] == ["job", "new"]


def test_what_is_planned_is_not_planned_again_when_the_store_forgot(stand: Stand) -> None:
    stand.add(nothing, every("5s"), name="job")
    run(stand)
    forget(stand)
    stand.advance_until(lambda: bool(stand.sink.of(StoreForgot)))
    stand.moved("ended", outcome="success")
    assert len([call for call in stand.sink.of(StoreCalled) if call.operation == "register"]) == 2


def missing(stand: Stand) -> list[tuple[str, str, str]]:
    return [(told.store, told.kind, told.name) for told in stand.sink.of(StoreRecordMissing)]


def test_a_job_whose_record_alone_was_deleted_is_registered_again_and_that_is_told_once(stand: Stand) -> None:
    stand.add(nothing, every("24h"), name="job")
    stand.add(nothing, every("24h"), name="other")
    run(stand)
    assert stand.store.forget(JobId("svc", "job"))
    stand.advance_until(lambda: bool(missing(stand)))
    assert [job.name for job in stand.store.jobs()] == ["job", "other"]
    beats = len(stand.store.beats)
    stand.advance_until(lambda: len(stand.store.beats) > beats + 1)
    assert missing(stand) == [("memory", "job", "svc/job")]
    assert stand.sink.of(StoreForgot) == []


def test_of_many_jobs_a_hundred_are_looked_at_in_one_turn(stand: Stand) -> None:
    for number in range(150):
        stand.add(nothing, every("24h"), name=f"job-{number:03}")
    run(stand)
    for number in (10, 140):
        assert stand.store.forget(JobId("svc", f"job-{number:03}"))
    stand.advance_until(lambda: len(missing(stand)) == 1)
    assert missing(stand) == [("memory", "job", "svc/job-010")]
    stand.advance_until(lambda: len(missing(stand)) == 2)
    assert missing(stand)[1:] == [("memory", "job", "svc/job-140")]
    assert stand.store.forget(JobId("svc", "job-010"))
    stand.advance_until(lambda: len(missing(stand)) == 3)
    assert len(stand.store.jobs()) == 150


def test_a_job_that_was_never_registered_is_not_told_as_missing(stand: Stand) -> None:
    stand.store.broken["register"] = StoreUnavailable("memory", "register", "gone fishing")
    stand.add(nothing, every("24h"), name="job")
    run(stand)
    beats = len(stand.store.beats)
    stand.advance_until(lambda: len(stand.store.beats) > beats + 2)
    del stand.store.broken["register"]
    stand.advance_until(lambda: [job.name for job in stand.store.jobs()] == ["job"])
    assert missing(stand) == []


def test_a_stop_whose_store_is_away_is_logged_and_ends_all_the_same(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    run(stand)
    stand.engine._sweeper.stop()  # it would find out first, and then the stop would not even try
    stand.store.broken["beat"] = StoreUnavailable("memory", "beat", "gone fishing")
    with caplog.at_level(logging.WARNING):
        assert stand.stop(0) == []
    told = "the store does not know that this instance is draining: memory store, beat: gone fishing"
    assert [message for message in caplog.messages if "draining" in message] == [told]
