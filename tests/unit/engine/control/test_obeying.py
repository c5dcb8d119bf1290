"""An instance obeys what operators ask: pauses, skips, runs on request, cancels, drains; and says so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing, threads
from kit.rig import wait_until
from kit.stand import Stand
from msgspec import json, structs

from tickglass import Control, StoreUnavailable
from tickglass.sched.control.audit import ActEntry
from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import Pause
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.control.order_watch import LOOK_EVERY_NS
from tickglass.sched.events import (
    ActSeen,
    InstantsElsewhere,
    InstantsMissed,
    OccurrenceMoved,
    OrdersStand,
    StoreCalled,
)
from tickglass.sched.ports import ClaimAsk, ControlRecord, LeaseAsk
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickglass.sched.run import Run

HOUR = 3_600 * SECOND
PAUSE = Pause(number=1, by="anna", reason="the disk is full", since_ns=0)
ACTED = json.encode(ActEntry(act="pause", by="anna", reason="the disk is full")).decode()


class Fleet:
    """One instance, and someone who acts on its store."""

    def __init__(self) -> None:
        self.stand = Stand()
        self.control = Control(self.stand.store, by="anna")

    def start(self) -> None:
        """Start the instance, and wait until its store knows of it and its jobs."""
        self.stand.engine.start()
        self.stand.advance_until(lambda: any(it.state == "running" for it in self.stand.store.instances()), 0)

    def obeyed(self, version: int | None = None) -> None:
        """Wait until the instance has seen all acts, or those up to a version."""
        if version is None:
            version = self.control.log(1)[0].version
        self.stand.advance_until(lambda: any(it.version == version for it in self.stand.sink.of(OrdersStand)), 0)

    def look(self) -> None:
        """Have the instance look at what stands, once more."""
        self.stand.clock.advance(LOOK_EVERY_NS)

    def ends(self, kind: str = "scheduled", job: str = "job") -> list[OccurrenceMoved]:
        moves = self.stand.sink.of(OccurrenceMoved)
        return [it for it in moves if (it.event, it.kind, it.job) == ("ended", kind, job)]

    def ended(self, count: int, kind: str = "scheduled") -> list[OccurrenceMoved]:
        self.stand.advance_until(lambda: len(self.ends(kind)) >= count)
        return self.ends(kind)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    yield fleet
    fleet.stand.stop(0)
    wait_until(lambda: threads() == set())


def told(moves: list[OccurrenceMoved]) -> set[tuple[str | None, str]]:
    return {(it.outcome, it.reason) for it in moves}


def test_due_instants_of_a_paused_job_are_skipped_with_who_and_why_and_not_run_later(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    fleet.ended(2)
    fleet.control.pause("job", reason="the disk is full")
    fleet.look()
    fleet.obeyed()
    before = len(fleet.ends())
    skipped = fleet.ended(before + 5)[before + 1 :]
    assert told(skipped) == {("skipped", "paused")}
    assert skipped[-1].error == "anna paused it: the disk is full (act 1)"
    assert fleet.stand.sink.of(OrdersStand)[-1].paused == ("job",)
    fleet.control.resume("job", reason="there is room")
    fleet.look()
    fleet.stand.advance_until(lambda: fleet.stand.sink.of(OrdersStand)[-1].paused == ())
    paused = [it.due_ns for it in fleet.ends() if it.reason == "paused"]
    fleet.stand.advance_until(lambda: fleet.ends()[-1].outcome == "success")
    assert not {run.due_ns for run in fleet.stand.store.runs()} & set(paused)


def test_what_stands_at_the_start_is_obeyed_from_the_first_due_instant_on(fleet: Fleet) -> None:
    fleet.control.pause("*", reason="a freeze")
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    assert told(fleet.ended(3)) == {("skipped", "paused")}
    assert fleet.stand.store.runs() == []
    assert fleet.stand.sink.of(ActSeen) == [], "it was done before"


def test_one_instant_is_skipped_and_the_next_one_runs(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("10s"), name="job")
    fleet.start()
    act = fleet.control.skip("job", reason="not this one")
    fleet.look()
    fleet.obeyed()
    first, second = fleet.ended(2)[:2]
    assert (first.due_ns, first.reason) == (act.entry.due_ns, "paused")
    assert first.error == "anna had this instant skipped: not this one (act 1)"
    assert second.outcome == "success"


def test_a_run_on_request_is_an_occurrence_of_its_own(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1h"), name="job")
    fleet.start()
    before = fleet.stand.store.jobs()[0]
    act = fleet.control.trigger("job", reason="now, please")
    fleet.stand.clock.advance(30 * SECOND)  # until it looks
    (end,) = fleet.ended(1, "manual")
    assert (end.outcome, end.due_ns) == ("success", act.entry.due_ns)
    assert end.lateness is not None
    assert end.lateness.total_ns < 30 * SECOND, "from when the instance knew"
    (run,) = fleet.stand.store.runs()
    assert (run.kind, run.due_ns, run.outcome) == ("manual", act.entry.due_ns, "success")
    after = fleet.stand.store.jobs()[0]
    assert (after.next_due_ns, after.last_due_ns) == (before.next_due_ns, None)
    for _ in range(3):
        fleet.look()
    assert len(fleet.ends("manual")) == 1


def test_a_paused_job_runs_on_request(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1h"), name="job")
    fleet.start()
    fleet.control.pause("job", reason="r")
    fleet.control.trigger("job", reason="r")
    fleet.look()
    assert told(fleet.ended(1, "manual")) == {("success", "")}


def test_a_run_on_request_waits_for_the_run_in_progress_here(fleet: Fleet) -> None:
    go_on = threading.Event()

    def slow() -> None:
        go_on.wait(10)

    fleet.stand.add(slow, every("1h"), name="job")
    fleet.start()
    fleet.control.trigger("job", reason="first")
    fleet.look()
    fleet.stand.moved("started")
    fleet.control.trigger("job", reason="second", within="1h")
    fleet.look()
    fleet.obeyed()
    fleet.look()
    assert fleet.ends("manual") == []
    go_on.set()
    assert told(fleet.ended(2, "manual")) == {("success", "")}


def test_a_run_on_request_waits_for_the_run_in_progress_elsewhere(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1h"), name="job")
    fleet.start()
    lease = LeaseAsk("svc/job", "b", "svc", "token", 20 * SECOND, job="job", run_id="other")
    fleet.stand.store.claim(ClaimAsk(lease, due_ns=1))
    fleet.control.trigger("job", reason="r", within="1h")
    fleet.look()
    assert told(fleet.ended(1, "manual")) == {("success", "")}


def test_a_run_on_request_that_another_instance_made_is_elsewhere(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1h"), name="job")
    fleet.start()
    act = fleet.control.trigger("job", reason="r")
    assert act.entry.due_ns is not None
    lease = LeaseAsk("svc/job", "b", "svc", "token", 20 * SECOND, job="job", run_id="other")
    fleet.stand.store.claim(ClaimAsk(lease, due_ns=act.entry.due_ns, kind="manual"))
    fleet.look()
    assert told(fleet.ended(1, "manual")) == {("elsewhere", "")}


def test_a_run_on_request_that_cannot_start_in_time_is_accounted_for(fleet: Fleet) -> None:
    go_on = threading.Event()

    def slow() -> None:
        go_on.wait(10)

    fleet.stand.add(slow, every("1h"), name="job")
    fleet.start()
    fleet.control.trigger("job", reason="r")
    fleet.look()
    fleet.stand.moved("started")
    fleet.control.trigger("job", reason="r", within="3s")
    fleet.look()
    assert told(fleet.ended(1, "manual")) == {("missed", "")}
    go_on.set()


def test_instants_before_a_run_on_request_do_not_count_as_its_claimants(fleet: Fleet) -> None:
    """A run that a person asked for says nothing about what was due before it."""
    fleet.stand.add(nothing, every("10s"), name="job", misfire_grace="1s")
    fleet.start()
    fleet.ended(1)
    for _ in range(2):
        fleet.control.trigger("job", reason="r")
        fleet.look()
    fleet.ended(2, "manual")
    lease = LeaseAsk("svc/job", "b", "svc", "token", SECOND, job="job", run_id="other")
    fleet.stand.clock.advance(35 * SECOND)
    due_ns = fleet.stand.clock.wall_ns() - 3 * SECOND
    fleet.stand.store.claim(ClaimAsk(lease, due_ns=due_ns, kind="manual"))
    fleet.stand.sink.wait_for(lambda event: isinstance(event, InstantsMissed | InstantsElsewhere))
    assert fleet.stand.sink.of(InstantsElsewhere) == []


def test_a_run_is_cancelled(fleet: Fleet) -> None:
    reasons: list[str] = []

    def patient(run: Run) -> None:
        run.wait("1h")
        reasons.append(run.cancel_reason)

    fleet.stand.add(patient, every("1h"), name="job")
    fleet.start()
    fleet.control.trigger("job", reason="r")
    fleet.look()
    fleet.stand.moved("started")
    fleet.control.cancel("job", reason="enough")
    fleet.stand.advance_until(lambda: fleet.ends("manual") != [], LOOK_EVERY_NS)
    assert told(fleet.ends("manual")) == {("cancelled", "cancelled")}
    assert reasons == ["cancelled"]
    assert fleet.stand.store.runs()[0].outcome == "cancelled"


def test_a_drained_instance_starts_nothing_and_is_not_ready(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    fleet.stand.run_until_started()
    fleet.control.drain("a", reason="new memory")
    fleet.look()
    fleet.obeyed()
    assert fleet.stand.engine.unready() == ["drained by anna: new memory"]
    before = len(fleet.ends())
    drained = fleet.ended(before + 3)[before + 1 :]
    assert told(drained) == {("skipped", "paused")}
    assert drained[-1].error == "anna drained this instance: new memory (act 1)"
    fleet.stand.advance_until(lambda: fleet.stand.store.instances()[0].state == "draining")
    fleet.control.undrain("a", reason="it is there")
    fleet.look()
    fleet.stand.advance_until(lambda: fleet.ends()[-1].outcome == "success")
    assert fleet.stand.engine.unready() == []


def test_which_names_and_patterns_are_paused_is_reported_and_how_many_jobs_they_mean(fleet: Fleet) -> None:
    for name in ("report-day", "report-week", "beat"):
        fleet.stand.add(nothing, every("1h"), name=name)
    fleet.start()
    in_a_minute_ns = fleet.stand.clock.wall_ns() + 60 * SECOND
    paused = (("report-*", "svc", in_a_minute_ns), ("beat", "*", None), ("beat", "svc", None), ("*", "other", None))
    pauses = [structs.replace(PAUSE, job=job, service=whose, until_ns=end_ns) for job, whose, end_ns in paused]
    fleet.stand.store.write_control(OrderBook(1, tuple(pauses)).written(), ACTED)

    def says(*paused: str, jobs: int) -> bool:
        latest = fleet.stand.sink.of(OrdersStand)[-1]
        return (latest.paused, latest.jobs_paused) == (paused, jobs)

    fleet.look()
    fleet.stand.advance_until(lambda: says("beat", "report-*", jobs=3), 0)
    fleet.stand.add(nothing, every("1h"), name="report-year")
    fleet.look()
    fleet.stand.advance_until(lambda: says("beat", "report-*", jobs=4), 0)
    fleet.stand.advance_until(lambda: says("beat", jobs=1))


def test_each_act_is_reported_once(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1h"), name="job")
    fleet.start()
    fleet.control.pause("job", reason="one")
    fleet.control.resume("job", reason="two")
    fleet.look()
    fleet.obeyed()
    fleet.look()
    seen = fleet.stand.sink.of(ActSeen)
    assert [(it.number, it.act, it.by, it.reason) for it in seen] == [
        (1, "pause", "anna", "one"),
        (2, "resume", "anna", "two"),
    ]


def test_what_stands_is_obeyed_at_once_though_its_acts_are_reported_later(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    fleet.stand.store.broken["audit"] = StoreUnavailable("memory", "audit", "gone fishing")
    fleet.stand.store.write_control(OrderBook(1, (PAUSE,)).written(), ACTED)
    fleet.look()
    fleet.stand.advance_until(lambda: fleet.ends() != [] and fleet.ends()[-1].reason == "paused")
    assert fleet.stand.sink.of(ActSeen) == []
    del fleet.stand.store.broken["audit"]
    fleet.stand.advance_until(lambda: fleet.stand.sink.of(ActSeen) != [])
    assert [it.reason for it in fleet.stand.sink.of(ActSeen)] == ["the disk is full"]


def test_an_act_that_cannot_be_read_is_named_in_the_log_and_what_stands_is_obeyed(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    fleet.stand.store.write_control(OrderBook(1, (PAUSE,)).written(), "no act")
    fleet.look()
    fleet.obeyed(1)
    assert fleet.stand.sink.of(OrdersStand)[-1].paused == ("*",)
    assert "act 1 of the audit log cannot be read" in caplog.text


def test_while_the_store_is_away_what_stood_last_goes_on_standing(fleet: Fleet) -> None:
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    fleet.control.pause("job", reason="r")
    fleet.look()
    fleet.obeyed()
    fleet.stand.store.broken["control"] = StoreUnavailable("memory", "control", "gone fishing")
    before = len(fleet.ends())
    assert told(fleet.ended(before + 5)[before + 1 :]) == {("skipped", "paused")}


def test_while_the_store_is_away_it_is_asked_as_often(fleet: Fleet) -> None:
    """Else few calls would fail beside the many of before, and the outage would not be told of."""

    def is_look(event: object) -> bool:
        return isinstance(event, StoreCalled) and event.operation == "control"

    fleet.start()
    fleet.stand.store.broken["control"] = StoreUnavailable("memory", "control", "gone fishing")
    looks = sum(map(is_look, fleet.stand.sink.events))
    for number in range(1, 7):
        fleet.look()
        fleet.stand.sink.wait_for(is_look, count=looks + number)


def test_what_cannot_be_read_is_not_obeyed_and_said(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.stand.store.write_control(ControlRecord(1, "no list"), "{}")
    fleet.stand.add(nothing, every("1s"), name="job")
    fleet.start()
    assert told(fleet.ended(1)) == {("success", "")}
    assert "what stands in the store cannot be read" in caplog.text


def test_an_order_of_a_later_version_is_named_in_the_log(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    book = OrderBook(1, (), (b'{"order":"quarantine"}',))
    fleet.stand.store.write_control(book.written(), "{}")
    fleet.start()
    assert "1 orders are of a later version of Tickglass" in caplog.text
