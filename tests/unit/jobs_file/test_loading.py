"""`Scheduler.load` adds all jobs of a file or none, and they run."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tickglass import ConfigError, Scheduler, every
from tickglass.events import OccurrenceMoved
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tickglass import Run

pytestmark = pytest.mark.usefixtures("own_runtime")

MODULE = """
from tickglass import current_run

told = []

def nightly(run, region="none"):
    told.append((run.job, region))

async def sync(region):
    told.append((current_run().job, region))

def eleven(first, second):
    pass

def yields():
    yield 1
"""
NIGHTLY = """[jobs.nightly]
target = "loaded_jobs.work:nightly"
trigger = 'every("10ms")'
"""
TARGETS = ("loaded_jobs.",)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "loaded_jobs").mkdir()
    (tmp_path / "loaded_jobs" / "__init__.py").touch()
    (tmp_path / "loaded_jobs" / "work.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "loaded_jobs"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.fixture
def loaded(here: Path) -> Callable[..., Scheduler]:
    def load(text: str, **options: Any) -> Scheduler:  # noqa: ANN401 - those of `load`
        (here / "jobs.toml").write_text(text)
        scheduler = Scheduler("memory://", sinks={"mine": ListSink()})
        scheduler.load("jobs.toml", **{"targets": TARGETS, **options})
        return scheduler

    return load


def ended(sink: ListSink, job: str) -> OccurrenceMoved:
    told = sink.wait_for(lambda it: isinstance(it, OccurrenceMoved) and it.job == job and it.event == "ended")
    assert isinstance(told, OccurrenceMoved)
    return told


def test_functions_and_coroutines_run_with_their_arguments(here: Path) -> None:
    text = NIGHTLY + 'arguments = { region = "eu" }\n' + NIGHTLY.replace("nightly", "sync")
    (here / "jobs.toml").write_text(text + 'arguments = { region = "us" }\n')
    sink = ListSink()
    scheduler = Scheduler("memory://", sinks={"mine": sink})
    scheduler.load(here / "jobs.toml", targets=TARGETS)
    with scheduler:
        outcomes = {ended(sink, job).outcome for job in ("nightly", "sync")}
    assert outcomes == {"success"}
    assert {("nightly", "eu"), ("sync", "us")} <= set(sys.modules["loaded_jobs.work"].told)


def test_a_target_that_is_not_there_is_a_failure_of_each_run_and_of_no_other_job(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = NIGHTLY.replace("nightly", "gone").replace("work", "wrok") + "arguments = { region = 1 }\n"
    (here / "jobs.toml").write_text(gone + NIGHTLY)
    sink = ListSink()
    scheduler = Scheduler("memory://", sinks={"mine": sink})
    scheduler.load("jobs.toml", targets=TARGETS)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    with scheduler:
        failed, whole = ended(sink, "gone"), ended(sink, "nightly")
    assert (failed.outcome, whole.outcome) == ("failure", "success")
    assert "No module named 'loaded_jobs.wrok'" in failed.error


class CommandJob:
    """What `command_job` of the stand-in makes."""

    ran: ClassVar[list[tuple[object, str]]] = []

    def __init__(self, command: object) -> None:
        if command == "\0":
            raise ConfigError("a command holds no NUL")
        self.command = command
        self.__qualname__ = f"command_job({command!r})"

    def __call__(self, run: Run) -> None:
        self.ran.append((self.command, run.job))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, str]]:
    """Stand in for what runs commands; return which commands were run, in which jobs."""
    stand_in = ModuleType("tickglass.command")
    monkeypatch.setattr(stand_in, "command_job", CommandJob, raising=False)
    monkeypatch.setitem(sys.modules, "tickglass.command", stand_in)
    CommandJob.ran.clear()
    return CommandJob.ran


LINE = '[jobs.line]\ncommand = "backup --all"\ntrigger = \'every("10ms")\'\n'


def test_a_command_is_run_by_what_runs_commands_and_needs_no_prefix(
    here: Path, commands: list[tuple[object, str]]
) -> None:
    (here / "jobs.toml").write_text(
        LINE + LINE.replace("line", "words").replace('"backup --all"', '["backup", "--all"]')
    )
    sink = ListSink()
    scheduler = Scheduler("memory://", sinks={"mine": sink})
    scheduler.load("jobs.toml")
    with scheduler:
        ended(sink, "line")
        ended(sink, "words")
    assert {("backup --all", "line"), (("backup", "--all"), "words")} <= set(commands)
    assert len({job.declaration for job in scheduler.jobs.values()}) == 2


@pytest.mark.usefixtures("commands")
def test_a_command_that_cannot_be_run_is_refused_at_its_line(loaded: Callable[..., Scheduler]) -> None:
    with pytest.raises(ConfigError, match=r"jobs\.toml:2: a command holds no NUL"):
        loaded(LINE.replace("backup --all", "\\u0000"))


def test_other_arguments_are_another_declaration_and_the_same_ones_are_not(loaded: Callable[..., Scheduler]) -> None:
    def declared(arguments: str) -> str:
        return loaded(NIGHTLY + arguments).jobs["nightly"].declaration

    assert declared('arguments = { region = "eu" }') == declared('arguments = { "region" = "eu" } # the same')
    assert (
        len({declared(""), declared('arguments = { region = "eu" }'), declared('arguments = { region = "us" }')}) == 3
    )


def test_a_target_has_one_declaration_in_file_and_code(loaded: Callable[..., Scheduler]) -> None:
    from_file = loaded(NIGHTLY)
    in_code = Scheduler("memory://")
    in_code.add(sys.modules["loaded_jobs.work"].nightly, every("10ms"))
    assert from_file.jobs["nightly"].declaration == in_code.jobs["nightly"].declaration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            NIGHTLY + "arguments = { regio = 1 }\n",
            "unexpected keyword argument 'regio'\n    arguments = { regio = 1 }\n"
            + " " * 18
            + "^^^^^\n  write: region",
        ),
        (NIGHTLY + 'timeout = "5 mnts"\n', "jobs.toml:4: timeout is not a duration"),
        (NIGHTLY + 'prefer = "a"\n', "jobs.toml:4: a preference names labels"),
        (NIGHTLY + 'on_outage = "x"\n', "jobs.toml:4: on_outage is one of two words"),
        (NIGHTLY + "renew = false\n", "jobs.toml:4: a lease that is not renewed needs a timeout"),
        (NIGHTLY + "renew = false\n", 'write: timeout = "25s"'),
        ('[defaults]\nttl = "1ms"\n' + NIGHTLY, "jobs.toml:2: ttl must be at least 50ms"),
        (NIGHTLY.replace(":nightly", ":eleven"), "jobs.toml:1: job nightly is called with the run alone"),
        (NIGHTLY.replace(":nightly", ":yields"), "jobs.toml:1: job nightly yields"),
        (NIGHTLY.replace("loaded_jobs.work", "os"), "jobs.toml:2: a target lies under one of the prefixes"),
        (
            NIGHTLY.replace("loaded_jobs.work", "os"),
            "write: scheduler.load('jobs.toml', targets=('loaded_jobs.', 'os.'))",
        ),
    ],
)
def test_nothing_is_added_if_anything_is_wrong(text: str, message: str, here: Path) -> None:
    (here / "jobs.toml").write_text(text + NIGHTLY.replace("jobs.nightly", "jobs.z"))
    scheduler = Scheduler("memory://")
    with pytest.raises(ConfigError) as refused:
        scheduler.load("jobs.toml", targets=TARGETS)
    assert message in str(refused.value)
    assert scheduler.jobs == {}


def test_nothing_is_imported_that_was_not_declared(here: Path) -> None:
    (here / "jobs.toml").write_text(NIGHTLY)
    with pytest.raises(ConfigError, match="a target lies under one of the prefixes"):
        Scheduler("memory://").load("jobs.toml")
    assert "loaded_jobs" not in sys.modules


def test_a_name_that_is_taken_is_refused_at_its_line(here: Path) -> None:
    (here / "jobs.toml").write_text(NIGHTLY)
    scheduler = Scheduler("memory://")
    scheduler.load("jobs.toml", targets=TARGETS)
    with pytest.raises(ConfigError, match=r"jobs\.toml:1: there is already a job named nightly"):
        scheduler.load("jobs.toml", targets=TARGETS)


def test_a_file_is_loaded_before_the_start_or_after_a_stop(loaded: Callable[..., Scheduler], here: Path) -> None:
    scheduler = loaded("")
    (here / "jobs.toml").write_text(NIGHTLY)
    with scheduler, pytest.raises(ConfigError, match="a jobs file is loaded before the start"):
        scheduler.load("jobs.toml", targets=TARGETS)
    scheduler.load("jobs.toml", targets=TARGETS)
    assert list(scheduler.jobs) == ["nightly"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "the jobs file cannot be read: No such file"), (b"\xff", "the jobs file is not UTF-8: byte 0")],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, message: str, here: Path) -> None:
    if content is not None:
        (here / "jobs.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        Scheduler("memory://").load("jobs.toml")


def test_a_file_with_the_line_ends_of_windows_is_read(here: Path) -> None:
    (here / "jobs.toml").write_bytes((NIGHTLY + "x = 1\n").replace("\n", "\r\n").encode())
    with pytest.raises(ConfigError, match=r"jobs\.toml:4: \[jobs.nightly\] has no key x"):
        Scheduler("memory://").load("jobs.toml")
