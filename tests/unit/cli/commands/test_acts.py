"""The commands that act say what they did, what stood already, why they refuse, and what is right instead."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tickglass import Run, Scheduler, cron, every
from tickglass.cli.instants import iso_text
from tickglass.control import Control
from tickglass.sched.clock import instant_of, ns_of
from tickglass.sched.control.orders import Skip
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import OccurrenceMoved, OrdersStand
from tickglass.sched.ports import InstanceRecord
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result
    from unit.cli.conftest import Filled, Tickglass

    from tickglass.sched.events import Event
    from tickglass.sched.ports import ControlRecord

OWNER = "host/billing/0"
LATER_NS = ns_of(datetime(2096, 1, 31, 2, 30, tzinfo=UTC))
WHY = ("--reason", "the warehouse is moved")
NIGHTLY = 'cron("30 2 * * *")'
ACTS: dict[str, tuple[str, ...]] = {
    "pause": ("pause", "sync"),
    "resume": ("resume", "sync"),
    "skip": ("skip", "sync"),
    "trigger": ("trigger", "sync"),
    "cancel": ("cancel", "sync"),
    "unlock": ("unlock", "res:sync", "--fence", "1"),
    "drain": ("drain", OWNER),
    "undrain": ("undrain", OWNER),
}


@pytest.fixture(autouse=True)
def known(filled: Filled) -> None:
    """Two jobs of an instance that lives."""
    filled.register("sync", trigger='every("1m")')
    filled.register("nightly", trigger=NIGHTLY)
    filled.store.join(InstanceRecord("billing", OWNER, "i1", "1.2.3", "f00d", "running"), ["sync", "nightly"])


@pytest.fixture
def act(filled: Filled, tickglass: Tickglass) -> Callable[..., Result]:
    """Type an act on the store, with a reason."""
    return lambda *words: tickglass(*words, filled.url, *WHY)


def done(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.removesuffix("\n")


def refused(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr.removeprefix("Error: ").removesuffix("\n")


def standing(filled: Filled) -> list[str]:
    return [type(order).__name__ for order in Control(filled.store).standing()]


def logged(filled: Filled) -> list[str]:
    return [it.entry.act for it in Control(filled.store).log()]


# --- what all of them share


@pytest.mark.parametrize("words", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", "  ")], ids=["none", "empty", "blank"])
def test_without_a_reason_nothing_is_done(
    words: tuple[str, ...], reason: tuple[str, ...], filled: Filled, tickglass: Tickglass
) -> None:
    result = tickglass(*words, filled.url, *reason)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: say why: the reason is in the audit log")
    assert '--reason "the warehouse is moved"' in result.stderr
    assert logged(filled) == []


@pytest.mark.parametrize("words", ACTS.values(), ids=ACTS)
def test_a_store_that_is_not_there_or_does_not_answer_is_told_apart(
    words: tuple[str, ...], tickglass: Tickglass
) -> None:
    missing = tickglass(*words, "sqlite:////nowhere/jobs.db", *WHY)
    assert (missing.exit_code, missing.stdout) == (2, "")
    silent = tickglass(*words, "redis://127.0.0.1:1?timeout=100ms", *WHY)
    assert (silent.exit_code, silent.stdout) == (3, "")
    assert "redis store" in silent.stderr


def test_if_no_answer_comes_it_is_said_that_it_may_have_been_done(
    act: Callable[..., Result], filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SqliteStore.write_control

    def unheard(store: SqliteStore, record: ControlRecord, entry: str) -> bool:
        write(store, record, entry)
        raise StoreUnavailable("sqlite", "write_control", "no answer")

    monkeypatch.setattr(SqliteStore, "write_control", unheard)
    result = act("pause", "sync")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "it may have been done: see tickglass audit" in result.stderr
    assert logged(filled) == ["pause"]


@pytest.mark.parametrize("words", [ACTS[name] for name in ("pause", "resume", "skip", "trigger", "cancel")])
def test_a_wrong_name_of_a_job_is_answered_with_the_near_one(
    words: tuple[str, ...], act: Callable[..., Result], filled: Filled
) -> None:
    assert refused(act(words[0], "synk")) == "there is no job synk (sync?)"
    assert logged(filled) == []


@pytest.mark.parametrize("words", [ACTS[name] for name in ("pause", "resume", "skip", "trigger", "cancel")])
def test_a_name_that_several_services_use_needs_the_service(
    words: tuple[str, ...], act: Callable[..., Result], filled: Filled
) -> None:
    filled.register("sync", service="mail")
    assert "each have a job sync: say of which service" in refused(act(*words))
    assert "other has no job sync" in refused(act(*words, "--service", "other"))


def test_the_log_has_the_user_or_the_name_that_is_given(act: Callable[..., Result], filled: Filled) -> None:
    act("pause", "sync")
    act("pause", "nightly", "--by", "anna")
    assert [it.entry.by for it in Control(filled.store).log()] == ["anna", getpass.getuser()]
    nobody = act("pause", "nightly", "--by", " ")
    assert (nobody.exit_code, "--by is empty" in nobody.stderr) == (2, True)


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch, filled: Filled) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_294_900)
    act = Control(filled.store).pause("sync", reason="moved")
    assert act.entry.by == "uid 4294900"


def test_an_act_as_json_has_all_its_fields(filled: Filled, tickglass: Tickglass) -> None:
    words = ("--until", "2096-01-31T02:30:00+01:00", "--json", "--by", "anna", "--reason", "moved")
    (line,) = done(tickglass("pause", "sync", filled.url, *words)).splitlines()
    told = json.loads(line)
    assert told.pop("at") == instant_of(told["at_ns"]).isoformat(timespec="microseconds")
    assert abs(told.pop("at_ns") - filled.store.time_ns()) < 60 * SECOND
    assert told == {
        "number": 1,
        "act": "pause",
        "by": "anna",
        "reason": "moved",
        "service": "billing",
        "job": "sync",
        "target": "",
        "fence": 0,
        "due_ns": None,
        "due_at": None,
        "until_ns": LATER_NS - 3_600 * SECOND,
        "until_at": "2096-01-31T01:30:00.000000+00:00",
        "changed": True,
    }
    again = json.loads(done(tickglass("pause", "sync", filled.url, *words)))
    assert (again["number"], again["changed"]) == (1, False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pause", "sync", "--for", "2"), "--for is not a duration"),
        (("pause", "sync", "--until", "tomorrow"), "--until is not an ISO 8601 instant"),
        (("pause", "sync", "--for", "2h", "--until", "2096-01-31"), "either as a duration or as an instant"),
        (("drain", OWNER, "--for", "2h", "--until", "2096-01-31"), "either as a duration or as an instant"),
        (("skip", "sync", "--at", "2096-01-31T02:30:00.0000001Z"), "--at is finer than a microsecond"),
        (("trigger", "sync", "--within", "soon"), "--within is not a duration"),
        (("unlock", "res:sync"), "Missing option '--fence'"),
        (("unlock", "res:sync", "--fence", "0"), "Invalid value for '--fence'"),
        (("pause",), "Missing argument 'JOB'"),
    ],
)
def test_a_wrong_argument_is_pointed_at(
    words: tuple[str, ...], told: str, filled: Filled, tickglass: Tickglass
) -> None:
    result = tickglass(*words, *WHY, TICKGLASS_STORE=filled.url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert logged(filled) == []


# --- pause and resume


def test_a_pause_says_until_when_and_how_many_instants_are_skipped(act: Callable[..., Result], filled: Filled) -> None:
    until = instant_of(filled.store.time_ns()).astimezone() + timedelta(days=3)
    until = until.replace(hour=12, minute=0, second=0, microsecond=0)
    told = done(act("pause", "nightly", "--until", until.isoformat()))
    text = iso_text(int(until.timestamp()) * SECOND)
    assert told.startswith(f"paused nightly of billing until {text}; ")
    assert told.endswith(" due instants until then will be skipped")
    assert told.rpartition("; ")[2].split()[0] in {"3", "4"}
    again = done(act("pause", "nightly", "--until", until.isoformat()))
    assert again.startswith(f"nightly of billing is paused already, until {text} (act 1 by ")
    assert again.endswith(": the warehouse is moved)")
    assert logged(filled) == ["pause"]


@pytest.mark.parametrize(
    ("trigger", "length", "told"),
    [
        ('every("100ms")', "2h", "72,000 due instants until then will be skipped"),
        ('every("2h")', "4h", "2 due instants until then will be skipped"),
        ('every("2h")', "2h", "1 due instant until then will be skipped"),
        ('cron("* * * * * *")', "2h", "more than 1,000 due instants until then will be skipped"),
        ("Tides()", "2h", "what falls due until then will be skipped"),
        ('cron("0 0 29 2 *")', "1s", "nothing is due until then"),
    ],
)
def test_instants_are_counted_as_far_as_the_trigger_is_known(
    trigger: str, length: str, told: str, act: Callable[..., Result], filled: Filled
) -> None:
    filled.register("one", trigger=trigger)
    assert done(act("pause", "one", "--for", length)).rpartition("; ")[2] == told


def test_a_pause_without_an_end_stands_until_it_is_resumed(act: Callable[..., Result], filled: Filled) -> None:
    assert done(act("pause", "sync")) == (
        "paused sync of billing until it is resumed; what falls due meanwhile will be skipped"
    )
    assert standing(filled) == ["Pause"]
    assert done(act("resume", "sync")) == "resumed sync of billing: what falls due runs again"
    assert standing(filled) == []
    assert done(act("resume", "sync")) == "sync of billing is not paused: nothing to resume"
    assert logged(filled) == ["resume", "pause"]


def test_many_jobs_are_paused_by_a_pattern_and_resumed_by_the_same(act: Callable[..., Result]) -> None:
    filled_until = done(act("pause", "*", "--service", "billing", "--for", "1m"))
    assert filled_until.startswith("paused all jobs of billing until ")
    assert done(act("pause", "n*")).startswith("paused n* until it is resumed; ")
    alone = refused(act("resume", "sync"))
    assert alone.startswith("sync is paused together with other jobs, by ")
    assert alone.endswith("(act 1); resume all of them (* of billing?)")
    assert done(act("resume", "*", "--service", "billing")) == "resumed all jobs of billing: what falls due runs again"
    assert done(act("resume", "*")) == "resumed all jobs: what falls due runs again"
    assert done(act("resume", "*")) == "all jobs are not paused: nothing to resume"
    assert refused(act("pause", "*", "--service", "biling")) == "there is no service biling (billing?)"
    assert refused(act("resume", "*", "--service", "biling")) == "there is no service biling (billing?)"


def test_what_is_still_paused_together_with_others_is_said(act: Callable[..., Result]) -> None:
    act("pause", "sync")
    act("pause", "*", "--by", "anna")
    told = "ended the pause of sync of billing alone; it is still paused by act 2 of anna, together with all jobs"
    assert done(act("resume", "sync")) == told


def test_an_end_in_the_past_is_refused(act: Callable[..., Result]) -> None:
    assert "has passed: it would end before it begins" in refused(act("pause", "sync", "--until", "2020-01-31T02:30Z"))


# --- skip


def test_the_next_instant_is_skipped_or_the_one_that_is_named(act: Callable[..., Result], filled: Filled) -> None:
    assert done(act("skip", "nightly")).startswith("nightly of billing will be skipped when it is due at ")
    (order,) = Control(filled.store).standing()
    assert isinstance(order, Skip)
    next_due = instant_of(order.due_ns)
    assert (next_due.hour, next_due.minute) == (2, 30)
    again = done(act("skip", "nightly"))
    assert again.startswith("nightly of billing is to be skipped at 20")
    assert "already (act 1 by " in again
    named = next_due + timedelta(days=7)
    told = done(act("skip", "nightly", "--at", named.isoformat()))
    assert told == f"nightly of billing will be skipped when it is due at {iso_text(int(named.timestamp()) * SECOND)}"
    assert standing(filled) == ["Skip", "Skip"]


def test_an_instant_that_has_passed_or_is_none_of_the_jobs_is_refused(act: Callable[..., Result]) -> None:
    assert "has passed" in refused(act("skip", "nightly", "--at", "2020-01-31T02:30Z"))
    other = refused(act("skip", "nightly", "--at", "2096-01-31T02:31Z"))
    assert other.startswith("nightly of billing is not due at 2096-01-31 02:31:00+00:00, but by cron(")
    assert other.endswith("(2096-02-01T02:30:00+00:00?)")


# --- trigger and cancel


def test_a_run_is_asked_for_if_a_living_instance_has_the_job(act: Callable[..., Result], filled: Filled) -> None:
    told = done(act("trigger", "sync", "--within", "5m"))
    assert told.startswith("asked for a run of sync of billing: one instance starts it within a second, ")
    assert told.endswith(" at the latest")
    (order,) = Control(filled.store).standing()
    assert order.until_ns == order.since_ns + 300 * SECOND
    filled.store.join(InstanceRecord("billing", OWNER, "i1", "1.2.3", "f00d", "left"), ["sync", "nightly"])
    assert refused(act("trigger", "sync")) == "no living instance has sync of billing, so nothing would run it"


def test_the_run_in_progress_is_asked_to_stop(act: Callable[..., Result], filled: Filled) -> None:
    assert refused(act("cancel", "sync")) == "sync of billing is not running"
    filled.claim("sync", run_id="c0ffee" + "0" * 26)
    run_id = "c0ffee" + "0" * 26
    assert refused(act("cancel", "sync", "--run", "dead")) == f"sync of billing is not running as dead ({run_id}?)"
    assert done(act("cancel", "sync", "--run", "c0f")) == f"asked run {run_id} of sync of billing to stop"
    again = done(act("cancel", "sync"))
    assert again.startswith(f"run {run_id} of sync of billing has been asked to stop already (act 1 by ")
    assert logged(filled) == ["cancel"]


# --- unlock


def test_a_lock_is_taken_only_under_the_fence_it_was_seen_with(act: Callable[..., Result], filled: Filled) -> None:
    lease = filled.claim("sync")
    seen = str(lease.fence)
    other = refused(act("unlock", "res:sync", "--fence", str(lease.fence + 1)))
    assert other.startswith(f"res:sync is held under fence {lease.fence} by {OWNER}, not under {lease.fence + 1}")
    assert refused(act("unlock", "res:sink", "--fence", seen)) == "res:sink is not locked (res:sync?)"
    assert done(act("unlock", "res:sync", "--fence", seen)).startswith(f"unlocked res:sync: fence {seen} is stale")
    assert list(filled.store.leases()) == []
    (run,) = filled.store.runs()
    assert run.outcome == "orphaned"
    assert run.detail.endswith(": the warehouse is moved")
    assert refused(act("unlock", "res:sync", "--fence", seen)) == "res:sync is not locked"


# --- drain


def test_an_instance_is_drained_and_undrained(act: Callable[..., Result], filled: Filled, tickglass: Tickglass) -> None:
    def state() -> dict[str, Any]:
        (it,) = json.loads(tickglass("instances", filled.url, "--json").stdout)
        return dict(it)

    assert state()["drained"] is None
    told = done(act("drain", OWNER))
    assert told.startswith(f"drained {OWNER} of billing until it is undrained: it starts nothing more")
    assert done(act("drain", OWNER)).startswith(f"{OWNER} of billing is drained already, until it is undrained (act 1")
    assert (state()["drained"]["order"], state()["drained"]["until_at"]) == ("drain", None)
    (row,) = [line for line in tickglass("instances", filled.url).stdout.splitlines() if line.startswith(OWNER)]
    assert row.split()[2] == "drained"
    assert done(act("undrain", OWNER)) == f"undrained {OWNER} of billing: it starts runs again"
    assert done(act("undrain", OWNER)) == f"{OWNER} of billing is not drained: nothing to undo"
    assert state()["drained"] is None
    assert refused(act("drain", "host/biling/0")) == f"no instance host/biling/0 lives ({OWNER}?)"
    assert f"no instance {OWNER} of mail lives" in refused(act("drain", OWNER, "--service", "mail"))


# --- what the table of jobs says of it


def test_jobs_say_that_they_are_paused_or_that_the_next_instant_is_skipped(
    act: Callable[..., Result], filled: Filled, tickglass: Tickglass
) -> None:
    def row(name: str) -> str:
        (found,) = [line for line in tickglass("jobs", filled.url).stdout.splitlines() if line.startswith(name)]
        return found

    def fields(name: str) -> dict[str, Any]:
        (found,) = json.loads(tickglass("jobs", filled.url, "--json", "--job", name).stdout)
        return dict(found)

    act("skip", "nightly")
    (skip,) = Control(filled.store).standing()
    assert isinstance(skip, Skip)
    filled.register("nightly", trigger=NIGHTLY, next_due_ns=skip.due_ns)
    assert ", to be skipped" in row("nightly")
    assert (fields("nightly")["paused"], fields("nightly")["skip"]["order"]) == (None, "skip")
    assert (fields("sync")["paused"], fields("sync")["skip"]) == (None, None)
    act("pause", "sync", "--until", "2096-01-31T02:30Z")
    assert f"paused until {iso_text(LATER_NS)}" in row("sync")
    assert fields("sync")["paused"]["reason"] == "the warehouse is moved"
    act("pause", "nightly")
    assert "paused until it is resumed" in row("nightly")


# --- a scheduler that obeys


@pytest.fixture
def live(filled: Filled, own_runtime: object) -> Iterator[ListSink]:
    """Run a scheduler in this process; return what it reports."""
    told = ListSink()
    scheduler = Scheduler(filled.url, service="shop", owner="host/shop/0", sinks={"told": told})

    @scheduler.job(every("200ms"))
    def beat() -> None:
        pass

    @scheduler.job(cron("0 0 29 2 *"))
    def yearly(run: Run) -> None:
        while not run.wait("10s"):
            pass

    with scheduler:
        yield told


def became(job: str, state: str, outcome: str | None = None) -> Callable[[Event], bool]:
    wanted = (job, state, outcome)
    return lambda event: isinstance(event, OccurrenceMoved) and (event.job, event.after, event.outcome) == wanted


def test_a_live_scheduler_obeys_what_is_typed(live: ListSink, act: Callable[..., Result], filled: Filled) -> None:
    live.wait_for(became("beat", "ended", "success"))
    done(act("pause", "beat"))
    live.wait_for(became("beat", "ended", "skipped"))
    done(act("resume", "beat"))
    live.wait_for(lambda event: isinstance(event, OrdersStand) and (event.version, event.paused) == (2, ()))
    ran = len([event for event in live.of(OccurrenceMoved) if became("beat", "ended", "success")(event)])
    live.wait_for(became("beat", "ended", "success"), count=ran + 1)
    done(act("trigger", "yearly"))
    live.wait_for(became("yearly", "running"))
    done(act("cancel", "yearly"))
    live.wait_for(became("yearly", "ended", "cancelled"))
    done(act("drain", "host/shop/0"))
    live.wait_for(lambda event: isinstance(event, OrdersStand) and event.draining)
    (run,) = [it for it in filled.store.runs() if it.job == "yearly"]
    assert (run.kind, run.outcome) == ("manual", "cancelled")
