from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from tickglass.cli import COMMANDS, main
from tickglass.cli.lazy_group import LazyGroup
from tickglass.sched.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.conftest import Tickglass


def test_help_names_every_command_in_the_order_of_the_list(tickglass: Tickglass) -> None:
    lines = tickglass("--help").output.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, tickglass: Tickglass) -> None:
    for flag in ("--help", "-h"):
        result = tickglass(name, flag)
        assert result.exit_code == 0
        assert result.output.startswith(f"Usage: main {name}")


def test_the_version_is_told(tickglass: Tickglass) -> None:
    assert tickglass("--version").output.startswith("tickglass, version ")


@pytest.mark.parametrize(
    ("wrong", "write"),
    [
        ("job", "\n  write: main jobs"),
        ("RUN", "\n  write: main run   or   main runs"),
        ("whi", "\n  write: main why"),
        ("start", ""),
    ],
)
def test_an_unknown_command_is_a_wrong_line_that_names_the_near_ones(
    wrong: str, write: str, tickglass: Tickglass
) -> None:
    result = tickglass(wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    problem = "there is no command of this name; main --help lists them"
    assert result.stderr == f"Error: {problem}\n    {wrong}{write}\n"


@pytest.mark.parametrize("words", [["--vresion"], ["jobs", "--jbo", "x"], ["dashboards", "exprt"], ["alerts", "exprt"]])
def test_an_unknown_option_or_subcommand_is_answered_with_the_near_ones(words: list[str], tickglass: Tickglass) -> None:
    result = tickglass(*words)
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr


@click.command()
@click.argument("kind")
def fails(kind: str) -> None:
    if kind == "config":
        raise ConfigError("that is wrong", given="abc", span=(1, 2))
    if kind == "store":
        raise StoreUnavailable("redis", "claim", "connection refused")
    raise RuntimeError("a bug")


@click.command(cls=LazyGroup, commands_at={"fails": f"{__name__}:fails"})
def failing() -> None:
    """A group whose command fails as it is told."""


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("config", 2, "Error: that is wrong\n    abc\n     ^\n"),
        ("store", 3, "Error: redis store, claim: connection refused\n"),
    ],
)
def test_an_expected_error_is_a_message_on_stderr_and_an_exit_code(kind: str, code: int, message: str) -> None:
    result = CliRunner().invoke(failing, ["fails", kind])
    assert (result.exit_code, result.stderr, result.stdout) == (code, message, "")


def test_an_unexpected_error_keeps_its_traceback() -> None:
    result = CliRunner().invoke(failing, ["fails", "bug"])
    assert isinstance(result.exception, RuntimeError)


def test_the_installed_command_is_this_one() -> None:
    code = "import sys; from tickglass.cli import main; sys.argv = ['tickglass', 'next', 'every']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_the_package_can_be_run_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tickglass", "next", "every"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    shown = subprocess.run([sys.executable, "-P", "-m", "tickglass", "-h"], capture_output=True, text=True, check=False)
    assert shown.stdout.startswith("Usage: tickglass [OPTIONS] COMMAND")


def test_the_group_is_what_pyproject_names() -> None:
    assert isinstance(main, LazyGroup)


@pytest.mark.parametrize(
    "words",
    [
        ["next", "@daily", "--count", "\u0663"],
        ["next", "@daily", "--count", "1_0"],
        ["runs", "memory://", "--limit", "\uff13"],
        ["demo", "--seconds", "\u0661"],
        ["demo", "--seconds", "1", "--metrics-port", "\u0669464"],
        ["alerts", "export", "DIR", "--on-time", "\u0661"],
        ["dashboards", "export", "DIR", "--on-time", "1_0"],
    ],
)
def test_a_number_in_other_digits_is_a_wrong_line(words: list[str], tickglass: Tickglass, tmp_path: Path) -> None:
    result = tickglass(*(str(tmp_path) if word == "DIR" else word for word in words))
    assert result.exit_code == 2
    assert "is not a number in the digits 0 to 9" in result.stderr
