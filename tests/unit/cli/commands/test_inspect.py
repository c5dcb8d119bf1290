from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tickglass import Scheduler
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.occurrence import Outcome
from tickglass.sched.ports import LeaseAsk
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.servers import RedisServer
    from unit.cli.conftest import Filled, Tickglass

COMMANDS = ["jobs", "locks", "runs"]


def test_jobs_are_shown_with_their_trigger_and_next_due_instant(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("sync", next_due_ns=filled.store.time_ns() + 90 * SECOND)
    filled.register("nightly", trigger='cron("30 2 * * *")')
    lines = tickglass("jobs", filled.url).stdout.splitlines()
    (sync,) = [line for line in lines if line.startswith("sync")]
    (nightly,) = [line for line in lines if line.startswith("nightly")]
    assert all(part in sync for part in ('every("100ms")', "res:sync", "in 1m", "host/billing/0"))
    assert nightly.split()[-5:] == ["-", "host/billing/0", "-", "no", "instance"]


def test_jobs_as_json_name_the_fields_as_the_records_do(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("sync", next_due_ns=1_767_225_600_100 * MS)
    (job,) = json.loads(tickglass("jobs", filled.url, "--json").stdout)
    assert job["name"] == "sync"
    assert job["next_due_ns"] == 1_767_225_600_100 * MS
    assert job["next_due_at"] == "2026-01-01T00:00:00.100000+00:00"
    assert job["timeout_ns"] is None


def test_locks_are_shown_with_holder_fence_and_what_is_left(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("sync")
    lease = filled.claim("sync")
    filled.lock("order:1001")
    by_hand, of_job = [line.split() for line in tickglass("locks", filled.url).stdout.splitlines() if ":" in line]
    assert by_hand[:4] == ["order:1001", "host/shop/0", "shop", "-"]
    assert of_job[:4] == ["res:sync", "host/billing/0", "billing", "sync"]
    assert of_job[-2:] == [str(lease.fence), "a" * 32]
    assert of_job[-4:-2] == ["30.00", "s"]


def test_an_expired_lock_says_so(filled: Filled, tickglass: Tickglass) -> None:
    filled.lock("order:1001", ttl_ns=1)
    assert "expired" in tickglass("locks", filled.url).stdout
    (lock,) = json.loads(tickglass("locks", filled.url, "--json").stdout)
    assert lock["remaining_ns"] <= 0


def test_runs_are_shown_with_outcome_lateness_and_detail(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("sync")
    filled.settle(filled.claim("sync"), "sync", Outcome.FAILURE, detail="ValueError: [red]no\nmore")
    (line,) = [line for line in tickglass("runs", filled.url).stdout.splitlines() if line.startswith("sync")]
    assert all(part in line for part in ("failure", "1.25 ms", "a" * 32, "ValueError: [red]no"))
    assert "more" not in line


def test_a_run_that_an_older_version_dated_by_two_clocks_shows_no_duration(
    filled: Filled, tickglass: Tickglass
) -> None:
    filled.register("sync")
    filled.settle(filled.claim("sync"), "sync", Outcome.SUCCESS, started_ahead_ns=5 * SECOND)
    (line,) = [line for line in tickglass("runs", filled.url).stdout.splitlines() if line.startswith("sync")]
    assert line.split()[6:9] == ["1.25", "ms", "-"]


def test_a_run_without_an_outcome_is_running_or_abandoned(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("alive")
    filled.register("dead")
    filled.claim("alive", run_id="a" * 32)
    filled.claim("dead", run_id="b" * 32, ttl_ns=1)
    lines = tickglass("runs", filled.url).stdout.splitlines()
    words = {line.split()[0]: line.split() for line in lines if line.startswith(("alive", "dead"))}
    assert "running" in words["alive"]
    assert "abandoned" in words["dead"]
    assert [run["outcome"] for run in json.loads(tickglass("runs", filled.url, "--json").stdout)] == [None, None]


def test_every_outcome_has_a_colour() -> None:
    from tickglass.cli.commands.inspect import _STYLES  # noqa: PLC0415

    assert set(Outcome) <= set(_STYLES)


def test_job_and_limit_narrow_what_is_shown(filled: Filled, tickglass: Tickglass) -> None:
    for name in ("one", "two", "three"):
        filled.register(name)
        filled.claim(name, run_id=name)
    for command in COMMANDS:
        (only,) = json.loads(tickglass(command, filled.url, "--json", "--job", "two").stdout)
        assert only.get("job", only.get("name")) == "two"
        assert len(json.loads(tickglass(command, filled.url, "--json", "--limit", "2").stdout)) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_job_is_not_taken_for_a_quiet_one(command: str, filled: Filled, tickglass: Tickglass) -> None:
    filled.register("reconcile")
    result = tickglass(command, filled.url, "--job", "reconcil")
    assert result.exit_code == 2
    assert "write: reconcile" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_to_show_is_told_apart_from_an_error(command: str, filled: Filled, tickglass: Tickglass) -> None:
    result = tickglass(command, filled.url)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"no {command}\n")
    assert json.loads(tickglass(command, filled.url, "--json").stdout) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_store_may_come_from_the_environment(command: str, filled: Filled, tickglass: Tickglass) -> None:
    assert tickglass(command, TICKGLASS_STORE=filled.url).exit_code == 0
    assert tickglass(command).exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (
            "sqlite:///a.db redis://:secret@b/0",
            [
                "name one store, not several with blanks between them; write a blank in a path as %20",
                "    TICKGLASS_STORE=sqlite:///a.db redis://:***@b/0",
                "  write: TICKGLASS_STORE=sqlite:///a.db   or   TICKGLASS_STORE=redis://:***@b/0",
            ],
        ),
        (
            "sqlight:///a.db",
            [
                "    TICKGLASS_STORE=sqlight:///a.db",
                "                    ^^^^^^^",
                "  write: TICKGLASS_STORE=sqlite:///a.db",
            ],
        ),
    ],
)
def test_a_wrong_store_of_the_environment_is_refused_by_its_name(
    command: str, value: str, lines: list[str], tickglass: Tickglass
) -> None:
    result = tickglass(command, TICKGLASS_STORE=value)
    assert result.exit_code == 2
    assert result.stderr.removeprefix("Error: ").splitlines()[-len(lines) :] == lines


def test_piped_lines_are_never_folded(filled: Filled, tickglass: Tickglass) -> None:
    filled.register("x" * 100, trigger="y" * 120)
    result = tickglass("jobs", filled.url, COLUMNS="40")
    assert any("x" * 100 in line and "y" * 120 in line for line in result.stdout.splitlines())


@pytest.mark.parametrize("name", ["none.db", "no%20ne.db", "none.db?keep=2h"])
def test_a_file_that_is_not_there_is_an_error_and_stays_away(name: str, tmp_path: Path, tickglass: Tickglass) -> None:
    result = tickglass("jobs", f"sqlite:///{tmp_path}/{name}")
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_stays_empty(tmp_path: Path, tickglass: Tickglass) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    assert tickglass("jobs", f"sqlite:///{file}").exit_code == 2
    assert file.stat().st_size == 0


def test_another_applications_database_is_left_alone(tmp_path: Path, tickglass: Tickglass) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = file.read_bytes()
    result = tickglass("jobs", f"sqlite:///{file}")
    assert result.exit_code == 2
    assert "another application's" in result.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "url", ["memory://", "jobs.db", "sqlite:", "sqlite://", "sqlit:///jobs.db", "sqlite:///:memory:"]
)
def test_a_wrong_url_is_refused(url: str, tickglass: Tickglass) -> None:
    result = tickglass("jobs", url)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")


def test_a_damaged_store_is_unavailable(tmp_path: Path, filled: Filled, tickglass: Tickglass) -> None:
    filled.store.close()
    file = tmp_path / "jobs.db"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    assert tickglass("jobs", filled.url).exit_code == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_a_resource_in_place_of_a_job_is_answered_with_the_jobs_that_use_it(
    command: str, filled: Filled, tickglass: Tickglass
) -> None:
    filled.register("sync")
    result = tickglass(command, filled.url, "--job", "res:sync")
    assert result.exit_code == 2
    assert result.stderr.endswith("  write: sync\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_default_store_of_a_scheduler_in_this_folder_is_found(
    command: str, filled: Filled, tickglass: Tickglass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    filled.register("sync")
    filled.claim("sync")
    assert Scheduler().store_url == "sqlite:///jobs.db"
    result = tickglass(command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "sync" in result.stdout
    monkeypatch.setenv("TICKGLASS_STORE", "sqlite:///other.db")
    assert "other.db" in tickglass(command).stderr, "the variable comes first"


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_store_it_is_told_how_to_name_one(
    command: str, tickglass: Tickglass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tickglass(command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: no store is named, and the default one is not in this folder: ")
    assert "TICKGLASS_STORE=redis://localhost:6379" in result.stderr
    assert list(tmp_path.iterdir()) == [], "nothing was made"


# --- services that use the same names


@pytest.fixture
def two_services(filled: Filled) -> Filled:
    for number, (service, outcome) in enumerate((("billing", "success"), ("mail", "failure"))):
        filled.register("sync", service=service)
        run_id = str(number) * 32
        lease = filled.claim("sync", run_id=run_id, service=service)
        filled.settle(lease, "sync", outcome, run_id=run_id, service=service)
    filled.register("report", service="mail")
    return filled


def shown(tickglass: Tickglass, *arguments: str) -> list[tuple[str, str]]:
    records = json.loads(tickglass(*arguments, "--json").stdout)
    return sorted((record["service"], record.get("outcome") or record["name"]) for record in records)


def test_jobs_of_one_name_are_shown_each_with_its_service(two_services: Filled, tickglass: Tickglass) -> None:
    url = two_services.url
    assert shown(tickglass, "jobs", url, "--job", "sync") == [("billing", "sync"), ("mail", "sync")]
    assert shown(tickglass, "jobs", url, "--service", "mail") == [("mail", "report"), ("mail", "sync")]
    lines = [line.split()[:2] for line in tickglass("jobs", url).stdout.splitlines() if line.startswith("sync")]
    assert lines == [["sync", "billing"], ["sync", "mail"]]


def test_runs_of_one_name_are_shown_each_with_its_service(two_services: Filled, tickglass: Tickglass) -> None:
    url = two_services.url
    both = [("billing", "success"), ("mail", "failure")]
    assert shown(tickglass, "runs", url) == shown(tickglass, "runs", url, "--job", "sync") == both
    assert shown(tickglass, "runs", url, "--job", "sync", "--service", "mail") == both[1:]
    assert shown(tickglass, "runs", url, "--service", "billing") == both[:1]
    assert len(json.loads(tickglass("runs", url, "--job", "sync", "--limit", "1", "--json").stdout)) == 1


def test_locks_of_one_job_are_those_of_its_service(two_services: Filled, tickglass: Tickglass) -> None:
    two_services.claim("sync", due_ns=1, run_id="c" * 32, service="mail")
    url = two_services.url
    assert len(json.loads(tickglass("locks", url, "--job", "sync", "--service", "mail", "--json").stdout)) == 1
    assert json.loads(tickglass("locks", url, "--job", "sync", "--service", "billing", "--json").stdout) == []


def test_a_service_that_has_no_such_job_is_told_with_those_that_have(
    two_services: Filled, tickglass: Tickglass
) -> None:
    answer = tickglass("runs", two_services.url, "--job", "report", "--service", "billing")
    assert answer.exit_code == 2
    assert "that service has no job of this name" in answer.stderr
    assert "--service mail" in answer.stderr


def test_what_was_deleted_by_hand_is_said_on_standard_error(
    redis_servers: Callable[[int], list[RedisServer]], tickglass: Tickglass
) -> None:
    (server,) = redis_servers(1)
    with closing(open_store(server.url, SystemClock())) as store:
        store.acquire(LeaseAsk("printer", "o", "s", "token", 30 * SECOND))
        server.say("DEL", "{tickglass}:lease:printer")
    done = tickglass("locks", server.url)
    assert done.exit_code == 0
    told = "the redis store: the lease on printer was deleted by hand: the resource is free"
    assert sorted(done.stderr.splitlines()) == ["no locks", told]
