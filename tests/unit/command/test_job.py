"""A command's outcome is its exit code; what cannot be a command, or cannot be started, is said by name."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from kit.command_runs import run_command

from tickglass import ConfigError, Scheduler, every
from tickglass.command import command_job

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_runtime")


def test_exit_code_0_is_a_success() -> None:
    ended, log = run_command("echo one; echo two >&2")
    assert (ended.outcome, ended.error) == ("success", "")
    assert (log.lines("stdout"), log.lines("stderr")) == (["one"], ["two"])


def test_another_exit_code_is_a_failure_with_the_end_of_stderr() -> None:
    ended, _ = run_command("echo to the log; echo disk full >&2; exit 3")
    assert (ended.outcome, ended.error) == ("failure", "CommandFailed: exit code 3\ndisk full")


def test_a_signal_is_a_failure_that_names_it() -> None:
    ended, _ = run_command("kill -SEGV $$")
    assert (ended.outcome, ended.error) == ("failure", "CommandFailed: ended by SIGSEGV")
    real_time = signal.SIGRTMIN + 5
    ended, _ = run_command(f"kill -{real_time} $$")
    assert ended.error == f"CommandFailed: ended by signal {real_time}"


def test_a_command_that_is_not_there_is_a_failure_that_names_it() -> None:
    ended, _ = run_command(["/nowhere/backup", "--password", "hunter2"])
    assert ended.outcome == "failure"
    assert ended.error == "CommandFailed: /nowhere/backup cannot be started: No such file or directory"


def test_a_command_that_a_shell_does_not_find_is_a_failure_that_names_it() -> None:
    ended, _ = run_command("no-such-command-here --now")
    assert ended.error.startswith("CommandFailed: exit code 127\n")
    assert "no-such-command-here: not found" in ended.error


def test_a_file_that_must_not_be_run_is_a_failure(tmp_path: Path) -> None:
    script = tmp_path / "backup"
    script.write_text("echo")
    ended, _ = run_command([str(script)])
    assert ended.error == f"CommandFailed: {script} cannot be started: Permission denied"


def test_words_reach_the_command_as_they_are() -> None:
    _, log = run_command(["printf", "%s\n", "$HOME", "a b", "*"])
    assert log.lines() == ["$HOME", "a b", "*"]


def test_a_command_reads_nothing() -> None:
    ended, log = run_command("cat; echo end")
    assert (ended.outcome, log.lines()) == ("success", ["end"])


def test_a_command_knows_its_run() -> None:
    ended, log = run_command(
        'printf "%s\\n" "$TICKGLASS_RUN_ID" "$TICKGLASS_JOB" "$TICKGLASS_FENCE" "$TICKGLASS_DUE_AT"'
    )
    run_id, job, fence, due_at = log.lines()
    assert (run_id, job, int(fence)) == (ended.run_id, "backup", ended.fence)
    assert due_at.endswith("+00:00")
    assert "T" in due_at


def test_its_environment_is_that_of_the_scheduler_and_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    ended, log = run_command('test "$DATABASE_PASSWORD" = hunter2 && exit 7')
    assert ended.error == "CommandFailed: exit code 7"
    assert "hunter2" not in "".join(str(vars(record)) for record in log.records)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "a command is not empty"),
        (" \n", "a command is not empty"),
        ([], "a command has at least one word"),
        ([""], "a command has at least one word"),
        (b"backup", "a command is text or a list of words, not bytes"),
        (7, "a command is text or a list of words, not int"),
        ({"backup"}, "a command is text or a list of words, not set"),
        (["sleep", 5], 'write: "5"'),
        ("a\0b", "holds no NUL"),
    ],
)
def test_what_is_no_command_is_refused(wrong: Any, message: str) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ConfigError, match=message):
        command_job(wrong)


def test_two_commands_are_two_declarations_and_need_names() -> None:
    scheduler = Scheduler("memory://")
    for name, command in (("a", "backup --all"), ("b", "backup --one"), ("c", "backup --all"), ("d", ["backup --all"])):
        scheduler.add(command_job(command), every("1m"), name=name)
    a, b, c, d = (scheduler.jobs[name].declaration for name in "abcd")
    assert a == c
    assert len({a, b, d}) == 3
    with pytest.raises(ConfigError, match="a job name is needed"):
        scheduler.add(command_job("backup"), every("1m"))
