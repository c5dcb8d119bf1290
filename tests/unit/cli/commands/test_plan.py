"""`tickglass plan`: a program against its store, which it leaves as it is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from kit.declarations import NOW, job, living, record

from tickglass import Scheduler, Trigger, cron, every
from tickglass.cli.plan_text import plan_json, plan_lines
from tickglass.plan import Known, plan_of
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit.cli.conftest import Tickglass

pytestmark = pytest.mark.usefixtures("own_runtime")

PROGRAM: Final = """
from tickglass import Scheduler, cron, every
scheduler = Scheduler("sqlite:///jobs.db", service="billing")
def work(): raise SystemExit("it ran")
"""
BEFORE: Final = """
scheduler.add(work, cron("30 2 * * *"), name="nightly", resource="warehouse")
scheduler.add(work, cron("0 3 * * *"), name="report", resource="warehouse")
scheduler.add(work, every("24h"), name="old")
"""
AFTER: Final = """
scheduler.add(work, cron("0 3 * * *"), name="nightly", resource="warehouse", timeout="5m")
scheduler.add(work, cron("0 3 * * *"), name="report", resource="warehouse")
scheduler.add(work, every("1h"), name="new")
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the program before and after a change, and a store that the one before has used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    for name, jobs in (("planned_before", BEFORE), ("planned_after", AFTER)):
        (tmp_path / f"{name}.py").write_text(PROGRAM + jobs)
    started = Scheduler("sqlite:///jobs.db", service="billing")
    started.add(nothing, cron("30 2 * * *"), name="nightly", resource="warehouse")
    started.add(nothing, cron("0 3 * * *"), name="report", resource="warehouse")
    started.add(nothing, every("24h"), name="old")
    with started:
        pass
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def nothing() -> None:
    """Do nothing."""


def test_the_same_program_has_no_difference(tickglass: Tickglass) -> None:
    result = tickglass("plan", "planned_before:scheduler", "--check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("billing: 3 unchanged; due instants from ")
    assert result.stdout.endswith("\nno difference\n")


def test_a_difference_is_shown_and_fails_a_check_alone(tickglass: Tickglass) -> None:
    result = tickglass("plan", "planned_after:scheduler")
    assert result.exit_code == 0
    assert tickglass("plan", "planned_after:scheduler", "--check").exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("billing: 1 added, 1 changed, 1 retired, 1 unchanged; due instants from ")
    assert '+ new added: every("1h")' in lines
    assert '    trigger: cron("30 2 * * *") -> cron("0 3 * * *")' in lines
    assert "    timeout: none -> 5m" in lines
    assert any(line.startswith("? old retired: ") for line in lines)
    assert any(line.startswith("    168 instants added: ") for line in lines)
    assert any(
        line.startswith("! billing/nightly and billing/report will be due together on warehouse: 7 ") for line in lines
    )


def test_a_plan_changes_nothing_and_runs_nothing(here: Path, tickglass: Tickglass) -> None:
    jobs = tickglass("jobs", "sqlite:///jobs.db", "--json").stdout
    instances = tickglass("instances", "sqlite:///jobs.db").stdout
    files = {path.name for path in here.iterdir()}
    tickglass("plan", "planned_after:scheduler")
    assert tickglass("jobs", "sqlite:///jobs.db", "--json").stdout == jobs
    assert tickglass("instances", "sqlite:///jobs.db").stdout.count("billing") == instances.count("billing")
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == files - {"__pycache__"}


def test_a_program_reads_it_as_json(tickglass: Tickglass) -> None:
    told = json.loads(tickglass("plan", "planned_after:scheduler", "--json", "--days", "2").stdout)
    assert (told["service"], told["differs"], told["unrecorded"]) == ("billing", True, False)
    assert told["counts"] == {"added": 1, "changed": 1, "removed": 0, "retired": 1, "unchanged": 1}
    new = next(it for it in told["jobs"] if it["job"] == "new")
    assert (new["change"], new["instants"]["added"]["count"], new["instants"]["added"]["exact"]) == ("added", 48, True)
    assert new["instants"]["added"]["first"][0].endswith(":00:00.000000+00:00")
    nightly = next(it for it in told["jobs"] if it["job"] == "nightly")
    assert nightly["fields"]["timeout"] == {"before": "none", "after": "5m"}
    (overlap,) = told["overlaps"]
    assert (overlap["jobs"], overlap["count"]) == (["billing/nightly", "billing/report"], 2)


def test_another_store_may_be_compared_and_one_that_is_not_there_is_refused(here: Path, tickglass: Tickglass) -> None:
    (here / "jobs.db").rename(here / "other.db")
    assert tickglass("plan", "planned_before:scheduler", "--store", "sqlite:///other.db", "--check").exit_code == 0
    result = tickglass("plan", "planned_before:scheduler")
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert not (here / "jobs.db").exists()


def test_jobs_of_a_file_are_planned_like_all_others(here: Path, tickglass: Tickglass) -> None:
    (here / "jobs.toml").write_text(
        """
[jobs.nightly]
target = "planned_targets:work"
trigger = 'cron("30 2 * * *")'
resource = "warehouse"
[jobs.report]
target = "planned_targets:work"
trigger = 'cron("15 3 * * *")'
resource = "warehouse"
"""
    )
    (here / "planned_targets.py").write_text("def work(): pass\n")
    (here / "planned_file.py").write_text(
        PROGRAM.replace("def work", 'scheduler.load("jobs.toml", targets=("planned_targets",))\ndef work')
    )
    result = tickglass("plan", "planned_file:scheduler", "--check")
    assert result.exit_code == 1
    assert result.stdout.startswith("billing: 1 changed, 1 retired, 1 unchanged;")
    assert '    trigger: cron("0 3 * * *") -> cron("15 3 * * *")' in result.stdout.splitlines()


def test_a_jobs_file_that_is_wrong_is_a_message(here: Path, tickglass: Tickglass) -> None:
    (here / "jobs.toml").write_text("[job.x]\n")
    (here / "planned_wrong.py").write_text(PROGRAM + 'scheduler.load("jobs.toml")\n')
    result = tickglass("plan", "planned_wrong:scheduler")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: jobs.toml:1: a jobs file has no key job\n    [job.x]\n")


def test_what_is_no_scheduler_is_refused(tickglass: Tickglass) -> None:
    assert tickglass("plan", "planned_before:schedule").exit_code == 2


# --- what is shown


class Tides(Trigger):
    def next_after_ns(self, after_ns: int) -> int | None:
        return after_ns + 3_600 * SECOND


def test_people_are_told_what_each_instant_does() -> None:
    before = [job(name="a"), job(Tides(), name="t"), job(every("1s"), name="z")]
    after = [job(cron("0 3 * * *"), name="a"), job(every("1h"), name="t")]
    known = Known([record(it) for it in before], living("z"), NOW)
    found = plan_of("billing", {it.name: it for it in after}, known, span_ns=7 * 86_400 * SECOND, version="1.0")
    lines = list(plan_lines(found))
    moves = next(line for line in lines if "instants moved" in line)
    assert moves.startswith("    7 instants moved: 2026-03-0")
    assert moves.count(" by +30m00s") == 4
    assert ", ... 2026-03-0" in moves
    assert "    its due instants are not known, because the trigger in the store is not a cron, every or at" in lines
    assert "- z removed: no code declares it; it still runs on web-1/billing/0" in lines
    told = {it["job"]: it for it in plan_json(found)["jobs"]}
    assert told["t"]["instants"] is None
    assert told["a"]["instants"]["moved"]["last"] == [
        "2026-03-08T02:30:00.000000+00:00",
        "2026-03-08T03:00:00.000000+00:00",
    ]


def test_a_name_in_a_store_cannot_command_the_terminal() -> None:
    wild = replace(record(job()), name="x\x1b[2J")
    found = plan_of("billing", {}, Known([wild], living(), NOW), span_ns=SECOND, version="1.0")
    assert not any("\x1b" in line for line in plan_lines(found))


def test_what_is_not_exact_is_a_lower_bound() -> None:
    many = {f"j{number}": job(cron("* * * * * ?"), name=f"j{number}") for number in range(2)}
    found = plan_of("billing", many, Known([], living(), NOW), span_ns=30 * 86_400 * SECOND, version="1.0")
    assert "    at least 150,000 instants added: " in "\n".join(plan_lines(found))
